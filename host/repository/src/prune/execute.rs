//! Doing what was planned: each step is durable before the next, and each can be done again after a crash.

use std::collections::HashSet;

use super::plan::{PlannedPack, PlannedTombstone, PrunePlan, Replaced};
use super::{Pruner, stale_plan};
use crate::error::Result;
use crate::format::index::{PackEntry, to_body};
use crate::format::name::Place;
use crate::id::ObjectId;
use crate::limits::{INDEX_CHUNKS_TARGET, PRUNE_RECORD_SNAPSHOTS_MAX};

/// What a prune did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pruned {
    /// Snapshots that were deleted.
    pub snapshots: u64,
    /// Packs that were condemned.
    pub condemned: u64,
    /// Packs that were deleted.
    pub packs: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Files that killed writes had left, and that were deleted.
    pub leftovers: u64,
}

impl Pruner {
    /// Does what was planned.
    ///
    /// # Errors
    /// [`Denied`](crate::Kind::Denied), before anything was changed, if this host may not delete in the store.
    pub async fn execute(&self, plan: PrunePlan) -> Result<Pruned> {
        if plan.lease != self.lease.id() {
            return Err(stale_plan());
        }
        self.lease.may_change()?;
        self.lease.assure().await?;
        // Tried on an object that nothing depends on.
        self.delete(self.lease.superseded().as_slice()).await?;
        // First what makes room and needs none: a store may be full.
        self.repository.store().remove_leftovers(plan.leftovers.names.clone()).await?;
        self.delete(&plan.leases).await?;
        let mut done = Pruned { leftovers: plan.leftovers.files, ..Pruned::default() };
        self.delete_packs(&plan, &mut done).await?;
        let removed = plan.tombstones.iter().filter(|tombstone| tombstone.remove);
        let removed: Vec<String> = removed.map(|tombstone| Place::Tombstone.object(&tombstone.id)).collect();
        self.delete(&removed).await?;
        self.delete(&plan.damage).await?;
        self.delete_snapshots(&plan, &mut done).await?;
        Ok(done)
    }

    /// Packs whose tombstones are ready: first no index names them any more, then they go, then a record says so.
    async fn delete_packs(&self, plan: &PrunePlan, done: &mut Pruned) -> Result<()> {
        let packs = plan.deletes();
        self.replace_indexes(&plan.replaced, &plan.unnamed).await?;
        let objects: Vec<String> = packs.iter().map(PlannedPack::object).collect();
        self.delete(&objects).await?;
        (done.packs, done.bytes) = (packs.len() as u64, packs.iter().map(|pack| pack.bytes).sum());
        let new = |t: &&PlannedTombstone| t.is_ready() && !t.recorded;
        let executed: Vec<ObjectId> = plan.tombstones.iter().filter(new).map(|tombstone| tombstone.id).collect();
        if executed.is_empty() && packs.is_empty() {
            return Ok(());
        }
        let mut record = self.record(self.lease.assure().await?);
        (record.executed, record.packs, record.bytes) = (executed, done.packs, done.bytes);
        self.repository.put_record(&record).await.map(drop)
    }

    /// Puts indexes without the packs that no index is to name any more, then deletes those that name them.
    pub(crate) async fn replace_indexes(&self, old: &Replaced, unnamed: &HashSet<ObjectId>) -> Result<()> {
        // What another index names already need not be named again.
        let mut named = old.named.clone();
        let mut entries: Vec<PackEntry> = Vec::new();
        for id in &old.indexes {
            for entry in self.repository.read_index(id).await? {
                if !unnamed.contains(&entry.pack) && named.insert(entry.pack) {
                    entries.push(entry);
                }
            }
            if entries.iter().map(PackEntry::chunks).sum::<usize>() >= INDEX_CHUNKS_TARGET {
                self.put_index(&mut entries).await?;
            }
        }
        if !entries.is_empty() {
            self.put_index(&mut entries).await?;
        }
        let old: Vec<String> = old.indexes.iter().map(|id| Place::Index.object(id)).collect();
        self.delete(&old).await
    }

    pub(crate) async fn put_index(&self, entries: &mut Vec<PackEntry>) -> Result<()> {
        let body = to_body(&std::mem::take(entries));
        let (name, _) = self.repository.put_document(&Place::Index, &body).await?;
        // Whoever lists from here on finds it, so that the old ones may go.
        self.repository.wait_until_listed(&name).await
    }

    /// Snapshots go, then what only they needed is condemned, then a record says so.
    async fn delete_snapshots(&self, plan: &PrunePlan, done: &mut Pruned) -> Result<()> {
        let objects: Vec<String> = plan.snapshots.iter().map(|snapshot| snapshot.object.clone()).collect();
        self.delete(&objects).await?;
        let now = self.lease.assure().await?;
        let mut condemned = self.condemn(&plan.condemn, now).await?;
        (done.snapshots, done.condemned) = (plan.snapshots.len() as u64, plan.condemn.len() as u64);
        let mut whys = plan.snapshots.iter().map(|snapshot| (snapshot.id, snapshot.why.clone())).peekable();
        while whys.peek().is_some() || !condemned.is_empty() {
            let mut record = self.record(now);
            record.snapshots = whys.by_ref().take(PRUNE_RECORD_SNAPSHOTS_MAX).collect();
            record.condemned = std::mem::take(&mut condemned);
            self.repository.put_record(&record).await?;
        }
        Ok(())
    }
}
