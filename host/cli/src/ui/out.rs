//! Standard output: lines of data. That they cannot be written never ends the work: jobs run, people hear of them, and at the
//! end the exit code says that something is missing.

use std::borrow::Cow;
use std::io::{Error, ErrorKind, Result, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use dozo_job::shown;
use rustix::io::Errno;

use crate::args::Global;
use crate::exit::Exit;

/// What became of standard output.
static STATE: Mutex<State> = Mutex::new(State::Read);

/// Whether `--quiet` counts.
static QUIET: OnceLock<bool> = OnceLock::new();

/// Between two tries of a reader's pipe that does not block and is full.
const FULL: Duration = Duration::from_millis(5);

enum State {
    /// Lines are written.
    Read,
    /// The reader has gone away (`| head`): it has seen what it wanted.
    Left,
    /// Something could not be written. Nothing is written from there on: what is there is a beginning, without a hole.
    Failed(Error),
}

/// Remembers whether `--quiet` was given.
pub(super) fn begin(global: &Global) {
    let _ = QUIET.set(global.quiet);
}

/// Whether nothing but what is wrong is printed.
pub(super) fn is_quiet() -> bool {
    QUIET.get().copied().unwrap_or_default()
}

/// Prints a line of data; what a terminal would obey is written out, whoever wrote it.
pub(crate) fn line(text: impl std::fmt::Display) {
    data(&shown(&text.to_string()));
}

/// Prints a line that says that work went well, which `--quiet` leaves out. What was asked for (lists, plans, content, how things
/// stand) and what is wrong is no such line.
pub(crate) fn result(text: impl std::fmt::Display) {
    if !is_quiet() {
        line(text);
    }
}

fn data(text: &str) {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    if !matches!(*state, State::Read) {
        return;
    }
    match write_all(format!("{text}\n").as_bytes()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => *state = State::Left,
        Err(error) => *state = State::Failed(error),
    }
}

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    data(&escaped_json(&serde_json::to_string(value)?));
    Ok(())
}

/// JSON that says the same, with what a terminal would obey as `\uXXXX`: a program reads what was written, a person is not fooled.
fn escaped_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // Serde has escaped what is below a space already.
        if c != '\t' && c != '\n' && matches!(shown(c.encode_utf8(&mut [0; 4])), Cow::Owned(_)) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// The exit code of a command, which is not a success if its data could not be printed. Reports why.
pub(crate) fn finish(exit: Exit) -> Exit {
    let state = std::mem::replace(&mut *STATE.lock().unwrap_or_else(PoisonError::into_inner), State::Left);
    let State::Failed(error) = state else { return exit };
    super::note(format!("error: the output could not be written to standard output\ncaused by: {error}"));
    super::note("hint: the command did its work all the same, only what it printed is incomplete");
    exit.worst(Exit::Failed)
}

/// Standard output for content, byte by byte as it is.
pub(crate) struct Content;

impl Write for Content {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Straight to the descriptor: the standard library takes one that cannot be written to for one that nobody reads.
fn write_all(mut bytes: &[u8]) -> Result<()> {
    let out = std::io::stdout();
    while !bytes.is_empty() {
        match rustix::io::write(out.as_fd(), bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => std::thread::sleep(FULL),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_the_same_and_a_terminal_obeys_nothing_of_it() {
        let value = serde_json::json!({ "a": "\u{1b}[2J \u{9b}1m \u{7f} \u{202e} ü\n" });
        let escaped = escaped_json(&value.to_string());
        assert!(!escaped.chars().any(char::is_control) && !escaped.contains('\u{202e}'), "{escaped}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
    }
}
