//! Opening a store: the right service, what all of them share, and the first question.

use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use object_store::ObjectStore;
use object_store::limit::LimitStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Name;
use object_store::prefix::PrefixStore;

use super::cold::Cold;
use super::config::{Bucket, StoreConfig, StorePlace};
use super::http::Connector;
use super::translate::translate;
use super::{Store, cloud};
use crate::error::{Error, Kind, Result};

impl Store {
    /// The store that the configuration describes. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`Invalid`](Kind::Invalid) if it cannot be a store: a directory that is not there, a name that is none.
    pub fn open(config: &StoreConfig) -> Result<Self> {
        let traffic = &config.traffic;
        let requests = traffic.requests_in_flight.max(1);
        let transport = config.network.transport;
        let connector = || Connector::new(&config.network, traffic, config.place.hidden());
        let failed = |e| translate(format!("open the store {}", config.url), e).with_kind(Kind::Invalid);
        let (inner, cold, bucket) = match &config.place {
            StorePlace::Directory(directory) => {
                let unlimited = traffic.upload_bytes_per_second.or(traffic.download_bytes_per_second).is_none();
                if !unlimited {
                    return Err(Error::invalid(format!("{} has no line that could be limited", config.url)));
                }
                let store = Store::local(directory)?;
                // Named as it was written: what a URL escapes must be typed so again.
                let url = config.url.as_str().into();
                return Ok(Store { inner: limited(store.inner.clone(), requests), url, ..store });
            }
            StorePlace::S3(place) => {
                let (inner, thawer) = cloud::s3(place, connector()?, transport).map_err(failed)?;
                (inner, Cold::Thaws(Arc::new(thawer)), &place.bucket)
            }
            // What lies in an archive there is read like anything else.
            StorePlace::Gcs(place) => {
                (cloud::gcs(place, connector()?, transport).map_err(failed)?, Cold::Never, &place.bucket)
            }
            StorePlace::Azure(place) => {
                (cloud::azure(place, connector()?, transport).map_err(failed)?, Cold::Stays, &place.bucket)
            }
        };
        let store = Store::over(limited(below(inner, bucket), requests), &config.url);
        Ok(Store { pack_class: bucket.pack_class.as_deref().map(Into::into), cold, ..store })
    }

    /// A directory of this machine, which must be there: a file system that is not mounted is an error, never an empty
    /// repository. Writes are durable (`fsync` of file and directory) before they are reported done.
    pub fn local(directory: &Path) -> Result<Self> {
        let url = format!("file://{}", directory.display());
        let store = LocalFileSystem::new_with_prefix(directory).map_err(|e| {
            let error = translate(format!("open the store {url}"), e);
            match error.kind() {
                Kind::Corrupt | Kind::Unavailable | Kind::Invalid => {
                    error.with_kind(Kind::Invalid).hinted("is its file system mounted, and is the path right?")
                }
                _ => error,
            }
        })?;
        let store = Store::over(Arc::new(store.with_fsync(true)), &url);
        Ok(Store { directory: Some(directory.into()), ..store })
    }

    /// A store in memory, for tests and trials.
    pub fn memory() -> Self {
        Store::over(Arc::new(InMemory::new()), "memory://")
    }

    /// Asks for something small: an address, a name or credentials that are wrong are told apart by it. A question for
    /// one object is answered with a number alone.
    pub(crate) async fn reach(&self) -> Result<()> {
        match self.inner.list(Some(&Name::from("keys"))).next().await {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(e)) => Err(translate(format!("reach the store {self}"), e)),
        }
    }
}

/// So many requests at once.
fn limited(inner: Arc<dyn ObjectStore>, requests: usize) -> Arc<dyn ObjectStore> {
    Arc::new(LimitStore::new(inner, requests))
}

/// All names below the prefix.
fn below(inner: Arc<dyn ObjectStore>, bucket: &Bucket) -> Arc<dyn ObjectStore> {
    match bucket.prefix.as_str() {
        "" => inner,
        prefix => Arc::new(PrefixStore::new(inner, Name::from(prefix))),
    }
}
