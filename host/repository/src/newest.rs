//! Which snapshot of a job is the newest: one answer for all who ask.
//!
//! Runs are ordered by their number ([`Snapshot::order`]). A snapshot whose own time is in the future was made with a wrong
//! clock: it may be the last run, on which the next one builds, and is nobody's newest.

use std::sync::Arc;

use jiff::Timestamp;

use crate::format::snapshot::Snapshot;
use crate::id::{HostUid, JobUid, ObjectId};
use crate::limits::STARTED_AHEAD_MAX;
use crate::view::View;

/// A snapshot and its id.
pub type Found = (ObjectId, Arc<Snapshot>);

impl View {
    /// Whether a snapshot's own time is in the future: later than its arrival by the store's clock, or than now.
    pub fn is_ahead(&self, (id, snapshot): &Found, now: Timestamp) -> bool {
        let bound = self.arrived(id).map_or(now, |arrived| arrived.min(now));
        snapshot.started.duration_since(bound) > STARTED_AHEAD_MAX
    }

    /// The newest of these snapshots of one job; none of the future, and one that is suspicious only where there is no other.
    pub fn newest<'a>(&self, among: impl IntoIterator<Item = &'a Found>, now: Timestamp) -> Option<&'a Found> {
        let believed = among.into_iter().filter(|found| !self.is_ahead(found, now));
        believed.max_by_key(|found| (!self.is_suspicious(found), found.1.order()))
    }

    /// The last run of a job that left a snapshot, whatever its clock showed: what the next run builds on and counts from.
    pub fn last_run(&self, host: HostUid, job: JobUid) -> Option<&Found> {
        let of_job = self.snapshots().iter().filter(|(_, s)| s.host.uid == host && s.job.uid == job);
        of_job.max_by_key(|(_, snapshot)| snapshot.order())
    }
}
