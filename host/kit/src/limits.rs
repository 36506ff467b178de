//! Bounds of a trial, with their reasons.

use std::time::Duration;

use dozo_plugin::Limits;

/// Entries of a snapshot that is compared whole: a source to try a plugin with is small.
pub const ENTRIES_MAX: usize = 100_000;
/// Points at which a run or a restore is interrupted. They lie ever farther apart, so this many reach the millionth call.
pub const POINTS_MAX: usize = 24;
/// How long one case may take: a plugin that waits for nothing is stopped long before by its own limits.
pub const CASE_WALL: Duration = Duration::from_secs(15 * 60);
/// How long one command around a trial may take.
pub const FIXTURE_WALL: Duration = Duration::from_secs(5 * 60);
/// Words that are told of what it said when it failed.
pub const FIXTURE_WORDS: usize = 60;
/// How long a plugin may take to be gone when its call is dropped.
pub const GONE: Duration = Duration::from_secs(5);
/// How long a run may take to reach the call at which it is to be dropped.
pub const REACHED: Duration = Duration::from_secs(60);
/// Longest delay of one call to a slow store, and how long all of them together may take about.
pub const SLOW_CALL: Duration = Duration::from_millis(50);
/// See [`SLOW_CALL`].
pub const SLOW_RUN: Duration = Duration::from_secs(10);
/// Reading so much again costs nothing that a previous snapshot could spare.
pub const WORTH_KEEPING_BYTES: u64 = 1 << 20;
/// Differences that are told of one comparison.
pub const DIFFERENCES_TOLD: usize = 5;
/// Bytes compared at once.
pub const COMPARE_BYTES: usize = 256 << 10;
/// How long a plugin's connection may stand still while the kit lets it: what is stalled is to fail soon.
pub const LINE_WAIT: Duration = Duration::from_secs(2);
/// How long a run over a bad line may take to fail: some waits in a row, not a plugin's own tries for ever.
pub const LINE_DEADLINE: Duration = Duration::from_secs(60);
/// No plugin starts with less memory.
pub const MEMORY_BYTES_MIN: u64 = 16 << 20;
/// Longest one-line description that a listing can show.
pub const SUMMARY_CHARS_MAX: usize = 200;

/// What a plugin may use where its author says nothing: shorter waits than a job's, because somebody is waiting for the
/// result.
pub fn usage() -> Limits {
    Limits { wall: Duration::from_secs(10 * 60), stall: Duration::from_secs(30), ..Limits::default() }
}
