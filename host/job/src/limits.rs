//! Bounds of runs and restores, with their reasons.

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
/// Omitted entries that a report names.
pub const OMITTED_IN_REPORT: usize = 100;
/// Names in a message about entries that were begun and not finished.
pub const NAMES_IN_MESSAGE: usize = 3;
