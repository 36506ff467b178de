//! The content of a stored entry, as a stream of checked chunks.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::chunks::ChunkReader;
use crate::entry::StoredEntry;
use crate::error::{Error, Result};
use crate::extents::Extents;
use crate::pieces::Pieces;

/// The content of a stored entry as [`Read`]; every byte was compared with its chunk's id. Waits for the store, so it is
/// for threads that may block.
pub struct ContentReader {
    path: String,
    pieces: Pieces,
    current: Bytes,
    /// Bytes still to come; the end before them is an error.
    left: u64,
    size: u64,
    runtime: tokio::runtime::Handle,
}

impl ContentReader {
    pub(crate) fn new(
        stored: &StoredEntry,
        offset: u64,
        data: Arc<ChunkReader>,
        catalog: Arc<ChunkReader>,
    ) -> Result<Self> {
        let size = stored.entry.size.unwrap_or(0);
        if offset > size {
            let path = crate::path::shown(&stored.entry.path);
            return Err(Error::invalid(format!("`{path}` has {size} bytes, none at {offset}")));
        }
        Ok(ContentReader {
            path: stored.entry.path.clone(),
            pieces: Pieces::new(data, Extents::new(catalog, &stored.content), offset),
            current: Bytes::new(),
            left: size - offset,
            size,
            runtime: tokio::runtime::Handle::current(),
        })
    }

    /// Passes over the zeros of a hole that comes next, unread; returns how many. 0 where there is none.
    ///
    /// # Errors
    /// As reading.
    pub fn skip_hole(&mut self) -> Result<u64> {
        if !self.current.is_empty() || self.left == 0 {
            return Ok(0);
        }
        let passed = self.runtime.block_on(self.pieces.skip_hole())?;
        self.left = self.left.checked_sub(passed).ok_or_else(|| self.wrong_length())?;
        Ok(passed)
    }

    /// Whether a file holds this content, whole and nothing else: its bytes have the ids of the chunks. To be asked before
    /// anything was read. A file that cannot be read does not.
    ///
    /// # Errors
    /// If the store does not tell what the content is.
    pub fn is_in(&self, there: &File) -> Result<bool> {
        if self.left != self.size || there.metadata().map_or(true, |meta| meta.len() != self.size) {
            return Ok(false);
        }
        self.runtime.block_on(self.pieces.are_in(there, self.size))
    }

    /// Takes pieces from this file instead of the store where it has them in their places: an older version of the content,
    /// or a restore that was interrupted.
    pub fn draw_on(&mut self, there: File) {
        self.pieces.draw_on(there);
    }

    fn wrong_length(&self) -> Error {
        let shown = crate::path::shown(&self.path);
        Error::corrupt(format!("the stored content of `{shown}` is not as long as it should be"))
    }

    fn fill(&mut self) -> Result<()> {
        if !self.current.is_empty() || self.left == 0 {
            return Ok(());
        }
        let piece = self.runtime.block_on(self.pieces.next()).map_err(|e| {
            let path = crate::path::shown(&self.path);
            e.context(format!("read the stored content of `{path}`"))
        })?;
        match piece {
            Some(piece) if piece.len() as u64 <= self.left => {
                self.left -= piece.len() as u64;
                self.current = piece;
                Ok(())
            }
            _ => Err(self.wrong_length()),
        }
    }
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.fill()?;
        let taken = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..taken]);
        Ok(taken)
    }
}
