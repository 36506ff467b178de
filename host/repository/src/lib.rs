//! Bytes at rest: a repository of deduplicated, compressed, encrypted snapshots in an object store, as docs/FORMAT.md
//! binds it. Knows no plugin, no job, no configuration, no terminal; time is handed in.
//!
//! The way in is [`Repository`]: [`create`](Repository::create) or [`open`](Repository::open) it, take a
//! [`view`](Repository::view) of what it holds, and from that a [`Writer`] for a new snapshot or a [`SnapshotReader`]
//! for an old one.

mod cache;
mod chunks;
mod content;
mod cut;
mod document;
mod entry;
mod error;
mod failure;
pub mod format;
mod frame;
mod id;
mod index;
mod keys;
pub mod limits;
mod manifest;
mod pack;
mod pending;
mod pipeline;
mod reader;
mod repository;
mod seal;
mod sort;
mod store;
mod upload;
mod verify;
mod writer;

pub use content::ContentReader;
pub use cut::Cutting;
pub use entry::{Content, Entry, EntryKind, Extent, ExtentList, Posix, StoredEntry, Time};
pub use error::{Error, Kind, Result};
pub use format::path;
pub use id::{ChunkId, HostUid, JobUid, ObjectId, RepositoryId};
pub use keys::{HostKey, OwnerKey, ReadKeys, Secret};
pub use pipeline::Counters;
pub use reader::SnapshotReader;
pub use repository::{DataChunks, Problem, Repository, View};
pub use store::{
    Addressing, AzureCredentials, AzurePlace, Bucket, Examination, GcsPlace, Hidden, Network, Permitted, Proxy,
    S3Credentials, S3Encryption, S3Place, Store, StoreConfig, StorePlace, Traffic, Transport,
};
pub use verify::{Depth, Findings, Sample, VerifyCounters, verify};
pub use writer::{EntryWriter, Resources, Writer};

/// An owner's public key.
pub type Recipient = age::x25519::Recipient;
