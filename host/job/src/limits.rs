//! Bounds of runs, restores and retention, with their reasons.

use std::time::Duration;

pub use dozo_repository::limits::PATH_BYTES_MAX;
use jiff::SignedDuration;

/// Bytes read at once from content that the host holds: large enough that a system call costs nothing beside them.
pub const READ_BYTES: usize = 256 << 10;
/// Entries of one page: what crosses the sandbox at once stays below a megabyte.
pub const PAGE_ENTRIES: usize = 1_024;
/// Entries in one batch; a larger one is refused, because the host holds it whole.
pub const BATCH_ENTRIES: usize = 4_096;
/// Longest identity, name or value of an attribute, or probe's answer that a snapshot keeps.
pub const TEXT_BYTES: usize = 64 << 10;
/// Attributes and answers of one snapshot.
pub const ATTRIBUTES: usize = 1_000;
/// Notes of one run's plugin: what people read of a report, not a log.
pub const NOTES: usize = 100;
/// Paths that a restore is narrowed to: a terabyte of a database's log in segments of 16 MiB, each named.
pub const NEEDED_PREFIXES: usize = 65_536;
/// Omitted entries that a report names.
pub const OMITTED_IN_REPORT: usize = 100;
/// Entries that are looked through for those that come nearest to a path which is not there: about a second.
pub const NEAREST_ENTRIES: usize = 200_000;
/// Of these, those that are offered.
pub const NEAREST_SHOWN: usize = 3;
/// Files of which a restore brings another name and not the one that holds the content; beyond, each name is a file of its own.
pub const ADOPTED: usize = 100_000;
/// Names in a message about entries that were begun and not finished.
pub const NAMES_IN_MESSAGE: usize = 3;

/// Characters of the reason in an event's one line: what a phone shows of a message, some times over.
pub const SUMMARY_REASON_CHARS: usize = 300;
/// Pauses between attempts to tell somebody: over a service that starts again, not over an outage, because the next event says
/// more than a late one.
pub const TELLING_PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15)];
/// How long all attempts to tell one thing through one notifier may take: the run's process waits for them at its end.
pub const TELLING_MAX: Duration = Duration::from_secs(300);

/// A clock that differs from another by more is worth a note. S3 refuses requests of clocks that differ by a quarter of an
/// hour; long before that, something is wrong.
pub const CLOCK_SKEW_MAX: SignedDuration = SignedDuration::from_mins(2);
/// A snapshot has at least so many entries less than the last good one before that is suspicious: a handful of files come
/// and go.
pub const GUARD_ENTRIES: u64 = 20;
/// The same for bytes of content: a log that was cut off is no disk that is gone.
pub const GUARD_BYTES: u64 = 4 << 20;
/// What falls to less than so many percent is gone, however small it was: above these, that is suspicious.
pub const GUARD_NOTHING_PERCENT: u8 = 5;
/// Entries.
pub const GUARD_NOTHING_ENTRIES: u64 = 5;
/// Bytes of content: all of a small database's dump, or of a directory of settings.
pub const GUARD_NOTHING_BYTES: u64 = 64 << 10;
/// A drop by so much, in percent, is suspicious if nobody says otherwise.
pub const GUARD_PERCENT: u8 = 50;
/// Reasons that a suspicious snapshot names: of a hundred mounts that are gone, the first tell enough.
pub const GUARD_REASONS: usize = 20;

/// A snapshot that arrived so long after its time did not come from a run: none takes longer.
pub const STARTED_BEHIND_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Days for which what arrived deletes nothing, if nobody says otherwise: long enough to be looked at after a weekend.
pub const SUPERSEDED_DAYS: i64 = 3;
/// A flood is looked for in this time before now.
pub const FLOOD_WINDOW: SignedDuration = SignedDuration::from_hours(3 * 24);
/// So many such windows before that say what is usual.
pub const FLOOD_WINDOWS: usize = 10;
/// A flood is so many more than usual at least: a few runs by hand are none.
pub const FLOOD_MORE: f64 = 20.0;
/// A flood is so many times what is usual at least: a job that runs twice as often is none.
pub const FLOOD_TIMES: f64 = 4.0;
/// Distances between snapshots of a job by which it is judged whether the next is overdue: what was long ago says little.
pub const OVERDUE_HISTORY: usize = 20;
/// Before this time no job is overdue by its history alone: a night of a machine that sleeps is none. Who wants to know
/// sooner says `expect_every`.
pub const OVERDUE_MIN: SignedDuration = SignedDuration::from_hours(26);
/// A job with too little history to say: weekly ones are in time.
pub const OVERDUE_UNKNOWN: SignedDuration = SignedDuration::from_hours(8 * 24);
/// How long a gap in what can be recovered is shown after it ended: nothing can close it, and it must be seen once.
pub const GAP_SHOWN: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A store is nearly full when less than this part of it is free, whatever runs stored.
pub const STORE_FULL_PART: u64 = 50;
/// Or, where the store is large, less than this.
pub const STORE_FULL_BYTES: u64 = 1 << 30;
