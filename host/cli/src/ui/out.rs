//! Standard output: lines of data. That they cannot be written never ends the work: jobs run, people hear of them, and at the
//! end the exit code says that something is missing.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use crate::exit::Exit;

/// What became of standard output.
static STATE: Mutex<State> = Mutex::new(State::Read);

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

/// Prints a line of data.
pub(crate) fn line(text: impl std::fmt::Display) {
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
    line(serde_json::to_string(value)?);
    Ok(())
}

/// The exit code of a command, which is not a success if its data could not be printed. Reports why.
pub(crate) fn finish(exit: Exit) -> Exit {
    let state = std::mem::replace(&mut *STATE.lock().unwrap_or_else(PoisonError::into_inner), State::Left);
    let State::Failed(error) = state else { return exit };
    super::note(format!("error: the output could not be written to standard output\ncaused by: {error}"));
    super::note("hint: the command did its work all the same, only what it printed is incomplete");
    exit.worst(Exit::Failed)
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
