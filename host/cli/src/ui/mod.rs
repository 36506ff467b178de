//! The terminal: data to standard output, all else to standard error, understandable without colour.

pub(crate) mod ask;
pub(crate) mod errors;
pub(crate) mod progress;
pub(crate) mod words;

use std::io::Write;

/// Prints a line of data. A reader that has gone away (`| head`) ends the program quietly, as it does any filter; a disk
/// that is full ends it loudly, because half a listing must not look like a whole one.
pub(crate) fn line(text: impl std::fmt::Display) {
    let Err(error) = writeln!(std::io::stdout().lock(), "{text}") else { return };
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    note(format!("error: write to standard output\ncaused by: {error}"));
    std::process::exit(1);
}

/// Prints a line for people, beside the data.
pub(crate) fn note(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(value)?);
    Ok(())
}
