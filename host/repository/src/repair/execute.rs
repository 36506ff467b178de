//! Doing what was planned: copies, then indexes, then snapshots, and only then what goes. Each step is durable before the next,
//! and each can be done again after a crash.

use std::collections::{HashMap, HashSet};

use futures::stream::{self, StreamExt};

use super::plan::order;
use super::rebuild::entry_of;
use super::{Condition, PlannedCopy, RepairPlan, Repairer};
use crate::copy::{pack_lengths, read_proven};
use crate::error::{Error, Kind, Result};
use crate::format::damage::DamageDocument;
use crate::format::index::PackEntry;
use crate::format::name::{Place, parse_document, parse_pack};
use crate::id::ObjectId;
use crate::limits::{INDEX_CHUNKS_TARGET, PACKS_PER_INDEX};
use crate::view::Problem;

/// Objects copied at once: each is held whole.
const COPIES_AT_ONCE: usize = 2;

/// What a repair did.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Objects that were copied from a mirror.
    pub copied: u64,
    /// Packs that got an index.
    pub reindexed: u64,
    /// Packs that no index names any more.
    pub superseded: u64,
    /// Damage documents that were deleted.
    pub cleared: u64,
    /// Documents that were given up.
    pub given_up: u64,
    /// What did not work out.
    pub failed: Vec<Problem>,
}

impl Repairer {
    /// Does what was planned.
    ///
    /// # Errors
    /// [`Denied`](Kind::Denied) if something must be deleted and this host may not; what needs no such right is done by then.
    pub async fn execute(&self, plan: RepairPlan) -> Result<Repaired> {
        if plan.lease != self.pruner.lease.id() {
            return Err(Error::internal("a plan that was made under another lease"));
        }
        self.pruner.lease.may_change()?;
        let mut done = Repaired::default();
        let (snapshots, before): (Vec<_>, Vec<_>) =
            plan.copies.iter().partition(|copy| order(&copy.object) >= order("snapshots/"));
        self.copy(before, &mut done).await?;
        let closed = self.reindex(&plan, &mut done).await?;
        if done.failed.is_empty() {
            self.copy(snapshots, &mut done).await?;
        }
        let superseded: HashSet<ObjectId> = plan.superseded.iter().map(|(_, id)| *id).collect();
        self.pruner.replace_indexes(&plan.replaced, &superseded).await?;
        if !closed {
            self.pruner.delete(&plan.broken_indexes).await?;
        }
        self.drop_superseded(&plan, &mut done).await?;
        self.clear_damage(&plan, &mut done).await?;
        self.give_up(&plan, &mut done).await?;
        Ok(done)
    }

    async fn copy(&self, copies: Vec<&PlannedCopy>, done: &mut Repaired) -> Result<()> {
        self.pruner.lease.assure().await?;
        let mut copies = stream::iter(copies.into_iter().map(|copy| async move {
            let copied = self.copy_one(copy).await;
            (copy, copied)
        }))
        .buffered(COPIES_AT_ONCE);
        while let Some((copy, copied)) = copies.next().await {
            match copied {
                Ok(()) => done.copied += 1,
                Err(why) if why.kind() == Kind::Corrupt => {
                    done.failed.push(Problem { object: copy.object.clone(), why });
                }
                Err(why) => return Err(why),
            }
        }
        Ok(())
    }

    /// From the first mirror whose object is what its name says. What is in its place goes only when the right one is in
    /// memory, and what was put is read back.
    async fn copy_one(&self, copy: &PlannedCopy) -> Result<()> {
        let (store, mut why) = (self.repository().store(), Error::corrupt("no mirror has it any more"));
        for mirror in &copy.mirrors {
            let sealed = match read_proven(self.help.mirror(mirror)?.store(), &copy.object).await {
                Ok(Some(sealed)) => sealed,
                Ok(None) => continue,
                Err(bad) if bad.kind() == Kind::Corrupt => {
                    why = bad.context(format!("on the mirror `{mirror}`"));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if copy.replaces {
                self.pruner.delete(std::slice::from_ref(&copy.object)).await?;
            }
            store.put(&copy.object, &sealed).await?;
            let there = read_proven(store, &copy.object).await?;
            let same = there.is_some_and(|there| there.id() == sealed.id());
            let lost = || Error::unavailable(format!("{} is not what was just put there", copy.object));
            return if same { Ok(()) } else { Err(lost()) };
        }
        Err(why)
    }

    /// Packs that no index names get one; tells whether some did not open with the keys at hand.
    async fn reindex(&self, plan: &RepairPlan, done: &mut Repaired) -> Result<bool> {
        let wanted = plan.reindex.iter().map(|pack| pack.id).collect();
        let mut known = self.help.entries(&wanted).await?;
        let here = pack_lengths(self.repository().store()).await?;
        let (mut entries, mut closed) = (Vec::new(), false);
        for pack in &plan.reindex {
            let object = pack.kind.object(&pack.id);
            let there = here.get(&object).copied();
            let entry = match known.remove(&pack.id) {
                Some(entry) if there == Some(entry.bytes) => Ok(Some(entry)),
                _ => entry_of(self.repository(), pack.kind, pack.id, self.help.keys.as_ref()).await,
            };
            match entry {
                Ok(Some(entry)) => entries.push(entry),
                // A prune condemned it, or a copy failed and said so.
                Ok(None) => {}
                Err(why) if matches!(why.kind(), Kind::Corrupt | Kind::Denied) => {
                    closed |= why.kind() == Kind::Denied;
                    done.failed.push(Problem { object, why });
                }
                Err(why) => return Err(why),
            }
            let chunks: usize = entries.iter().map(PackEntry::chunks).sum();
            if entries.len() >= PACKS_PER_INDEX || chunks >= INDEX_CHUNKS_TARGET {
                done.reindexed += entries.len() as u64;
                self.pruner.put_index(&mut entries).await?;
            }
        }
        if !entries.is_empty() {
            done.reindexed += entries.len() as u64;
            self.pruner.put_index(&mut entries).await?;
        }
        Ok(closed)
    }

    /// No index names them by now.
    async fn drop_superseded(&self, plan: &RepairPlan, done: &mut Repaired) -> Result<()> {
        let wrong = plan.superseded.iter().filter(|(_, id)| plan.conditions.get(id) != Some(&Condition::Missing));
        let wrong: Vec<String> = wrong.map(|(kind, id)| kind.object(id)).collect();
        self.pruner.delete(&wrong).await?;
        done.superseded = plan.superseded.len() as u64;
        Ok(())
    }

    /// Damage that is no more is told of no more. A document that also names what is still damaged is replaced.
    async fn clear_damage(&self, plan: &RepairPlan, done: &mut Repaired) -> Result<()> {
        let failed: HashSet<&str> = done.failed.iter().map(|problem| problem.object.as_str()).collect();
        let copied = plan.copies.iter().filter(|copy| !failed.contains(copy.object.as_str()));
        let mut right: HashSet<ObjectId> = copied.filter_map(|copy| Some(parse_pack(&copy.object).ok()?.1)).collect();
        right.extend(plan.superseded.iter().map(|(_, id)| *id));
        right.extend(plan.conditions.iter().filter(|(_, c)| **c == Condition::Whole).map(|(id, _)| *id));
        let notes: HashMap<ObjectId, DamageDocument> =
            self.repository().damage().await?.into_iter().map(|note| (note.id, note.document)).collect();
        for id in &plan.damage {
            let Some(mut document) = notes.get(id).cloned() else { continue };
            let before = document.packs.len();
            document.packs.retain(|(_, pack, _)| !right.contains(pack));
            if document.packs.len() == before {
                continue;
            }
            if !document.packs.is_empty() {
                self.repository().put_damage(&document).await?;
            }
            self.pruner.delete(&[Place::Damage.object(id)]).await?;
            done.cleared += 1;
        }
        Ok(())
    }

    /// What the operator lets go of: first a record says so, then it goes.
    async fn give_up(&self, plan: &RepairPlan, done: &mut Repaired) -> Result<()> {
        if plan.give_up.is_empty() {
            return Ok(());
        }
        let mut record = self.pruner.record(self.pruner.lease.assure().await?);
        let snapshots = plan.give_up.iter().filter(|(object, _)| object.starts_with("snapshots/"));
        record.snapshots = snapshots
            .map(|(object, why)| Ok((parse_document(object)?.1, format!("given up: {why}"))))
            .collect::<Result<_>>()?;
        if !record.snapshots.is_empty() {
            self.repository().put_record(&record).await?;
        }
        let objects: Vec<String> = plan.give_up.iter().map(|(object, _)| object.clone()).collect();
        self.pruner.delete(&objects).await?;
        done.given_up = objects.len() as u64;
        Ok(())
    }
}
