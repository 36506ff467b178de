//! What a prune would do, as data: for people to look at, and for [`super::execute`].

use std::collections::HashSet;

use jiff::Timestamp;
use serde::Serialize;

use crate::format::name::PackKind;
use crate::id::{LeaseId, ObjectId};

/// What a prune would do.
#[derive(Clone, Debug, Serialize)]
pub struct PrunePlan {
    /// The store's time when it was made.
    pub now: Timestamp,
    /// Packs that this plan condemns are deleted by a prune after this time.
    pub space_back: Timestamp,
    /// Snapshots to delete.
    pub snapshots: Vec<PlannedSnapshot>,
    /// Snapshots that were to be deleted, and stay.
    pub kept: Vec<KeptSnapshot>,
    /// Packs to condemn: nothing reaches them once the snapshots are gone.
    pub condemn: Vec<PlannedPack>,
    /// Packs that nothing reaches, and that are too young to be condemned.
    pub young: YoungPacks,
    /// Files that killed writes left in a store that is a directory, and that go.
    pub leftovers: Leftovers,
    /// What becomes of the tombstones that are there.
    pub tombstones: Vec<PlannedTombstone>,
    /// Data packs that are not condemned, as they are once the snapshots are gone.
    pub data: PackTotals,
    /// Catalog packs.
    pub catalog: PackTotals,
    /// What the operator should know.
    pub notes: Vec<String>,
    /// Ended leases whose documents go.
    #[serde(skip)]
    pub(super) leases: Vec<String>,
    /// Damage documents of which nothing is left.
    #[serde(skip)]
    pub(super) damage: Vec<String>,
    /// Indexes to replace.
    #[serde(skip)]
    pub(super) replaced: Replaced,
    /// Packs that no index is to name any more: those that go, and those that are gone.
    #[serde(skip)]
    pub(super) unnamed: HashSet<ObjectId>,
    #[serde(skip)]
    pub(super) lease: LeaseId,
}

/// Indexes that name packs which none is to name any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replaced {
    pub(crate) indexes: Vec<ObjectId>,
    /// Packs of these that another index names, too: a crash may have left both.
    pub(crate) named: HashSet<ObjectId>,
}

/// A snapshot to delete.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedSnapshot {
    /// Which.
    pub id: ObjectId,
    /// Whose.
    pub host: String,
    /// Of which job.
    pub job: String,
    /// When its run began.
    pub started: Timestamp,
    /// Why it goes.
    pub why: String,
    #[serde(skip)]
    pub(super) object: String,
}

/// A snapshot that was to be deleted, and stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptSnapshot {
    /// Which.
    pub id: ObjectId,
    /// Why it stays.
    pub why: String,
}

/// A pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PlannedPack {
    /// What it holds.
    pub kind: PackKind,
    /// Which.
    pub id: ObjectId,
    /// Length of the object.
    pub bytes: u64,
}

/// Packs that nothing reaches, and that are too young to be condemned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct YoungPacks {
    /// How many.
    pub packs: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// When the last of them is old enough.
    pub until: Option<Timestamp>,
}

/// Files that killed writes left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Leftovers {
    /// How many.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    #[serde(skip)]
    pub(super) names: Vec<String>,
}

/// A tombstone, and what becomes of it.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedTombstone {
    /// Which.
    pub id: ObjectId,
    /// When it came to the store.
    pub put: Timestamp,
    /// How many packs it condemns.
    pub packs: u64,
    /// Whether they go.
    pub state: TombstoneState,
    /// Whether it has done its work and goes itself.
    pub remove: bool,
    /// Whether a record says already that it was executed.
    #[serde(skip)]
    pub(super) recorded: bool,
}

impl PlannedTombstone {
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, TombstoneState::Ready { .. })
    }
}

/// Whether the packs of a tombstone go.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TombstoneState {
    /// They do.
    Ready {
        /// These are deleted.
        delete: Vec<PlannedPack>,
        /// So many are reached again and stay.
        spared: u64,
        /// So many are gone.
        gone: u64,
    },
    /// Not before this time.
    Grace(Timestamp),
    /// Not before these leases have ended: who holds them does not know the tombstone.
    Leases(Vec<LeaseId>),
    /// Not before the snapshots that this plan deletes are gone: one of them is too damaged to tell what it reaches.
    Snapshots,
}

/// The packs of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PackTotals {
    /// How many.
    pub packs: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Of these, bytes that no snapshot needs; `compact` wins them back.
    pub dead_bytes: u64,
}

impl PrunePlan {
    /// Packs that would be deleted, each once.
    pub fn deletes(&self) -> Vec<PlannedPack> {
        let ready = self.tombstones.iter().filter_map(|tombstone| match &tombstone.state {
            TombstoneState::Ready { delete, .. } => Some(delete),
            _ => None,
        });
        let mut packs: Vec<PlannedPack> = ready.flatten().copied().collect();
        packs.sort_unstable();
        packs.dedup();
        packs
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let idle = |tombstone: &PlannedTombstone| {
            let delete = matches!(&tombstone.state, TombstoneState::Ready { delete, .. } if !delete.is_empty());
            !delete && !tombstone.remove
        };
        self.snapshots.is_empty()
            && self.condemn.is_empty()
            && self.leftovers.files == 0
            && self.tombstones.iter().all(idle)
    }
}
