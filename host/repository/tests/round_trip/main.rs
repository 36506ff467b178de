//! A repository in memory: what is written comes back, and nothing else does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod ages;

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};

use dozo_repository::format::snapshot::{Named, PluginStamp, Scope, Snapshot, Status};
use dozo_repository::{
    Content, ContentReader, Cutting, Depth, Entry, EntryKind, HostKey, HostUid, Kind, LeaseId, LeaseRequest, ObjectId,
    OwnerKey, Purpose, ReadKeys, Repository, Resources, Sample, Secret, SnapshotReader, Store, StoredEntry,
    VerifyCounters, View, Writer, verify,
};

struct House {
    repository: Repository,
    owner: OwnerKey,
    sequence: AtomicU64,
    leases: AtomicU64,
}

async fn house() -> House {
    house_in(&Store::memory()).await
}

async fn house_in(store: &Store) -> House {
    let secret = Secret::new([7; 32]);
    let (recipient, owner_text) = OwnerKey::generate(secret.repository());
    let key = Repository::create(store, secret, HostUid([1; 8]), &[recipient]).await.unwrap();
    let key = HostKey::parse(key.to_text().as_bytes()).unwrap();
    let repository = Repository::open(store.clone(), key).await.unwrap();
    House {
        repository,
        owner: OwnerKey::parse(&owner_text).unwrap(),
        sequence: AtomicU64::new(0),
        leases: AtomicU64::new(0),
    }
}

impl House {
    async fn view(&self) -> View {
        self.repository.view().await.unwrap()
    }

    /// A view to write with, under a lease of its own that ends with the test.
    async fn view_to_write(&self) -> View {
        let number = self.leases.fetch_add(1, Ordering::Relaxed);
        let request = LeaseRequest {
            id: LeaseId([number as u8; 16]),
            purpose: Purpose::Run,
            host: "host".into(),
            job: Some(format!("job {number}")),
            started: "2026-11-23T00:00:00Z".parse().unwrap(),
            predecessors: Vec::new(),
        };
        let lease = self.repository.lease(request).await.unwrap();
        self.repository.view_to_write(&lease).await.unwrap()
    }

    async fn writer(&self) -> Writer {
        self.view_to_write().await.writer(Resources { scratch: std::env::temp_dir(), workers: 2 }).unwrap()
    }

    async fn commit(&self, writer: Writer) -> (ObjectId, Snapshot) {
        let (host, job) = (self.repository.host(), self.repository.job_uid("job"));
        let describe = |manifest, stored| Snapshot {
            schema: Snapshot::SCHEMA.into(),
            features: vec![],
            host: Named { uid: host, name: "host".into() },
            job: Named { uid: job, name: "job".into() },
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
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
        writer.commit(describe).await.unwrap()
    }

    async fn keys(&self) -> ReadKeys {
        self.repository.unlock(&self.owner).await.unwrap()
    }

    /// A writer, and an entry of the first snapshot that it can refer to.
    async fn writer_beside(&self, path: &str) -> (SnapshotReader, StoredEntry, Writer) {
        let view = self.view_to_write().await;
        let (id, snapshot) = view.snapshots()[0].clone();
        let reader = view.reader(id, snapshot);
        let stored = reader.get(path).await.unwrap().unwrap();
        assert!(reader.pin(&stored).await.unwrap());
        let writer = view.writer(Resources { scratch: std::env::temp_dir(), workers: 1 }).unwrap();
        (reader, stored, writer)
    }

    async fn newest(&self) -> (View, SnapshotReader) {
        let view = self.view().await;
        let (id, snapshot) = view.snapshots().last().unwrap().clone();
        let reader = view.reader(id, snapshot);
        (view, reader)
    }

    async fn content(&self, path: &str, offset: u64) -> ContentReader {
        let (view, reader) = self.newest().await;
        let data = view.data_chunks(&self.keys().await);
        let stored = reader.get(path).await.unwrap().unwrap();
        reader.content(&stored, offset, &data).unwrap()
    }

    async fn read(&self, path: &str, offset: u64) -> Vec<u8> {
        let mut content = self.content(path, offset).await;
        tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).unwrap();
            bytes
        })
        .await
        .unwrap()
    }

    /// The first bytes of a content, as many as come.
    async fn read_until_error(&self, path: &str, wanted: usize) -> Vec<u8> {
        let mut content = self.content(path, 0).await;
        tokio::task::spawn_blocking(move || {
            let (mut bytes, mut at) = (vec![0; wanted], 0);
            while at < wanted
                && let Ok(read @ 1..) = content.read(&mut bytes[at..])
            {
                at += read;
            }
            bytes.truncate(at);
            bytes
        })
        .await
        .unwrap()
    }
}

fn noise(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
    bytes
}

async fn put(writer: &Writer, path: &str, bytes: &[u8]) {
    let mut entry = writer.entry(Entry::file(path), Cutting::ByContent);
    entry.write(bytes).await.unwrap();
    assert_eq!(entry.finish().await.unwrap(), bytes.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_every_size_come_back() {
    let house = house().await;
    let writer = house.writer().await;
    let sizes = [0, 1, 100, 65_536, (256 << 10) - 1, 256 << 10, 1 << 20, (4 << 20) + 1, 40 << 20];
    for (n, size) in sizes.iter().enumerate() {
        put(&writer, &format!("d/{n}"), &noise(*size, n as u8)).await;
    }
    let (_, snapshot) = house.commit(writer).await;
    assert_eq!(snapshot.manifest.totals.entries, sizes.len() as u64);
    assert_eq!(snapshot.manifest.totals.bytes, sizes.iter().sum::<usize>() as u64);
    for (n, size) in sizes.iter().enumerate() {
        assert!(house.read(&format!("d/{n}"), 0).await == noise(*size, n as u8), "entry of {size} bytes");
    }
    assert_eq!(house.read("d/8", 12_345_678).await, noise(40 << 20, 8)[12_345_678..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_again_stores_almost_nothing() {
    let house = house().await;
    let mut stored = Vec::new();
    for _ in 0..2 {
        let writer = house.writer().await;
        for n in 0..200u32 {
            put(&writer, &format!("f{n}"), &noise(20_000, n as u8)).await;
        }
        stored.push(house.commit(writer).await.1.stored);
    }
    assert!(stored[0].bytes_new > 3_900_000, "{stored:?}");
    assert_eq!((stored[1].bytes_new, stored[1].bytes_stored), (0, 0), "not even a segment of the manifest is new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_is_built_from_an_older_one() {
    let house = house().await;
    let old = noise(9 << 20, 1);
    let writer = house.writer().await;
    put(&writer, "a", &old).await;
    house.commit(writer).await;

    let (reader, stored, writer) = house.writer_beside("a").await;
    let mut entry = writer.entry(Entry::file("b"), Cutting::ByContent);
    entry.write(b"new beginning, ").await.unwrap();
    entry.append(&reader.range(&stored, 5_000_000, 3_000_000).await.unwrap()).await.unwrap();
    entry.write(b", new end").await.unwrap();
    entry.finish().await.unwrap();
    let (_, snapshot) = house.commit(writer).await;
    assert!(snapshot.stored.bytes_new < 100);
    let expected = [b"new beginning, ".as_slice(), &old[5_000_000..8_000_000], b", new end"].concat();
    assert!(house.read("b", 0).await == expected);
    assert_eq!(reader.range(&stored, 9 << 20, 1).await.unwrap_err().kind(), Kind::Invalid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_does_not_fall_to_pieces() {
    let house = house().await;
    let old = noise(1 << 20, 1);
    let writer = house.writer().await;
    put(&writer, "a", &old).await;
    house.commit(writer).await;

    let (reader, stored, writer) = house.writer_beside("a").await;
    let mut entry = writer.entry(Entry::file("b"), Cutting::ByContent);
    let piece = reader.range(&stored, 1_000, 100).await.unwrap();
    for _ in 0..4_096 {
        entry.append(&piece).await.unwrap();
    }
    assert_eq!(entry.append(&piece).await.unwrap_err().kind(), Kind::Unsupported);
    assert_eq!(entry.length(), 409_600, "nothing was appended");
    // Long pieces are no burden, and the bytes themselves can be written.
    entry.append(&reader.range(&stored, 0, 65_536).await.unwrap()).await.unwrap();
    entry.write(&old[1_000..1_100]).await.unwrap();
    entry.finish().await.unwrap();
    house.commit(writer).await;
    let expected = [old[1_000..1_100].repeat(4_096), old[..65_536].to_vec(), old[1_000..1_100].to_vec()].concat();
    assert!(house.read("b", 0).await == expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_many_chunks_keeps_its_extents_in_lists() {
    let house = house().await;
    let bytes = noise(70 << 20, 3);
    let writer = house.writer().await;
    let mut entry = writer.entry(Entry::file("table"), Cutting::Every(65_536));
    for piece in bytes.chunks(1 << 20) {
        entry.write(piece).await.unwrap();
    }
    entry.finish().await.unwrap();
    house.commit(writer).await;
    assert!(house.read("table", 0).await == bytes);
    assert!(house.read("table", 69_000_001).await == bytes[69_000_001..]);
    let (_, reader) = house.newest().await;
    let stored = reader.get("table").await.unwrap().unwrap();
    assert!(matches!(stored.content, dozo_repository::Content::Listed(_)));
    let range = reader.range(&stored, 50_000_000, 10).await.unwrap();
    assert_eq!(range.iter().map(|e| e.length).sum::<u32>(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_entries_and_dropped_writers_leave_nothing() {
    let house = house().await;
    let writer = house.writer().await;
    put(&writer, "kept", b"kept").await;
    let mut half = writer.entry(Entry::file("half"), Cutting::ByContent);
    half.write(&noise(3 << 20, 1)).await.unwrap();
    drop(half);
    house.commit(writer).await;
    let (_, reader) = house.newest().await;
    let names: Vec<String> = reader.page("", None, 10).await.unwrap().into_iter().map(|e| e.entry.path).collect();
    assert_eq!(names, ["kept"]);

    let writer = house.writer().await;
    put(&writer, "other", &noise(30 << 20, 2)).await;
    drop(writer);
    assert_eq!(house.view().await.snapshots().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_entries_of_one_path_are_refused() {
    let house = house().await;
    let writer = house.writer().await;
    put(&writer, "a", b"one").await;
    put(&writer, "a", b"two").await;
    let error = writer.commit(|_, _| unreachable!("nothing to describe")).await.unwrap_err();
    assert!(error.chain().contains("two entries have the path `a`"), "{}", error.chain());
    assert!(house.view().await.snapshots().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_walk_a_subtree() {
    let house = house().await;
    let writer = house.writer().await;
    for path in ["a", "a/x"] {
        let entry = Entry { kind: EntryKind::Directory, ..Entry::file(path) };
        writer.put(&StoredEntry { entry, content: Content::EMPTY }).unwrap();
    }
    for path in ["a/x/1", "a/y", "a-b", "b"] {
        put(&writer, path, path.as_bytes()).await;
    }
    house.commit(writer).await;
    let (_, reader) = house.newest().await;
    let page = async |prefix: &str, after: Option<&str>, max| {
        let page = reader.page(prefix, after, max).await.unwrap();
        page.into_iter().map(|e| e.entry.path).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(page("", None, 100).await, "a a/x a/x/1 a/y a-b b");
    assert_eq!(page("a", None, 100).await, "a a/x a/x/1 a/y");
    assert_eq!(page("a", Some("a/x"), 1).await, "a/x/1");
    assert_eq!(page("a", Some("a/y"), 100).await, "");
    assert_eq!(page("a", Some("b"), 100).await, "");
    assert_eq!(page("b", Some("a"), 100).await, "b");
    assert_eq!(page("c", None, 100).await, "");
    assert!(reader.get("a/x/1").await.unwrap().is_some());
    assert!(reader.get("a/x/2").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_owner_and_another_repository_are_refused() {
    let house = house().await;
    let (_, text) = OwnerKey::generate(house.repository.id());
    let stranger = OwnerKey::parse(&text).unwrap();
    assert_eq!(house.repository.unlock(&stranger).await.err().unwrap().kind(), Kind::Denied);

    let (store, other) = (Store::memory(), Store::memory());
    let secret = Secret::new([8; 32]);
    let (recipient, _) = OwnerKey::generate(secret.repository());
    let key = Repository::create(&store, secret, HostUid([1; 8]), &[recipient]).await.unwrap();
    house_in(&other).await;
    assert_eq!(Repository::open(other, key).await.err().unwrap().kind(), Kind::Invalid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_writes_without_a_lease() {
    let house = house().await;
    let resources = Resources { scratch: std::env::temp_dir(), workers: 1 };
    assert_eq!(house.view().await.writer(resources).err().unwrap().kind(), Kind::Internal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_is_made_once() {
    let store = Store::memory();
    let (recipient, _) = OwnerKey::generate(Secret::new([1; 32]).repository());
    let create = async |owners: &[_]| Repository::create(&store, Secret::new([1; 32]), HostUid([1; 8]), owners).await;
    assert!(create(&[]).await.is_err(), "without an owner");
    create(std::slice::from_ref(&recipient)).await.unwrap();
    assert_eq!(create(&[recipient]).await.err().unwrap().kind(), Kind::Invalid);
}

/// Every way to damage every kind of object: what can still be read is right, what cannot is found and refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_found_and_never_restored() {
    for what in ["packs", "catalog", "index", "snapshots"] {
        for how in ["delete", "truncate", "flip"] {
            let dir = tempfile::tempdir().unwrap();
            let house = house_in(&Store::local(dir.path()).unwrap()).await;
            let writer = house.writer().await;
            put(&writer, "a", &noise(1 << 20, 1)).await;
            house.commit(writer).await;
            damage(&dir.path().join(what), how);

            let view = house.view().await;
            let keys = house.keys().await;
            let depth = Depth::Data(Sample::All, &keys);
            let findings = verify(&view, depth, &VerifyCounters::default()).await.unwrap();
            // A snapshot that is deleted is simply not there: that it was is for `Host remembers` to know.
            let seen = !findings.is_clean() || (what == "snapshots" && how == "delete");
            assert!(seen, "{what} {how}: {findings:?}");
            if view.snapshots().is_empty() {
                continue;
            }
            let (id, snapshot) = view.snapshots()[0].clone();
            let reader = view.reader(id, snapshot);
            let restored = match reader.get("a").await {
                Ok(Some(stored)) => {
                    let mut content = reader.content(&stored, 0, &view.data_chunks(&keys)).unwrap();
                    tokio::task::spawn_blocking(move || content.read_to_end(&mut Vec::new())).await.unwrap().is_ok()
                }
                Ok(None) => panic!("{what} {how}: the entry vanished without a word"),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Corrupt, "{what} {how}");
                    false
                }
            };
            assert!(!restored, "{what} {how}: damage was restored");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_ahead_fails_only_who_comes_so_far() {
    let dir = tempfile::tempdir().unwrap();
    let house = house_in(&Store::local(dir.path()).unwrap()).await;
    let writer = house.writer().await;
    put(&writer, "f", &noise(70 << 20, 1)).await;
    house.commit(writer).await;
    let packs = data_packs(dir.path());
    assert!(packs.len() >= 4, "{packs:?}");
    let (mut whole, mut first) = (0, 0);
    for pack in &packs {
        let away = pack.with_extension("away");
        std::fs::rename(pack, &away).unwrap();
        let read = house.read_until_error("f", 70 << 20).await;
        assert!(read.len() < 70 << 20 && read == noise(70 << 20, 1)[..read.len()], "{} bytes", read.len());
        // Those before it come whole, though what follows was asked for already.
        whole += usize::from(read.len() > 45 << 20);
        // Whoever takes the first bytes alone asks for none of the others.
        first += usize::from(house.read_until_error("f", 1_000).await.len() == 1_000);
        std::fs::rename(&away, pack).unwrap();
    }
    assert!(whole >= 1 && first == packs.len() - 1, "{whole} {first} of {}", packs.len());
}

/// The packs of data, out of all packs: those that are not small.
fn data_packs(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let all = files(&directory.join("packs"));
    all.into_iter().filter(|pack| pack.metadata().unwrap().len() > 1 << 20).collect()
}

fn files(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    let mut todo = vec![directory.to_path_buf()];
    while let Some(next) = todo.pop() {
        for item in std::fs::read_dir(next).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() { todo.push(path) } else { files.push(path) }
        }
    }
    files
}

fn damage(directory: &std::path::Path, how: &str) {
    let files = files(directory);
    assert!(!files.is_empty());
    for file in files {
        let mut bytes = std::fs::read(&file).unwrap();
        match how {
            "delete" => std::fs::remove_file(&file).unwrap(),
            "truncate" => std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap(),
            _ => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(&file, bytes).unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_fails_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let house = house_in(&Store::local(dir.path()).unwrap()).await;
    let writer = house.writer().await;
    // A file where a directory is needed: every put of a pack fails.
    std::fs::write(dir.path().join("packs"), b"").unwrap();
    let mut failed = None;
    for n in 0..200u32 {
        let mut entry = writer.entry(Entry::file(format!("f{n}")), Cutting::ByContent);
        let mut result = entry.write(&noise(1 << 20, n as u8)).await;
        if result.is_ok() {
            result = entry.finish().await.map(|_| ());
        }
        if let Err(error) = result {
            failed = Some(error);
            break;
        }
    }
    let error = failed.expect("the pipeline says so while the run goes on");
    assert!(error.chain().contains("write packs/"), "{}", error.chain());
    assert!(writer.commit(|_, _| unreachable!("nothing to describe")).await.is_err());
}
