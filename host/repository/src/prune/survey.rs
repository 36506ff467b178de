//! Making the plan. Writes nothing but renewals of the lease, and stops at whatever it cannot read: what is not seen must not
//! look like what is not there (restic#4612, minio/mc#4047).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::plan::{
    KeptSnapshot, Leftovers, PackTotals, PlannedPack, PlannedSnapshot, PlannedTombstone, PrunePlan, Replaced,
    TombstoneState, YoungPacks,
};
use super::{Doomed, PruneRules, Pruner};
use crate::documents::Document;
use crate::error::{Error, Kind, Result};
use crate::format::name::{PackKind, Place, parse_pack};
use crate::format::record::PruneRecord;
use crate::format::snapshot::Snapshot;
use crate::format::tombstone::TombstoneDocument;
use crate::id::ObjectId;
use crate::index::{IndexedPack, PackState};
use crate::leases::{Holder, Standing};
use crate::limits::LEFTOVER_AGE_MIN;
use crate::newest::Found;
use crate::pipeline::blocking;
use crate::reach::Reach;
use crate::repository::Repository;
use crate::store::Leftover;
use crate::view::View;

/// What the plan is made of.
struct Survey<'a> {
    now: Timestamp,
    view: &'a View,
    /// Live leases but this one.
    others: Vec<&'a Holder>,
    /// What stays reached once the snapshots are gone; and what is reached now, if that can be told.
    kept: &'a Reach,
    all: Option<&'a Reach>,
    /// Packs in the store that no index names.
    unindexed: HashMap<ObjectId, (PlannedPack, Timestamp)>,
    /// When the record came to the store that says of a tombstone that it was executed.
    executed: HashMap<ObjectId, Timestamp>,
}

/// Which snapshots go.
struct Choice {
    going: Vec<PlannedSnapshot>,
    kept: Vec<KeptSnapshot>,
    staying: Vec<(ObjectId, Arc<Snapshot>)>,
}

impl Pruner {
    /// Plans to delete snapshots, and what nothing needs then. Leases are read before snapshots, so that a run which is over
    /// by then has its snapshot in the listing.
    pub async fn plan(&self, doomed: &[Doomed]) -> Result<PrunePlan> {
        let now = self.lease.assure().await?;
        let leases = self.repository.leases(now).await?;
        let others: Vec<&Holder> = leases.iter().filter(|h| h.id != self.lease.id() && h.is_live()).collect();
        let view = self.repository.view().await?;
        let notes = guard(&view).await?;
        let choice = choose(&view, doomed, &others, now);
        let mut kept = Reach::new(&view);
        for (id, snapshot) in &choice.staying {
            kept.walk(&view.reader(*id, snapshot.clone())).await?;
        }
        let all = walk_going(&view, &kept, &choice).await?;
        let executed = self.executed(&view).await?;
        let unindexed = unindexed(&view);
        let survey = Survey { now, view: &view, others, kept: &kept, all: all.as_ref(), unindexed, executed };
        let tombstones = self.tombstones(&survey);
        let (condemn, young) = self.condemned(&survey);
        let unnamed = unnamed(&survey, &tombstones);
        let replaced = replaced(&view, &unnamed).await?;
        let left = left(&self.repository, &survey.others, now).await?;
        Ok(PrunePlan {
            now,
            space_back: later(now, self.rules.grace),
            snapshots: choice.going,
            kept: choice.kept,
            condemn,
            young,
            leftovers: Leftovers {
                files: left.len() as u64,
                bytes: left.iter().map(|left| left.bytes).sum(),
                names: left.into_iter().map(|left| left.name).collect(),
            },
            tombstones,
            data: totals(&view, &kept, PackKind::Data),
            catalog: totals(&view, &kept, PackKind::Catalog),
            notes,
            leases: ended(&leases, now, self.rules),
            damage: healed(&survey, &unnamed),
            replaced,
            unnamed,
            lease: self.lease.id(),
        })
    }

    fn tombstones(&self, survey: &Survey<'_>) -> Vec<PlannedTombstone> {
        let plan = |tombstone: &Document<TombstoneDocument>| {
            let state = self.state(survey, tombstone);
            let recorded = survey.executed.get(&tombstone.id).copied();
            let heeded = |holder: &&&Holder| recorded.is_none_or(|recorded| holder.began <= recorded);
            let ready = matches!(state, TombstoneState::Ready { .. });
            let remove = (ready || recorded.is_some()) && !survey.others.iter().any(|holder| heeded(&holder));
            PlannedTombstone {
                id: tombstone.id,
                put: tombstone.modified,
                packs: tombstone.value.packs.len() as u64,
                state,
                remove,
                recorded: recorded.is_some(),
            }
        };
        survey.view.marks.tombstones.iter().map(plan).collect()
    }

    fn state(&self, survey: &Survey<'_>, tombstone: &Document<TombstoneDocument>) -> TombstoneState {
        let ripe = later(tombstone.modified, self.rules.grace);
        if survey.now < ripe {
            return TombstoneState::Grace(ripe);
        }
        let ignorant: Vec<_> = survey.others.iter().filter(|h| !h.names(&tombstone.id)).map(|h| h.id).collect();
        if !ignorant.is_empty() {
            return TombstoneState::Leases(ignorant);
        }
        let Some(all) = survey.all else { return TombstoneState::Snapshots };
        let (mut delete, mut spared, mut gone) = (Vec::new(), 0, 0);
        for (_, id) in &tombstone.value.packs {
            match survey.there(id) {
                None => gone += 1,
                Some(_) if all.has_pack(id) => spared += 1,
                Some(pack) => delete.push(pack),
            }
        }
        TombstoneState::Ready { delete, spared, gone }
    }

    /// Packs that nothing reaches and no tombstone names.
    fn condemned(&self, survey: &Survey<'_>) -> (Vec<PlannedPack>, YoungPacks) {
        let (mut condemn, mut young) = (Vec::new(), YoungPacks::default());
        for (pack, modified) in survey.packs() {
            if survey.kept.has_pack(&pack.id) || survey.view.marks.is_condemned(&pack.id) {
                continue;
            }
            if later(modified, self.rules.pack_age_min) > survey.now {
                young.packs += 1;
                young.bytes += pack.bytes;
                young.until = young.until.max(Some(later(modified, self.rules.pack_age_min)));
            } else {
                condemn.push(pack);
            }
        }
        condemn.sort_unstable();
        (condemn, young)
    }

    /// Which tombstones were executed, and when. Records that are older than every tombstone tell nothing.
    async fn executed(&self, view: &View) -> Result<HashMap<ObjectId, Timestamp>> {
        let mut executed = HashMap::new();
        let Some(oldest) = view.marks.tombstones.iter().map(|tombstone| tombstone.modified).min() else {
            return Ok(executed);
        };
        // A record that cannot be read leaves its tombstones to be executed, and recorded, once more.
        for record in self.repository.records::<PruneRecord>(oldest).await?.parsed {
            executed.extend(record.value.executed.into_iter().map(|tombstone| (tombstone, record.modified)));
        }
        Ok(executed)
    }
}

/// Documents of leases that ended long ago.
pub(super) fn ended(leases: &[Holder], now: Timestamp, rules: PruneRules) -> Vec<String> {
    let old = |holder: &&Holder| match holder.standing {
        Standing::Ended(since) => later(since, rules.lease_kept) <= now,
        _ => false,
    };
    leases.iter().filter(old).flat_map(|holder| holder.objects.clone()).collect()
}

/// What killed writes left: old enough that no write takes so long, and older than everybody who is at work.
pub(crate) async fn left(repository: &Repository, others: &[&Holder], now: Timestamp) -> Result<Vec<Leftover>> {
    let mut left = repository.store().leftovers().await?;
    let begun = others.iter().map(|holder| holder.began).min().unwrap_or(Timestamp::MAX);
    left.retain(|left| later(left.modified, LEFTOVER_AGE_MIN) <= now && left.modified < begun);
    Ok(left)
}

/// Stops before anything is deleted, if the repository is not what it should be. Returns what is worth a note. Indexes
/// that this machine only remembers are read: others have nothing but what is in the store.
pub(crate) async fn guard(view: &View) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let unread = view.repository().check_indexes(&view.packs.unread).await?;
    for problem in view.problems().iter().chain(&unread) {
        let pack = parse_pack(&problem.object).ok();
        let known = pack.is_some_and(|(_, id)| view.marks.is_damaged(&id));
        if problem.object.starts_with("tombstones/") || problem.object.starts_with("damage/") {
            notes.push(format!("{} cannot be read and is left alone: {}", problem.object, problem.why.chain()));
        } else if !known {
            return Err(Error::corrupt(format!("{} is damaged or missing, so nothing is deleted", problem.object))
                .caused_by(problem.why.clone())
                .hinted("`dozo verify` tells what else is damaged, `dozo repair` what can be done about it"));
        }
    }
    let packs = view.index().packs().len() + view.packs.unindexed.len();
    let empty = match (packs, view.snapshots().len(), view.index().documents()) {
        (0, _, _) => return Ok(notes),
        (_, 0, _) => "no snapshots",
        (_, _, 0) => "no indexes",
        _ => return Ok(notes),
    };
    let url = view.repository().url();
    Err(Error::corrupt(format!("{url} shows {packs} packs and {empty}, so nothing is deleted")).hinted(
        "if no run ever came to its end there, let one do so first; otherwise find out what became of the rest",
    ))
}

/// The snapshots that are newest in their job by any count: by their time, by their number, and among those that are not of
/// the future. A clock may have been wrong.
fn newest(view: &View, now: Timestamp) -> HashSet<ObjectId> {
    let mut jobs: HashMap<_, Vec<&Found>> = HashMap::new();
    for found in view.snapshots() {
        jobs.entry((found.1.host.uid, found.1.job.uid)).or_default().push(found);
    }
    let mut newest = HashSet::new();
    for of_job in jobs.into_values() {
        let (by_time, by_number) = (of_job.last(), of_job.iter().max_by_key(|(_, snapshot)| snapshot.order()));
        let (by_time, by_number) = (by_time.copied(), by_number.copied());
        newest.extend([by_time, by_number, view.newest(of_job, now)].into_iter().flatten().map(|(id, _)| *id));
    }
    newest
}

/// Which snapshots go: never the newest of a job, and none that somebody builds on.
fn choose(view: &View, doomed: &[Doomed], others: &[&Holder], now: Timestamp) -> Choice {
    let newest = newest(view, now);
    let built_on: HashSet<ObjectId> = others.iter().flat_map(|holder| holder.keeps()).copied().collect();
    let whys: HashMap<ObjectId, &str> = doomed.iter().map(|d| (d.snapshot, d.why.as_str())).collect();
    let mut choice = Choice { going: Vec::new(), kept: Vec::new(), staying: Vec::new() };
    for (id, snapshot) in view.snapshots() {
        let stays = |why: &str| KeptSnapshot { id: *id, why: why.into() };
        match whys.get(id) {
            Some(_) if newest.contains(id) => choice.kept.push(stays("the newest snapshot of a job is never deleted")),
            Some(_) if built_on.contains(id) => choice.kept.push(stays("a run or a restore at work builds on it")),
            Some(why) => {
                choice.going.push(planned(*id, snapshot, why));
                continue;
            }
            None => {}
        }
        choice.staying.push((*id, snapshot.clone()));
    }
    choice
}

fn planned(id: ObjectId, snapshot: &Snapshot, why: &str) -> PlannedSnapshot {
    let place = Place::Snapshot { host: snapshot.host.uid, job: snapshot.job.uid, started: snapshot.started };
    PlannedSnapshot {
        id,
        host: snapshot.host.name.clone(),
        job: snapshot.job.name.clone(),
        started: snapshot.started,
        why: why.into(),
        object: place.object(&id),
    }
}

/// What is reached as long as the snapshots are there that will go; none if one of them is too damaged to tell.
async fn walk_going(view: &View, kept: &Reach, choice: &Choice) -> Result<Option<Reach>> {
    let mut all = kept.clone();
    let going: HashSet<ObjectId> = choice.going.iter().map(|snapshot| snapshot.id).collect();
    for (id, snapshot) in view.snapshots().iter().filter(|(id, _)| going.contains(id)) {
        match all.walk(&view.reader(*id, snapshot.clone())).await {
            Ok(()) => {}
            Err(why) if why.kind() == Kind::Corrupt => return Ok(None),
            Err(why) => return Err(why),
        }
    }
    Ok(Some(all))
}

/// Packs that no index is to name any more: those that tombstones delete, those that are gone already, and those that are
/// known to be missing and that nothing reaches.
fn unnamed(survey: &Survey<'_>, tombstones: &[PlannedTombstone]) -> HashSet<ObjectId> {
    let Some(all) = survey.all else { return HashSet::new() };
    let ready = tombstones.iter().zip(&survey.view.marks.tombstones).filter(|(planned, _)| planned.is_ready());
    let condemned = ready.flat_map(|(_, tombstone)| &tombstone.value.packs).map(|(_, pack)| *pack);
    let missing = survey.view.index().absent().iter().map(|pack| pack.id);
    let missing = missing.filter(|pack| survey.there(pack).is_none() && survey.view.marks.is_damaged(pack));
    condemned.chain(missing).filter(|pack| !all.has_pack(pack)).collect()
}

/// Damage documents of which every pack is gone, and will be named by no index.
fn healed(survey: &Survey<'_>, unnamed: &HashSet<ObjectId>) -> Vec<String> {
    let view = survey.view;
    let named = |pack: &ObjectId| view.index().find(pack).is_some();
    let gone = |pack: &ObjectId| survey.there(pack).is_none() && (unnamed.contains(pack) || !named(pack));
    let healed = view.marks.damage.iter().filter(|note| note.document.packs.iter().all(|(_, pack, _)| gone(pack)));
    healed.map(|note| Place::Damage.object(&note.id)).collect()
}

impl Survey<'_> {
    /// Every pack in the store, and when it came there.
    fn packs(&self) -> impl Iterator<Item = (PlannedPack, Timestamp)> {
        let indexed = self.view.index().packs().iter().map(|pack| (planned_pack(pack), pack.modified));
        indexed.chain(self.unindexed.values().copied())
    }

    /// A pack, if it is in the store.
    fn there(&self, id: &ObjectId) -> Option<PlannedPack> {
        let index = self.view.index();
        let indexed = index.find(id).map(|number| index.pack(number)).filter(|pack| pack.state != PackState::Absent);
        indexed.map(planned_pack).or_else(|| Some(self.unindexed.get(id)?.0))
    }
}

fn planned_pack(pack: &IndexedPack) -> PlannedPack {
    PlannedPack { kind: pack.kind, id: pack.id, bytes: pack.bytes }
}

fn unindexed(view: &View) -> HashMap<ObjectId, (PlannedPack, Timestamp)> {
    // What has another name than a pack is nobody's, and stays.
    let packs = view.packs.unindexed.iter().filter_map(|object| {
        let (kind, id) = parse_pack(&object.name).ok()?;
        Some((id, (PlannedPack { kind, id, bytes: object.bytes }, object.modified)))
    });
    packs.collect()
}

/// Indexes that name packs which none is to name any more.
pub(crate) async fn replaced(view: &View, unnamed: &HashSet<ObjectId>) -> Result<Replaced> {
    if unnamed.is_empty() {
        return Ok(Replaced::default());
    }
    let (index, unnamed) = (view.index().clone(), unnamed.clone());
    blocking(move || {
        let mut old = HashSet::new();
        index.named(|document, pack| {
            if unnamed.contains(&pack) {
                old.insert(document);
            }
        })?;
        let mut of_old = HashSet::new();
        index.named(|document, pack| {
            if old.contains(&document) {
                of_old.insert(pack);
            }
        })?;
        let mut named = HashSet::new();
        index.named(|document, pack| {
            if !old.contains(&document) && of_old.contains(&pack) {
                named.insert(pack);
            }
        })?;
        let mut indexes: Vec<ObjectId> = old.into_iter().collect();
        indexes.sort_unstable();
        Ok(Replaced { indexes, named })
    })
    .await
}

fn totals(view: &View, reach: &Reach, kind: PackKind) -> PackTotals {
    let mut totals = PackTotals::default();
    for (number, pack) in view.index().packs().iter().enumerate() {
        if pack.kind == kind && pack.state != PackState::Condemned {
            totals.packs += 1;
            totals.bytes += pack.bytes;
            totals.dead_bytes += reach.dead_bytes(number);
        }
    }
    totals
}

/// What the packs of a repository take, and how much of it nothing needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Packs of content.
    pub data: PackTotals,
    /// Packs of manifests.
    pub catalog: PackTotals,
}

impl View {
    /// Walks all snapshots to tell what the packs hold that nothing needs.
    pub async fn usage(&self) -> Result<Usage> {
        let mut reach = Reach::new(self);
        for (id, snapshot) in self.snapshots() {
            reach.walk(&self.reader(*id, snapshot.clone())).await?;
        }
        Ok(Usage { data: totals(self, &reach, PackKind::Data), catalog: totals(self, &reach, PackKind::Catalog) })
    }
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}
