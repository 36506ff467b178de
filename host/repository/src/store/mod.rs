//! The one user of `object_store`: create-only puts of sealed bytes, whole reads, listings. Knows names and lengths, no
//! formats and no keys. Objects are never overwritten and, here, never deleted.

#[cfg(test)]
mod against;
mod body;
mod causes;
mod cloud;
mod config;
mod create;
mod http;
mod listing;
mod open;
mod pace;
mod probe;
mod refusal;
mod said;
mod tls;
mod translate;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path as Name;
use object_store::{Attribute, Attributes, ObjectStore, ObjectStoreExt, PutPayload};

use crate::error::{Error, Result};
use crate::format::name::PackKind;
use crate::seal::Sealed;
use translate::translate;

pub use config::{
    Addressing, AzureCredentials, AzurePlace, Bucket, GcsPlace, Hidden, Network, Proxy, S3Credentials, S3Encryption,
    S3Place, StoreConfig, StorePlace, Traffic, Transport,
};
pub use probe::{Examination, Permitted};

/// Where the objects of one repository lie.
#[derive(Clone)]
pub struct Store {
    inner: Arc<dyn ObjectStore>,
    url: Arc<str>,
    /// The storage class of data packs, if it is not the bucket's own.
    pack_class: Option<Arc<str>>,
    /// Whether the store knows no create-only put.
    looks_first: Arc<AtomicBool>,
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
    /// Any object store; `url` names it in messages and holds no secret.
    pub fn over(inner: Arc<dyn ObjectStore>, url: &str) -> Self {
        Store { inner, url: url.into(), pack_class: None, looks_first: Arc::default() }
    }

    /// Puts a new object. One of that name which is already there is the same object, or an error.
    pub(crate) async fn put(&self, name: &str, sealed: &Sealed) -> Result<()> {
        let payload = PutPayload::from_bytes(sealed.bytes().clone());
        match self.create(&Name::from(name), payload, self.attributes(name)).await {
            Ok(()) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => self.put_again(name, sealed).await,
            Err(e) => Err(translate(format!("write {name} to {self}"), e)),
        }
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
