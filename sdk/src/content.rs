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

/// All of a content that is small.
///
/// # Errors
/// [`Error::Invalid`] if it is longer than `max` bytes.
pub(crate) fn read_all(content: &Content, max: usize) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let piece = content.read(64 << 10)?;
        if piece.is_empty() {
            return Ok(all);
        }
        if all.len() + piece.len() > max {
            return Err(Error::Invalid(format!("there are more than {max} bytes where fewer were expected")));
        }
        all.extend_from_slice(&piece);
    }
}
