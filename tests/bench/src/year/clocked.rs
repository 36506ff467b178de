//! A store with a clock that is set: objects come at the time that it shows, wherever they really lie.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};

/// Objects, and when each came.
#[derive(Clone)]
pub(super) struct Clocked(Arc<Inner>);

struct Inner {
    objects: Arc<dyn ObjectStore>,
    came: Mutex<HashMap<Path, i64>>,
    /// Seconds since 1970.
    clock: AtomicI64,
}

impl Clocked {
    pub(super) fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Clocked(Arc::new(Inner { objects, came: Mutex::default(), clock: AtomicI64::new(0) }))
    }

    pub(super) fn set(&self, now: Timestamp) {
        self.0.clock.fetch_max(now.as_second(), Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.clock.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// Bytes and number of objects below a directory.
    pub(super) async fn takes(&self, directory: &str) -> Result<(u64, u64)> {
        let mut listed = self.0.objects.list(Some(&Path::from(directory)));
        let (mut bytes, mut objects) = (0, 0);
        while let Some(object) = listed.next().await {
            (bytes, objects) = (bytes + object?.size, objects + 1);
        }
        Ok((bytes, objects))
    }
}

impl Inner {
    fn came(&self) -> std::sync::MutexGuard<'_, HashMap<Path, i64>> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dated(&self, mut meta: ObjectMeta) -> ObjectMeta {
        let came = self.came().get(&meta.location).copied().unwrap_or_default();
        let real = meta.last_modified;
        let since = Duration::new(real.timestamp().unsigned_abs(), real.timestamp_subsec_nanos());
        meta.last_modified = real - since + Duration::from_secs(came.unsigned_abs());
        meta
    }
}

impl fmt::Debug for Clocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clocked")
    }
}

impl fmt::Display for Clocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("clocked")
    }
}

#[async_trait]
impl ObjectStore for Clocked {
    async fn put_opts(&self, name: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let put = self.0.objects.put_opts(name, payload, options).await?;
        // Something takes time, so that one thing comes after another.
        let now = self.0.clock.fetch_add(1, Ordering::Relaxed);
        self.0.came().insert(name.clone(), now);
        Ok(put)
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        unimplemented!("packs are put in one call")
    }

    async fn get_opts(&self, name: &Path, options: GetOptions) -> Result<GetResult> {
        let mut got = self.0.objects.get_opts(name, options).await?;
        got.meta = self.0.dated(got.meta);
        Ok(got)
    }

    async fn get_ranges(&self, _: &Path, _: &[Range<u64>]) -> Result<Vec<Bytes>> {
        unimplemented!("objects are read whole")
    }

    fn delete_stream(&self, names: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.objects.delete_stream(names)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let inner = self.0.clone();
        self.0.objects.list(prefix).map(move |meta| meta.map(|meta| inner.dated(meta))).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        unimplemented!("listings are whole")
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unimplemented!("nothing is copied")
    }
}
