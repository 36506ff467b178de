//! The terminal: data to standard output, all else to standard error, understandable without colour.

pub(crate) mod ask;
pub(crate) mod errors;
pub(crate) mod out;
pub(crate) mod progress;
pub(crate) mod words;

use std::io::Write;

use dozo_job::shown;

pub(crate) use out::{json, line};

/// Prints a line for people, beside the data; what a terminal would obey is written out, whoever wrote it. One that cannot be
/// printed changes nothing: a log that is full ends no backup.
pub(crate) fn note(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{}", shown(&text.to_string()));
}
