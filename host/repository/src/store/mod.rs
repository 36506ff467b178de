//! The one user of `object_store`: create-only puts of sealed bytes, whole reads, listings, deletes. Knows names, lengths
//! and times, no formats and no keys. Objects are never overwritten; those who delete are prune, compact, repair, and
//! whoever removes an owner.

#[cfg(test)]
mod against;
mod body;
mod causes;
mod cloud;
mod cold;
mod config;
mod create;
mod entities;
mod http;
mod leftovers;
mod listing;
mod open;
mod pace;
mod probe;
mod refusal;
mod said;
mod thawer;
mod tls;
mod translate;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use object_store::path::Path as Name;
use object_store::{Attribute, Attributes, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};

use crate::error::{Error, Result};
use crate::format::name::PackKind;
use crate::id::ObjectId;
use crate::limits::READS_IN_FLIGHT;
use crate::pipeline::blocking;
use crate::seal::Sealed;
use cold::Cold;
use translate::translate;

pub use cold::ThawTier;
pub(crate) use cold::{Class, ThawOrder, Warmth};
pub use config::{
    Addressing, AzureCredentials, AzurePlace, Bucket, GcsPlace, Hidden, Network, Proxy, S3Credentials, S3Encryption,
    S3Place, StoreConfig, StorePlace, Traffic, Transport,
};
pub(crate) use leftovers::Leftover;
pub use probe::{Examination, Permitted};
pub(crate) use translate::lies_cold;

/// Where the objects of one repository lie.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    url: Arc<str>,
    /// The storage class of data packs, if it is not the bucket's own.
    pack_class: Option<Arc<str>>,
    /// Whether the store knows no create-only put.
    looks_first: Arc<AtomicBool>,
    /// Of a local store, whose deletes are durable only when their directory is.
    directory: Option<Arc<Path>>,
    /// What of it may lie in cold storage.
    cold: Cold,
    /// Whether the store answers with whole objects where a part is asked for.
    whole_only: Arc<AtomicBool>,
}

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Object {
    /// Its name in the repository.
    pub(crate) name: String,
    /// Its length.
    pub(crate) bytes: u64,
    /// When it came there, by the store's clock.
    pub(crate) modified: Timestamp,
}

impl Store {
    /// Any object store; `url` names it in messages and holds no secret.
    pub fn over(inner: Arc<dyn ObjectStore>, url: &str) -> Self {
        Store {
            inner,
            url: url.into(),
            pack_class: None,
            looks_first: Arc::default(),
            directory: None,
            cold: Cold::Never,
            whole_only: Arc::default(),
        }
    }

    /// Puts a new object. One of that name which is already there is the same object, or an error.
    pub(crate) async fn put(&self, name: &str, sealed: &Sealed) -> Result<()> {
        let payload = PutPayload::from_bytes(sealed.bytes().clone());
        match self.create(&Name::from(name), payload, self.attributes(name)).await {
            Ok(()) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => self.put_again(name, sealed).await,
            Err(e) => self.settle(name, sealed, e).await,
        }
    }

    /// An answer that says neither yes nor no, such as a connection that broke: the object that is read back decides.
    async fn settle(&self, name: &str, sealed: &Sealed, error: object_store::Error) -> Result<()> {
        let ambiguous = is_ambiguous(&error);
        let failed = translate(format!("write {name} to {self}"), error);
        if !ambiguous {
            return Err(failed);
        }
        let settled = match self.get(name, sealed.bytes().len() as u64).await {
            Ok(there) => ObjectId::of(&there) == sealed.id(),
            // It went straight into cold storage: the server has compared its digest, and no other has this name.
            Err(e) if lies_cold(&e) => self.length(name).await.ok().flatten() == Some(sealed.bytes().len() as u64),
            Err(_) => false,
        };
        if settled { Ok(()) } else { Err(failed) }
    }

    /// What the store shall know of an object: data packs may lie colder than the rest.
    fn attributes(&self, name: &str) -> Attributes {
        let data = name.split('/').next() == Some(PackKind::Data.directory());
        let class = self.pack_class.as_ref().filter(|_| data);
        class.map(|class| (Attribute::StorageClass, class.to_string())).into_iter().collect()
    }

    /// Names are digests, so an object of this name should be this object; one of another length is damage.
    async fn put_again(&self, name: &str, sealed: &Sealed) -> Result<()> {
        let there = self.length(name).await?;
        if there == Some(sealed.bytes().len() as u64) {
            return Ok(());
        }
        Err(Error::corrupt(format!("{name} is already in {self} with another length"))
            .hinted("`dozo verify` tells what else is damaged there"))
    }

    /// Reads a whole object of at most `max` bytes; one that arrives shorter than it is listed is an error.
    pub(crate) async fn get(&self, name: &str, max: u64) -> Result<Bytes> {
        let result = self.inner.get(&Name::from(name)).await;
        let result = result.map_err(|e| translate(format!("read {name} from {self}"), e))?;
        self.body(name, max, result).await
    }

    /// The same for an object that somebody may have deleted since it was listed.
    pub(crate) async fn get_if_there(&self, name: &str, max: u64) -> Result<Option<Bytes>> {
        match self.inner.get(&Name::from(name)).await {
            Ok(result) => self.body(name, max, result).await.map(Some),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(translate(format!("read {name} from {self}"), e)),
        }
    }

    async fn body(&self, name: &str, max: u64, result: GetResult) -> Result<Bytes> {
        let failed = |e| translate(format!("read {name} from {self}"), e);
        let bytes = result.meta.size;
        if bytes > max {
            return Err(Error::corrupt(format!("{name} in {self} has {bytes} bytes, more than the {max} allowed")));
        }
        let body = result.bytes().await.map_err(failed)?;
        if body.len() as u64 != bytes {
            let got = body.len();
            return Err(Error::corrupt(format!("{name} in {self} ended after {got} of {bytes} bytes")));
        }
        Ok(body)
    }

    /// A part of an object that has at most `max` bytes in all, or none if it is not there.
    pub(crate) async fn get_range(&self, name: &str, range: Range<u64>, max: u64) -> Result<Option<Bytes>> {
        if self.reads_whole() {
            return self.get_part(name, range, max).await;
        }
        let body = match self.inner.get_range(&Name::from(name), range.clone()).await {
            Ok(body) => body,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) if is_whole(&e) => {
                self.whole_only.store(true, Ordering::Relaxed);
                return self.get_part(name, range, max).await;
            }
            Err(e) => return Err(translate(format!("read {name} from {self}"), e)),
        };
        let (got, wanted) = (body.len() as u64, range.end - range.start);
        if got != wanted {
            let from = range.start;
            return Err(Error::corrupt(format!("{name} in {self} ended after {got} of {wanted} bytes from {from} on")));
        }
        Ok(Some(body))
    }

    /// Whether the store was found to answer with whole objects, whatever part is asked for.
    pub(crate) fn reads_whole(&self) -> bool {
        self.whole_only.load(Ordering::Relaxed)
    }

    async fn get_part(&self, name: &str, range: Range<u64>, max: u64) -> Result<Option<Bytes>> {
        let Some(whole) = self.get_if_there(name, max).await? else { return Ok(None) };
        let part = whole.get(range.start as usize..range.end as usize);
        let short = || Error::corrupt(format!("{name} in {self} has {} bytes, too few", whole.len()));
        // A copy, so that the rest need not stay.
        Ok(Some(Bytes::copy_from_slice(part.ok_or_else(short)?)))
    }

    /// The length of an object, or none if it is not there.
    pub(crate) async fn length(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.find(name).await?.map(|object| object.bytes))
    }

    /// What a listing would show of one object, or none if it is not there.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<Object>> {
        match self.inner.head(&Name::from(name)).await {
            Ok(meta) => Ok(Some(listed(&meta)?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(translate(format!("look for {name} in {self}"), e)),
        }
    }

    /// All objects below a directory, in order of name. A listing that fails part-way is an error, never a short list.
    pub(crate) async fn list(&self, directory: &str) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        self.each(directory, |object| objects.push(object)).await?;
        objects.sort();
        Ok(objects)
    }

    /// The same for more objects than memory should hold: one after the other, in any order.
    pub(crate) async fn each(&self, directory: &str, mut take: impl FnMut(Object)) -> Result<()> {
        let mut listing = self.inner.list(Some(&Name::from(directory)));
        while let Some(meta) = listing.next().await {
            take(listed(&meta.map_err(|e| translate(format!("list {directory} in {self}"), e))?)?);
        }
        Ok(())
    }

    /// Deletes objects; one that is not there is done. All are gone for good when this returns.
    pub(crate) async fn delete(&self, names: &[String]) -> Result<()> {
        let deletes = stream::iter(names.iter().map(|name| async move {
            match self.inner.delete(&Name::from(name.as_str())).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(e) => Err(translate(format!("delete {name} from {self}"), e)),
            }
        }));
        deletes.buffer_unordered(READS_IN_FLIGHT).try_collect::<()>().await?;
        let Some(root) = self.directory.clone() else { return Ok(()) };
        let parents = names.iter().filter_map(|name| Some(root.join(name).parent()?.to_path_buf()));
        let mut parents: Vec<PathBuf> = parents.collect();
        parents.sort_unstable();
        parents.dedup();
        blocking(move || parents.iter().try_for_each(|parent| sync(parent))).await
    }
}

/// Makes deletes in a directory durable, if it is still there itself.
fn sync(directory: &Path) -> Result<()> {
    let synced = std::fs::File::open(directory).and_then(|opened| opened.sync_all());
    match synced {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(format!("make deletes in {} durable", directory.display()), e))
        }
        _ => Ok(()),
    }
}

fn listed(meta: &ObjectMeta) -> Result<Object> {
    let (seconds, rest) = (meta.last_modified.timestamp(), meta.last_modified.timestamp_subsec_nanos());
    let modified = Timestamp::new(seconds, rest.cast_signed())
        .map_err(|e| Error::corrupt(format!("the store's time of {} is out of range", meta.location)).caused_by(e))?;
    Ok(Object { name: meta.location.to_string(), bytes: meta.size, modified })
}

/// Whether a store answered with the whole object that was asked for a part. The library has a type of its own for that, which
/// it shows to nobody.
fn is_whole(error: &object_store::Error) -> bool {
    causes::causes(error).any(|cause| cause.to_string().contains("non-partial response"))
}

/// Whether an error of a put leaves open if the object was stored. A server's no does not; a local file system's error does
/// not either: what it could not make durable can be read back all the same.
fn is_ambiguous(error: &object_store::Error) -> bool {
    let refused = causes::causes(error).any(<dyn std::error::Error>::is::<refusal::Refusal>);
    !refused && matches!(error, object_store::Error::Generic { store, .. } if *store != "LocalFileSystem")
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn sealed(text: &str) -> Sealed {
        Sealed::sign(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn objects_are_never_overwritten() {
        let store = Store::memory();
        store.put("a/b", &sealed("one")).await.unwrap();
        store.put("a/b", &sealed("one")).await.unwrap();
        assert!(store.put("a/b", &sealed("other")).await.is_err());
        assert_eq!(&store.get("a/b", 100).await.unwrap()[..], b"one");
        let listed: Vec<(String, u64)> =
            store.list("a").await.unwrap().into_iter().map(|o| (o.name, o.bytes)).collect();
        assert_eq!(listed, [("a/b".to_string(), 3)]);
        assert_eq!(store.length("a/c").await.unwrap(), None);
    }

    #[tokio::test]
    async fn more_than_allowed_and_not_there_are_corrupt() {
        let store = Store::memory();
        store.put("a", &sealed("four")).await.unwrap();
        assert_eq!(store.get("a", 3).await.unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(store.get("b", 3).await.unwrap_err().kind(), Kind::Corrupt);
    }

    #[tokio::test]
    async fn deletes_are_done_however_often() {
        let dir = tempfile::tempdir().unwrap();
        for store in [Store::memory(), Store::local(dir.path()).unwrap()] {
            store.put("a/b", &sealed("one")).await.unwrap();
            store.put("a/c", &sealed("two")).await.unwrap();
            for _ in 0..2 {
                store.delete(&["a/b".into(), "x/y".into()]).await.unwrap();
                assert_eq!(store.length("a/b").await.unwrap(), None);
                assert_eq!(store.list("a").await.unwrap().len(), 1);
            }
            assert!(store.get_if_there("a/b", 10).await.unwrap().is_none());
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_not_created() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("nas");
        let error = Store::local(&missing).err().unwrap();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(!missing.exists());
    }
}
