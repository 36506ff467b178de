//! The terminal: data to standard output, all else to standard error, understandable without colour.

pub(crate) mod ask;
pub(crate) mod errors;
pub(crate) mod progress;
pub(crate) mod words;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether nobody reads standard output any more.
static UNREAD: AtomicBool = AtomicBool::new(false);

/// Prints a line of data. A reader that has gone away (`| head`) is spared the rest; the work goes on, and its exit code is
/// what it would have been. A disk that is full ends it loudly, because half a listing must not look like a whole one.
pub(crate) fn line(text: impl std::fmt::Display) {
    if UNREAD.load(Ordering::Relaxed) {
        return;
    }
    let Err(error) = writeln!(std::io::stdout().lock(), "{text}") else { return };
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        UNREAD.store(true, Ordering::Relaxed);
        return;
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
