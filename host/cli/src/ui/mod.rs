//! The terminal: data to standard output, all else to standard error, understandable without colour.

pub(crate) mod ask;
mod commands;
pub(crate) mod errors;
pub(crate) mod out;
pub(crate) mod progress;
pub(crate) mod words;

use std::io::Write;

use dozo_job::{local, shown};
use jiff::tz::TimeZone;

use crate::args::{Command, Global};

pub(crate) use commands::commands;
pub(crate) use out::{json, line, result};

/// Says how this process was started, before anything is printed.
pub(crate) fn begin(global: &Global, command: &Command) {
    commands::begin(global, command);
    out::begin(global);
}

/// Prints a line for people, beside the data; what a terminal would obey is written out, whoever wrote it. One that cannot be
/// printed changes nothing: a log that is full ends no backup.
pub(crate) fn note(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{}", shown(&for_people(&text.to_string())));
}

/// Prints a line of data that says what to type.
pub(crate) fn advice(text: impl std::fmt::Display) {
    line(for_people(&text.to_string()));
}

/// A text with commands as they are typed here, and with what times it still has in the zone of the machine.
pub(crate) fn for_people(text: &str) -> String {
    commands().text(&local(text, &TimeZone::system())).into_owned()
}
