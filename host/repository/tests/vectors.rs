//! The vectors of docs/FORMAT.md section 15: a frozen repository that every later version reads as the first one did, and
//! bytes that a reader takes or refuses. `DOZO_WRITE_VECTORS=1` makes those that are missing and cannot be typed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[path = "vectors/documents.rs"]
mod documents;
#[path = "vectors/repository.rs"]
mod repository;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use dozo_repository::format::manifest::{ParsedLine, parse_extents, parse_line};
use dozo_repository::format::{index, key, name, pack, record, snapshot};
use dozo_repository::{
    Depth, Error, HostKey, ObjectId, OwnerKey, Repository, Result, Sample, Store, StoredEntry, VerifyCounters, path,
    verify,
};

/// The folder of all vectors.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

/// The frozen repository of format 1, or a copy of it.
struct Frozen(PathBuf);

impl Frozen {
    fn original() -> Self {
        Frozen(folder().join("repository-1"))
    }

    /// A copy that may be damaged.
    fn copy() -> (tempfile::TempDir, Self) {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (Frozen::original(), Frozen(dir.path().to_path_buf()));
        for name in ["host.key", "owner.key"] {
            fs::copy(from.path(name), to.path(name)).unwrap();
        }
        for object in from.objects() {
            let file = to.store().join(&object);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::copy(from.store().join(&object), file).unwrap();
        }
        (dir, to)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn store(&self) -> PathBuf {
        self.path("store")
    }

    fn objects(&self) -> Vec<String> {
        let mut objects: Vec<String> = files(&self.store())
            .into_iter()
            .map(|file| file.strip_prefix(self.store()).unwrap().to_str().unwrap().to_string())
            .collect();
        objects.sort();
        objects
    }

    async fn try_open(&self) -> Result<Repository> {
        let key = HostKey::parse(&fs::read(self.path("host.key")).unwrap())?;
        Repository::open(Store::local(&self.store())?, key).await
    }

    async fn open(&self) -> Repository {
        self.try_open().await.unwrap()
    }

    fn owner(&self) -> OwnerKey {
        OwnerKey::parse(&fs::read_to_string(self.path("owner.key")).unwrap()).unwrap()
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut todo) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(next) = todo.pop() {
        for item in fs::read_dir(next).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() { todo.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// All entries of all snapshots that can be read, with the SHA-256 of their contents, or why there is none.
async fn contents(repository: &Repository, owner: &OwnerKey) -> BTreeMap<ObjectId, Vec<(StoredEntry, String)>> {
    let view = repository.view().await.unwrap();
    let keys = repository.unlock(owner).await.unwrap();
    let mut all = BTreeMap::new();
    for (id, snapshot) in view.snapshots() {
        let reader = view.reader(*id, snapshot.clone());
        let data = view.data_chunks(&keys);
        let mut entries = Vec::new();
        let Ok(page) = reader.page("", None, 1_000).await else { continue };
        for stored in page {
            let mut content = reader.content(&stored, 0, &data).unwrap();
            let read = move || {
                let mut bytes = Vec::new();
                content.read_to_end(&mut bytes).map(|_| ObjectId::of(&bytes).to_string())
            };
            let digest = tokio::task::spawn_blocking(read).await.unwrap();
            entries.push((stored, digest.unwrap_or_else(|e| e.to_string())));
        }
        all.insert(*id, entries);
    }
    all
}

/// What the frozen repository holds: entries.txt.
fn expected() -> BTreeMap<ObjectId, Vec<(StoredEntry, String)>> {
    let mut all = BTreeMap::new();
    let mut current = None;
    for line in fs::read_to_string(Frozen::original().path("entries.txt")).unwrap().lines() {
        match line.split_once(' ').unwrap() {
            ("snapshot", id) => {
                let id: ObjectId = id.parse().unwrap();
                all.insert(id, Vec::new());
                current = Some(id);
            }
            (digest, line) => {
                let Ok(ParsedLine::Entry(stored)) = parse_line(line.as_bytes()) else { panic!("{line}") };
                all.get_mut(&current.unwrap()).unwrap().push((*stored, digest.to_string()));
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_that_are_missing_are_written() {
    if std::env::var_os("DOZO_WRITE_VECTORS").is_none() {
        return;
    }
    let frozen = Frozen::original();
    // A frozen repository is never made again.
    if !frozen.store().exists() {
        repository::make(&frozen).await;
    }
    documents::write(&frozen, &folder());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_frozen_repository_reads_as_it_did() {
    let frozen = Frozen::original();
    let repository = frozen.open().await;
    let found = contents(&repository, &frozen.owner()).await;
    assert_eq!(found, expected());

    let view = repository.view().await.unwrap();
    let keys = repository.unlock(&frozen.owner()).await.unwrap();
    for depth in [Depth::Structure, Depth::Scrub(Sample::All), Depth::Data(Sample::All, &keys)] {
        let findings = verify(&view, depth, &VerifyCounters::default()).await.unwrap();
        assert!(findings.is_clean(), "{findings:?}");
    }
    let [first, second, names] = view.snapshots() else { panic!("three snapshots: {:?}", view.snapshots()) };
    assert_eq!((second.1.previous, &second.1.status), (Some(first.0), &snapshot::Status::Partial));
    assert_eq!(second.1.omitted[0].0, "srv/secret");
    assert_eq!((first.1.job.name.as_str(), names.1.job.name.as_str()), ("files", "names"));
}

/// Each object of the frozen repository, damaged in each way: what is read is right, and what is wrong is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_to_any_object_is_found_and_never_restored() {
    let expected = expected();
    for object in Frozen::original().objects() {
        for how in ["delete", "truncate", "flip"] {
            let (_dir, copy) = Frozen::copy();
            damage(&copy.store().join(&object), how);
            let kind = object.split('/').next().unwrap();
            if ["dozo.json", "keys"].contains(&kind) {
                // Without these, nothing is read at all.
                let opened = match copy.try_open().await {
                    Ok(repository) => repository.unlock(&copy.owner()).await.map(|_| ()),
                    Err(error) => Err(error),
                };
                assert!(opened.is_err(), "{object} {how}");
                continue;
            }
            let repository = copy.open().await;
            let view = repository.view().await.unwrap();
            let keys = repository.unlock(&copy.owner()).await.unwrap();
            let findings = verify(&view, Depth::Data(Sample::All, &keys), &VerifyCounters::default()).await.unwrap();
            // Records are for people; a snapshot that is gone is for its host to miss.
            let seen = !findings.is_clean() || kind == "records" || (kind == "snapshots" && how == "delete");
            assert!(seen, "{object} {how}: {findings:?}");
            let mut whole = 0;
            for (id, entries) in contents(&repository, &copy.owner()).await {
                for ((stored, digest), (right, wanted)) in entries.iter().zip(&expected[&id]) {
                    assert_eq!(stored, right, "{object} {how}");
                    assert!(digest == wanted || digest.parse::<ObjectId>().is_err(), "{object} {how}: {stored:?}");
                    whole += usize::from(digest == wanted);
                }
            }
            let all: usize = expected.values().map(Vec::len).sum();
            assert!(whole < all || kind == "records", "{object} {how}: nothing was lost");
        }
    }
}

fn damage(file: &Path, how: &str) {
    let mut bytes = fs::read(file).unwrap();
    match how {
        "delete" => return fs::remove_file(file).unwrap(),
        "truncate" => drop(bytes.pop()),
        _ => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
    }
    fs::write(file, bytes).unwrap();
}

/// A vector: a header of lines `name: value`, an empty line, the bytes.
struct Vector {
    header: BTreeMap<String, String>,
    bytes: Vec<u8>,
}

impl Vector {
    fn parse(text: &str) -> Self {
        let (header, body) = text.split_once("\n\n").expect("an empty line between header and bytes");
        let header: BTreeMap<String, String> = header
            .lines()
            .map(|line| line.split_once(": ").expect("`name: value`"))
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        let bytes = match header["bytes"].as_str() {
            // As it stands, but for the newline that every file ends with.
            "text" => body.strip_suffix('\n').unwrap().as_bytes().to_vec(),
            "lines" => body.as_bytes().to_vec(),
            "hex" => hex::decode(body.replace('\n', "")).unwrap(),
            other => panic!("unknown bytes: {other}"),
        };
        Vector { header, bytes }
    }

    /// Why the outcome is not what the header says, if so.
    fn verdict(&self, outcome: Result<()>) -> Option<String> {
        let expect = self.header["expect"].as_str();
        match (expect.strip_prefix("refused: "), outcome) {
            (Some(words), Err(error)) if error.chain().contains(words) => None,
            (Some(words), Err(error)) => Some(format!("refused for `{}`, not `{words}`", error.chain())),
            (Some(words), Ok(())) => Some(format!("taken, and not refused for `{words}`")),
            (None, Ok(())) if expect == "ok" => None,
            (None, Ok(())) => Some(format!("the header says `{expect}`")),
            (None, Err(error)) => Some(format!("refused for `{}`", error.chain())),
        }
    }
}

/// Reads a vector as its kind is read.
async fn read(kind: &str, vector: &Vector) -> Result<()> {
    let bytes = vector.bytes.as_slice();
    let text = || std::str::from_utf8(bytes).map_err(|_| Error::invalid("not UTF-8"));
    match kind {
        "path" => path::check(text()?),
        "object-name" => name::parse_snapshot(text()?).map(|_| ()),
        "manifest-line" => parse_line(bytes).map(|_| ()),
        "extents" => parse_extents(bytes).map(|_| ()),
        "index" => index::parse(bytes).map(|_| ()),
        "snapshot" => snapshot::Snapshot::parse(bytes).map(|_| ()),
        "record" => record::RunRecord::parse(bytes).map(|_| ()),
        "accept" => record::AcceptRecord::parse(bytes).map(|_| ()),
        "trailer" => pack::read_trailer(bytes).map(|_| ()),
        "key" => key::KeyDocument::parse(bytes).map(|_| ()),
        "host-key" => HostKey::parse(bytes).map(|_| ()),
        "owner-key" => OwnerKey::parse(text()?).map(|_| ()),
        "sign" => {
            let (_dir, copy) = Frozen::copy();
            fs::write(copy.store().join("dozo.json"), bytes).unwrap();
            copy.try_open().await.map(|_| ())
        }
        "document" => documents::read(&vector.header["object"], bytes).await,
        other => panic!("no such kind of vector: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_vector_is_read_as_it_says() {
    let (mut taken, mut refused, mut wrong) = (0, 0, Vec::new());
    for file in files(&folder()) {
        let name = file.strip_prefix(folder()).unwrap().to_path_buf();
        let kind = name.iter().next().unwrap().to_str().unwrap();
        if kind == "repository-1" || kind == ".gitattributes" {
            continue;
        }
        assert!(name.iter().count() == 2 && name.extension().is_some_and(|e| e == "txt"), "{}", name.display());
        let vector = Vector::parse(&fs::read_to_string(&file).unwrap());
        if vector.header["expect"] == "ok" {
            taken += 1
        } else {
            refused += 1
        }
        let outcome = read(kind, &vector).await;
        wrong.extend(vector.verdict(outcome).map(|why| format!("{}: {why}", name.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused > 2 * taken && taken > 10, "{refused} refused, {taken} taken: refusals are what vectors are for");
}
