//! Whether a program took all that it was given. What it did not read lies in the pipe, where no write tells of it: so the pipe
//! is closed when it is empty, and a program that ends before has not taken its input.

use std::process::ChildStdin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use dozo_job::{Error, Result};
use rustix::io::ioctl_fionread;

use super::running::Process;

/// How often a pipe is looked at that is to be closed.
const LOOK: Duration = Duration::from_millis(2);
/// How long the end of a program's input may be unclear once the program has ended.
const CLEAR: Duration = Duration::from_secs(10);

/// What became of a program's input.
#[derive(Default)]
pub(super) struct Feeding {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
enum State {
    /// Not begun.
    #[default]
    Nothing,
    /// More may come.
    Open(Weak<ChildStdin>),
    /// No more will come, and some of it is not read yet.
    Closing,
    /// It read all.
    Taken,
    /// It ended before.
    Left,
    /// What it was given broke off.
    Cut(Error),
}

impl Feeding {
    pub(super) fn begin(&self, pipe: &Arc<ChildStdin>) {
        self.set(State::Open(Arc::downgrade(pipe)));
    }

    /// That what it was given is not whole, whatever it makes of it.
    pub(super) fn cut(&self, why: Error) {
        self.set(State::Cut(why));
    }

    /// Closes the pipe as soon as all in it was read, or the program has ended.
    pub(super) fn close(self: &Arc<Self>, pipe: Arc<ChildStdin>, process: Arc<Process>) {
        if matches!(*self.state(), State::Cut(_)) || is_empty(&pipe) {
            return self.closed(true);
        }
        self.set(State::Closing);
        let feeding = self.clone();
        let wait = move || {
            while !is_empty(&pipe) {
                if process.ended_within(LOOK).is_some() {
                    return feeding.closed(is_empty(&pipe));
                }
            }
            drop(pipe);
            feeding.closed(true);
        };
        if std::thread::Builder::new().name("input".into()).spawn(wait).is_err() {
            self.closed(false);
        }
    }

    /// Whether a program that has ended well, called `name`, took all of its input.
    pub(super) fn verdict(&self, name: &str) -> Result<()> {
        let unclear = |state: &mut State| matches!(state, State::Closing);
        let waited = self.changed.wait_timeout_while(self.state(), CLEAR, unclear);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let left = match &*state {
            State::Cut(why) => return Err(why.clone().context(format!("the input of `{name}` was cut short"))),
            State::Open(pipe) => pipe.upgrade().is_some_and(|pipe| !is_empty(&pipe)),
            State::Left | State::Closing => true,
            State::Nothing | State::Taken => false,
        };
        if left {
            return Err(Error::unavailable(format!("`{name}` ended before it had taken all of its input")));
        }
        Ok(())
    }

    fn closed(&self, taken: bool) {
        let mut state = self.state();
        if !matches!(*state, State::Cut(_)) {
            *state = if taken { State::Taken } else { State::Left };
        }
        self.changed.notify_all();
    }

    fn set(&self, now: State) {
        *self.state() = now;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether everything that was written was read.
fn is_empty(pipe: &ChildStdin) -> bool {
    ioctl_fionread(pipe).is_ok_and(|bytes| bytes == 0)
}
