//! Objects in cold storage: whether one can be read now, and asking the store to bring it back. Knows no packs and does not
//! wait.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use object_store::path::Path as Name;
use object_store::{GetOptions, ObjectStore};

use super::Store;
use super::said::{Copy, Said};
use super::thawer::Thawer;
use super::translate::{lies_cold, translate};
use crate::error::{Error, Kind, Result};

/// A copy that is there for less than this is asked for again, which makes it stay: reading takes its time.
const COPY_LEFT_MIN: SignedDuration = SignedDuration::from_hours(24);

/// What of a store may lie in cold storage.
#[derive(Clone)]
pub(super) enum Cold {
    /// Nothing.
    Never,
    /// Something may, and dozo cannot ask for it.
    Stays,
    /// Something may, and is brought back when it is asked for.
    Thaws(Arc<Thawer>),
}

/// Whether an object can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warmth {
    /// It can.
    Warm,
    /// It can, for a short time only.
    Expires,
    /// Not yet: the store was asked for it.
    OnItsWay,
    /// Not before the store is asked for it.
    Cold(Class),
}

/// How an object lies in cold storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// For good: a copy is brought back for some days.
    Archive,
    /// Until it is asked for: it is brought back itself.
    Tiered,
}

/// How fast, and at what price, a store brings back what lies in cold storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThawTier {
    /// The cheapest: half a day, two days from the deepest class.
    Bulk,
    /// Some hours, half a day from the deepest class.
    #[default]
    Standard,
    /// Minutes, where the store has it, and dear.
    Expedited,
}

impl ThawTier {
    /// The store's word.
    pub(super) fn word(self) -> &'static str {
        match self {
            ThawTier::Bulk => "Bulk",
            ThawTier::Standard => "Standard",
            ThawTier::Expedited => "Expedited",
        }
    }
}

/// What a store is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThawOrder {
    /// How long a copy stays.
    pub(crate) days: u16,
    pub(crate) tier: ThawTier,
    pub(crate) class: Class,
}

impl Store {
    /// Whether anything in it may lie in cold storage.
    pub(crate) fn may_lie_cold(&self) -> bool {
        !matches!(self.cold, Cold::Never)
    }

    /// Whether an object can be read now, found out by reading a byte of it: life-cycle rules move objects, and not every
    /// store tells of its classes.
    pub(crate) async fn warmth(&self, name: &str) -> Result<Warmth> {
        let failed = |e| translate(format!("read {name} from {self}"), e);
        let options = GetOptions { range: Some((0..1).into()), ..GetOptions::default() };
        match self.inner.get_opts(&Name::from(name), options).await {
            Ok(there) => Ok(warmth_of(there.extensions.get())),
            Err(e) => match failed(e) {
                error if lies_cold(&error) => self.coldness(name).await,
                // A store that knows no ranges keeps nothing cold; whatever else it is, the read itself will say.
                error if error.kind() == Kind::Unavailable => Ok(Warmth::Warm),
                error => Err(error),
            },
        }
    }

    /// How an object lies that cannot be read.
    async fn coldness(&self, name: &str) -> Result<Warmth> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let head = self.inner.get_opts(&Name::from(name), options).await;
        let head = head.map_err(|e| translate(format!("look for {name} in {self}"), e))?;
        let said = head.extensions.get::<Said>().cloned().unwrap_or_default();
        Ok(match (said.copy, said.class.as_deref()) {
            (Some(Copy::OnItsWay), _) => Warmth::OnItsWay,
            (_, Some("INTELLIGENT_TIERING")) => Warmth::Cold(Class::Tiered),
            _ => Warmth::Cold(Class::Archive),
        })
    }

    /// Asks for an object in cold storage; one that was asked for before is done.
    pub(crate) async fn ask_for(&self, name: &str, order: &ThawOrder) -> Result<()> {
        let failed = |e| translate(format!("ask {self} to bring back {name}"), e);
        match &self.cold {
            Cold::Thaws(thawer) => thawer.ask_for(name, order).await.map_err(failed),
            Cold::Never | Cold::Stays => Err(Error::unsupported(format!(
                "{self} is not one that dozo can ask to bring back what lies cold"
            ))
            .hinted(
                "bring `packs/` back by the store's own means (Azure: set the access tier to Hot), then try again",
            )),
        }
    }
}

fn warmth_of(said: Option<&Said>) -> Warmth {
    let expires = |until: Timestamp, now: Timestamp| until.duration_since(now) < COPY_LEFT_MIN;
    match said {
        Some(Said { copy: Some(Copy::There(Some(until))), date: Some(now), .. }) if expires(*until, *now) => {
            Warmth::Expires
        }
        _ => Warmth::Warm,
    }
}

impl fmt::Debug for Cold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cold")
    }
}
