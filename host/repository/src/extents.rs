//! The pieces of a stored entry, one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::chunks::ChunkReader;
use crate::entry::{Content, Extent, ExtentList};
use crate::error::{Error, Result};
use crate::format::manifest::parse_extents;

/// The extents of an entry one after the other, lists read as they are needed.
#[derive(Clone)]
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
        self.fill().await?;
        Ok(self.ready.pop_front())
    }

    /// The next, which stays the next.
    pub(crate) async fn peek(&mut self) -> Result<Option<Extent>> {
        self.fill().await?;
        Ok(self.ready.front().copied())
    }

    /// Those of the next that are at hand without reading a list.
    pub(crate) fn at_hand(&self) -> impl Iterator<Item = &Extent> {
        self.ready.iter()
    }

    async fn fill(&mut self) -> Result<()> {
        while self.ready.is_empty() {
            let Some(list) = self.lists.pop_front() else { return Ok(()) };
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
        Ok(())
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
