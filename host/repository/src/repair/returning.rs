//! Snapshots that a mirror has, that are not here, and that no prune deleted: somebody lost them, and they come back with all
//! that they need.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::{PlannedCopy, RepairPlan, Repairer};
use crate::copy::pack_lengths;
use crate::error::{Kind, Result};
use crate::format::name::parse_document;
use crate::format::record::PruneRecord;
use crate::id::ObjectId;
use crate::index::IndexedPack;
use crate::prune::PlannedPack;
use crate::verify::PacksNeeded;
use crate::view::{Problem, View};

impl Repairer {
    pub(super) async fn returning(&self, view: &View, plan: &mut RepairPlan) -> Result<()> {
        let mut known: HashSet<ObjectId> = view.snapshots().iter().map(|(id, _)| *id).collect();
        let unreadable = view.problems().iter().filter_map(|problem| parse_document(&problem.object).ok());
        known.extend(unreadable.map(|(_, id)| id));
        for mirror in self.help.views().await? {
            let missing: Vec<_> = mirror.snapshots().iter().filter(|(id, _)| !known.contains(id)).collect();
            if missing.is_empty() {
                continue;
            }
            let here = pack_lengths(self.repository().store()).await?;
            let pruned = self.pruned(&mirror, plan).await?;
            let mut needed = PacksNeeded::new(&mirror);
            for (id, snapshot) in missing.into_iter().filter(|(id, _)| !pruned.contains(id)) {
                let object = snapshot.place().object(id);
                match needed.of(*id, snapshot).await {
                    Ok(numbers) => {
                        let packs: Vec<_> = numbers.into_iter().map(|number| mirror.index().pack(number)).collect();
                        self.bring_packs(view, &packs, &here, plan).await?;
                        plan.copies.extend(self.help.copy_of(&object, None).await?);
                        known.insert(*id);
                    }
                    Err(why) if why.kind() == Kind::Corrupt => plan.lost.push(Problem { object, why }),
                    Err(why) => return Err(why),
                }
            }
        }
        Ok(())
    }

    /// What a snapshot of a mirror needs, and is not here or in no index.
    async fn bring_packs(
        &self,
        view: &View,
        packs: &[&IndexedPack],
        here: &HashMap<String, u64>,
        plan: &mut RepairPlan,
    ) -> Result<()> {
        for pack in packs {
            let name = pack.kind.object(&pack.id);
            let bytes = here.get(&name).copied();
            if bytes != Some(pack.bytes) {
                let copy = self.help.copy_of(&name, Some(pack.bytes)).await?;
                plan.copies.extend(copy.map(|copy| PlannedCopy { replaces: bytes.is_some(), ..copy }));
            }
            if view.index().find(&pack.id).is_none() {
                plan.reindex.push(PlannedPack { kind: pack.kind, id: pack.id, bytes: pack.bytes });
            }
        }
        Ok(())
    }

    /// Snapshots that a prune deleted, here or on the mirror; all of the mirror's if that cannot be told.
    async fn pruned(&self, mirror: &View, plan: &mut RepairPlan) -> Result<HashSet<ObjectId>> {
        let mut pruned = HashSet::new();
        for repository in [self.repository(), mirror.repository()] {
            let records = repository.records::<PruneRecord>(Timestamp::MIN).await?;
            if !records.problems.is_empty() {
                let note = "a record of a prune cannot be read, so no snapshot is brought back from";
                plan.notes.push(format!("{note} {}", mirror.repository().url()));
                pruned.extend(mirror.snapshots().iter().map(|(id, _)| *id));
            }
            pruned.extend(records.parsed.into_iter().flat_map(|record| record.value.snapshots).map(|(id, _)| id));
        }
        Ok(pruned)
    }
}
