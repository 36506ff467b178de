//! How the frozen repository was made: once, by the version that first wrote format 1. Kept to show what is in it.

use dozo_repository::format::manifest::to_line;
use dozo_repository::format::record::{Outcome, RunRecord};
use dozo_repository::format::snapshot::{Named, PluginStamp, Scope, Snapshot, Status};
use dozo_repository::{
    Content, Cutting, Entry, EntryKind, HostUid, LeaseId, LeaseRequest, ObjectId, OwnerKey, Posix, Purpose, Repository,
    Resources, Secret, Store, StoredEntry, Time, View, Writer,
};

use crate::{Frozen, contents};

/// What the key files say of themselves, so that nobody takes them for secrets.
const ABOUT: &str = "a test key, published with the source: never use it";
const SECRET: &[u8; 32] = b"dozo test secret of repository-1";
/// Small enough for many extents in few bytes.
const CUT: Cutting = Cutting::Every(65_536);

/// Makes the repository, its keys and the list of what is in it.
pub(crate) async fn make(frozen: &Frozen) {
    let directory = frozen.store();
    std::fs::create_dir_all(&directory).unwrap();
    let store = Store::local(&directory).unwrap();
    let secret = Secret::new(*SECRET);
    let (recipient, owner) = OwnerKey::generate(secret.repository());
    let host = Repository::create(&store, secret, HostUid(*b"testhost"), &[recipient]).await.unwrap();
    let host_text = host.to_text().replacen('{', &format!("{{\n  \"about\": \"{ABOUT}\","), 1);
    std::fs::write(frozen.path("host.key"), host_text).unwrap();
    std::fs::write(frozen.path("owner.key"), format!("# {ABOUT}\n{}", owner.as_str())).unwrap();

    let repository = Repository::open(store, host).await.unwrap();
    let first = first(&repository).await;
    second(&repository, first).await;
    names(&repository).await;
    failed(&repository).await;
    std::fs::write(frozen.path("entries.txt"), list(frozen).await).unwrap();
}

/// Every kind of entry, and contents of every shape.
async fn first(repository: &Repository) -> ObjectId {
    let writer = writer(repository).await;
    let other = |path: &str, kind| {
        let mut entry = Entry { kind, ..described(path) };
        entry.posix.as_mut().unwrap().mode = if entry.kind == EntryKind::Directory { 0o755 } else { 0o640 };
        writer.put(&StoredEntry { entry, content: Content::EMPTY }).unwrap();
    };
    other("srv", EntryKind::Directory);
    other("srv/empty-directory", EntryKind::Directory);
    other("srv/link", EntryKind::Symlink("../srv/./a.txt".into()));
    other("srv/dangling", EntryKind::Symlink("/no where/100%25%0A".into()));
    other("srv/second-name", EntryKind::Hardlink("srv/a.txt".into()));
    other("srv/pipe", EntryKind::Fifo);
    other("srv/socket", EntryKind::Socket);
    other("srv/null", EntryKind::CharDevice(1, 3));
    other("srv/loop", EntryKind::BlockDevice(7, 0));
    for path in ["srv/100%25.txt", "srv/line%0Abreak%0A", "srv/not-utf8-%FF%FE", "srv/übung \\ \"x\"", "srv-x"] {
        put(&writer, described(path), CUT, path.as_bytes()).await;
    }
    put(&writer, described("srv/a.txt"), Cutting::ByContent, b"all that they own\n").await;
    put(&writer, described("srv/empty"), Cutting::ByContent, b"").await;
    put(&writer, described("srv/inline"), CUT, &blocks(0..6)[..360_001]).await;
    // More than 256 extents move into lists, here two; few of their chunks differ, so that all of it stays small.
    let table = [blocks(0..270), block(ends_a_list()), blocks(0..29)].concat();
    put(&writer, described("srv/table"), CUT, &table).await;
    let mut rich = described("srv/rich");
    rich.modified = Some(Time { seconds: -3, nanoseconds: 750_000_000 });
    rich.version = Some("77:1700000000.000000001".into());
    rich.attributes = vec![("table".into(), "public.\"x\"".into())];
    let xattrs = vec![("user.a".into(), vec![0, 255, 10])];
    rich.posix = Some(Posix {
        mode: 0o4751,
        uid: 1,
        gid: 2,
        user: Some("daemon".into()),
        group: Some("bin".into()),
        xattrs,
        links: 1,
        sparse: false,
    });
    put(&writer, rich, Cutting::ByContent, b"rich").await;
    commit(repository, writer, "files", |snapshot| {
        snapshot.tags = vec!["frozen".into()];
        snapshot.attributes = vec![("filesystem.began".into(), "1700000000".into())];
        snapshot.answers = vec![("rows".into(), "42".into())];
    })
    .await
}

/// Made against the first: kept entries, one that is built from an old one, and one that could not be read.
async fn second(repository: &Repository, previous: ObjectId) {
    let view = view_to_write(repository, 2).await;
    let (id, snapshot) = view.snapshots().last().unwrap().clone();
    assert_eq!(id, previous);
    let reader = view.reader(id, snapshot);
    let writer = view.writer(Resources { scratch: std::env::temp_dir(), workers: 1 }).unwrap();
    for path in ["srv", "srv/a.txt", "srv/inline", "srv/table"] {
        let stored = reader.get(path).await.unwrap().unwrap();
        assert!(reader.pin(&stored).await.unwrap());
        writer.put(&stored).unwrap();
    }
    let table = reader.get("srv/table").await.unwrap().unwrap();
    let mut entry = writer.entry(described("srv/grown"), CUT);
    entry.write(b"new beginning, ").await.unwrap();
    entry.append(&reader.range(&table, 100_000, 200_000).await.unwrap()).await.unwrap();
    entry.write(b", new end").await.unwrap();
    entry.finish().await.unwrap();
    commit(repository, writer, "files", |snapshot| {
        snapshot.sequence = 2;
        snapshot.scope = Scope::Incremental;
        snapshot.started = "2026-11-24T02:00:00.5Z".parse().unwrap();
        snapshot.ended = "2026-11-24T02:00:09Z".parse().unwrap();
        snapshot.status = Status::Partial;
        snapshot.omitted = vec![("srv/secret".into(), "Permission denied (os error 13)".into())];
        snapshot.omitted_count = 1;
        snapshot.previous = Some(previous);
    })
    .await;
}

/// Names that a source may have and a file system may not.
async fn names(repository: &Repository) {
    let writer = writer(repository).await;
    for path in ["%2E%2E/up", "%2E", "orders%2F2026", "nul%00", "plain", "dir/%2E%2E"] {
        put(&writer, Entry::file(path), Cutting::ByContent, path.as_bytes()).await;
    }
    // Who restores the link first writes the file beside the target.
    let link = Entry { kind: EntryKind::Symlink("..".into()), ..Entry::file("trap") };
    writer.put(&StoredEntry { entry: link, content: Content::EMPTY }).unwrap();
    put(&writer, Entry::file("trap/escaped"), Cutting::ByContent, b"escaped").await;
    commit(repository, writer, "names", |snapshot| {
        snapshot.source = None;
        snapshot.started = "2026-11-25T01:00:00Z".parse().unwrap();
        snapshot.ended = "2026-11-25T01:00:01Z".parse().unwrap();
    })
    .await;
}

/// The record of a run that left no snapshot.
async fn failed(repository: &Repository) {
    let record = RunRecord {
        schema: RunRecord::SCHEMA.into(),
        host: Named { uid: repository.host(), name: "web-1".into() },
        job: Named { uid: repository.job_uid("files"), name: "files".into() },
        started: "2026-11-25T02:00:00Z".parse().unwrap(),
        ended: "2026-11-25T02:00:01Z".parse().unwrap(),
        outcome: Outcome::Failed,
        snapshot: None,
        error: Some("read /srv: Input/output error (os error 5)".into()),
        report: serde_json::json!({ "schema": "dozo/report/1" }),
    };
    repository.put_run_record(&record).await.unwrap();
}

/// The lease is not released: it is of no run, and ends by itself.
async fn view_to_write(repository: &Repository, number: u8) -> View {
    let request = LeaseRequest {
        id: LeaseId([number; 16]),
        purpose: Purpose::Key,
        host: "web-1".into(),
        job: None,
        started: "2026-11-23T02:00:00Z".parse().unwrap(),
        predecessors: Vec::new(),
    };
    let lease = repository.lease(request).await.unwrap();
    repository.view_to_write(&lease).await.unwrap()
}

async fn writer(repository: &Repository) -> Writer {
    let view = view_to_write(repository, 1).await;
    view.writer(Resources { scratch: std::env::temp_dir(), workers: 1 }).unwrap()
}

async fn commit(repository: &Repository, writer: Writer, job: &str, change: impl FnOnce(&mut Snapshot)) -> ObjectId {
    let describe = |manifest, stored| {
        let mut snapshot = Snapshot {
            schema: Snapshot::SCHEMA.into(),
            features: vec![],
            host: Named { uid: repository.host(), name: "web-1".into() },
            job: Named { uid: repository.job_uid(job), name: job.into() },
            sequence: 1,
            plugin: PluginStamp { name: "test".into(), version: "0.1.0".into(), digest: ObjectId::of(b"test") },
            source: Some("test:/srv".into()),
            scope: Scope::Full,
            started: "2026-11-23T02:00:00Z".parse().unwrap(),
            ended: "2026-11-23T02:00:09Z".parse().unwrap(),
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
        change(&mut snapshot);
        snapshot
    };
    writer.commit(describe).await.unwrap().0
}

/// A file that root might own.
fn described(path: &str) -> Entry {
    let posix = Posix { mode: 0o644, ..Posix::default() };
    let modified = Some(Time { seconds: 1_700_000_000, nanoseconds: 1 });
    Entry { posix: Some(posix), modified, ..Entry::file(path) }
}

async fn put(writer: &Writer, entry: Entry, cutting: Cutting, bytes: &[u8]) {
    let mut entry = writer.entry(entry, cutting);
    entry.write(bytes).await.unwrap();
    entry.finish().await.unwrap();
}

/// 64 KiB that compress well.
fn block(number: u32) -> Vec<u8> {
    format!("block {number:08}\n\n").into_bytes().repeat(4_096)
}

/// Blocks in an order that a mistake in the order of extents would change.
fn blocks(numbers: std::ops::Range<u32>) -> Vec<u8> {
    numbers.flat_map(|n| block(n * n % 37)).collect()
}

/// The number of a block behind which this program ends a list of extents: its chunk's id begins with 8 zero bits, and
/// the last two of its second byte are zero.
fn ends_a_list() -> u32 {
    let key = blake3::derive_key("dozo 2026-11 data chunk id", SECRET);
    let ends = |id: &[u8; 32]| id[0] == 0 && id[1] & 3 == 0;
    (1_000..).find(|number| ends(blake3::keyed_hash(&key, &block(*number)).as_bytes())).unwrap()
}

/// A line for each snapshot, and for each of its entries the SHA-256 of its content and its line in the manifest.
async fn list(frozen: &Frozen) -> String {
    let mut text = String::new();
    for (id, entries) in contents(&frozen.open().await, &frozen.owner()).await {
        text.push_str(&format!("snapshot {id}\n"));
        for (stored, digest) in entries {
            text.push_str(&format!("{digest} {}", String::from_utf8(to_line(&stored).unwrap()).unwrap()));
        }
    }
    text
}
