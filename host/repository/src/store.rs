//! The one user of `object_store`: create-only puts of sealed bytes, whole reads, listings. Knows names and lengths, no
//! formats and no keys. Objects are never overwritten.

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Name;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::error::{Error, Kind, Result};
use crate::seal::Sealed;

/// Where the objects of one repository lie.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    url: Arc<str>,
}

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Object {
    /// Its name in the repository.
    pub(crate) name: String,
    /// Its length.
    pub(crate) bytes: u64,
}

impl Store {
    /// A directory of this machine, which must be there: a file system that is not mounted is an error, never an empty
    /// repository. Writes are durable (`fsync` of file and directory) before they are reported done.
    pub fn local(directory: &Path) -> Result<Self> {
        let url = format!("file://{}", directory.display());
        let store = LocalFileSystem::new_with_prefix(directory).map_err(|e| {
            let error = translate(format!("open the store {url}"), e);
            match error.kind() {
                Kind::Corrupt | Kind::Unavailable | Kind::Invalid => error
                    .with_kind(Kind::Invalid)
                    .hinted("is the file system mounted? `dozo init` makes a repository where there is none"),
                _ => error,
            }
        })?;
        Ok(Store::over(Arc::new(store.with_fsync(true)), &url))
    }

    /// A store in memory, for tests and trials.
    pub fn memory() -> Self {
        Store::over(Arc::new(InMemory::new()), "memory://")
    }

    /// Any object store; `url` names it in messages and holds no secret.
    pub fn over(inner: Arc<dyn ObjectStore>, url: &str) -> Self {
        Store { inner, url: url.into() }
    }

    /// Puts a new object. One of that name which is already there is the same object, or an error.
    pub(crate) async fn put(&self, name: &str, sealed: &Sealed) -> Result<()> {
        let payload = PutPayload::from_bytes(sealed.bytes().clone());
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.inner.put_opts(&Name::from(name), payload, options).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => self.put_again(name, sealed).await,
            Err(e) => Err(translate(format!("write {name} to {self}"), e)),
        }
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
        let failed = |e| translate(format!("read {name} from {self}"), e);
        let result = self.inner.get(&Name::from(name)).await.map_err(failed)?;
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

    /// The first bytes of an object that has at least so many.
    pub(crate) async fn get_start(&self, name: &str, bytes: u64) -> Result<Bytes> {
        let failed = |e| translate(format!("read {name} from {self}"), e);
        let body = self.inner.get_range(&Name::from(name), 0..bytes).await.map_err(failed)?;
        if body.len() as u64 != bytes {
            let got = body.len();
            return Err(Error::corrupt(format!("{name} in {self} ended after {got} of {bytes} bytes")));
        }
        Ok(body)
    }

    /// Deletes an object. One that is not there is deleted.
    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        match self.inner.delete(&Name::from(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(translate(format!("delete {name} from {self}"), e)),
        }
    }

    /// When an object came to the store, by the store's clock.
    pub(crate) async fn came(&self, name: &str) -> Result<Timestamp> {
        let what = || format!("look for {name} in {self}");
        let meta = self.inner.head(&Name::from(name)).await.map_err(|e| translate(what(), e))?;
        let time = Timestamp::from_second(meta.last_modified.timestamp());
        time.map_err(|e| Error::corrupt(what()).caused_by(e))
    }

    /// The length of an object, or none if it is not there.
    pub(crate) async fn length(&self, name: &str) -> Result<Option<u64>> {
        match self.inner.head(&Name::from(name)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(translate(format!("look for {name} in {self}"), e)),
        }
    }

    /// All objects below a directory, in order of name. A listing that fails part-way is an error, never a short list.
    pub(crate) async fn list(&self, directory: &str) -> Result<Vec<Object>> {
        let listing = self.inner.list(Some(&Name::from(directory)));
        let objects = listing.map_ok(|meta| Object { name: meta.location.to_string(), bytes: meta.size });
        let mut objects: Vec<Object> =
            objects.try_collect().await.map_err(|e| translate(format!("list {directory} in {self}"), e))?;
        objects.sort();
        Ok(objects)
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// The store's word for what went wrong, in ours.
fn translate(what: String, error: object_store::Error) -> Error {
    use object_store::Error as E;
    let kind = match &error {
        E::NotFound { .. } => Kind::Corrupt,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => Kind::Denied,
        E::InvalidPath { .. } | E::UnknownConfigurationKey { .. } => Kind::Invalid,
        E::NotSupported { .. } | E::NotImplemented { .. } => Kind::Unsupported,
        _ => Kind::Unavailable,
    };
    match system_error(&error) {
        // The operating system says it best: no space left, permission denied, read-only.
        Some(code) if !matches!(error, E::NotFound { .. }) => Error::io(what, code),
        _ => Error::new(kind, what).caused_by(error),
    }
}

fn system_error(error: &(dyn StdError + 'static)) -> Option<std::io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(code) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
            return Some(std::io::Error::from_raw_os_error(code));
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(store.list("a").await.unwrap(), [Object { name: "a/b".into(), bytes: 3 }]);
        assert_eq!(store.length("a/c").await.unwrap(), None);
    }

    #[tokio::test]
    async fn more_than_allowed_and_not_there_are_corrupt() {
        let store = Store::memory();
        store.put("a", &sealed("four")).await.unwrap();
        assert_eq!(store.get("a", 3).await.unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(store.get("b", 3).await.unwrap_err().kind(), Kind::Corrupt);
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
