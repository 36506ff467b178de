//! Bytes at rest: a repository of deduplicated, compressed, encrypted snapshots in an object store, as docs/FORMAT.md
//! binds it. Knows no plugin, no job, no configuration, no terminal; time is handed in.
//!
//! The way in is [`Repository`]: [`create`](Repository::create) or [`open`](Repository::open) it, take a
//! [`view`](Repository::view) of what it holds, and from that a [`Writer`] for a new snapshot or a [`SnapshotReader`]
//! for an old one.

mod ask;
mod cache;
mod chunks;
mod content;
mod cut;
mod document;
mod entry;
mod epochs;
mod error;
mod failure;
pub mod format;
mod frame;
mod hosts;
mod id;
mod index;
mod key_document;
mod key_test;
mod keys;
pub mod limits;
mod manifest;
mod owner;
mod owners;
mod pack;
mod pending;
mod pipeline;
mod reader;
mod recipient;
mod repository;
mod seal;
mod sort;
mod store;
mod upload;
mod verify;
mod writer;

pub use ask::{Ask, Nobody};
pub use content::ContentReader;
pub use cut::Cutting;
pub use entry::{Content, Entry, EntryKind, Extent, ExtentList, Posix, StoredEntry, Time};
pub use epochs::Epochs;
pub use error::{Error, Kind, Result};
pub use format::path;
pub use hosts::HostRow;
pub use id::{ChunkId, HostUid, JobUid, ObjectId, RepositoryId};
pub use key_test::{EpochTest, KeyTest};
pub use keys::{HostKey, ReadKeys, Secret};
pub use owner::{OwnerKey, passphrase_label};
pub use owners::{Added, Changed, OwnerRow, Stamp};
pub use pipeline::Counters;
pub use reader::SnapshotReader;
pub use recipient::Recipient;
pub use repository::{DataChunks, Problem, Repository, View};
pub use store::Store;
pub use verify::{Depth, Findings, Sample, VerifyCounters, verify};
pub use writer::{EntryWriter, Resources, Writer};
