//! The pieces of a content, the next of them read by the machine's other cores while one is taken.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::chunks::ChunkReader;
use crate::entry::Extent;
use crate::error::{Error, Result};
use crate::extents::Extents;
use crate::limits::{READ_AHEAD_BYTES, WINDOW_AHEAD_BYTES, WINDOWS_AHEAD};
use crate::pack_reader::Window;
use crate::pipeline::joined;

/// The pieces of a content in their order; every byte was compared with its chunk's id.
pub(crate) struct Pieces {
    data: Arc<ChunkReader>,
    extents: Extents,
    /// Where in the content the next extent begins.
    at: u64,
    /// Bytes of the next extents to pass over.
    skip: u64,
    /// A file that may hold some of it.
    there: Option<Arc<File>>,
    ahead: VecDeque<Ahead>,
    /// What is fetched of the store ahead of these, and what lately was.
    fetching: VecDeque<(Window, Task<()>)>,
    /// From where in the content on there may be more to fetch.
    looked: u64,
    /// Whether a piece was taken: who takes one alone waits for no other.
    begun: bool,
}

impl Pieces {
    pub(crate) fn new(data: Arc<ChunkReader>, mut extents: Extents, offset: u64) -> Self {
        let skip = extents.seek(offset);
        Pieces {
            data,
            extents,
            at: offset - skip,
            skip,
            there: None,
            ahead: VecDeque::new(),
            fetching: VecDeque::new(),
            looked: 0,
            begun: false,
        }
    }

    /// Takes pieces from this file instead of the store where it has them in their places.
    pub(crate) fn draw_on(&mut self, there: File) {
        self.there = Some(Arc::new(there));
    }

    /// Passes over the zeros of a hole that comes next, unread; returns how many.
    pub(crate) async fn skip_hole(&mut self) -> Result<u64> {
        // What is read ahead is no hole.
        if self.skip > 0 || !self.ahead.is_empty() {
            return Ok(0);
        }
        let mut passed = 0;
        while let Some(extent) = self.extents.peek().await?.filter(|extent| self.is_hole(extent)) {
            passed += u64::from(extent.length);
            self.extents.next().await?;
        }
        self.at += passed;
        Ok(passed)
    }

    /// The next piece, never empty, or none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.begun {
            self.read_ahead().await?;
        }
        self.begun = true;
        if let Some(mut ahead) = self.ahead.pop_front() {
            return joined((&mut ahead.piece.0).await).map(Some);
        }
        while let Some(next) = self.pull().await? {
            let (skip, length) = (self.skip, u64::from(next.extent.length));
            self.skip = skip.saturating_sub(length);
            if skip < length {
                return Ok(Some(next.read().await?.slice(skip as usize..)));
            }
        }
        Ok(None)
    }

    /// Whether a file has all pieces in their places, and nothing beyond them. To be asked before anything was taken.
    pub(crate) async fn are_in(&self, there: &File, size: u64) -> Result<bool> {
        let (mut extents, mut at, mut buffer) = (self.extents.clone(), 0, Vec::new());
        while let Some(extent) = extents.next().await? {
            buffer.resize(extent.length as usize, 0);
            if there.read_exact_at(&mut buffer, at).is_err() || !self.holds(&extent, &buffer).await? {
                return Ok(false);
            }
            at += u64::from(extent.length);
        }
        Ok(at == size)
    }

    /// Whether these bytes are what an extent names.
    async fn holds(&self, extent: &Extent, bytes: &[u8]) -> Result<bool> {
        if self.is_hole(extent) {
            return Ok(bytes.iter().all(|byte| *byte == 0));
        }
        if self.data.length_of(&extent.chunk)? == Some(extent.length) {
            return Ok(self.data.is_chunk(&extent.chunk, bytes));
        }
        let (start, chunk) = (extent.offset as usize, self.data.read(&extent.chunk).await?);
        Ok(chunk.get(start..start + bytes.len()) == Some(bytes))
    }

    fn is_hole(&self, extent: &Extent) -> bool {
        extent.chunk == self.data.zero()
    }

    /// Begins to read what comes next, up to a hole, which may be passed over.
    async fn read_ahead(&mut self) -> Result<()> {
        let mut bytes: usize = self.ahead.iter().map(|ahead| ahead.bytes).sum();
        while let Some(extent) = self.extents.peek().await?.filter(|extent| !self.is_hole(extent)) {
            bytes += extent.length as usize;
            if bytes > READ_AHEAD_BYTES {
                break;
            }
            if let Some(next) = self.pull().await? {
                self.ahead.push_back(Ahead { bytes: extent.length as usize, piece: Task(tokio::spawn(next.read())) });
            }
            self.fetch_ahead(&extent)?;
        }
        Ok(())
    }

    /// Begins to fetch what is needed after the window that an extent is read from. To fetch one takes as long as to decode
    /// all that is read ahead, which waits for it.
    fn fetch_ahead(&mut self, last: &Extent) -> Result<()> {
        let busy = self.fetching.iter().filter(|(_, task)| !task.0.is_finished()).count();
        // Where a file has some of it, a window may not be needed.
        if busy >= WINDOWS_AHEAD || self.at < self.looked || self.there.is_some() {
            return Ok(());
        }
        let (mut here, mut bytes, mut first) = (self.data.window_of(&last.chunk)?, 0, None);
        let mut left = WINDOWS_AHEAD - busy;
        for extent in self.extents.at_hand().filter(|extent| extent.chunk != self.data.zero()) {
            let window = self.data.window_of(&extent.chunk)?;
            if let Some(window) = window.filter(|_| window != here)
                && self.fetching.iter().all(|(fetched, _)| *fetched != window)
            {
                let data = self.data.clone();
                self.fetching.push_back((window, Task(tokio::spawn(async move { data.fetch_ahead(window).await }))));
                first.get_or_insert(self.at + bytes);
                left -= 1;
            }
            (here, bytes) = (window, bytes + u64::from(extent.length));
            if left == 0 || bytes > WINDOW_AHEAD_BYTES {
                break;
            }
        }
        // Where nothing was found, to look again soon would find nothing.
        self.looked = first.unwrap_or(self.at + bytes / 2);
        let remembered = self.fetching.len().min(2 * WINDOWS_AHEAD);
        self.fetching.drain(..self.fetching.len() - remembered);
        Ok(())
    }

    async fn pull(&mut self) -> Result<Option<Next>> {
        let Some(extent) = self.extents.next().await? else { return Ok(None) };
        let next = Next { extent, at: self.at, data: self.data.clone(), there: self.there.clone() };
        self.at += u64::from(extent.length);
        Ok(Some(next))
    }
}

/// What is to be read for one piece.
struct Next {
    extent: Extent,
    at: u64,
    data: Arc<ChunkReader>,
    there: Option<Arc<File>>,
}

impl Next {
    async fn read(self) -> Result<Bytes> {
        if let Some(piece) = self.drawn()? {
            return Ok(piece);
        }
        let chunk = self.data.read(&self.extent.chunk).await?;
        let (start, length) = (self.extent.offset as usize, self.extent.length as usize);
        if start + length > chunk.len() {
            return Err(Error::corrupt("an extent reaches beyond its chunk"));
        }
        Ok(chunk.slice(start..start + length))
    }

    /// A whole chunk from the file that may have it.
    fn drawn(&self) -> Result<Option<Bytes>> {
        let Some(there) = &self.there else { return Ok(None) };
        if self.data.length_of(&self.extent.chunk)? != Some(self.extent.length) {
            return Ok(None);
        }
        let mut bytes = vec![0; self.extent.length as usize];
        let read = there.read_exact_at(&mut bytes, self.at);
        Ok((read.is_ok() && self.data.is_chunk(&self.extent.chunk, &bytes)).then(|| bytes.into()))
    }
}

/// A piece that a task reads.
struct Ahead {
    bytes: usize,
    piece: Task<Result<Bytes>>,
}

/// A task that ends with whoever waits for it: a reader that is given up goes on reading nothing.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
