//! Objects in cold storage: whether one can be read now, and asking the store to bring it back. Knows no packs and does not
//! wait.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::SignedDuration;
use object_store::path::Path as Name;
use object_store::{GetOptions, ObjectStore};

use super::Store;
use super::causes::causes;
use super::refusal::Refusal;
use super::said::{Copy, Said};
use super::thawer::Thawer;
use super::translate::{lies_cold, translate};
use crate::error::{Error, Result};

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
        if self.whole_only.load(Ordering::Relaxed) {
            return Ok(warmth_of(&self.said_of(name).await?));
        }
        let options = GetOptions { range: Some((0..1).into()), ..GetOptions::default() };
        let error = match self.inner.get_opts(&Name::from(name), options).await {
            Ok(there) => return Ok(warmth_of(&there.extensions.get().cloned().unwrap_or_default())),
            Err(e) => e,
        };
        let refused = causes(&error).any(<dyn std::error::Error>::is::<Refusal>);
        let error = translate(format!("read {name} from {self}"), error);
        match (lies_cold(&error), refused) {
            (true, _) => Ok(coldness_of(&self.said_of(name).await?)),
            (false, true) => Err(error),
            // It may know no parts of objects: then what it says of the object must do.
            (false, false) => {
                let said = self.said_of(name).await?;
                self.whole_only.store(true, Ordering::Relaxed);
                Ok(warmth_of(&said))
            }
        }
    }

    async fn said_of(&self, name: &str) -> Result<Said> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let head = self.inner.get_opts(&Name::from(name), options).await;
        let head = head.map_err(|e| translate(format!("look for {name} in {self}"), e))?;
        Ok(head.extensions.get().cloned().unwrap_or_default())
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

/// How an object lies that could be read, or of which nothing else is known than what is said of it.
fn warmth_of(said: &Said) -> Warmth {
    match (said.copy, said.class.as_deref()) {
        (Some(Copy::There(Some(until))), _) => match said.date {
            Some(now) if until.duration_since(now) < COPY_LEFT_MIN => Warmth::Expires,
            _ => Warmth::Warm,
        },
        (Some(Copy::OnItsWay), _) | (None, Some("GLACIER" | "DEEP_ARCHIVE")) => coldness_of(said),
        _ => Warmth::Warm,
    }
}

/// How an object lies that cannot be read.
fn coldness_of(said: &Said) -> Warmth {
    match (said.copy, said.class.as_deref()) {
        (Some(Copy::OnItsWay), _) => Warmth::OnItsWay,
        (_, Some("INTELLIGENT_TIERING")) => Warmth::Cold(Class::Tiered),
        _ => Warmth::Cold(Class::Archive),
    }
}

impl fmt::Debug for Cold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cold")
    }
}
