//! Suspicious snapshots: those that the host which made them found much smaller than the last good one, until an operator
//! accepts them. FORMAT.md sections 10 and 11.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::error::Result;
use crate::format::record::AcceptRecord;
use crate::format::snapshot::Snapshot;
use crate::id::ObjectId;
use crate::repository::Repository;
use crate::view::View;

/// Which snapshots were accepted, and when the first word of it came to the store, by the store's clock.
pub(crate) type Accepted = HashMap<ObjectId, Timestamp>;

impl Repository {
    /// What operators accepted. Asks the store only if there is a snapshot that needs it. A record that cannot be read
    /// accepts nothing, and neither does one that came from a host after it was removed: a snapshot that stays suspicious
    /// has nothing deleted.
    pub(crate) async fn read_accepted(&self, snapshots: &[(ObjectId, Arc<Snapshot>)]) -> Result<Accepted> {
        let mut accepted = Accepted::new();
        if !snapshots.iter().any(|(_, snapshot)| snapshot.is_marked()) {
            return Ok(accepted);
        }
        let records = self.records::<AcceptRecord>(Timestamp::MIN).await?;
        let (removed, _) = self.removed_hosts().await?;
        for record in records.parsed {
            if removed.get(&record.value.host.uid).is_some_and(|at| record.modified > *at) {
                continue;
            }
            let first = accepted.entry(record.value.snapshot).or_insert(record.modified);
            *first = record.modified.min(*first);
        }
        Ok(accepted)
    }
}

impl View {
    /// Whether a snapshot is suspicious: its host found it so, and no operator accepted it.
    pub fn is_suspicious(&self, (id, snapshot): &(ObjectId, Arc<Snapshot>)) -> bool {
        snapshot.is_marked() && !self.accepted.contains_key(id)
    }

    /// Why a snapshot is suspicious, in the words of its host; empty if it is not, or was accepted.
    pub fn suspicion<'a>(&self, (id, snapshot): &'a (ObjectId, Arc<Snapshot>)) -> &'a [String] {
        match &snapshot.guard {
            Some(guard) if !self.accepted.contains_key(id) => &guard.suspicious,
            _ => &[],
        }
    }

    /// When an operator's word that a suspicious snapshot is right came to the store, by the store's clock.
    pub fn accepted(&self, snapshot: &ObjectId) -> Option<Timestamp> {
        self.accepted.get(snapshot).copied()
    }
}
