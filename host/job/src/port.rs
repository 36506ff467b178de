//! The ports between the use cases and the plugins: what a source can do, and what it is given to do it with.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

pub use dozo_repository::format::snapshot::{PluginStamp, Scope};
pub use dozo_repository::{Cutting, Entry, EntryKind, ObjectId, Posix, Time, path};

use crate::{Error, Result};

pub use crate::content::{Content, Plain, ReadContent};

/// What a source says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name, as a configuration has it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// JSON Schema of its configuration.
    pub config_schema: String,
}

/// What a configuration needs of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// `host:port`, `unix:///path`.
    pub network: Vec<String>,
    /// Directories to read.
    pub read: Vec<String>,
    /// Directories to write.
    pub write: Vec<String>,
    /// Programs to run.
    pub programs: Vec<ProgramNeed>,
    /// What only one job can use.
    pub exclusive: Vec<String>,
}

/// A program that a plugin will run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramNeed {
    /// Command line, as the operator grants it.
    pub run: String,
    /// Files and directories that it reads beside the system's own. Absolute.
    pub read: Vec<String>,
    /// Files and directories that it writes. Absolute.
    pub write: Vec<String>,
}

/// What a backup is asked for.
#[derive(Clone, Debug)]
pub struct BackupRequest {
    /// The job's configuration as JSON, secrets resolved.
    pub config: String,
    /// All of it, or what is new.
    pub scope: Scope,
    /// Names and questions.
    pub probes: Vec<(String, String)>,
}

/// To which point to recover, for sources that can.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// As far as the snapshot goes.
    #[default]
    Latest,
    /// A time, RFC 3339 in UTC with up to microseconds.
    Time(String),
    /// A position in the source's own log.
    Position(String),
    /// A restore point.
    Name(String),
}

/// For people: `2026-11-26T13:01:02.5Z`, `the position 16/B374D848`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Latest => write!(f, "the latest moment"),
            Moment::Time(time) => write!(f, "{time}"),
            Moment::Position(position) => write!(f, "the position {position}"),
            Moment::Name(name) => write!(f, "the name `{name}`"),
        }
    }
}

/// What to do with what is in the target already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conflict {
    /// Leave it, and fail.
    #[default]
    Refuse,
    /// Leave it, and go on.
    Skip,
    /// Put the restored in its place.
    Replace,
}

/// Where a restore goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreTarget {
    /// Into granted directories, and nowhere else: without a configuration.
    Directory,
    /// To a service: the configuration of a target as JSON, secrets resolved.
    Service(String),
}

/// What a restore is asked for.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// Where it goes.
    pub target: RestoreTarget,
    /// What the operator chose; [`Stored`] shows only what this chooses.
    pub paths: Vec<String>,
    /// To which point.
    pub at: Moment,
    /// What to do with what is there.
    pub conflict: Conflict,
    /// The source's own.
    pub options: Vec<(String, String)>,
}

/// How to start a throw-away server on a restored directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScratchServer {
    /// The program, by its absolute path.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Configuration as JSON with which the source reaches it.
    pub config: String,
}

/// What a source used of the machine, for the run's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Largest memory of the plugin, in bytes.
    pub memory_bytes: u64,
    /// Calls from the plugin to the host.
    pub host_calls: u64,
    /// Lines that it logged, or wanted to.
    pub log_lines: u64,
    /// Bytes of these lines.
    pub log_bytes: u64,
    /// Most handles that it held at once.
    pub handles: u64,
    /// Programs that it had started.
    pub programs: u64,
    /// Bytes that programs and the network gave.
    pub received_bytes: u64,
    /// Bytes that programs and the network took.
    pub sent_bytes: u64,
}

/// What a call of a source leaves behind beside its result.
#[derive(Clone, Debug, Default)]
pub struct Finished {
    /// What it used.
    pub usage: Usage,
    /// What the operator should know: owners that could not be set, an omitted attribute.
    pub notes: Vec<String>,
    /// Entries of a restore that were left as they were, because something was there already.
    pub entries_left: u64,
    /// Of these, entries that are not what the snapshot has.
    pub entries_differing: u64,
    /// Entries that a restore deleted, because the snapshot does not have them.
    pub entries_deleted: u64,
    /// Entries of a restore that could not be created, by path in the target, and why: the first thousand of each directory.
    pub uncreated: Vec<(String, Error)>,
    /// How many in all.
    pub uncreated_count: u64,
}

/// A source of data, with its grants and limits fixed. Each call is a life of its own: a source that hangs, traps or is
/// cancelled leaves nothing behind that the next call would see.
#[async_trait]
pub trait Source: Send + Sync {
    /// Which plugin, to the byte.
    fn stamp(&self) -> &PluginStamp;
    /// Reads the source into `intake`. Returns when the source says that it was all.
    async fn backup(&self, request: BackupRequest, intake: Arc<dyn Intake>) -> Result<Finished>;
    /// The snapshot is durable: the source may forget. Idempotent.
    async fn committed(&self, config: &str, attributes: Vec<(String, String)>) -> Result<()>;
    /// The run failed: the source removes what it left behind.
    async fn abandoned(&self, config: &str) -> Result<()>;
    /// Reads `stored` into the target. What was done is known however it ends.
    async fn restore(&self, request: RestoreRequest, stored: Arc<dyn Stored>) -> (Finished, Result<()>);
    /// Reachable, privileged enough, configured rightly? Changes nothing.
    async fn check(&self, config: &str) -> Result<Vec<(String, String)>>;
    /// Whether a snapshot with these attributes can be recovered to a moment: none if it can, else what it can be recovered
    /// to, in words.
    async fn covers(&self, attributes: Vec<(String, String)>, at: Moment) -> Result<Option<String>>;
    /// How to start a throw-away server on a restored directory, if the source is one.
    async fn scratch(&self, config: &str, directory: &str) -> Result<Option<ScratchServer>>;
    /// Asks the source a question in its own language.
    async fn probe(&self, config: &str, question: &str) -> Result<String>;
}

/// What happened, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What kind of thing.
    pub kind: EventKind,
    /// The job's name; empty where it is about the repository as a whole.
    pub job: String,
    /// The host's name.
    pub host: String,
    /// One line.
    pub summary: String,
    /// The whole [`Report`](crate::Report) as JSON.
    pub report: String,
}

/// The kinds of events, as `on = [...]` of a notifier has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A run made a complete snapshot.
    Success,
    /// A run made a partial one.
    Partial,
    /// A run made one that is much smaller than the last good one.
    Suspicious,
    /// A run made none.
    Failure,
    /// A run, or other work on the repository, ended well after one that did not.
    Recovered,
    /// A run made a snapshot, and moments between it and the one before cannot be recovered.
    RecoveryGap,
    /// A verification found damage.
    Damage,
    /// A verification could not be done.
    Verify,
    /// A mirror could not be filled, or not with all there is.
    Mirror,
    /// A prune failed.
    Prune,
    /// A repair failed, or could not repair everything.
    Repair,
    /// Nothing happened: the operator asked whether telling works.
    Test,
}

impl EventKind {
    /// The word that the contract and configurations use.
    pub fn word(self) -> &'static str {
        match self {
            EventKind::Success => "success",
            EventKind::Partial => "partial",
            EventKind::Suspicious => "suspicious",
            EventKind::Failure => "failure",
            EventKind::Recovered => "recovered",
            EventKind::RecoveryGap => "recovery-gap",
            EventKind::Damage => "damage",
            EventKind::Verify => "verify",
            EventKind::Mirror => "mirror",
            EventKind::Prune => "prune",
            EventKind::Repair => "repair",
            EventKind::Test => "test",
        }
    }
}

/// Tells people what happened, with its grants and limits fixed.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Which plugin, to the byte.
    fn stamp(&self) -> &PluginStamp;
    /// Reachable, credentials right? Tells nobody anything.
    async fn check(&self, config: &str) -> Result<Vec<(String, String)>>;
    /// Tells it, once.
    ///
    /// # Errors
    /// [`Unavailable`](crate::Kind::Unavailable) if it may work later.
    async fn notify(&self, config: &str, event: Event) -> Result<()>;
}

/// Where a backup goes: the snapshot in the making.
///
/// Whatever was begun must be finished or omitted; the run fails otherwise, whatever the source returns.
#[async_trait]
pub trait Intake: Send + Sync {
    /// What the source is. Without it there is no previous snapshot.
    async fn identify(&self, identity: String) -> Result<()>;
    /// The answer to a probe of the request.
    fn answer(&self, probe: String, value: String) -> Result<()>;
    /// Why a probe of the request is not answered.
    fn unanswered(&self, probe: String, why: Error) -> Result<()>;
    /// Begins an entry with content.
    fn open(&self, entry: Entry, cutting: Cutting) -> Result<Box<dyn EntryWriter>>;
    /// Small entries, whole.
    async fn put_small(&self, batch: Vec<(Entry, Vec<u8>)>) -> Result<()>;
    /// Entries whose content the host holds; read several at a time. One that cannot be read is to be omitted or put again.
    async fn put_contents(&self, batch: Vec<(Entry, Content)>) -> Vec<Result<u64>>;
    /// An entry as the previous snapshot has it.
    async fn keep(&self, path: String) -> Result<()>;
    /// Takes over, as they are given and with the content that is stored, those entries that the previous snapshot has with
    /// the same kind, size, time and version; tells of each whether it was taken over.
    async fn keep_unchanged(&self, batch: Vec<Entry>) -> Result<Vec<bool>>;
    /// All entries at and under a prefix, of which there must be as many as expected.
    async fn keep_under(&self, prefix: String, expected: u64) -> Result<()>;
    /// Something that could not be read.
    fn omit(&self, path: String, why: Error) -> Result<()>;
    /// Something that could not be read, and may be missing.
    fn tolerate(&self, path: String, why: Error) -> Result<()>;
    /// Something that was there when the source was listed, and was gone when it was to be read.
    fn vanished(&self, path: String) -> Result<()>;
    /// The host itself found that an entry was gone between listing and looking. Unlike `vanished` this is not the source's
    /// word, and settles nothing that the source still owes.
    fn gone(&self, path: String) -> Result<()> {
        self.vanished(path)
    }
    /// Nothing at and under a path becomes part of the snapshot.
    fn discard_under(&self, prefix: String) -> Result<()>;
    /// What the previous snapshot has under a path, if its content can be kept.
    async fn previous(&self, path: String) -> Result<Option<Entry>>;
    /// A page of the previous snapshot.
    async fn previous_under(&self, prefix: String, after: Option<String>, max: usize) -> Result<Vec<Entry>>;
    /// The attributes of the previous snapshot.
    fn previous_attributes(&self) -> Vec<(String, String)>;
    /// A fact that restore or the next run needs.
    fn set_attribute(&self, name: String, value: String) -> Result<()>;
    /// What the operator should know of the run.
    fn note(&self, text: String);
    /// How far the source is, in its own measure.
    fn progress(&self, done: u64, total: Option<u64>);
    /// What the source is doing, for the person who watches.
    fn phase(&self, words: String);
}

/// The content of one entry in the making. Dropped, it leaves the entry begun and unfinished.
#[async_trait]
pub trait EntryWriter: Send {
    /// Bytes that the source made; waits while the pipeline is full.
    async fn write(&mut self, bytes: &[u8]) -> Result<()>;
    /// Content that the host holds; returns how many bytes it had.
    async fn append(&mut self, content: Content) -> Result<u64>;
    /// A range of what the previous snapshot has under a path.
    async fn append_previous(&mut self, path: &str, offset: u64, length: u64) -> Result<()>;
    /// An attribute that is known only now.
    fn set_attribute(&mut self, name: String, value: String) -> Result<()>;
    /// As if the entry had never been begun.
    fn cancel(self: Box<Self>);
    /// The word that it was all, and how many bytes.
    async fn finish(self: Box<Self>, bytes: u64) -> Result<()>;
}

/// What a restore reads: the entries of a snapshot that the operator chose.
#[async_trait]
pub trait Stored: Send + Sync {
    /// The snapshot's attributes.
    fn attributes(&self) -> Vec<(String, String)>;
    /// A page of the chosen entries, and of the directories above them.
    async fn entries(&self, prefix: String, after: Option<String>, max: usize) -> Result<Vec<Entry>>;
    /// What of the chosen entries is needed: those at and under these paths. Once, before anything is written: from then on
    /// these alone are shown and counted.
    ///
    /// # Errors
    /// [`Invalid`](crate::Kind::Invalid) if one of them brings nothing, or it was said before or too late.
    async fn narrow(&self, prefixes: Vec<String>) -> Result<()>;
    /// Something is about to be written into the target: what is needed is settled.
    ///
    /// # Errors
    /// [`Invalid`](crate::Kind::Invalid) if the target has no room for it; then nothing must be written.
    fn settle(&self) -> Result<()>;
    /// Whether a path is that of a directory above what was chosen, which was not chosen itself: it is made as it was where it is
    /// missing, and left alone where it is there.
    fn is_above(&self, path: &str) -> bool;
    /// The content of a chosen entry, from `offset` on.
    async fn read(&self, path: String, offset: u64) -> Result<Content>;
}
