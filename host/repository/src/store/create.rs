//! Puts that never overwrite: by the store's own refusal, or, where a store knows no such put, by looking first. That
//! leaves a moment in which two could write the same name; names are digests, so both write the same.

use std::sync::atomic::Ordering;

use object_store::path::Path as Name;
use object_store::{Attributes, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, Result};

use super::Store;
use super::causes::causes;
use super::refusal::Refusal;

impl Store {
    /// Creates an object; [`Error::AlreadyExists`] if there is one of that name.
    pub(super) async fn create(&self, name: &Name, payload: PutPayload, attributes: Attributes) -> Result<()> {
        if !self.looks_first.load(Ordering::Relaxed) {
            let options = PutOptions { mode: PutMode::Create, attributes: attributes.clone(), ..PutOptions::default() };
            match self.inner.put_opts(name, payload.clone(), options).await {
                Err(e) if is_unknown(&e) => self.looks_first.store(true, Ordering::Relaxed),
                put => return put.map(drop),
            }
        }
        match self.inner.head(name).await {
            Ok(_) => Err(Error::AlreadyExists { path: name.to_string(), source: "found by looking first".into() }),
            Err(Error::NotFound { .. }) => {
                let options = PutOptions { attributes, ..PutOptions::default() };
                self.inner.put_opts(name, payload, options).await.map(drop)
            }
            Err(e) => Err(e),
        }
    }
}

/// Whether the store says that it knows no create-only put.
pub(super) fn is_unknown(error: &Error) -> bool {
    let refusal = causes(error).find_map(|cause| cause.downcast_ref::<Refusal>());
    matches!(error, Error::NotImplemented { .. })
        || refusal.is_some_and(|refusal| refusal.status == http::StatusCode::NOT_IMPLEMENTED)
}
