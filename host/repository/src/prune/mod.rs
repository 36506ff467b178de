//! Deleting what nothing needs, beside whoever is at work. FORMAT.md section 14.4. A [`Pruner`] holds the lease of a prune;
//! it [plans](Pruner::plan) without writing anything else, and [executes](Pruner::execute) what it planned; one that only
//! [looks](Pruner::look) plans without that lease. Which snapshots are to go is not its affair.

mod execute;
mod grip;
mod plan;
mod survey;

use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, Kind, Result};
use crate::format::lease::Purpose;
use crate::format::record::PruneRecord;
use crate::format::snapshot::Named;
use crate::format::tombstone::TombstoneDocument;
use crate::id::{HostUid, ObjectId};
use crate::lease::LeaseRequest;
use crate::limits::TOMBSTONE_PACKS_MAX;
use crate::repository::Repository;

pub use execute::Pruned;
pub(crate) use grip::Grip;
pub(crate) use plan::Replaced;
pub use plan::{
    KeptSnapshot, Leftovers, PackTotals, PlannedPack, PlannedSnapshot, PlannedTombstone, PrunePlan, TombstoneState,
    YoungPacks,
};
pub use survey::Usage;
pub(crate) use survey::{guard, left, replaced};

/// How long things are left alone.
#[derive(Clone, Copy, Debug)]
pub struct PruneRules {
    /// Between a tombstone and its execution.
    pub grace: SignedDuration,
    /// A pack that came to the store more recently is not condemned: its run may not have come to an end.
    pub pack_age_min: SignedDuration,
    /// Leases that ended longer ago are deleted.
    pub lease_kept: SignedDuration,
}

impl Default for PruneRules {
    fn default() -> Self {
        let days = |days: i64| SignedDuration::from_hours(24 * days);
        PruneRules { grace: days(1), pack_age_min: days(7), lease_kept: days(7) }
    }
}

/// A snapshot that retention gave up.
#[derive(Clone, Debug)]
pub struct Doomed {
    /// Which.
    pub snapshot: ObjectId,
    /// Why, for the record.
    pub why: String,
}

/// Whoever prunes, with the lease to do it, or only looks.
pub struct Pruner {
    pub(crate) repository: Repository,
    pub(crate) lease: Grip,
    pub(crate) rules: PruneRules,
    started: Timestamp,
    host: Named<HostUid>,
}

impl Pruner {
    /// Puts the lease. On a store that is full, what nobody needs goes first, to make room for it.
    ///
    /// # Errors
    /// [`Busy`](Kind::Busy) if a prune is at work already.
    pub async fn begin(repository: &Repository, request: LeaseRequest, rules: PruneRules) -> Result<Self> {
        let host = Named { uid: repository.host(), name: request.host.clone() };
        let started = request.started;
        let lease = match repository.lease(request.clone()).await {
            Err(full) if full.is_out_of_space() => {
                clear(repository, started, rules).await?;
                repository.lease(request).await.map_err(no_room)?
            }
            lease => lease?,
        };
        Ok(Pruner { repository: repository.clone(), lease: Grip::Deletes(lease), rules, started, host })
    }

    /// Only looks: plans, and changes nothing. Needs no room in the store, and no right to write.
    pub async fn look(repository: &Repository, request: LeaseRequest, rules: PruneRules) -> Self {
        let host = Named { uid: repository.host(), name: request.host.clone() };
        let started = request.started;
        let lease = repository.read_lease(LeaseRequest { purpose: Purpose::Read, job: None, ..request }).await;
        Pruner { repository: repository.clone(), lease: Grip::Looks { lease, now: started }, rules, started, host }
    }

    /// What the operator should know: why a look has no lease.
    pub fn note(&self) -> Option<&str> {
        self.lease.note()
    }

    /// The store's now.
    pub async fn now(&self) -> Result<Timestamp> {
        self.lease.assure().await
    }

    /// Says that the prune is over.
    pub async fn end(self) -> Result<()> {
        self.lease.release().await
    }

    /// Condemns packs.
    pub(crate) async fn condemn(&self, packs: &[PlannedPack], now: Timestamp) -> Result<Vec<ObjectId>> {
        let mut tombstones = Vec::new();
        for some in packs.chunks(TOMBSTONE_PACKS_MAX) {
            let tombstone = TombstoneDocument {
                schema: TombstoneDocument::SCHEMA.into(),
                host: self.host.clone(),
                planned: now,
                packs: some.iter().map(|pack| (pack.kind, pack.id)).collect(),
            };
            tombstones.push(self.repository.put_tombstone(&tombstone).await?);
        }
        Ok(tombstones)
    }

    /// A record without anything in it yet.
    pub(crate) fn record(&self, now: Timestamp) -> PruneRecord {
        PruneRecord {
            schema: PruneRecord::SCHEMA.into(),
            host: self.host.clone(),
            started: self.started,
            ended: now,
            snapshots: Vec::new(),
            condemned: Vec::new(),
            executed: Vec::new(),
            packs: 0,
            bytes: 0,
        }
    }

    /// Deletes objects, as long as the lease holds.
    pub(crate) async fn delete(&self, names: &[String]) -> Result<()> {
        self.lease.may_change()?;
        /// Objects between two looks at the lease: deleting them takes a minute at most.
        const BATCH: usize = 1_000;
        for some in names.chunks(BATCH) {
            self.lease.assure().await?;
            self.repository.store().delete(some).await.map_err(|e| match e.kind() {
                Kind::Denied => e.hinted(
                    "this host may not delete there: prune on the host that has `role = \"maintain\"` and credentials for it",
                ),
                _ => e,
            })?;
        }
        Ok(())
    }
}

impl PlannedPack {
    fn object(&self) -> String {
        self.kind.object(&self.id)
    }
}

/// Removes what nobody needs and no lease must be held to remove: what killed writes left, and leases that ended long ago.
async fn clear(repository: &Repository, now: Timestamp, rules: PruneRules) -> Result<()> {
    let leases = repository.leases(now).await?;
    let live: Vec<_> = leases.iter().filter(|holder| holder.is_live()).collect();
    let left = survey::left(repository, &live, now).await?;
    repository.store().remove_leftovers(left.into_iter().map(|left| left.name).collect()).await?;
    repository.store().delete(&survey::ended(&leases, now, rules)).await
}

fn no_room(error: Error) -> Error {
    if !error.is_out_of_space() {
        return error;
    }
    error.context("there is no room to begin").hinted(
        "the lease, and new indexes and records, are written before anything is deleted: make about 1 MiB free on the file \
         system of the store, beside the repository, or let it grow; without `--yes` the plan is shown, and when space comes back",
    )
}

/// What a plan that is not this lease's is worth.
fn stale_plan() -> Error {
    Error::internal("a plan that was made under another lease")
}
