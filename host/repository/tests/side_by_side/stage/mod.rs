//! A repository on a stage: small runs, prunes and looks at everything, in a world that can be stopped anywhere.
#![allow(dead_code, reason = "each test uses some of it")]

pub(crate) mod world;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dozo_repository::format::snapshot::{Named, PluginStamp, Scope, Snapshot, Status};
use dozo_repository::{
    CompactRules, Compacted, Cutting, Depth, Doomed, Entry, Error, Findings, HostKey, HostUid, Kind, LeaseId,
    LeaseRequest, ObjectId, OwnerKey, PruneRules, Pruned, Pruner, Purpose, ReadKeys, Repository, Resources, Result,
    Sample, Secret, Store, StoredEntry, VerifyCounters, View, Writer, verify,
};
use jiff::{SignedDuration, Timestamp};
use world::{Faulty, Script, Works, World};

pub(crate) const HOUR: u64 = 3_600;
pub(crate) const DAY: u64 = 24 * HOUR;

/// What a snapshot should hold.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// The repository, its keys, and all that was ever put into it.
pub(crate) struct Stage {
    pub(crate) world: Arc<World>,
    pub(crate) host_key: String,
    owner_key: String,
    /// By a label that each snapshot carries as its tag.
    told: Arc<Mutex<HashMap<String, Files>>>,
    /// Labels of runs that said that they were a success, and were not deleted since.
    promised: Arc<Mutex<HashSet<String>>>,
    next: Arc<AtomicU64>,
    unlocked: Arc<ReadKeys>,
    /// What hosts remember of indexes. Every second opening is one of a host that remembers nothing.
    memory: tempfile::TempDir,
    openings: AtomicU64,
}

/// Bytes that do not compress, other for each seed.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut bytes = vec![0; length];
    blake3::Hasher::new_keyed(&key).finalize_xof().fill(&mut bytes);
    bytes
}

/// Files of some thousand bytes each.
pub(crate) fn files(seeds: &[(u32, u64)]) -> Files {
    seeds.iter().map(|(name, seed)| (format!("f{name}"), noise(3_000 + *seed as usize % 700, *seed))).collect()
}

/// Rules under which everything is soon done.
pub(crate) fn quick() -> PruneRules {
    PruneRules {
        grace: SignedDuration::from_hours(1),
        pack_age_min: SignedDuration::ZERO,
        lease_kept: SignedDuration::from_hours(24 * 7),
    }
}

impl Stage {
    pub(crate) async fn new() -> Stage {
        Stage::new_with([7; 32]).await
    }

    pub(crate) async fn new_with(secret: [u8; 32]) -> Stage {
        let world = World::new();
        let store = Store::over(Arc::new(Faulty { world: world.clone(), script: Arc::new(Works) }), "faulty");
        let secret = Secret::new(secret);
        let (recipient, owner_key) = OwnerKey::generate(secret.repository());
        let key = Repository::create(&store, secret, HostUid([1; 8]), &[recipient]).await.unwrap();
        let host_key = key.to_text().to_string();
        let owner = OwnerKey::parse(&owner_key).unwrap();
        let unlocked = Repository::open(store, key).await.unwrap().unlock(&owner).await.unwrap();
        Stage {
            world,
            host_key,
            owner_key: owner_key.to_string(),
            unlocked: Arc::new(unlocked),
            told: Arc::default(),
            promised: Arc::default(),
            next: Arc::new(AtomicU64::new(1)),
            memory: tempfile::tempdir().unwrap(),
            openings: AtomicU64::new(0),
        }
    }

    /// The same stage, which goes its own way from here.
    pub(crate) fn fork(&self) -> Stage {
        Stage {
            world: self.world.fork(),
            host_key: self.host_key.clone(),
            owner_key: self.owner_key.clone(),
            unlocked: self.unlocked.clone(),
            told: Arc::new(Mutex::new(self.told.lock().unwrap().clone())),
            promised: Arc::new(Mutex::new(self.promised.lock().unwrap().clone())),
            next: Arc::new(AtomicU64::new(self.next.load(Ordering::Relaxed))),
            memory: tempfile::tempdir().unwrap(),
            openings: AtomicU64::new(0),
        }
    }

    /// The same repository in another world: its mirror.
    pub(crate) fn at(&self, world: Arc<World>) -> Stage {
        Stage {
            world,
            host_key: self.host_key.clone(),
            owner_key: self.owner_key.clone(),
            unlocked: self.unlocked.clone(),
            told: self.told.clone(),
            promised: self.promised.clone(),
            next: self.next.clone(),
            memory: tempfile::tempdir().unwrap(),
            openings: AtomicU64::new(0),
        }
    }

    /// The repository as seen through a script. Opening it works whatever the script says.
    pub(crate) async fn open(&self, script: Arc<dyn Script>) -> Repository {
        let switch = Arc::new(Switch { script, on: std::sync::atomic::AtomicBool::new(false) });
        let store = Store::over(Arc::new(Faulty { world: self.world.clone(), script: switch.clone() }), "faulty");
        let key = HostKey::parse(self.host_key.as_bytes()).unwrap();
        let repository = Repository::open(store, key).await.unwrap();
        switch.on.store(true, Ordering::Relaxed);
        let remembers = self.openings.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        if remembers { repository.remembering_in(self.memory.path()) } else { repository }
    }

    pub(crate) async fn plain(&self) -> Repository {
        self.open(Arc::new(Works)).await
    }

    pub(crate) async fn keys(&self) -> ReadKeys {
        self.plain().await.unlock(&OwnerKey::parse(&self.owner_key).unwrap()).await.unwrap()
    }

    /// The same, unlocked once and for all: here they never change.
    pub(crate) fn unlocked(&self) -> &ReadKeys {
        &self.unlocked
    }

    pub(crate) fn request(&self, purpose: Purpose, job: Option<&str>) -> LeaseRequest {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.next.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        LeaseRequest {
            id: LeaseId(id),
            purpose,
            host: "host".into(),
            job: job.map(str::to_string),
            started: self.time(),
            predecessors: Vec::new(),
        }
    }

    pub(crate) fn time(&self) -> Timestamp {
        Timestamp::from_second(self.world.now() as i64).unwrap()
    }

    /// A run as the use case does it: a lease, a view, what is unchanged kept, the rest written, the commit.
    pub(crate) async fn run(&self, repository: &Repository, job: &str, files: &Files) -> Result<ObjectId> {
        let lease = repository.lease(self.request(Purpose::Run, Some(job))).await?;
        let done = async {
            let view = repository.view_to_write(&lease).await?;
            let writer = self.write(&view, job, files).await?;
            self.commit(&view, writer, job, files).await
        };
        let done = done.await;
        let released = lease.release().await;
        done.inspect(|_| drop(released))
    }

    /// Writes the files of a run, kept ones too.
    pub(crate) async fn write(&self, view: &View, job: &str, files: &Files) -> Result<Writer> {
        let uid = view.repository().job_uid(job);
        let previous = view.snapshots().iter().rev().find(|(_, s)| s.job.uid == uid);
        let previous = previous.filter(|(_, snapshot)| view.can_build_on(snapshot));
        let before = previous.and_then(|(_, s)| self.told.lock().unwrap().get(&s.tags[0]).cloned()).unwrap_or_default();
        let reader = previous.map(|(id, snapshot)| view.reader(*id, snapshot.clone()));
        let writer = view.writer(Resources { scratch: std::env::temp_dir(), workers: 1 })?;
        for (number, (path, bytes)) in files.iter().enumerate() {
            if before.get(path) == Some(bytes)
                && number % 2 == 0
                && let Some(reader) = &reader
                && let Some(stored) = reader.get(path).await?
                && reader.pin(&stored).await?
            {
                writer.put(&stored)?;
                continue;
            }
            let many = bytes.len() > 16 << 20;
            let cutting = if many { Cutting::Every(65_536) } else { Cutting::ByContent };
            let mut entry = writer.entry(Entry::file(path.clone()), cutting);
            entry.write(bytes).await?;
            entry.finish().await?;
        }
        Ok(writer)
    }

    pub(crate) async fn commit(&self, view: &View, writer: Writer, job: &str, files: &Files) -> Result<ObjectId> {
        let (host, uid) = (view.repository().host(), view.repository().job_uid(job));
        let label = format!("{job}-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let time = self.time();
        self.told.lock().unwrap().insert(label.clone(), files.clone());
        let describe = |manifest, stored| Snapshot {
            schema: Snapshot::SCHEMA.into(),
            features: vec![],
            host: Named { uid: host, name: "host".into() },
            job: Named { uid, name: job.into() },
            sequence: view.highest_sequence(uid).unwrap_or(0) + 1,
            plugin: PluginStamp { name: "test".into(), version: "1".into(), digest: ObjectId::of(b"test") },
            source: None,
            scope: Scope::Full,
            started: time,
            ended: time,
            timezone: None,
            status: Status::Complete,
            omitted: vec![],
            omitted_count: 0,
            manifest,
            attributes: vec![],
            answers: vec![],
            tags: vec![label.clone()],
            previous: None,
            guard: None,
            stored,
        };
        let (id, _) = writer.commit(describe).await?;
        self.promised.lock().unwrap().insert(label.clone());
        Ok(id)
    }

    /// A prune that gives up all but the newest `keep` snapshots of each job.
    pub(crate) async fn prune(&self, repository: &Repository, keep: usize, rules: PruneRules) -> Result<Pruned> {
        let view = repository.view().await?;
        self.prune_these(repository, &self.oldest(&view, keep), rules).await
    }

    pub(crate) async fn prune_these(
        &self,
        repository: &Repository,
        doomed: &[Doomed],
        rules: PruneRules,
    ) -> Result<Pruned> {
        let pruner = Pruner::begin(repository, self.request(Purpose::Prune, None), rules).await?;
        let done = async {
            let plan = pruner.plan(doomed).await?;
            pruner.execute(plan).await
        };
        let done = done.await;
        pruner.end().await.and(done)
    }

    /// All but the newest `keep` snapshots of each job; from here on nobody promises them.
    pub(crate) fn oldest(&self, view: &View, keep: usize) -> Vec<Doomed> {
        let mut seen: HashMap<_, usize> = HashMap::new();
        let mut doomed = Vec::new();
        for (id, snapshot) in view.snapshots().iter().rev() {
            let count = seen.entry(snapshot.job.uid).or_default();
            *count += 1;
            if *count > keep.max(1) {
                self.promised.lock().unwrap().remove(&snapshot.tags[0]);
                doomed.push(Doomed { snapshot: *id, why: "it is old".into() });
            }
        }
        doomed
    }

    pub(crate) async fn compact(&self, repository: &Repository, rules: PruneRules) -> Result<Compacted> {
        let pruner = Pruner::begin(repository, self.request(Purpose::Prune, None), rules).await?;
        let done = pruner.compact(self.unlocked(), CompactRules::default()).await;
        pruner.end().await.and(done)
    }

    /// Prunes until nothing is left to do, days apart; afterwards nothing dead is left.
    pub(crate) async fn settle(&self, keep: usize) {
        for _ in 0..3 {
            self.world.advance(3 * DAY);
            let repository = self.plain().await;
            self.prune(&repository, keep, quick()).await.unwrap();
        }
        self.world.advance(3 * DAY);
        let pruner = Pruner::begin(&self.plain().await, self.request(Purpose::Prune, None), quick()).await.unwrap();
        let plan = pruner.plan(&[]).await.unwrap();
        assert!(plan.is_empty() && plan.tombstones.is_empty(), "{plan:#?}");
        assert_eq!(plan.young.packs, 0);
        pruner.end().await.unwrap();
    }

    pub(crate) async fn findings(&self) -> Findings {
        self.findings_in(&self.view().await).await
    }

    async fn findings_in(&self, view: &View) -> Findings {
        verify(view, Depth::Data(Sample::All, self.unlocked()), &VerifyCounters::default()).await.unwrap()
    }

    async fn view(&self) -> View {
        self.plain().await.view().await.unwrap()
    }

    /// Every snapshot that is there is whole and holds what was put into it, and none that was promised is missing.
    pub(crate) async fn check(&self) {
        let view = self.view().await;
        let findings = self.findings_in(&view).await;
        assert!(findings.is_clean(), "{findings:#?}");
        self.check_readable(&view, Which::All).await;
    }

    /// Every promised snapshot is there and holds what was put into it; a run that said it failed may have left what cannot
    /// be read.
    pub(crate) async fn check_promised(&self) {
        self.check_readable(&self.view().await, Which::Promised).await;
    }

    /// Every snapshot that is there holds what was put into it, and none that was promised is missing.
    pub(crate) async fn check_all(&self) {
        self.check_readable(&self.view().await, Which::All).await;
    }

    /// Every snapshot that is there holds what was put into it.
    pub(crate) async fn check_shown(&self) {
        self.read_back(&self.view().await, Which::All).await;
    }

    async fn check_readable(&self, view: &View, which: Which) {
        let missing = self.read_back(view, which).await;
        assert!(missing.is_empty(), "promised and not there: {missing:?}");
    }

    /// Restores snapshots. What was promised and is not there comes back.
    async fn read_back(&self, view: &View, which: Which) -> HashSet<String> {
        let mut missing = self.promised.lock().unwrap().clone();
        for (id, snapshot) in view.snapshots() {
            let promised = missing.remove(&snapshot.tags[0]);
            if promised || which == Which::All {
                let found = restore(view, *id, self.unlocked()).await.unwrap();
                let told = self.told.lock().unwrap()[&snapshot.tags[0]].clone();
                assert!(found == told, "{} holds other files than were put into it", snapshot.tags[0]);
            }
        }
        missing
    }

    /// The snapshot with this label is given up.
    pub(crate) fn unpromise(&self, label: &str) {
        self.promised.lock().unwrap().remove(label);
    }

    pub(crate) fn promised(&self) -> usize {
        self.promised.lock().unwrap().len()
    }
}

/// Which snapshots are read back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Promised,
    All,
}

/// All files of a snapshot.
pub(crate) async fn restore(view: &View, id: ObjectId, keys: &ReadKeys) -> Result<Files> {
    let (_, snapshot) = view.snapshots().iter().find(|(known, _)| *known == id).unwrap();
    let reader = view.reader(id, snapshot.clone());
    let data = view.data_chunks(keys);
    let mut found = Files::new();
    for stored in reader.page("", None, 1_000).await? {
        let content = reader.content(&stored, 0, &data)?;
        found.insert(stored.entry.path.clone(), whole(content, &stored).await?);
    }
    if found.len() as u64 != snapshot.manifest.totals.entries {
        return Err(Error::corrupt("entries are missing without a word"));
    }
    Ok(found)
}

async fn whole(mut content: dozo_repository::ContentReader, stored: &StoredEntry) -> Result<Vec<u8>> {
    let size = stored.entry.size;
    let read = move || {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|e| Error::io("read", e))?;
        Ok(bytes)
    };
    let bytes: Result<Vec<u8>> = tokio::task::spawn_blocking(read).await.unwrap();
    bytes.inspect(|bytes| assert_eq!(Some(bytes.len() as u64), size))
}

/// The kind of the error that should have come.
pub(crate) fn kind<T>(result: Result<T>) -> Kind {
    result.err().expect("it should have failed").kind()
}

/// Lets everything work until it is turned on.
struct Switch {
    script: Arc<dyn Script>,
    on: std::sync::atomic::AtomicBool,
}

#[async_trait::async_trait]
impl Script for Switch {
    async fn fate(&self, call: world::Call, name: &str) -> world::Fate {
        if self.on.load(Ordering::Relaxed) { self.script.fate(call, name).await } else { world::Fate::Works }
    }
}
