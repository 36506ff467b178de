//! What retention knows of one snapshot, and whether it can be believed.

use std::collections::BTreeMap;

use dozo_repository::format::snapshot::{Named, Snapshot, Status};
use dozo_repository::limits::STARTED_AHEAD_MAX;
use dozo_repository::{HostUid, JobUid, ObjectId};
use jiff::Timestamp;

use super::fate::Reason;
use crate::limits::STARTED_BEHIND_MAX;

/// One snapshot, as retention sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Which.
    pub id: ObjectId,
    /// Who says that they made it.
    pub host: Named<HostUid>,
    /// Of which job.
    pub job: Named<JobUid>,
    /// When its run began, as its host says.
    pub started: Timestamp,
    /// When it came to the store, as the store says.
    pub arrived: Timestamp,
    /// Its number in its job, as its host says.
    pub sequence: u64,
    /// Complete or partial.
    pub status: Status,
    /// The operator's words.
    pub tags: Vec<String>,
    /// Whether a hold is on it.
    pub held: bool,
    /// Whether a verification read every byte of it and found it whole.
    pub verified: bool,
}

impl Fact {
    /// What a snapshot says of itself, with its arrival as the store tells it. Nothing is held and nothing verified until
    /// records say so.
    pub fn new(id: ObjectId, snapshot: &Snapshot, arrived: Timestamp) -> Self {
        Fact {
            id,
            host: snapshot.host.clone(),
            job: snapshot.job.clone(),
            started: snapshot.started,
            arrived,
            sequence: snapshot.sequence,
            status: snapshot.status,
            tags: snapshot.tags.clone(),
            held: false,
            verified: false,
        }
    }

    /// The order of snapshots: a later one is newer. No two are equal.
    pub(super) fn order(&self) -> (Timestamp, Timestamp, u64, ObjectId) {
        (self.started, self.arrived, self.sequence, self.id)
    }

    /// Why the rules leave this one alone, if they do.
    pub(super) fn distrust(&self, removed: &BTreeMap<HostUid, Timestamp>, now: Timestamp) -> Option<Reason> {
        if removed.get(&self.host.uid).is_some_and(|at| self.arrived > *at) {
            return Some(Reason::HostRemoved);
        }
        if self.started.duration_since(self.arrived.min(now)) > STARTED_AHEAD_MAX {
            return Some(Reason::FromTheFuture);
        }
        (self.arrived.duration_since(self.started) > STARTED_BEHIND_MAX).then_some(Reason::NotTheStoresTime)
    }
}
