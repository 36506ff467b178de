//! What a store lets this host do, found out by doing it with one tiny object of a fixed name.

use futures::TryFutureExt;
use jiff::Timestamp;
use object_store::path::Path as Name;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::Store;
use super::create::is_unknown;
use super::said::Said;
use super::translate::translate;
use crate::error::{Error, Kind, Result};

/// The same each time: a host that may not delete leaves one, not many.
const PROBE: &str = "probe/dozo";
/// Means nothing to anybody.
const TEXT: &str = "dozo was here to see what it may do; this may be deleted\n";

/// Whether something is permitted, or honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permitted {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// What a store lets this host do.
#[derive(Clone, Debug)]
pub struct Examination {
    /// Whether objects can be put.
    pub write: Permitted,
    /// Whether a put of a name that is there already is refused; unknown where nothing can be put.
    pub create_only: Option<Permitted>,
    /// Whether objects can be deleted; unknown where there is none to try it on.
    pub delete: Option<Permitted>,
    /// The lock that the store lays on new objects, if it shows one.
    pub lock: Option<String>,
    /// The store's clock, if it shows it.
    pub time: Option<Timestamp>,
}

impl Store {
    /// Finds out what this host may do. Cleans up where it may delete, else leaves one tiny object.
    ///
    /// # Errors
    /// If the store cannot be reached, or does not give back what was put.
    pub async fn examine(&self) -> Result<Examination> {
        self.reach().await?;
        let put = self.put_probe().await?;
        let (there, time, lock) = self.read_probe().await?;
        let (write, create_only) = match put {
            Put::Denied => (Permitted::No, None),
            _ if !there => {
                return Err(Error::corrupt(format!("{PROBE} was put into {self}, and is not there")));
            }
            Put::There => (Permitted::Yes, Some(Permitted::Yes)),
            Put::New => (Permitted::Yes, Some(self.second_put().await?)),
        };
        let delete = if there { Some(self.delete_probe().await?) } else { None };
        Ok(Examination { write, create_only, delete, lock, time })
    }

    /// Whether the store refuses to put a name that is there already. Nothing depends on it, because names are digests;
    /// where it is so, a host that may not delete cannot overwrite either.
    ///
    /// # Errors
    /// If the store cannot be reached, or nothing may be put.
    pub async fn honours_create_only(&self) -> Result<bool> {
        match self.examine().await?.create_only {
            Some(permitted) => Ok(permitted == Permitted::Yes),
            None => Err(Error::denied(format!("nothing may be put into {self}"))),
        }
    }

    async fn put_probe(&self) -> Result<Put> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.inner.put_opts(&Name::from(PROBE), PutPayload::from_static(TEXT.as_bytes()), options).await {
            Ok(_) => Ok(Put::New),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::There),
            Err(e) if is_unknown(&e) => self.put_plainly().await,
            Err(e) => match translate(format!("write {PROBE} to {self}"), e) {
                error if forbidden(&error) => Ok(Put::Denied),
                error => Err(error),
            },
        }
    }

    /// Where the store knows no create-only put.
    async fn put_plainly(&self) -> Result<Put> {
        let put = self.inner.put(&Name::from(PROBE), PutPayload::from_static(TEXT.as_bytes())).await;
        put.map(|_| Put::New).map_err(|e| translate(format!("write {PROBE} to {self}"), e))
    }

    async fn second_put(&self) -> Result<Permitted> {
        Ok(if self.put_probe().await? == Put::There { Permitted::Yes } else { Permitted::No })
    }

    /// Whether the probe is there, and what the store says beside it.
    async fn read_probe(&self) -> Result<(bool, Option<Timestamp>, Option<String>)> {
        let failed = |e| translate(format!("read {PROBE} from {self}"), e);
        let result = match self.inner.get_opts(&Name::from(PROBE), GetOptions::default()).await {
            Ok(result) => result,
            Err(object_store::Error::NotFound { .. }) => return Ok((false, None, None)),
            Err(e) => return Err(failed(e)),
        };
        let said = result.extensions.get::<Said>().cloned().unwrap_or_default();
        let body = result.bytes().map_err(failed).await?;
        if body != TEXT.as_bytes() {
            return Err(Error::corrupt(format!("{PROBE} in {self} is not what was put there")));
        }
        Ok((true, said.date, said.lock))
    }

    async fn delete_probe(&self) -> Result<Permitted> {
        if let Err(e) = self.inner.delete(&Name::from(PROBE)).await {
            let error = translate(format!("delete {PROBE} in {self}"), e);
            return if forbidden(&error) { Ok(Permitted::No) } else { Err(error) };
        }
        // A store may say yes and keep it.
        Ok(if self.length(PROBE).await?.is_none() { Permitted::Yes } else { Permitted::No })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Put {
    New,
    There,
    Denied,
}

/// Whether the store, or the file system, does not permit it.
fn forbidden(error: &Error) -> bool {
    error.kind() == Kind::Denied || error.hint() == Some("it is mounted read-only")
}
