//! A program that runs: when it last moved, how it ended, and how it is ended. Its process has a thread here that started
//! it, reads its standard error and waits for its end; where that thread is gone with the host, the kernel tells the process.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use dozo_job::{Error, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::feeding::Feeding;
use super::lines::Lines;
use crate::limits::PROGRAM_INTERVAL;
use crate::unfinished::{End, Unfinished};
use crate::watchdog::shown;

/// A program. Whoever may still want something of it holds it; let go of by all, it is ended.
pub(crate) struct Running {
    process: Arc<Process>,
    lines: Lines,
    /// Whether somebody may still read what it prints.
    pub(super) is_read: AtomicBool,
    /// Whether it took what it was given.
    pub(super) feeding: Arc<Feeding>,
    unfinished: Unfinished,
    /// That somebody was told how it ended.
    end: Mutex<End>,
}

/// The program's process, or what was one.
pub(super) struct Process {
    shared: Arc<Shared>,
    launcher: OwnedFd,
    /// Whether the plugin wanted it to end.
    pub(super) is_dismissed: Arc<AtomicBool>,
}

/// What the thread that watches it knows.
struct Shared {
    /// Its file's name, for messages.
    name: String,
    begun: Instant,
    /// Milliseconds after the beginning at which bytes last went through one of its pipes.
    moved: AtomicU64,
    status: Mutex<Option<i32>>,
    ended: Condvar,
}

/// A process that was started, and the host's ends of its pipes.
struct Started {
    launcher: OwnedFd,
    input: ChildStdin,
    output: ChildStdout,
}

impl Running {
    /// Starts it. Blocks for as long as the kernel takes.
    pub(super) fn start(
        name: String,
        command: Command,
        lines: Lines,
        unfinished: Unfinished,
    ) -> Result<(Arc<Self>, ChildStdin, ChildStdout)> {
        let shared = Arc::new(Shared {
            name,
            begun: Instant::now(),
            moved: AtomicU64::new(0),
            status: Mutex::new(None),
            ended: Condvar::new(),
        });
        let failed = |e| Error::io(format!("start `{}`", shared.name), e);
        let (tell, told) = mpsc::sync_channel(1);
        let (watched, heard) = (shared.clone(), lines.clone());
        let watch = move || watched.watch(command, &heard, &tell);
        std::thread::Builder::new().name("program".into()).spawn(watch).map_err(failed)?;
        let started = told.recv().unwrap_or_else(|_| Err(std::io::Error::other("its thread ended early")));
        let Started { launcher, input, output } = started.map_err(failed)?;
        let process = Arc::new(Process { shared, launcher, is_dismissed: Arc::default() });
        let mut end = unfinished.whole(format!("`{}`", process.name()), process.is_dismissed.clone());
        end.begun();
        let is_read = AtomicBool::new(true);
        let (feeding, end) = (Arc::default(), Mutex::new(end));
        Ok((Arc::new(Running { process, lines, is_read, feeding, unfinished, end }), input, output))
    }

    /// Its process, which may be looked at after it was let go of.
    pub(super) fn process(&self) -> Arc<Process> {
        self.process.clone()
    }

    /// Ends it, because the plugin wants it.
    pub(crate) fn dismiss(&self) {
        self.process.is_dismissed.store(true, Ordering::Relaxed);
        self.process.end();
    }

    /// That what it prints must be read to the end, once somebody begins.
    pub(super) fn end_of_output(&self) -> End {
        self.unfinished.whole(format!("the output of `{}`", self.name()), self.process.is_dismissed.clone())
    }

    /// Notes that somebody is told how it ended, or why that is not known.
    pub(super) fn told(&self) {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).told();
    }

    /// Its file's name, for messages.
    pub(super) fn name(&self) -> &str {
        self.process.name()
    }

    /// The last lines of its standard error, without secrets.
    pub(crate) fn errors(&self) -> String {
        self.lines.tail.text().unwrap_or_default()
    }

    /// Waits for its end for as long as something moves; `what` says what does not if nothing does. That it ended well and had
    /// not taken all of its input is an error.
    pub(super) fn wait(&self, what: &str) -> Result<i32> {
        let since = Instant::now();
        loop {
            if let Some(status) = self.process.ended_within(self.interval()) {
                self.told();
                if status == 0 && !self.process.is_dismissed.load(Ordering::Relaxed) {
                    self.feeding.verdict(self.name())?;
                }
                return Ok(status);
            }
            self.check_moving(since, what)?;
        }
    }

    /// Waits until a pipe is ready, or over, for as long as something moves.
    pub(super) fn wait_for(&self, pipe: BorrowedFd<'_>, ready: PollFlags, what: &str) -> Result<()> {
        let since = Instant::now();
        let interval = PollTimeout::try_from(self.interval()).unwrap_or(PollTimeout::ZERO);
        loop {
            match poll(&mut [PollFd::new(pipe, ready)], interval) {
                Ok(0) | Err(nix::errno::Errno::EINTR) => self.check_moving(since, what)?,
                Ok(_) => return Ok(()),
                Err(error) => return Err(Error::io(format!("wait for `{}`", self.name()), error.into())),
            }
        }
    }

    fn interval(&self) -> Duration {
        PROGRAM_INTERVAL.min(self.lines.limits.stall)
    }

    /// An error once nothing has moved for as long as a plugin may stand still, since somebody began to wait.
    fn check_moving(&self, since: Instant, what: &str) -> Result<()> {
        let shared = &self.process.shared;
        let moved = shared.begun + Duration::from_millis(shared.moved.load(Ordering::Relaxed));
        let stall = self.lines.limits.stall;
        if since.max(moved).elapsed() < stall {
            return Ok(());
        }
        self.told();
        let (name, time) = (self.name(), shown(stall));
        Err(Error::unavailable(format!("`{name}` {what} for {time}")).hinted(format!(
            "look what it waits for; one that works for longer without a word takes `limits = {{ stall = \"…\" }}`, now {time}"
        )))
    }

    /// Notes that bytes went through one of its pipes.
    fn moved(&self) {
        self.process.shared.moved();
    }

    /// That so many bytes came out of it.
    pub(super) fn gave(&self, bytes: usize) {
        self.moved();
        self.lines.life.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// That it took so many bytes.
    pub(super) fn took(&self, bytes: usize) {
        self.moved();
        self.lines.life.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Why an exit status other than 0 is an error, with its last words.
    pub(super) fn failed(&self, status: i32) -> Error {
        let name = self.name();
        let error = match status {
            0..=128 => Error::unavailable(format!("`{name}` ended with exit status {status}")).hinted(
                "what a program may read and write is bounded: `read` and `write` beside `run` in `programs` add to it",
            ),
            signal => Error::unavailable(format!("`{name}` was ended by signal {}", signal - 128)),
        };
        match self.lines.tail.text() {
            Some(text) => error.caused_by(std::io::Error::other(format!("its standard error ends with:\n{text}"))),
            None => error,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.process.end();
    }
}

impl Process {
    /// Tells the launcher to end it and all that it started.
    pub(super) fn end(&self) {
        let _ = pidfd_send_signal(&self.launcher, Signal::TERM);
    }

    /// Ends the launcher itself, where that does not do what it is told.
    pub(super) fn end_launcher(&self) {
        let _ = pidfd_send_signal(&self.launcher, Signal::KILL);
    }

    pub(super) fn name(&self) -> &str {
        &self.shared.name
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.shared.status().is_some()
    }

    /// Waits for its end so long, whatever else happens. The exit status; 128 and more is the signal that ended it.
    pub(super) fn ended_within(&self, time: Duration) -> Option<i32> {
        let waited = self.shared.ended.wait_timeout_while(self.shared.status(), time, |status| status.is_none());
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Shared {
    fn status(&self) -> MutexGuard<'_, Option<i32>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moved(&self) {
        self.moved.store(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The life of its thread: from the process's start to its end.
    fn watch(&self, mut command: Command, lines: &Lines, tell: &mpsc::SyncSender<std::io::Result<Started>>) {
        let mut process = match command.spawn() {
            Ok(process) => process,
            Err(error) => return drop(tell.send(Err(error))),
        };
        drop(command);
        let opened = pidfd_open(Pid::from_child(&process), PidfdFlags::empty());
        let pipes = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (told, errors) = match (opened, pipes) {
            (Ok(launcher), (Some(input), Some(output), Some(errors))) => {
                (tell.send(Ok(Started { launcher, input, output })), Some(errors))
            }
            (opened, _) => (tell.send(Err(opened.err().unwrap_or(Errno::BADF).into())), None),
        };
        match errors {
            Some(errors) if told.is_ok() => lines.read(&self.name, errors, || self.moved()),
            _ => drop(process.kill()),
        }
        let ended = process.wait();
        *self.status() = Some(ended.map_or(128, status));
        self.ended.notify_all();
    }
}

/// An exit status as shells have it.
fn status(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}
