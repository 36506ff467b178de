//! Finding out what can be done. Writes nothing but renewals of the lease.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures::stream::{self, StreamExt, TryStreamExt};

use super::rebuild::entry_from;
use super::sources::packs_with;
use super::{Condition, PlannedCopy, RepairPlan, Repairer};
use crate::copy::read_proven;
use crate::error::{Error, Kind, Result};
use crate::format::lease::Purpose;
use crate::format::name::{PackKind, parse_document, parse_pack};
use crate::id::ObjectId;
use crate::leases::Standing;
use crate::prune::{PlannedPack, Replaced, replaced};
use crate::repository::Repository;
use crate::verify::{Needs, UNDECODABLE, Walk, current_keys, unreadable_documents};
use crate::view::{Problem, View};

/// Packs read at once: each is held whole.
const PACKS_AT_ONCE: usize = 2;

impl Repairer {
    /// Looks at what is damaged or was found to be. `give_up` names documents (whole names, or ids of snapshots) that the
    /// operator lets go of.
    ///
    /// # Errors
    /// [`Invalid`](Kind::Invalid) if what is given up is not there, or is whole.
    pub async fn plan(&self, give_up: &[String]) -> Result<RepairPlan> {
        self.pruner.lease.assure().await?;
        let view = self.repository().view().await?;
        let mut walk = Walk::new(&view, HashSet::new());
        let mut unsound = HashSet::new();
        for (id, snapshot) in view.snapshots() {
            if !walk.snapshot(*id, snapshot).await? {
                unsound.insert(*id);
            }
        }
        let needs = walk.needs;
        let mut plan = self.empty_plan();
        self.packs(&view, &needs, &mut plan).await?;
        self.documents(&view, &mut plan).await?;
        self.unindexed(&view, &needs, &mut plan).await?;
        self.returning(&view, &mut plan).await?;
        plan.replaced = replaced(&view, &plan.superseded.iter().map(|(_, id)| *id).collect()).await?;
        plan.damage = damage_to_clear(&view, &plan);
        if !give_up.is_empty() {
            let mut damaged = unreadable_documents(self.repository()).await?;
            damaged.extend(view.problems().iter().cloned());
            let can = can_be_given_up(&view, &damaged, &unsound);
            give_up_these(&can, give_up, &self.repository().verify_command(), &mut plan)?;
        }
        plan.copies.sort_by(|a, b| order(&a.object).cmp(&order(&b.object)));
        plan.copies.dedup_by(|a, b| a.object == b.object);
        plan.reindex.sort_unstable();
        plan.reindex.dedup();
        Ok(plan)
    }

    fn empty_plan(&self) -> RepairPlan {
        RepairPlan {
            copies: Vec::new(),
            reindex: Vec::new(),
            superseded: Vec::new(),
            damage: Vec::new(),
            broken_indexes: Vec::new(),
            give_up: Vec::new(),
            lost: Vec::new(),
            notes: Vec::new(),
            conditions: BTreeMap::new(),
            replaced: Replaced::default(),
            lease: self.pruner.lease.id(),
        }
    }

    /// Packs that are missing, or that a damage document names: looked at again, byte for byte.
    async fn packs(&self, view: &View, needs: &Needs, plan: &mut RepairPlan) -> Result<()> {
        let suspects: BTreeSet<(PackKind, ObjectId)> = view
            .damage()
            .map(|(kind, id, _)| (kind, id))
            .chain(view.index().absent().iter().map(|pack| (pack.kind, pack.id)))
            .collect();
        let useless: HashSet<ObjectId> =
            view.damage().filter(|(_, _, why)| why.starts_with(UNDECODABLE)).map(|(_, id, _)| id).collect();
        let looks = stream::iter(suspects.into_iter().map(|(kind, id)| {
            let useless = useless.contains(&id);
            async move { Ok::<_, Error>((kind, id, self.examine(kind, id, useless).await?)) }
        }));
        let found: Vec<_> = looks.buffered(PACKS_AT_ONCE).try_collect().await?;
        let busy = self.somebody_runs().await?;
        let indexed = |id: &ObjectId| view.index().find(id).is_some();
        for (kind, id, condition) in found {
            plan.conditions.insert(id, condition.clone());
            if condition == Condition::Whole {
                continue;
            }
            let object = kind.object(&id);
            // What no index names might be what is looked for and not found.
            let needed = needs.may_need(&id) || (!indexed(&id) && !needs.nowhere.is_empty());
            match self.help.copy_of(&object, None).await? {
                Some(copy) if needed && !matches!(condition, Condition::Useless(_)) => {
                    plan.copies.push(PlannedCopy { replaces: condition != Condition::Missing, ..copy });
                }
                _ if needed => {
                    plan.lost.push(lost_pack(object, &condition, self.repository().advice().pack_that_is_nowhere()));
                }
                _ if busy => plan.notes.push(format!(
                    "{object} is damaged and no snapshot needs it; it is left until the runs at work have ended"
                )),
                _ => plan.superseded.push((kind, id)),
            }
        }
        Ok(())
    }

    /// Looks at a pack. One that was found useless by an owner is so until an owner finds otherwise.
    async fn examine(&self, kind: PackKind, id: ObjectId, useless: bool) -> Result<Condition> {
        let sealed = match read_proven(self.repository().store(), &kind.object(&id)).await {
            Ok(Some(sealed)) => sealed,
            Ok(None) => return Ok(Condition::Missing),
            Err(why) if why.kind() == Kind::Corrupt => return Ok(Condition::Wrong(why.chain())),
            Err(why) => return Err(why),
        };
        match entry_from(self.repository(), kind, sealed, self.help.keys.as_ref()).await {
            Ok(_) => Ok(Condition::Whole),
            Err(why) if why.kind() == Kind::Denied && !useless => Ok(Condition::Whole),
            Err(why) if why.kind() == Kind::Denied => Ok(Condition::Useless(UNDECODABLE.into())),
            Err(why) if why.kind() == Kind::Corrupt => Ok(Condition::Useless(why.context(UNDECODABLE).chain())),
            Err(why) => Err(why),
        }
    }

    /// Whether a run is at work: it may count on a pack that is wrong, and should find that out.
    async fn somebody_runs(&self) -> Result<bool> {
        let now = self.pruner.lease.assure().await?;
        let runs = self.repository().leases(now).await?.into_iter().any(|holder| {
            let run = holder.document.as_ref().is_none_or(|document| document.purpose == Purpose::Run);
            holder.id != self.pruner.lease.id() && holder.standing == Standing::AtWork && run
        });
        Ok(runs)
    }

    /// Documents that cannot be read.
    async fn documents(&self, view: &View, plan: &mut RepairPlan) -> Result<()> {
        let mut problems: Vec<Problem> = view.problems().to_vec();
        problems.extend(self.repository().check_indexes(&view.packs.unread).await?);
        let keys = current_keys(self.repository()).await?;
        problems.retain(|problem| parse_pack(&problem.object).is_err());
        // Records and leases, as a verification has them.
        let known: HashSet<String> = problems.iter().chain(&keys).map(|problem| problem.object.clone()).collect();
        let others = unreadable_documents(self.repository()).await?;
        problems.extend(others.into_iter().filter(|problem| !known.contains(&problem.object)));
        let repair = self.repository().repair_command();
        for problem in problems {
            let copied = ["index/", "snapshots/", "records/"].iter().any(|kept| problem.object.starts_with(kept));
            // One that is as it was put, and is refused for what it says, is the same everywhere.
            let copied = copied && is_rotten(self.repository(), &problem.object).await?;
            match self.help.copy_of(&problem.object, None).await? {
                Some(copy) if copied => plan.copies.push(PlannedCopy { replaces: true, ..copy }),
                _ if problem.object.starts_with("index/") => plan.broken_indexes.push(problem.object),
                _ => plan.lost.push(Problem {
                    why: problem
                        .why
                        .hinted(format!("another store may have it; `{repair} --give-up` with its name lets it go")),
                    ..problem
                }),
            }
        }
        for problem in keys {
            let mut found = Vec::new();
            for mirror in &self.help.mirrors {
                let listed = mirror.repository.store().list("keys").await?.into_iter();
                found.extend(listed.map(|object| object.name).filter(|name| name.starts_with(&problem.object)));
            }
            found.sort();
            found.dedup();
            for object in &found {
                if let Some(copy) = self.help.copy_of(object, None).await? {
                    let replaces = self.repository().store().find(object).await?.is_some();
                    plan.copies.push(PlannedCopy { replaces, ..copy });
                }
            }
            if found.is_empty() {
                plan.lost.push(problem);
            }
        }
        Ok(())
    }

    /// Where chunks are nowhere, or an index is lost: packs of which no index tells, here or on a mirror. Otherwise such
    /// packs are what broken-off runs left, and stay a prune's affair.
    async fn unindexed(&self, view: &View, needs: &Needs, plan: &mut RepairPlan) -> Result<()> {
        let index_comes_back = plan.copies.iter().any(|copy| copy.object.starts_with("index/"));
        if index_comes_back {
            // What it tells of is seen in the next round.
            plan.broken_indexes.clear();
        }
        if index_comes_back || (needs.nowhere.is_empty() && plan.broken_indexes.is_empty()) {
            return Ok(());
        }
        let mut there = HashMap::new();
        for object in &view.packs.unindexed {
            let Ok((kind, id)) = parse_pack(&object.name) else { continue };
            there.insert(id, PlannedPack { kind, id, bytes: object.bytes });
        }
        there.retain(|id, _| !plan.conditions.get(id).is_some_and(|condition| *condition != Condition::Whole));
        for mirror in self.help.views().await? {
            for (kind, id, bytes) in packs_with(&mirror, &needs.nowhere)? {
                if !there.contains_key(&id) {
                    plan.copies.extend(self.help.copy_of(&kind.object(&id), Some(bytes)).await?);
                    plan.reindex.push(PlannedPack { kind, id, bytes });
                }
            }
        }
        let known: HashSet<ObjectId> = self.help.entries(&there.keys().copied().collect()).await?.into_keys().collect();
        let (mut closed, repair) = (false, self.repository().repair_command());
        for pack in there.into_values() {
            if pack.kind == PackKind::Catalog || self.help.keys.is_some() || known.contains(&pack.id) {
                plan.reindex.push(pack);
            } else {
                closed = true;
                let why = Error::corrupt("no index names it").hinted(format!("`{repair}` with an owner key reads it"));
                plan.lost.push(Problem { object: pack.kind.object(&pack.id), why });
            }
        }
        if closed {
            let why =
                || Error::corrupt("it cannot be read").hinted(format!("`{repair}` with an owner key makes another"));
            plan.lost.extend(plan.broken_indexes.drain(..).map(|object| Problem { object, why: why() }));
        }
        Ok(())
    }
}

/// Whether an object is not what its name says.
async fn is_rotten(repository: &Repository, object: &str) -> Result<bool> {
    match read_proven(repository.store(), object).await {
        Ok(found) => Ok(found.is_none()),
        Err(why) if why.kind() == Kind::Corrupt => Ok(true),
        Err(why) => Err(why),
    }
}

fn lost_pack(object: String, condition: &Condition, hint: String) -> Problem {
    let why = match condition {
        Condition::Wrong(why) | Condition::Useless(why) => Error::corrupt(why.clone()),
        _ => Error::corrupt("it is missing from the store"),
    };
    Problem { object, why: why.hinted(hint) }
}

/// Packs first, then what names them; snapshots last.
pub(super) fn order(object: &str) -> (u8, &str) {
    let rank = match object.split('/').next() {
        Some("keys") => 0,
        Some("packs") => 1,
        Some("catalog") => 2,
        Some("index") => 3,
        _ => 4,
    };
    (rank, object)
}

/// Damage documents with a pack that is put right by this plan, or is right.
fn damage_to_clear(view: &View, plan: &RepairPlan) -> Vec<ObjectId> {
    let copied: HashSet<&str> = plan.copies.iter().map(|copy| copy.object.as_str()).collect();
    let superseded: HashSet<ObjectId> = plan.superseded.iter().map(|(_, id)| *id).collect();
    let right = |(kind, id): (PackKind, &ObjectId)| {
        plan.conditions.get(id) == Some(&Condition::Whole)
            || superseded.contains(id)
            || copied.contains(kind.object(id).as_str())
    };
    let notes = view.marks.damage.iter();
    let clear = notes.filter(|note| note.document.packs.iter().any(|(kind, id, _)| right((*kind, id))));
    clear.map(|note| note.id).collect()
}

/// Documents, by name, and what is wrong with each. A snapshot that is whole is for retention.
fn can_be_given_up(view: &View, damaged: &[Problem], unsound: &HashSet<ObjectId>) -> BTreeMap<String, String> {
    let documents = damaged
        .iter()
        .filter(|problem| parse_document(&problem.object).is_ok() && !problem.object.starts_with("index/"));
    let mut can: BTreeMap<_, _> = documents.map(|problem| (problem.object.clone(), problem.why.chain())).collect();
    for (id, snapshot) in view.snapshots().iter().filter(|(id, _)| unsound.contains(id)) {
        can.insert(snapshot.place().object(id), "not all of it can be restored".into());
    }
    can
}

fn give_up_these(can: &BTreeMap<String, String>, names: &[String], verify: &str, plan: &mut RepairPlan) -> Result<()> {
    for name in names {
        let mut meant = can.iter().filter(|(object, _)| *object == name || object.ends_with(&format!("-{name}")));
        let (object, why) = meant.next().ok_or_else(|| {
            Error::invalid(format!("`{name}` is not a document that is damaged")).hinted(format!(
                "the whole name of an object, or the whole id of a snapshot, as `{verify}` prints them"
            ))
        })?;
        plan.give_up.push((object.clone(), why.clone()));
    }
    let given: HashSet<&String> = plan.give_up.iter().map(|(object, _)| object).collect();
    plan.copies.retain(|copy| !given.contains(&copy.object));
    plan.lost.retain(|problem| !given.contains(&problem.object));
    Ok(())
}
