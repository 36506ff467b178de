//! What is known of the jobs and the repository, gathered for the judgement (`dozo_job::health`): snapshots as retention sees
//! them, what this host remembers of its own work, the records of other hosts' runs, the room in a store that is a directory.

use std::collections::{BTreeMap, HashMap};

use dozo_job::health::{Facts, JobFacts, Last, Made, RoomFacts, Upkeep, UpkeepFacts};
use dozo_job::retention::Fact;
use dozo_job::{Error, Gap, gap};
use dozo_repository::format::record::{RunRecord, VerificationRecord};
use dozo_repository::format::snapshot::{Snapshot, Status};
use dozo_repository::{HostUid, JobUid, StorePlace, View};
use jiff::{SignedDuration, Timestamp};

use super::JobStatus;
use super::copies::Copies;
use crate::at_work::RunState;
use crate::config::{Role, Secrecy};
use crate::context::Context;
use crate::outcomes::Task;

/// Of the newest runs of all hosts so many records are read: each host's own runs are remembered there.
const RUNS_READ: usize = 100;
/// How long a mirror may lack a snapshot, if nobody says otherwise: two days, for one that is filled each night.
const MIRRORED_WITHIN: SignedDuration = SignedDuration::from_hours(50);
/// How long a host that maintains may go without a prune: a month, and some days more.
const PRUNED_WITHIN: SignedDuration = SignedDuration::from_hours(35 * 24);
/// How much runs store is told by the last days.
const LATELY: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A job's name and uid, as the rows are ordered.
pub(super) type Key = (String, JobUid);

/// What the gathering needs.
pub(super) struct Gathering<'a> {
    pub(super) context: &'a Context,
    pub(super) view: &'a View,
    pub(super) facts: &'a [Fact],
    pub(super) removed: &'a BTreeMap<HostUid, Timestamp>,
    pub(super) copies: Option<&'a Copies>,
    pub(super) now: Timestamp,
}

impl Gathering<'_> {
    /// All that is known.
    pub(super) async fn all(&self, rows: &BTreeMap<Key, JobStatus>) -> Result<Facts, Error> {
        let runs = self.runs().await?;
        let jobs = rows.iter().map(|(key, row)| self.job(key, row, &runs)).collect();
        Ok(Facts {
            now: self.now,
            jobs,
            damaged_packs: self.damaged_packs().await?,
            unread: Vec::new(),
            rolled_back: Vec::new(),
            unseen: self.copies.map(|copies| copies.unseen.clone()).unwrap_or_default(),
            upkeep: self.upkeep(),
            room: self.room(),
        })
    }

    /// Packs that are recorded as damaged, but for those which a verification found to be no loss since: what a run has stored
    /// again is a loss no more.
    async fn damaged_packs(&self) -> Result<u64, Error> {
        if self.view.damage().next().is_none() {
            return Ok(0);
        }
        let verifications = self.view.repository().records::<VerificationRecord>(Timestamp::MIN).await?;
        let harmless = verifications.parsed.into_iter().flat_map(|record| record.value.harmless).collect();
        Ok(self.view.damaged_packs_but(&harmless) as u64)
    }

    /// What became of each job's last run, as the newest records have it.
    async fn runs(&self) -> Result<HashMap<JobUid, Last>, Error> {
        let records = self.view.repository().newest_records::<RunRecord>(RUNS_READ).await?;
        let mut runs: HashMap<JobUid, Last> = HashMap::new();
        for RunRecord { job, ended, outcome, error, .. } in records.parsed.into_iter().map(|record| record.value) {
            let newest = runs.get(&job.uid).is_none_or(|last| last.at < ended);
            if newest {
                runs.insert(job.uid, Last { outcome, at: ended, why: error, well: None, damage: false, healed: false });
            }
        }
        Ok(runs)
    }

    fn job(&self, (name, uid): &Key, row: &JobStatus, runs: &HashMap<JobUid, Last>) -> JobFacts {
        let config = &self.context.loaded.config;
        let mine = self.view.repository().job_uid(name) == *uid;
        let table = config.job.get(name).filter(|_| mine);
        let of_job = || self.facts.iter().zip(self.view.snapshots()).filter(|(fact, _)| fact.job.uid == *uid);
        let gone = of_job().next_back().is_some_and(|(fact, _)| self.removed.contains_key(&fact.host.uid));
        let said = config.retired.iter().any(|retired| *retired == format!("{}/{name}", row.host) || retired == name);
        let mut complete: Vec<Made> = of_job().filter(|(fact, _)| fact.status == Status::Complete).map(made).collect();
        complete.sort_by_key(|made| (made.at, made.sequence));
        let remembered = if table.is_some() { self.remembered(Task::Job(name)) } else { None };
        let last_run = [runs.get(uid).cloned(), remembered].into_iter().flatten().max_by_key(|last| last.at);
        let state = table.and_then(|_| self.context.run_state(name));
        let (running, interrupted) = match state {
            None => (None, None),
            Some(RunState::Running(begun)) => (Some(begun), None),
            Some(RunState::Interrupted(begun)) => (None, Some(begun)),
        };
        let snapshots: Vec<&Snapshot> = of_job().map(|(_, (_, snapshot))| snapshot.as_ref()).collect();
        JobFacts {
            job: name.clone(),
            host: (!mine).then(|| row.host.clone()),
            retired: gone || (mine && table.is_none()) || (table.is_none() && said),
            expect_every: table.and_then(|table| table.expect_every.or(config.defaults.expect_every)),
            newest_is_partial: row.newest_is_partial,
            suspicion: row.suspicion.clone(),
            ahead: row.ahead,
            behind: row.behind,
            zone: Some(row.zone.clone()),
            complete,
            last_run,
            running,
            interrupted,
            gap: last_gap(snapshots),
            copies: self.copies.and_then(|copies| Some((copies.of(&row.newest?), u32::try_from(copies.stores).ok()?))),
        }
    }

    fn remembered(&self, task: Task<'_>) -> Option<Last> {
        self.context.outcomes().last(task).unwrap_or_else(|error| {
            self.context.not_remembered(&error);
            None
        })
    }

    /// What this host does beside runs, or is expected to.
    fn upkeep(&self) -> Vec<UpkeepFacts> {
        let config = &self.context.loaded.config;
        let table = &config.repository;
        let done = |what: Upkeep| UpkeepFacts {
            last: self.remembered(Task::Upkeep(&what)),
            what,
            expect_every: None,
            due_since: None,
        };
        let mut upkeep = vec![done(Upkeep::Verify(None)), done(Upkeep::Repair(None))];
        let prune = done(Upkeep::Prune);
        let well = prune.last.as_ref().and_then(|last| last.well);
        let due_since = well.or_else(|| self.facts.iter().map(|fact| fact.arrived).min());
        let expected = table.role == Role::Maintain && self.context.loaded.deletes_anything();
        upkeep.push(UpkeepFacts { expect_every: expected.then_some(PRUNED_WITHIN), due_since, ..prune });
        for mirror in &table.mirrors {
            let name = || Some(mirror.name.clone());
            upkeep.extend([done(Upkeep::Verify(name())), done(Upkeep::Repair(name()))]);
            let mirrored = done(Upkeep::Mirror(mirror.name.clone()));
            let well = mirrored.last.as_ref().and_then(|last| last.well);
            // Of several hosts one may fill it for all.
            let expected = mirrored.last.is_some() || self.is_alone();
            let lacking = self.facts.iter().map(|fact| fact.arrived).filter(|at| well.is_none_or(|well| *at > well));
            let every = mirror.expect_every.unwrap_or(MIRRORED_WITHIN);
            let expect_every = expected.then_some(every);
            upkeep.push(UpkeepFacts { expect_every, due_since: lacking.min(), ..mirrored });
        }
        upkeep
    }

    /// Whether no other host has snapshots.
    fn is_alone(&self) -> bool {
        let mine = self.view.repository().host();
        self.facts.iter().all(|fact| fact.host.uid == mine)
    }

    /// The room in a store that is a directory.
    fn room(&self) -> Option<RoomFacts> {
        let tables = self.context.loaded.repository_store();
        let config = self.context.loaded.store_config(&tables, Secrecy::Pretend).ok()?;
        let StorePlace::Directory(directory) = config.place else { return None };
        let found = rustix::fs::statvfs(&directory).ok()?;
        let since = self.now.checked_sub(LATELY).unwrap_or(Timestamp::MIN);
        let lately = self.view.snapshots().iter().filter(|(id, snapshot)| {
            let arrived = self.view.arrived(id);
            snapshot.previous.is_some() && arrived.is_some_and(|arrived| arrived > since)
        });
        let block = found.f_frsize;
        Some(RoomFacts {
            free: found.f_bavail.saturating_mul(block),
            total: found.f_blocks.saturating_mul(block),
            stored_lately: lately.map(|(_, snapshot)| snapshot.stored.bytes_stored).sum(),
        })
    }
}

/// When a snapshot was made: a clock that is ahead makes none newer than its arrival.
fn made<T>((fact, _): (&Fact, T)) -> Made {
    Made { at: fact.started.min(fact.arrived), sequence: fact.sequence }
}

/// The last gap between the snapshots of a job that recover to any moment.
fn last_gap(mut snapshots: Vec<&Snapshot>) -> Option<Gap> {
    snapshots.sort_by_key(|snapshot| snapshot.sequence);
    let mut found = None;
    let mut furthest: Option<&Snapshot> = None;
    for snapshot in snapshots {
        found = furthest.and_then(|before| gap(&before.attributes, &snapshot.attributes)).or(found);
        let further = |before: &&Snapshot| dozo_job::recovers_further(&snapshot.attributes, &before.attributes);
        furthest = furthest.filter(|before| !further(before)).or(Some(snapshot));
    }
    found
}
