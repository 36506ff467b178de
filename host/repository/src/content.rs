//! The content of a stored entry, as a stream of checked chunks.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::chunks::ChunkReader;
use crate::entry::{Content, Extent, ExtentList, StoredEntry};
use crate::error::{Error, Result};
use crate::format::manifest::parse_extents;

/// The extents of an entry one after the other, lists read as they are needed.
pub(crate) struct Extents {
    catalog: Arc<ChunkReader>,
    ready: VecDeque<Extent>,
    lists: VecDeque<ExtentList>,
}

impl Extents {
    pub(crate) fn new(catalog: Arc<ChunkReader>, content: &Content) -> Self {
        match content {
            Content::Inline(extents) => {
                Extents { catalog, ready: extents.iter().copied().collect(), lists: VecDeque::new() }
            }
            Content::Listed(lists) => {
                Extents { catalog, ready: VecDeque::new(), lists: lists.iter().copied().collect() }
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Extent>> {
        while self.ready.is_empty() {
            let Some(list) = self.lists.pop_front() else { return Ok(None) };
            // Boxed, because few entries have lists and every entry comes by here.
            let body = Box::pin(self.catalog.read(&list.chunk)).await;
            let body = body.map_err(|e| e.context("read a list of extents"))?;
            let extents = parse_extents(&body)?;
            let covered: u64 = extents.iter().map(|e| u64::from(e.length)).sum();
            if covered != list.covered || body.len() != list.bytes as usize {
                return Err(Error::corrupt("a list of extents is not what its entry says"));
            }
            self.ready = extents.into();
        }
        Ok(self.ready.pop_front())
    }

    /// The extents that cover `length` bytes from `offset` on.
    ///
    /// # Errors
    /// [`Invalid`](crate::error::Kind::Invalid) if the content is shorter.
    pub(crate) async fn range(mut self, offset: u64, length: u64) -> Result<Vec<Extent>> {
        let (mut skip, mut left, mut range) = (self.seek(offset), length, Vec::new());
        while left > 0 {
            let Some(extent) = self.next().await? else {
                return Err(Error::invalid(format!("the stored content has no {length} bytes at {offset}")));
            };
            let here = u64::from(extent.length);
            if skip >= here {
                skip -= here;
                continue;
            }
            let taken = left.min(here - skip);
            range.push(Extent { chunk: extent.chunk, offset: extent.offset + skip as u32, length: taken as u32 });
            (left, skip) = (left - taken, 0);
        }
        Ok(range)
    }

    /// Passes over whole lists before `offset` unread; returns how many bytes of the next extents to skip.
    pub(crate) fn seek(&mut self, offset: u64) -> u64 {
        let mut at = 0;
        while let Some(list) = self.lists.front().filter(|list| at + list.covered <= offset) {
            at += list.covered;
            self.lists.pop_front();
        }
        offset - at
    }
}

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
            runtime: tokio::runtime::Handle::current(),
        })
    }

    /// The next piece, never empty, or none at the end.
    fn next_piece(&mut self) -> Result<Option<Bytes>> {
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
            _ => Err(Error::corrupt(format!("the stored content of `{}` is not as long as it should be", self.path))),
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
