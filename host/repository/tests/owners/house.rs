//! A repository with an owner, and a store that fails when it is told to.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dozo_repository::format::snapshot::{Named, PluginStamp, Scope, Snapshot, Status};
use dozo_repository::{
    Ask, Changed, Cutting, Entry, Error, HostKey, HostUid, KeyTest, LeaseId, LeaseRequest, OwnerKey, Purpose,
    Recipient, Repository, Resources, Result, Secret, Stamp, Store,
};
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use zeroize::Zeroizing;

/// Long enough to be taken. Each use of a passphrase costs a second, so tests use few.
pub(crate) const PASSPHRASE: &str = "correct horse battery staple";

/// Answers every question with one passphrase.
pub(crate) struct Says(pub(crate) &'static str);

impl Ask for Says {
    fn say(&self, _message: &str) {}

    fn confirm(&self, _question: &str, _yes: &str, _no: Option<&str>) -> Result<bool> {
        Ok(true)
    }

    fn public(&self, _what: &str) -> Result<String> {
        Ok(String::new())
    }

    fn secret(&self, _what: &str) -> Result<Zeroizing<String>> {
        Ok(Zeroizing::new(self.0.into()))
    }

    fn new_secret(&self, what: &str) -> Result<Zeroizing<String>> {
        self.secret(what)
    }
}

/// An owner with an X25519 key.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) recipient: Recipient,
    pub(crate) key: OwnerKey,
}

/// A repository that has one owner, and this host's key to it.
pub(crate) struct House {
    pub(crate) objects: Arc<Shaky>,
    pub(crate) key: HostKey,
    pub(crate) first: Owner,
}

pub(crate) fn secret() -> Secret {
    Secret::new([7; 32])
}

pub(crate) fn owner() -> Owner {
    let (recipient, text) = OwnerKey::generate(secret().repository());
    Owner { recipient, key: OwnerKey::parse(&text).unwrap() }
}

pub(crate) fn stamp() -> Stamp {
    let host = Named { uid: HostUid([1; 8]), name: "host".into() };
    Stamp { host, at: "2026-11-23T00:00:00Z".parse().unwrap() }
}

/// Each time another lease: tests back up side by side.
fn lease_request() -> LeaseRequest {
    static LEASES: AtomicUsize = AtomicUsize::new(0);
    let number = LEASES.fetch_add(1, Ordering::Relaxed) as u128;
    LeaseRequest {
        id: LeaseId(number.to_le_bytes()),
        purpose: Purpose::Run,
        host: "host".into(),
        job: Some("job".into()),
        started: stamp().at,
        predecessors: Vec::new(),
    }
}

impl House {
    pub(crate) async fn new() -> Self {
        House::with(&[]).await
    }

    /// With other owners too.
    pub(crate) async fn with(others: &[&Recipient]) -> Self {
        let (objects, first) = (Arc::new(Shaky::default()), owner());
        let owners: Vec<Recipient> = [&first.recipient].into_iter().chain(others.iter().copied()).cloned().collect();
        let store = Store::over(objects.clone(), "memory://");
        let key =
            Repository::create_asking(&store, secret(), HostUid([1; 8]), &owners, Arc::new(Says(PASSPHRASE))).await;
        House { objects, key: key.unwrap(), first }
    }

    pub(crate) fn store(&self) -> Store {
        Store::over(self.objects.clone(), "memory://")
    }

    pub(crate) async fn open(&self) -> Repository {
        Repository::open(self.store(), self.key.clone()).await.unwrap()
    }

    /// Takes the new key, as the command does.
    pub(crate) fn take(&mut self, changed: &Changed) {
        assert!(changed.left.is_empty(), "{:?}", changed.left);
        self.key = HostKey::parse(changed.key.to_text().as_bytes()).unwrap();
    }

    /// The first owner removes another, and this host goes over to the new epoch.
    pub(crate) async fn remove(&mut self, other: &Owner) {
        let gone = [other.recipient.to_string()];
        let changed = self.open().await.remove_owners(&self.first.key, &gone, &[], &stamp()).await.unwrap();
        self.take(&changed);
    }

    /// Stores a snapshot with one file `a` of this content, sealed to the epoch of the key.
    pub(crate) async fn back_up(&self, job: &str, content: &[u8]) {
        let repository = self.open().await;
        let lease = repository.lease(lease_request()).await.unwrap();
        let view = repository.view_to_write(&lease).await.unwrap();
        let writer = view.writer(Resources { scratch: std::env::temp_dir(), workers: 1 }).unwrap();
        let mut entry = writer.entry(Entry::file("a"), Cutting::ByContent);
        entry.write(content).await.unwrap();
        entry.finish().await.unwrap();
        let (host, uid) = (repository.host(), repository.job_uid(job));
        let describe = |manifest, stored| Snapshot {
            schema: Snapshot::SCHEMA.into(),
            features: vec![],
            host: Named { uid: host, name: "host".into() },
            job: Named { uid, name: job.into() },
            sequence: 1,
            plugin: PluginStamp { name: "test".into(), version: "1".into(), digest: "0".repeat(64).parse().unwrap() },
            source: None,
            scope: Scope::Full,
            started: stamp().at,
            ended: stamp().at,
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
        lease.release().await.unwrap();
    }

    /// Tries an owner's key on all that there is.
    pub(crate) async fn test(&self, owner: &OwnerKey) -> KeyTest {
        let repository = self.open().await;
        let view = repository.view().await.unwrap();
        repository.test_owner(owner, &view, &stamp()).await.unwrap()
    }

    /// The content of a job's file, read with an owner's key.
    pub(crate) async fn read(&self, job: &str, owner: &OwnerKey) -> Result<Vec<u8>> {
        let repository = self.open().await;
        let view = repository.view().await?;
        let (id, snapshot) = view.snapshots().iter().find(|(_, s)| s.job.name == job).unwrap().clone();
        let data = view.data_chunks(&repository.unlock(owner).await?);
        let reader = view.reader(id, snapshot);
        let stored = reader.get("a").await?.unwrap();
        let mut content = reader.content(&stored, 0, &data)?;
        let read = move || {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).map(|_| bytes).map_err(|e| Error::io("read", e))
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }

    pub(crate) async fn names(&self, folder: &str) -> Vec<String> {
        self.objects.names(folder).await
    }
}

/// A store in memory that stops answering after so many calls, as a machine that loses its network or its power.
pub(crate) struct Shaky {
    inner: InMemory,
    left: AtomicUsize,
    /// Whether the first call without an answer is done all the same.
    done: AtomicBool,
}

/// What becomes of the first call that is not answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Last {
    Lost,
    Done,
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Answered,
    Unanswered,
}

impl Default for Shaky {
    fn default() -> Self {
        Shaky { inner: InMemory::new(), left: AtomicUsize::new(usize::MAX), done: AtomicBool::new(false) }
    }
}

impl Shaky {
    /// Answers so many more calls, and then none.
    pub(crate) fn break_after(&self, calls: usize, last: Last) {
        self.left.store(calls, Ordering::Relaxed);
        self.done.store(last == Last::Done, Ordering::Relaxed);
    }

    /// Answers again; returns whether it had stopped to.
    pub(crate) fn mend(&self) -> bool {
        self.done.store(false, Ordering::Relaxed);
        self.left.swap(usize::MAX, Ordering::Relaxed) == 0
    }

    /// The same objects in another store.
    pub(crate) async fn copy(&self) -> Shaky {
        let copy = Shaky::default();
        for name in self.names("").await {
            copy.write(&name, &self.bytes(&name).await).await;
        }
        copy
    }

    pub(crate) async fn names(&self, folder: &str) -> Vec<String> {
        use futures::TryStreamExt;
        let folder = Path::from(folder);
        let objects: Vec<ObjectMeta> = self.inner.list(Some(&folder)).try_collect().await.unwrap();
        let mut names: Vec<String> = objects.into_iter().map(|meta| meta.location.to_string()).collect();
        names.sort();
        names
    }

    pub(crate) async fn bytes(&self, name: &str) -> Vec<u8> {
        self.inner.get(&Path::from(name)).await.unwrap().bytes().await.unwrap().to_vec()
    }

    /// Writes as whoever holds the store's credentials can: over what is there.
    pub(crate) async fn write(&self, name: &str, bytes: &[u8]) {
        self.inner.put(&Path::from(name), bytes.to_vec().into()).await.unwrap();
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.inner.delete(&Path::from(name)).await.unwrap();
    }

    fn step(&self) -> object_store::Result<Fate> {
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| match left {
            usize::MAX => Some(usize::MAX),
            left => left.checked_sub(1),
        });
        match left {
            Ok(_) => Ok(Fate::Answered),
            Err(_) if self.done.swap(false, Ordering::Relaxed) => Ok(Fate::Unanswered),
            Err(_) => Err(gone()),
        }
    }
}

impl Fate {
    fn answer<T>(self, answer: T) -> object_store::Result<T> {
        match self {
            Fate::Answered => Ok(answer),
            Fate::Unanswered => Err(gone()),
        }
    }
}

fn gone() -> object_store::Error {
    object_store::Error::Generic { store: "shaky", source: "it is gone".into() }
}

impl fmt::Display for Shaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("shaky")
    }
}

impl fmt::Debug for Shaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shaky")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Shaky {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let fate = self.step()?;
        fate.answer(self.inner.put_opts(location, payload, options).await?)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.step()?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let fate = self.step()?;
        fate.answer(self.inner.get_opts(location, options).await?)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        use futures::StreamExt;
        match self.step() {
            Ok(Fate::Answered) => self.inner.delete_stream(locations),
            Ok(Fate::Unanswered) => self.inner.delete_stream(locations).map(|_| Err(gone())).boxed(),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        use futures::StreamExt;
        match self.step().and_then(|fate| fate.answer(())) {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        let fate = self.step()?;
        fate.answer(self.inner.list_with_delimiter(prefix).await?)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.step()?;
        self.inner.copy_opts(from, to, options).await
    }
}
