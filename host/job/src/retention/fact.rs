//! What retention knows of one snapshot, and whether it can be believed.

use std::collections::BTreeMap;

use dozo_repository::format::snapshot::{Named, Snapshot, Status};
use dozo_repository::limits::STARTED_AHEAD_MAX;
use dozo_repository::{HostUid, JobUid, ObjectId};
use jiff::Timestamp;

use super::fate::Reason;
use crate::guard::Size;
use crate::limits::{GUARD_PERCENT, STARTED_BEHIND_MAX};

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
    /// Whether its host found it suspicious.
    pub suspicious: bool,
    /// When an operator's word that it is right all the same came to the store, as the store says.
    pub accepted: Option<Timestamp>,
    /// The drop in percent from which on its host was to find it suspicious; none if that was turned off there. Where the
    /// host says nothing, what is usual.
    pub limit: Option<u8>,
    /// By what it is compared.
    pub size: Size,
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
            suspicious: snapshot.is_marked(),
            accepted: None,
            limit: snapshot.guard.as_ref().map_or(Some(GUARD_PERCENT), |guard| guard.limit),
            size: Size::of(snapshot),
        }
    }

    /// Whether it may stand for what was there: it is not suspicious, or an operator accepted it.
    pub fn is_trusted(&self) -> bool {
        !self.suspicious || self.accepted.is_some()
    }

    /// Whether nothing is missing in it that should be there.
    pub(super) fn is_good(&self) -> bool {
        self.status == Status::Complete && self.is_trusted()
    }

    /// When it came, to those whom it may push out: what is suspicious comes when it is accepted.
    pub(super) fn came(&self) -> Timestamp {
        match self.accepted {
            Some(accepted) if self.suspicious => accepted.max(self.arrived),
            _ => self.arrived,
        }
    }

    /// As it was at an earlier moment: what was accepted later was suspicious then.
    pub(super) fn as_of(&self, moment: Timestamp) -> Fact {
        Fact { accepted: self.accepted.filter(|accepted| *accepted <= moment), ..self.clone() }
    }

    /// Whether it is so much smaller than the one before that its host should have found it suspicious, and did not.
    pub(super) fn hides_a_drop(&self, before: &Fact) -> bool {
        !self.suspicious && self.limit.is_some_and(|limit| self.size.is_much_below(before.size, limit))
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
