//! Content on the host's side of the sandbox: what a source hands on, what a restore hands out.

use std::fs::File;
use std::io::{Read, Result};

/// Content that is read once, from its beginning to its end, on a thread that may block. Its errors are
/// [`Error`](crate::Error)s that travel inside [`std::io::Error`].
pub trait ReadContent: Read + Send {
    /// Passes over a hole that comes next, zeros that nobody needs to make; returns how many bytes. 0 where there is none, or
    /// none that is known without reading: whoever does not ask reads the zeros.
    ///
    /// # Errors
    /// As reading.
    fn skip_hole(&mut self) -> Result<u64> {
        Ok(0)
    }

    /// At its end: whether it was written to while it was read, and that has been noted.
    fn is_torn(&self) -> bool {
        false
    }

    /// Whether a file has just this content, where that can be told without reading it; then nothing is left to be read. To be
    /// asked first.
    ///
    /// # Errors
    /// As reading.
    fn is_in(&mut self, there: &File) -> Result<bool> {
        let _ = there;
        Ok(false)
    }

    /// Takes what a file has of it from there, checked as everything is, where that is cheaper.
    fn draw_on(&mut self, there: File) {
        let _ = there;
    }
}

/// Bytes of which nothing more is known than that they can be read.
#[derive(Debug)]
pub struct Plain<R>(pub R);

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read + Send> ReadContent for Plain<R> {}

/// See [`ReadContent`].
pub type Content = Box<dyn ReadContent>;
