//! A repository in a store with a clock of its own: runs, prunes, and what it takes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use dozo_job::port::Scope;
use dozo_job::retention::{Floods, Period, Policy, Reach, Retention, Rules};
use dozo_job::{Clock, House, Job, Progress, tidy};
use dozo_repository::{
    CompactRules, HostUid, LeaseId, LeaseRequest, OwnerKey, PruneRules, Pruner, Purpose, ReadKeys, Repository,
    Resources, Secret, Store,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::clocked::Clocked;
use crate::house::{NoMemory, random};
use crate::native::NativeSource;

/// What becomes of what nobody needs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tidying {
    Prune,
    Compact,
}

/// How many of each period are kept.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    pub(super) hourly: u32,
    pub(super) daily: u32,
    pub(super) weekly: u32,
    pub(super) monthly: u32,
}

/// What the store takes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Takes {
    /// All objects.
    pub(super) bytes: u64,
    pub(super) objects: u64,
    /// Packs that are not condemned, and what nothing needs of them.
    pub(super) packs: u64,
    pub(super) dead: u64,
    /// Packs that are condemned.
    pub(super) condemned: u64,
    /// Records and leases.
    pub(super) notes: u64,
    pub(super) snapshots: usize,
}

pub(super) struct Keeper {
    pub(super) tidying: Tidying,
    store: Clocked,
    repository: Repository,
    keys: ReadKeys,
    scratch: PathBuf,
}

/// The time that a run is told.
struct StoreClock(Clocked);

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

impl Keeper {
    pub(super) async fn new(tidying: Tidying, secret: Secret, store: Clocked, home: &Path) -> Result<Self> {
        let objects = Store::over(Arc::new(store.clone()), "clocked");
        let (recipient, key) = OwnerKey::generate(secret.repository());
        let host = Repository::create(&objects, secret, HostUid(random()?), &[recipient]).await?;
        let (scratch, cache) = (home.join("scratch"), home.join("cache"));
        std::fs::create_dir_all(&scratch)?;
        let repository = Repository::open(objects, host).await?.remembering_in(&cache);
        let keys = repository.unlock(&OwnerKey::parse(&key)?).await?;
        Ok(Keeper { tidying, store, repository, keys, scratch })
    }

    pub(super) fn set(&self, now: Timestamp) {
        self.store.set(now);
    }

    /// Backs a directory up. One that does not make a complete snapshot is an error.
    pub(super) async fn run(&self, job: &str, tree: &Path) -> Result<Duration> {
        let (began, cores) = (Instant::now(), std::thread::available_parallelism()?.get());
        let house = House {
            repository: &self.repository,
            host: "bench".into(),
            resources: Resources { scratch: self.scratch.clone(), workers: cores },
            readers: cores,
            clock: &StoreClock(self.store.clone()),
            lease: LeaseId(random()?),
            predecessors: Vec::new(),
            progress: Arc::new(Progress::default()),
            memory: &NoMemory,
        };
        let job = Job {
            name: job.into(),
            // The directory changes by the real clock: nothing is kept unread on the word of this one.
            config: serde_json::json!({ "paths": [tree] }).to_string(),
            scope: Scope::Full,
            probes: Vec::new(),
            tags: Vec::new(),
            timezone: "UTC".into(),
            guard: None,
        };
        let report = dozo_job::run(&job, &NativeSource::new(), &house).await;
        if let Some(failure) = &report.error {
            bail!("{}: {}: {}", job.name, failure.message, failure.causes.join(": "));
        }
        ensure!(report.omitted_count == 0, "{} entries were omitted", report.omitted_count);
        Ok(began.elapsed())
    }

    /// The prune of a day.
    pub(super) async fn tidy(&self, kept: Kept) -> Result<Duration> {
        let began = Instant::now();
        let request = LeaseRequest {
            id: LeaseId(random()?),
            purpose: Purpose::Prune,
            host: "bench".into(),
            job: None,
            started: self.store.now(),
            predecessors: Vec::new(),
        };
        let pruner = Pruner::begin(&self.repository, request, PruneRules::default()).await?;
        let view = self.repository.view().await?;
        let tidy = tidy::plan(&pruner, &view, policy(kept)).await?;
        let alert = tidy.judgement.alerts.first();
        ensure!(tidy.unread.is_empty() && alert.is_none(), "retention is alarmed: {alert:?}, {:?}", tidy.unread);
        pruner.execute(tidy.plan).await?;
        if self.tidying == Tidying::Compact {
            pruner.compact(&self.keys, CompactRules::default()).await?;
        }
        pruner.end().await?;
        Ok(began.elapsed())
    }

    /// All bytes in the store.
    pub(super) async fn bytes(&self) -> Result<u64> {
        Ok(self.store.takes("").await?.0)
    }

    pub(super) async fn takes(&self) -> Result<Takes> {
        let (bytes, objects) = self.store.takes("").await?;
        let notes = self.store.takes("records").await?.0 + self.store.takes("leases").await?.0;
        let all_packs = self.store.takes("packs").await?.0 + self.store.takes("catalog").await?.0;
        let view = self.repository.view().await?;
        let usage = view.usage().await?;
        let (packs, dead) = (usage.data.bytes + usage.catalog.bytes, usage.data.dead_bytes + usage.catalog.dead_bytes);
        let condemned = all_packs.saturating_sub(packs);
        Ok(Takes { bytes, objects, packs, dead, condemned, notes, snapshots: view.snapshots().len() })
    }
}

fn policy(kept: Kept) -> Policy {
    let mut rules = Rules::new(TimeZone::UTC);
    let periods = [
        (Period::Hour, kept.hourly),
        (Period::Day, kept.daily),
        (Period::Week, kept.weekly),
        (Period::Month, kept.monthly),
    ];
    let newest = |count| std::num::NonZeroU32::new(count).map(Reach::Newest);
    rules.calendar = periods.into_iter().filter_map(|(period, count)| Some((period, newest(count)?))).collect();
    let (jobs, removed) = (BTreeMap::new(), BTreeMap::new());
    Policy { jobs, others: Retention::By(rules), removed, floods: Floods::Halt }
}
