//! Whether backups are as they should be: facts about jobs and the repository go in, findings come out, each with what to do.
//! Pure: knows no store, no terminal and no clock but the time that is handed in.

mod age;
mod judge;
mod of_job;
#[cfg(test)]
mod tests;

use dozo_repository::ObjectId;
use dozo_repository::format::record::Outcome;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::gap::Gap;
use crate::words;

pub use age::overdue_after;
pub use judge::judge;

/// All that is known.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Now.
    pub now: Timestamp,
    /// The jobs that are configured here, or have snapshots.
    pub jobs: Vec<JobFacts>,
    /// Packs that were found damaged, and that are not known to be a loss no more.
    pub damaged_packs: u64,
    /// Documents that are damaged or missing, each with why.
    pub unread: Vec<String>,
    /// Of which jobs the store shows less than it did, in words.
    pub rolled_back: Vec<String>,
    /// Mirrors of which nothing could be seen that should have been looked at, and why.
    pub unseen: Vec<(String, String)>,
    /// What other work on the repository this host does, and what became of it.
    pub upkeep: Vec<UpkeepFacts>,
    /// The room in the store, where that can be known.
    pub room: Option<RoomFacts>,
}

/// What is known of one job.
#[derive(Clone, Debug, Default)]
pub struct JobFacts {
    /// Its name.
    pub job: String,
    /// Whose it is; none if it is this host's.
    pub host: Option<String>,
    /// Nobody runs it any more: it is not configured, or its host was removed.
    pub retired: bool,
    /// How often the operator expects a complete snapshot.
    pub expect_every: Option<SignedDuration>,
    /// Complete snapshots that can be believed, oldest first.
    pub complete: Vec<Made>,
    /// Whether the newest snapshot lacks something.
    pub newest_is_partial: bool,
    /// What is suspicious about the newest snapshots, if anything is.
    pub suspicion: Option<Suspicion>,
    /// The snapshot of the last run, if its time is still to come.
    pub ahead: Option<Ahead>,
    /// The snapshot of the last run, if an earlier run's has a later time.
    pub behind: Option<Behind>,
    /// What became of the last run, if anybody knows.
    pub last_run: Option<Last>,
    /// Since when it runs, if it does: not all is known of it before it ends.
    pub running: Option<Timestamp>,
    /// When its last run began, if that was killed.
    pub interrupted: Option<Timestamp>,
    /// The last gap in what its snapshots recover.
    pub gap: Option<Gap>,
    /// On how many stores the newest complete snapshot is whole, of how many that were looked at.
    pub copies: Option<(u32, u32)>,
    /// In which zone people see its times; UTC if nobody says.
    pub zone: Option<TimeZone>,
}

/// Snapshots that are much smaller than the last good one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// The newest so many.
    pub count: u64,
    /// The newest of all.
    pub newest: ObjectId,
    /// Why that one is, the first reason.
    pub why: Option<String>,
}

/// A snapshot with an earlier time than one that was made before: a clock was set back in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Which.
    pub snapshot: ObjectId,
    /// Its time.
    pub at: Timestamp,
    /// The latest time of those before.
    pub earlier: Timestamp,
}

/// A snapshot whose time is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// Which.
    pub snapshot: ObjectId,
    /// Its time.
    pub at: Timestamp,
}

/// A snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// When.
    pub at: Timestamp,
    /// Its number among those of the job: retention deletes some, and runs are counted all the same.
    pub sequence: u64,
}

/// What became of something that is done again and again, the last time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Last {
    /// What became of it.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
    /// Why it did not end well.
    pub why: Option<String>,
    /// When it last ended well.
    pub well: Option<Timestamp>,
    /// Whether it was done, and found damage.
    #[serde(default)]
    pub damage: bool,
    /// Whether other work has put that right since.
    #[serde(default)]
    pub healed: bool,
}

/// Work on the repository that is no run.
#[derive(Clone, Debug)]
pub struct UpkeepFacts {
    /// What it is.
    pub what: Upkeep,
    /// What became of it the last time, on this host.
    pub last: Option<Last>,
    /// How long something may be left to do; none if nobody expects this host to do it.
    pub expect_every: Option<SignedDuration>,
    /// Since when something is left to do, if anything is.
    pub due_since: Option<Timestamp>,
}

/// Which work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// Verifying the repository, or a mirror.
    Verify(Option<String>),
    /// Filling a mirror.
    Mirror(String),
    /// Deleting what retention gives up.
    Prune,
    /// Repairing the repository, or a mirror.
    Repair(Option<String>),
}

impl Upkeep {
    /// What does it.
    pub fn command(&self) -> String {
        let at = |command: &str, option: &str, mirror: &Option<String>| match mirror {
            None => command.into(),
            Some(name) => format!("{command} {option} {}", words::quoted(name)),
        };
        match self {
            Upkeep::Verify(mirror) => at("dozo verify", "--from", mirror),
            Upkeep::Repair(mirror) => at("dozo repair", "--at", mirror),
            Upkeep::Mirror(name) => format!("dozo mirror {}", words::quoted(name)),
            Upkeep::Prune => "dozo prune --yes".into(),
        }
    }
}

/// Room in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RoomFacts {
    /// Bytes that are free.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
    /// Bytes that runs stored in the last days, without those that began a job.
    pub stored_lately: u64,
}

/// Something that a person should do something about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The job; none if it is about the repository.
    pub job: Option<String>,
    /// The job's host, if it is another.
    pub host: Option<String>,
    /// What it is, in a word for programs.
    pub kind: &'static str,
    /// What it is, for people.
    pub message: String,
    /// What to do.
    pub advice: String,
    /// Whether something is damaged. Whoever asks is told 5 then, and 3 if it is only something else.
    pub damage: bool,
    /// When it happened, or since when it is so.
    pub at: Option<Timestamp>,
    /// In which zone people see that; of the repository there is none.
    #[serde(skip)]
    pub zone: Option<TimeZone>,
}
