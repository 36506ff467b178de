//! A repository with many chunks: what opening it, a run that changes nothing, and the plan of a prune cost. Small in a
//! normal run; with `DOZO_SOAK` set, ten million chunks in 640,000 packs, which takes some minutes and three gigabytes of
//! disk, and must stay below 500 MB of memory. Prints what it measured.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on should stop")]

mod warehouse;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use dozo_repository::format::snapshot::{Named, PluginStamp, Scope, Snapshot, Status};
use dozo_repository::{
    Content, Entry, Extent, HostKey, HostUid, LeaseId, LeaseRequest, OwnerKey, PruneRules, Pruner, Purpose, Repository,
    Resources, Secret, SnapshotReader, Store, StoredEntry, View, Writer,
};
use warehouse::{CHUNK_BYTES, CHUNKS_PER_PACK, Warehouse, chunk, write_indexes};

/// Most memory that a soak may take at any time.
const PEAK_MAX_KIB: u64 = 500_000;
const LOOKUPS: u32 = 100_000;

struct Scale {
    packs: u32,
    indexes: u64,
    indexes_read: Arc<AtomicU64>,
    repository: Repository,
    directory: tempfile::TempDir,
    soak: bool,
}

impl Scale {
    async fn new() -> Self {
        let soak = std::env::var_os("DOZO_SOAK").is_some();
        let packs = if soak { 640_000 } else { 1_000 };
        let directory = tempfile::tempdir().unwrap();
        let lies = directory.path().join("store");
        std::fs::create_dir(&lies).unwrap();
        let (warehouse, indexes_read) = Warehouse::new(&lies, packs);
        let (store, secret) = (Store::over(Arc::new(warehouse), "warehouse"), Secret::new([7; 32]));
        let (owner, _) = OwnerKey::generate(secret.repository());
        let key = Repository::create(&store, secret, HostUid([1; 8]), &[owner]).await.unwrap();
        let indexes = write_indexes(&lies, &key, packs);
        let repository = Repository::open(store, HostKey::parse(key.to_text().as_bytes()).unwrap()).await.unwrap();
        let repository = repository.remembering_in(&directory.path().join("cache"));
        Scale { packs, indexes, indexes_read, repository, directory, soak }
    }

    /// Runs one part, prints what it took and tells how many indexes were read.
    async fn measure<T>(&self, what: &str, part: impl Future<Output = T>) -> (T, u64) {
        // A new mark of the highest memory; where the system has none, the old one goes on.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let at_first = peak_kib();
        let (begun, before) = (Instant::now(), self.indexes_read.load(Ordering::Relaxed));
        let value = part.await;
        let (took, read) = (begun.elapsed(), self.indexes_read.load(Ordering::Relaxed) - before);
        let peak = peak_kib();
        let (from, to) = (at_first.unwrap_or(0), peak.unwrap_or(0));
        eprintln!("{what:<42} {took:>9.2?}  memory {from:>6} to {to:>6} kB  indexes read {read}");
        if self.soak {
            assert!(peak.is_none_or(|peak| peak < PEAK_MAX_KIB), "{what} took {peak:?} KiB");
        }
        (value, read)
    }

    fn request(&self, number: u8, purpose: Purpose) -> LeaseRequest {
        LeaseRequest {
            id: LeaseId([number; 16]),
            purpose,
            host: "host".into(),
            job: (purpose == Purpose::Run).then(|| "job".into()),
            started: "2026-11-23T00:00:00Z".parse().unwrap(),
            predecessors: Vec::new(),
        }
    }

    fn writer(&self, view: &View) -> Writer {
        view.writer(Resources { scratch: self.directory.path().into(), workers: 2 }).unwrap()
    }

    async fn commit(&self, writer: Writer, sequence: u64) {
        let (host, job) = (self.repository.host(), self.repository.job_uid("job"));
        let describe = |manifest, stored| Snapshot {
            schema: Snapshot::SCHEMA.into(),
            features: vec![],
            host: Named { uid: host, name: "host".into() },
            job: Named { uid: job, name: "job".into() },
            sequence,
            plugin: PluginStamp { name: "test".into(), version: "1".into(), digest: "0".repeat(64).parse().unwrap() },
            source: None,
            scope: Scope::Full,
            started: "2026-11-23T00:00:00Z".parse().unwrap(),
            ended: "2026-11-23T00:00:01Z".parse().unwrap(),
            timezone: None,
            status: Status::Complete,
            omitted: vec![],
            omitted_count: 0,
            manifest,
            attributes: vec![],
            answers: vec![],
            tags: vec![],
            previous: None,
            guard: None,
            stored,
        };
        writer.commit(describe).await.unwrap();
    }

    /// A snapshot that reaches all of every second pack.
    async fn first_snapshot(&self) {
        let lease = self.repository.lease(self.request(1, Purpose::Run)).await.unwrap();
        let view = self.repository.view_to_write(&lease).await.unwrap();
        let writer = self.writer(&view);
        for pack in (0..self.packs).step_by(2) {
            let extent = |number| Extent { chunk: chunk(pack, number), offset: 0, length: CHUNK_BYTES };
            let content = Content::Inline((0..CHUNKS_PER_PACK).map(extent).collect());
            let size = Some(u64::from(CHUNK_BYTES) * u64::from(CHUNKS_PER_PACK));
            writer.put(&StoredEntry { entry: Entry { size, ..Entry::file(format!("f{pack:07}")) }, content }).unwrap();
        }
        self.commit(writer, 0).await;
        lease.release().await.unwrap();
    }

    /// A run that finds everything as it was.
    async fn unchanged_run(&self) {
        let lease = self.repository.lease(self.request(2, Purpose::Run)).await.unwrap();
        let view = self.repository.view_to_write(&lease).await.unwrap();
        let (id, snapshot) = view.snapshots()[0].clone();
        let (writer, reader) = (self.writer(&view), view.reader(id, snapshot));
        let mut after: Option<String> = None;
        loop {
            let page = reader.page("", after.as_deref(), 1_000).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.entry.path.clone());
            for stored in &page {
                assert!(reader.pin(stored).await.unwrap());
                writer.put(stored).unwrap();
            }
        }
        self.commit(writer, 1).await;
        lease.release().await.unwrap();
    }
}

fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok())
}

async fn look_up(reader: &SnapshotReader, pack: impl Fn(u32) -> u32) -> u32 {
    let mut found = 0;
    for number in 0..LOOKUPS {
        let extent = Extent { chunk: chunk(pack(number), number % CHUNKS_PER_PACK), offset: 0, length: 1 };
        let stored = StoredEntry { entry: Entry::file("f"), content: Content::Inline(vec![extent]) };
        found += u32::from(reader.pin(&stored).await.unwrap());
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_repository_takes_little_memory() {
    let scale = Scale::new().await;
    let (packs, cache) = (scale.packs, scale.directory.path().join("cache"));
    eprintln!("{packs} packs, {} chunks, {} indexes", packs * CHUNKS_PER_PACK, scale.indexes);
    let (view, read) = scale.measure("opening, nothing remembered", scale.repository.view()).await;
    assert_eq!((view.unwrap().problems().len(), read), (0, scale.indexes));
    eprintln!(
        "the cache has {} files of {} MB in all",
        files(&cache).len(),
        files(&cache).iter().sum::<u64>() / 1_000_000
    );
    let (view, read) = scale.measure("opening again", scale.repository.view()).await;
    assert_eq!((view.unwrap().problems().len(), read), (0, 0), "what is remembered is not read again");
    scale.measure("a run that puts half of it in a snapshot", scale.first_snapshot()).await;
    let view = scale.repository.view().await.unwrap();
    let (id, snapshot) = view.snapshots()[0].clone();
    let reader = view.reader(id, snapshot);
    let spread = |number: u32| number.wrapping_mul(2_654_435_761) % packs;
    let (found, _) = scale.measure("100,000 lookups of what is there", look_up(&reader, spread)).await;
    assert_eq!(found, LOOKUPS);
    let (found, _) = scale.measure("100,000 lookups of what is not", look_up(&reader, |number| packs + number)).await;
    assert_eq!(found, 0);
    drop((view, reader));
    scale.measure("a run that finds everything as it was", scale.unchanged_run()).await;
    let plan = async {
        let request = scale.request(3, Purpose::Prune);
        let pruner = Pruner::begin(&scale.repository, request, PruneRules::default()).await.unwrap();
        let plan = pruner.plan(&[]).await.unwrap();
        pruner.end().await.unwrap();
        plan.condemn.len() as u32
    };
    let (condemned, read) = scale.measure("the plan of a prune", plan).await;
    assert_eq!(condemned, packs / 2);
    assert!(read > scale.indexes, "those who delete read every index");
}

fn files(cache: &Path) -> Vec<u64> {
    let of_store = std::fs::read_dir(cache).unwrap().next().unwrap().unwrap().path();
    std::fs::read_dir(of_store).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).collect()
}
