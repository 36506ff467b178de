//! A program's input and output on the host's side. They block, on threads for that, and no longer than nothing moves.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{ChildStdin, ChildStdout};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dozo_job::port::{Content, ReadContent};
use dozo_job::{Error, Result};
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::PollFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::running::Running;
use crate::limits::{INPUT_BYTES, PIPE_BYTES};

/// How long a program that takes no more may take to end, for its end to be told instead of the broken pipe.
const ENDING: Duration = Duration::from_secs(1);

/// What a program reads.
pub(crate) struct Input {
    pipe: Arc<ChildStdin>,
    running: Arc<Running>,
}

impl Input {
    pub(super) fn new(pipe: ChildStdin, running: Arc<Running>) -> Result<Self> {
        let failed = |e: rustix::io::Errno| Error::io("set up a program's input", e.into());
        enlarge(pipe.as_fd());
        // A write to a full pipe would not come back; waiting for room has an end.
        let flags = fcntl_getfl(&pipe).map_err(failed)?;
        fcntl_setfl(&pipe, flags | OFlags::NONBLOCK).map_err(failed)?;
        let pipe = Arc::new(pipe);
        running.feeding.begin(&pipe);
        Ok(Input { pipe, running })
    }

    /// Gives it all of these bytes.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let what = match self.running.is_read.load(Ordering::Relaxed) {
                true => "took no input, and nobody read more of its output,",
                false => "took no input",
            };
            self.running.wait_for(self.pipe.as_fd(), PollFlags::POLLOUT, what)?;
            match (&*self.pipe).write(bytes) {
                Ok(taken) => {
                    self.running.took(taken);
                    bytes = &bytes[taken..];
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(self.refused(error)),
            }
        }
        Ok(())
    }

    /// Gives it a content to its end; returns how many bytes that had.
    pub(super) fn write_content(&mut self, mut content: Content) -> Result<u64> {
        let mut piece = vec![0; INPUT_BYTES];
        let mut total = 0;
        loop {
            match content.read(&mut piece) {
                Ok(0) => return Ok(total),
                Ok(read) => {
                    self.write(&piece[..read])?;
                    total += read as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let error = Error::io("read the content", error);
                    self.running.feeding.cut(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// A program that takes no more has mostly ended; then that is what there is to tell.
    fn refused(&self, error: std::io::Error) -> Error {
        let name = self.running.name();
        self.running.told();
        match self.running.process().ended_within(ENDING) {
            Some(0) => Error::unavailable(format!("`{name}` ended before it had taken all of its input")),
            Some(status) => self.running.failed(status).context(format!("`{name}` did not take all of its input")),
            None => Error::io(format!("give `{name}` its input"), error),
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.running.feeding.close(self.pipe.clone(), self.running.process());
    }
}

/// What a program prints. Its end is the program's end, and an error unless that is exit status 0.
pub(crate) struct Output {
    pipe: Option<ChildStdout>,
    running: Arc<Running>,
}

impl Output {
    pub(super) fn new(pipe: ChildStdout, running: Arc<Running>) -> Self {
        enlarge(pipe.as_fd());
        Output { pipe: Some(pipe), running }
    }

    fn close(&mut self) {
        self.pipe = None;
        self.running.is_read.store(false, Ordering::Relaxed);
    }
}

impl ReadContent for Output {}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Some(pipe) = &mut self.pipe {
            self.running.wait_for(pipe.as_fd(), PollFlags::POLLIN, "printed nothing, and took no input,")?;
            let read = rustix::io::retry_on_intr(|| rustix::io::read(&*pipe, &mut *buffer))?;
            if read > 0 || buffer.is_empty() {
                self.running.gave(read);
                return Ok(read);
            }
            self.close();
        }
        match self.running.wait("closed its output and did not end")? {
            0 => Ok(0),
            status => Err(self.running.failed(status).into()),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.close();
    }
}

/// Has the kernel hold more, so that program and host wait for each other less often. Where it refuses, it is slower.
fn enlarge(pipe: BorrowedFd<'_>) {
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(i32::try_from(PIPE_BYTES).unwrap_or(i32::MAX)));
}
