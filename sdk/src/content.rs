//! Content on the host's side, read into the plugin through the standard library.

use std::io::Read;

use crate::{Content, Error, Result};

impl Read for &Content {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let max = u32::try_from(buf.len()).unwrap_or(u32::MAX);
        let bytes = Content::read(self, max).map_err(std::io::Error::other)?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

impl Read for Content {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        Read::read(&mut &*self, buf)
    }
}

impl Content {
    /// Reads what is left and throws it away, to learn how it ended. Returns how many bytes that were.
    ///
    /// # Errors
    /// Why there is no end, where there is none: a cut connection, a program that failed.
    pub fn drain(&self) -> Result<u64> {
        let mut left = 0;
        loop {
            match Content::read(self, u32::MAX)?.len() {
                0 => return Ok(left),
                bytes => left += bytes as u64,
            }
        }
    }

    /// All of a content that is small.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is longer than `max` bytes.
    pub fn bytes(&self, max: usize) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let piece = Content::read(self, 64 << 10)?;
            if piece.is_empty() {
                return Ok(all);
            }
            if all.len() + piece.len() > max {
                return Err(Error::Invalid(format!("there are more than {max} bytes where fewer were expected")));
            }
            all.extend_from_slice(&piece);
        }
    }
}
