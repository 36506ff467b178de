//! What happened, for people, notifiers and records. The JSON form is part of the interface: fields are added, never
//! changed.

use std::error::Error as _;

use dozo_repository::format::record::Outcome;
use dozo_repository::format::snapshot::PluginStamp;
use dozo_repository::{Error, Kind, ObjectId};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::gap::Gap;
use crate::local::local;
use crate::port::{Moment, Usage};

/// What became of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `dozo/report/1`.
    pub schema: &'static str,
    /// The job's name.
    pub job: String,
    /// The host's name.
    pub host: String,
    /// Which plugin, to the byte.
    pub plugin: PluginStamp,
    /// Complete, partial or failed.
    pub outcome: Outcome,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The snapshot, if there is one.
    pub snapshot: Option<ObjectId>,
    /// The snapshot that it was made against, if there is one.
    pub previous: Option<ObjectId>,
    /// Entries in the snapshot.
    pub entries: u64,
    /// Of these, taken from the previous snapshot unread.
    pub entries_kept: u64,
    /// Bytes of content in the snapshot.
    pub bytes: u64,
    /// Bytes that the source gave.
    pub bytes_read: u64,
    /// Of these, bytes of chunks that the repository did not have.
    pub bytes_new: u64,
    /// Bytes that went into the store.
    pub bytes_stored: u64,
    /// What could not be read: the first 100, path and why.
    pub omitted: Vec<(String, String)>,
    /// How many in all.
    pub omitted_count: u64,
    /// Answers to the job's probes, as the snapshot has them.
    pub answers: Vec<(String, String)>,
    /// Why the snapshot is suspicious: it is much smaller than the last good one. Empty if it is not.
    pub suspicious: Vec<String>,
    /// What the operator should know though nothing failed.
    pub notes: Vec<String>,
    /// Moments that cannot be recovered, between the snapshot before and this one.
    pub recovery_gap: Option<Gap>,
    /// In which zone people see the job's times.
    pub timezone: String,
    /// What the operator best types next, on this host, if anything is to be done.
    pub next: Option<String>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// What the plugin used.
    pub usage: Usage,
}

impl Report {
    /// The schema of this version.
    pub const SCHEMA: &str = "dozo/report/1";

    /// Times in what is written for people are those of a zone.
    pub(crate) fn in_zone(&mut self, zone: &TimeZone) {
        self.notes.iter_mut().for_each(|note| *note = local(note, zone).into_owned());
        self.error = self.error.take().map(|failure| failure.in_zone(zone));
    }
}

/// An error as a report keeps it.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// What the operator can do about it; a word in JSON.
    pub kind: Kind,
    /// The sentence.
    pub message: String,
    /// Its causes, outermost first.
    pub causes: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// The sentence and its causes in one line.
    pub fn one_line(&self) -> String {
        [std::slice::from_ref(&self.message), &self.causes].concat().join(": ")
    }
}

impl Failure {
    /// The same with times in a zone.
    pub fn in_zone(self, zone: &TimeZone) -> Self {
        let text = |text: String| local(&text, zone).into_owned();
        let Failure { kind, message, causes, hint } = self;
        let causes = causes.into_iter().map(text).collect();
        Failure { kind, message: text(message), causes, hint: hint.map(text) }
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        let hint = error.hint().map(str::to_string);
        Failure { kind: error.kind(), message: error.to_string(), causes, hint }
    }
}

/// What a restore did.
#[derive(Clone, Debug, Serialize)]
pub struct RestoreReport {
    /// `dozo/restore/1`.
    pub schema: &'static str,
    /// Complete: all that was chosen is there. Partial: but for what is named here. Failed: it ended before its end.
    pub outcome: Outcome,
    /// Which snapshot.
    pub snapshot: ObjectId,
    /// The job that made it.
    pub job: String,
    /// When it was made.
    pub taken: Timestamp,
    /// To which moment it was recovered.
    pub at: Moment,
    /// When the restore began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Entries that were chosen, and that the source needs of these.
    pub entries: u64,
    /// Of these, left as they were, because something was there and the operator said to skip it.
    pub entries_left: u64,
    /// Of these, entries that are not what the snapshot has: of another kind, length or time.
    pub entries_differing: u64,
    /// Entries that were deleted, because the snapshot does not have them.
    pub entries_deleted: u64,
    /// Files among the entries.
    pub files: u64,
    /// Files whose content was read to its end, every chunk compared with its id.
    pub files_read: u64,
    /// Bytes of content of these entries.
    pub bytes: u64,
    /// Bytes of content that were read.
    pub bytes_read: u64,
    /// Entries that could not be restored: the first 100, path in the target and why.
    pub not_restored: Vec<(String, String)>,
    /// How many in all.
    pub not_restored_count: u64,
    /// What the operator should know though nothing failed.
    pub notes: Vec<String>,
    /// Why it ended before its end, or what the plugin says of entries that could not be restored.
    pub error: Option<Failure>,
    /// What the plugin used.
    pub usage: Usage,
}

impl RestoreReport {
    /// The schema of this version.
    pub const SCHEMA: &str = "dozo/restore/1";
}
