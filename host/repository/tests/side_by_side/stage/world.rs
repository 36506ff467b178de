//! A store that does what it is told: a clock that is set, listings that come late, and calls that fail by a script.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// The objects, and the store's clock.
pub(crate) struct World {
    inner: InMemory,
    /// When each object came, in seconds.
    came: Mutex<HashMap<Path, u64>>,
    clock: AtomicU64,
    /// Seconds until a new object shows in listings.
    pub(crate) late: AtomicU64,
    /// Seconds that each call takes.
    pub(crate) tick: AtomicU64,
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(World {
            inner: InMemory::new(),
            came: Mutex::default(),
            clock: AtomicU64::new(1_700_000_000),
            late: AtomicU64::new(0),
            tick: AtomicU64::new(1),
        })
    }

    /// The same world, which goes its own way from here.
    pub(crate) fn fork(&self) -> Arc<Self> {
        Arc::new(World {
            inner: self.inner.fork(),
            came: Mutex::new(self.came.lock().unwrap().clone()),
            clock: AtomicU64::new(self.now()),
            late: AtomicU64::new(self.late.load(Ordering::Relaxed)),
            tick: AtomicU64::new(self.tick.load(Ordering::Relaxed)),
        })
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }

    fn came(&self, name: &Path) -> u64 {
        *self.came.lock().unwrap().get(name).unwrap()
    }

    fn dated(&self, mut meta: ObjectMeta) -> ObjectMeta {
        let real = meta.last_modified;
        let since = Duration::new(real.timestamp().unsigned_abs(), real.timestamp_subsec_nanos());
        meta.last_modified = real - since + Duration::from_secs(self.came(&meta.location));
        meta
    }

    /// The names of all objects below a directory, late ones too.
    pub(crate) async fn names(&self, directory: &str) -> Vec<String> {
        let listed: Vec<_> = self.inner.list(Some(&Path::from(directory))).collect().await;
        let mut names: Vec<String> = listed.into_iter().map(|meta| meta.unwrap().location.to_string()).collect();
        names.sort();
        names
    }

    /// Puts other bytes in the place of an object, or nothing.
    pub(crate) async fn tamper(&self, name: &str, bytes: Option<Vec<u8>>) {
        let name = Path::from(name);
        self.inner.delete(&name).await.unwrap();
        if let Some(bytes) = bytes {
            self.inner.put(&name, bytes.into()).await.unwrap();
        }
    }

    /// Puts an object as somebody else would.
    pub(crate) async fn plant(&self, name: &str, bytes: &[u8]) {
        let name = Path::from(name);
        self.inner.put(&name, bytes.to_vec().into()).await.unwrap();
        self.came.lock().unwrap().insert(name, self.now());
    }

    pub(crate) async fn bytes(&self, name: &str) -> Vec<u8> {
        self.inner.get(&Path::from(name)).await.unwrap().bytes().await.unwrap().to_vec()
    }
}

/// One call of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Put,
    Get,
    List,
    Delete,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Works,
    /// An error, and nothing was done.
    Fails,
    /// It was done, and the answer is an error.
    AnswerLost,
    /// What is read ends early.
    Truncates,
    /// No right to do that.
    Denied,
    /// A listing that shows nothing, without an error.
    Empty,
}

/// Decides what becomes of calls.
#[async_trait]
pub(crate) trait Script: Send + Sync + 'static {
    async fn fate(&self, call: Call, name: &str) -> Fate;
}

/// Everything works.
pub(crate) struct Works;

#[async_trait]
impl Script for Works {
    async fn fate(&self, _: Call, _: &str) -> Fate {
        Fate::Works
    }
}

/// Calls that a closure decides on.
pub(crate) struct By<F>(pub(crate) F);

#[async_trait]
impl<F: Fn(Call, &str) -> Fate + Send + Sync + 'static> Script for By<F> {
    async fn fate(&self, call: Call, name: &str) -> Fate {
        (self.0)(call, name)
    }
}

/// A world seen through a script.
pub(crate) struct Faulty {
    pub(crate) world: Arc<World>,
    pub(crate) script: Arc<dyn Script>,
}

impl Faulty {
    async fn fate(&self, call: Call, name: &str) -> Result<Fate> {
        let fate = self.script.fate(call, name).await;
        self.world.advance(self.world.tick.load(Ordering::Relaxed));
        match fate {
            Fate::Fails => Err(broke()),
            Fate::Denied => {
                Err(Error::PermissionDenied { path: name.into(), source: Box::new(std::io::Error::other("no right")) })
            }
            fate => Ok(fate),
        }
    }
}

fn broke() -> Error {
    Error::Generic { store: "Faulty", source: Box::new(std::io::Error::other("the connection broke")) }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, name: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fate = self.fate(Call::Put, name.as_ref()).await?;
        let now = self.world.now();
        let put = self.world.inner.put_opts(name, payload, options).await?;
        self.world.came.lock().unwrap().insert(name.clone(), now);
        if fate == Fate::AnswerLost { Err(broke()) } else { Ok(put) }
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unimplemented!("packs are put in one call")
    }

    async fn get_opts(&self, name: &Path, options: GetOptions) -> Result<GetResult> {
        let fate = self.fate(Call::Get, name.as_ref()).await?;
        let head = options.head;
        let mut got = self.world.inner.get_opts(name, options).await?;
        got.meta = self.world.dated(got.meta);
        if fate != Fate::Truncates || head {
            return Ok(got);
        }
        let (meta, range, attributes, extensions) =
            (got.meta.clone(), got.range.clone(), got.attributes.clone(), got.extensions.clone());
        let bytes = got.bytes().await?;
        let half = bytes.slice(..bytes.len() / 2);
        let payload = GetResultPayload::Stream(stream::iter([Ok(half)]).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    async fn get_ranges(&self, _: &Path, _: &[Range<u64>]) -> Result<Vec<Bytes>> {
        unimplemented!("objects are read whole")
    }

    fn delete_stream(&self, names: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = Faulty { world: self.world.clone(), script: self.script.clone() };
        let delete = move |name: Result<Path>| {
            let this = Faulty { world: this.world.clone(), script: this.script.clone() };
            async move {
                let name = name?;
                let fate = this.fate(Call::Delete, name.as_ref()).await?;
                this.world.inner.delete(&name).await?;
                if fate == Fate::AnswerLost { Err(broke()) } else { Ok(name) }
            }
        };
        names.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let this = Faulty { world: self.world.clone(), script: self.script.clone() };
        let prefix = prefix.cloned();
        let listing = async move {
            let name = prefix.as_ref().map_or("", |prefix| prefix.as_ref());
            let fate = match this.fate(Call::List, name).await {
                Ok(fate) => fate,
                Err(error) => return vec![Err(error)],
            };
            if fate == Fate::Empty {
                return Vec::new();
            }
            let shown = this.world.now().saturating_sub(this.world.late.load(Ordering::Relaxed));
            let listed: Vec<_> = this.world.inner.list(prefix.as_ref()).collect().await;
            let dated = listed.into_iter().map(|meta| meta.map(|meta| this.world.dated(meta)));
            let mut listed: Vec<_> =
                dated.filter(|m| m.as_ref().is_ok_and(|m| this.world.came(&m.location) <= shown)).collect();
            if fate != Fate::Works {
                // A listing breaks on its way.
                listed.truncate(listed.len() / 2);
                listed.push(Err(broke()));
            }
            listed
        };
        stream::once(listing).flat_map(stream::iter).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        unimplemented!("listings are whole")
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unimplemented!("nothing is copied")
    }
}
