//! The content of a stored entry, as a stream of checked chunks.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::chunks::ChunkReader;
use crate::entry::{Extent, StoredEntry};
use crate::error::{Error, Result};
use crate::extents::Extents;

/// The content of a stored entry as [`Read`]; every byte was compared with its chunk's id. Waits for the store, so it is
/// for threads that may block.
pub struct ContentReader {
    path: String,
    data: Arc<ChunkReader>,
    extents: Extents,
    current: Bytes,
    /// Bytes still to come; the end before them is an error.
    left: u64,
    /// Bytes of the next extents to pass over.
    skip: u64,
    size: u64,
    /// A file that may hold some of it.
    there: Option<File>,
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
        let mut extents = Extents::new(catalog, &stored.content);
        let skip = extents.seek(offset);
        Ok(ContentReader {
            path: stored.entry.path.clone(),
            data,
            extents,
            current: Bytes::new(),
            left: size - offset,
            skip,
            size,
            there: None,
            runtime: tokio::runtime::Handle::current(),
        })
    }

    /// Passes over the zeros of a hole that comes next, unread; returns how many. 0 where there is none.
    ///
    /// # Errors
    /// As reading.
    pub fn skip_hole(&mut self) -> Result<u64> {
        if !self.current.is_empty() || self.skip > 0 || self.left == 0 {
            return Ok(0);
        }
        let (zero, extents, mut passed) = (self.data.zero(), &mut self.extents, 0);
        self.runtime.block_on(async {
            while let Some(extent) = extents.peek().await?.filter(|extent| extent.chunk == zero) {
                passed += u64::from(extent.length);
                extents.next().await?;
            }
            Ok(())
        })?;
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
        let (mut extents, mut at, mut buffer) = (self.extents.clone(), 0, Vec::new());
        self.runtime.block_on(async {
            while let Some(extent) = extents.next().await? {
                buffer.resize(extent.length as usize, 0);
                if there.read_exact_at(&mut buffer, at).is_err() || !self.holds(&extent, &buffer).await? {
                    return Ok(false);
                }
                at += u64::from(extent.length);
            }
            Ok(at == self.size)
        })
    }

    /// Takes pieces from this file instead of the store where it has them in their places: an older version of the content,
    /// or a restore that was interrupted.
    pub fn draw_on(&mut self, there: File) {
        self.there = Some(there);
    }

    /// Whether these bytes are what an extent names.
    async fn holds(&self, extent: &Extent, bytes: &[u8]) -> Result<bool> {
        if extent.chunk == self.data.zero() {
            return Ok(bytes.iter().all(|byte| *byte == 0));
        }
        if self.data.length_of(&extent.chunk)? == Some(extent.length) {
            return Ok(self.data.is_chunk(&extent.chunk, bytes));
        }
        let (start, chunk) = (extent.offset as usize, self.data.read(&extent.chunk).await?);
        Ok(chunk.get(start..start + bytes.len()) == Some(bytes))
    }

    /// A whole chunk from the file that may have it.
    fn drawn(&self, extent: &Extent) -> Result<Option<Bytes>> {
        let Some(there) = self.there.as_ref().filter(|_| self.skip == 0) else { return Ok(None) };
        if self.data.length_of(&extent.chunk)? != Some(extent.length) {
            return Ok(None);
        }
        let mut bytes = vec![0; extent.length as usize];
        let read = there.read_exact_at(&mut bytes, self.size - self.left);
        Ok((read.is_ok() && self.data.is_chunk(&extent.chunk, &bytes)).then(|| bytes.into()))
    }

    fn wrong_length(&self) -> Error {
        let shown = crate::path::shown(&self.path);
        Error::corrupt(format!("the stored content of `{shown}` is not as long as it should be"))
    }

    /// The next piece, never empty, or none at the end.
    fn next_piece(&mut self) -> Result<Option<Bytes>> {
        if self.there.is_some()
            && let Some(extent) = self.runtime.block_on(self.extents.peek())?
            && let Some(piece) = self.drawn(&extent)?
        {
            self.runtime.block_on(self.extents.next())?;
            return Ok(Some(piece));
        }
        let (data, extents, skip) = (&self.data, &mut self.extents, &mut self.skip);
        self.runtime.block_on(async {
            loop {
                let Some(extent) = extents.next().await? else { return Ok(None) };
                if *skip >= u64::from(extent.length) {
                    *skip -= u64::from(extent.length);
                    continue;
                }
                let chunk = data.read(&extent.chunk).await?;
                let (start, end) = (extent.offset as usize, extent.offset as usize + extent.length as usize);
                if end > chunk.len() {
                    return Err(Error::corrupt("an extent reaches beyond its chunk"));
                }
                let start = start + std::mem::take(skip) as usize;
                return Ok(Some(chunk.slice(start..end)));
            }
        })
    }

    fn fill(&mut self) -> Result<()> {
        if !self.current.is_empty() || self.left == 0 {
            return Ok(());
        }
        let piece = self.next_piece().map_err(|e| {
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
