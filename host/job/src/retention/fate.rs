//! What becomes of a snapshot, and why, in words that an operator reads and a record keeps.

use std::fmt;
use std::num::NonZeroU32;

use dozo_repository::ObjectId;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};

use super::bucket::Bucket;
use super::rules::Stretch;
use crate::words;

/// What becomes of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays, for each of these reasons; there is one at least.
    Keep(Vec<Reason>),
    /// It may go.
    Delete(Superseded),
}

/// Why a snapshot stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nobody said what to delete.
    NoRetention,
    /// The job is none of this configuration's, and nothing is said of others.
    NotConfigured,
    /// All of the job are kept.
    Forever,
    /// A hold is on it.
    Held,
    /// It carries this word.
    Tagged(String),
    /// It is among the newest so many.
    Last(NonZeroU32),
    /// It is not older than this.
    Within(Stretch),
    /// It stands for a period.
    Calendar(Bucket),
    /// There is none that is newer.
    Newest,
    /// There is none that is newer and not suspicious.
    NewestTrusted,
    /// There is none that is newer and complete.
    NewestComplete,
    /// There is none that is newer and was found whole.
    NewestVerified,
    /// It arrived within this stretch: nothing is deleted at once.
    Recent(Stretch),
    /// It is partial, and among partial ones that no complete one followed, a rule keeps it.
    Unfollowed(Box<Reason>),
    /// It is suspicious, and among suspicious ones that no other followed, a rule keeps it.
    Suspicious(Box<Reason>),
    /// It would be kept if what arrived within this stretch were not there.
    ButFor(Stretch, Box<Reason>),
    /// Its time is later than its arrival, or than now: the rules leave it alone.
    FromTheFuture,
    /// It arrived long after its time: the rules leave it alone.
    NotTheStoresTime,
    /// It came after its host was removed: the rules leave it alone.
    HostRemoved,
    /// Far more than usual arrived: retention of the job halts.
    Halted,
}

/// Why a snapshot may go: no rule keeps it, and a newer one stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// The next newer one that stays.
    pub by: ObjectId,
    /// When that one's run began.
    pub started: Timestamp,
}

impl Fate {
    /// Whether it stays.
    pub fn is_kept(&self) -> bool {
        matches!(self, Fate::Keep(_))
    }
}

impl Superseded {
    /// For people: with the time in a zone.
    pub fn in_zone(&self, zone: &TimeZone) -> String {
        format!("no rule keeps it; superseded by {} of {}", self.by.short(), words::time(self.started, zone))
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Keep(reasons) => {
                let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                f.write_str(&reasons.join("; "))
            }
            Fate::Delete(why) => why.fmt(f),
        }
    }
}

impl fmt::Display for Superseded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no rule keeps it; superseded by {} of {:.0}", self.by.short(), self.started)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoRetention => f.write_str("no retention is configured"),
            Reason::NotConfigured => {
                f.write_str("this configuration has no such job, and no `others` in [prune], the retention of those")
            }
            Reason::Forever => f.write_str("kept for ever"),
            Reason::Held => f.write_str("held"),
            Reason::Tagged(tag) => write!(f, "tagged `{tag}`"),
            Reason::Last(n) => write!(f, "last {n}"),
            Reason::Within(stretch) => write!(f, "within {stretch}"),
            Reason::Calendar(bucket) => bucket.fmt(f),
            Reason::Newest => f.write_str("the newest"),
            Reason::NewestTrusted => f.write_str("the newest that is not suspicious"),
            Reason::NewestComplete => f.write_str("the newest complete"),
            Reason::NewestVerified => f.write_str("the newest verified"),
            Reason::Recent(stretch) => write!(f, "arrived within {stretch}"),
            Reason::Unfollowed(reason) => write!(f, "{reason} of the partial ones that no complete one followed"),
            Reason::Suspicious(reason) => write!(f, "{reason} of the suspicious ones that no other followed"),
            Reason::ButFor(stretch, reason) => write!(f, "{reason}, but for what arrived within {stretch}"),
            Reason::FromTheFuture => f.write_str("its time is in the future (clock?): retention leaves it alone"),
            Reason::NotTheStoresTime => f.write_str("it arrived long after its time: retention leaves it alone"),
            Reason::HostRemoved => f.write_str("it came after its host was removed: retention leaves it alone"),
            Reason::Halted => f.write_str("far more than usual arrived: retention of the job halts"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Superseded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
