//! Bytes at rest: a repository of deduplicated, compressed, encrypted snapshots in an object store, as docs/FORMAT.md
//! binds it. Knows no plugin, no job, no configuration, no terminal; time is handed in.
//!
//! The way in is [`Repository`]: [`create`](Repository::create) or [`open`](Repository::open) it, put a
//! [`lease`](Repository::lease), take a view of what it holds [to write](Repository::view_to_write) or
//! [to read](Repository::view_to_read), and from that a [`Writer`] for a new snapshot or a [`SnapshotReader`] for an old
//! one.

mod advice;
mod ask;
mod cache;
mod chunks;
mod compact;
mod content;
mod copy;
mod cut;
mod document;
mod documents;
mod entry;
mod epochs;
mod error;
mod extents;
mod failure;
pub mod format;
mod frame;
mod hosts;
mod id;
mod index;
mod key_document;
mod key_test;
mod keys;
mod lease;
mod leases;
pub mod limits;
mod manifest;
mod marks;
mod mirror;
mod newest;
mod owner;
mod owners;
mod pack;
mod pack_reader;
mod parts;
mod pending;
mod pieces;
mod pipeline;
mod prune;
mod reach;
mod reader;
mod recipient;
mod repair;
mod repository;
mod seal;
mod sort;
mod store;
mod suspicion;
mod thaw;
mod upload;
mod validity;
mod verify;
mod view;
mod writer;

pub use ask::{Ask, Nobody};
pub use compact::{CompactRules, Compacted};
pub use content::ContentReader;
pub use cut::Cutting;
pub use documents::{Document, Documents};
pub use entry::{Content, Entry, EntryKind, Extent, ExtentList, Posix, StoredEntry, Time};
pub use epochs::Epochs;
pub use error::{Error, FREE_SPACE, Kind, Result};
pub use format::lease::Purpose;
pub use format::path;
pub use hosts::HostRow;
pub use id::{ChunkId, HostUid, JobUid, LeaseId, ObjectId, RepositoryId};
pub use key_test::{EpochTest, KeyTest};
pub use keys::{HostKey, ReadKeys, Secret};
pub use lease::{Lease, LeaseRequest, ReadLease};
pub use leases::{Holder, Standing};
pub use marks::DamageNote;
pub use mirror::{MirrorCounters, MirrorReport, MirrorStart, copies, mirror};
pub use newest::Found;
pub use owner::{OwnerKey, is_secret_key, passphrase_label};
pub use owners::{Added, Changed, OwnerRow, Stamp};
pub use pipeline::Counters;
pub use prune::{
    Doomed, KeptSnapshot, Leftovers, PackTotals, PlannedPack, PlannedSnapshot, PlannedTombstone, PrunePlan, PruneRules,
    Pruned, Pruner, TombstoneState, Usage, YoungPacks,
};
pub use reader::SnapshotReader;
pub use recipient::Recipient;
pub use repair::{Help, Mirror, PlannedCopy, RepairPlan, Repaired, Repairer};
pub use repository::{NO_REPOSITORY, Repository};
pub use store::{
    Addressing, AzureCredentials, AzurePlace, Bucket, Examination, GcsPlace, Hidden, Network, Permitted, Proxy,
    S3Credentials, S3Encryption, S3Place, Store, StoreConfig, StorePlace, ThawTier, Traffic, Transport,
};
pub use thaw::{ColdPacks, PacksToRead, ThawCounters, ThawTerms};
pub use verify::{Depth, Findings, Sample, Scope, VerifyCounters, packs_to_read, verify, verify_scope};
pub use view::{DataChunks, Problem, View};
pub use writer::{EntryWriter, Resources, Writer};
