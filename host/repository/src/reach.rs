//! What snapshots reach: which chunks, and how much of which packs. A bit for each chunk and a number for each pack, however
//! many entries there are. A part of a manifest that cannot be read, or a chunk that is nowhere, is an error: what it
//! would have reached must never look like nothing (restic#4612, duplicacy#323).

use std::collections::HashSet;
use std::sync::Arc;

use crate::chunks::ChunkReader;
use crate::entry::{Content, ExtentList, StoredEntry};
use crate::error::{Error, Kind, Result};
use crate::format::manifest::parse_extents;
use crate::id::{ChunkId, ObjectId};
use crate::index::{Index, Location};
use crate::reader::SnapshotReader;
use crate::view::View;

/// Chunks that were reached, and how many bytes of each pack they are. A chunk that lies in several packs reaches one of
/// them: the best ([`crate::index::PackState`]).
#[derive(Clone)]
pub(crate) struct Reach {
    index: Arc<Index>,
    catalog: Arc<ChunkReader>,
    chunks: Bits,
    /// Plaintext bytes, for each pack of the index.
    bytes: Vec<u64>,
    /// Packs that were reached, absent ones too.
    packs: Bits,
    /// Packs that are known to be missing or cut off.
    lost: Arc<HashSet<u32>>,
}

impl Reach {
    /// Nothing is reached yet.
    pub(crate) fn new(view: &View) -> Self {
        let index = view.index().clone();
        let known = index.absent().iter().filter(|pack| view.marks.is_damaged(&pack.id));
        let lost = Arc::new(known.filter_map(|pack| index.find(&pack.id)).collect());
        Reach {
            catalog: view.catalog_chunks(),
            chunks: Bits::new(index.chunks()),
            bytes: vec![0; index.packs().len()],
            packs: Bits::new(index.pack_numbers()),
            index,
            lost,
        }
    }

    /// Adds what a snapshot reaches. A segment that several snapshots share is walked once.
    pub(crate) async fn walk(&mut self, reader: &SnapshotReader) -> Result<()> {
        let named = |e: Error| {
            let (job, id) = (&reader.snapshot().job.name, reader.id().short());
            let damaged = e.kind() == Kind::Corrupt;
            let error = e.context(format!("walk the snapshot {id} of `{job}`"));
            if damaged { error.hinted("`dozo verify` tells what is damaged") } else { error }
        };
        for number in 0..reader.manifest().segments().len() {
            self.walk_segment(reader, number).await.map_err(named)?;
        }
        Ok(())
    }

    async fn walk_segment(&mut self, reader: &SnapshotReader, number: usize) -> Result<()> {
        if !self.mark(&reader.manifest().segments()[number].chunk)? {
            return Ok(());
        }
        for entry in reader.manifest().segment(number).await?.iter() {
            self.walk_entry(entry).await?;
        }
        Ok(())
    }

    async fn walk_entry(&mut self, stored: &StoredEntry) -> Result<()> {
        match &stored.content {
            Content::Inline(extents) => extents.iter().try_for_each(|extent| self.mark(&extent.chunk).map(drop)),
            Content::Listed(lists) => {
                for list in lists {
                    self.walk_list(list).await?;
                }
                Ok(())
            }
        }
    }

    async fn walk_list(&mut self, list: &ExtentList) -> Result<()> {
        if !self.mark(&list.chunk)? {
            return Ok(());
        }
        let body = self.catalog.read(&list.chunk).await.map_err(|e| e.context("read a list of extents"))?;
        if body.len() != list.bytes as usize {
            return Err(Error::corrupt("a list of extents is not what its entry says"));
        }
        parse_extents(&body)?.iter().try_for_each(|extent| self.mark(&extent.chunk).map(drop))
    }

    /// Marks a chunk; tells whether it is the first time.
    fn mark(&mut self, chunk: &ChunkId) -> Result<bool> {
        if let Some(location) = self.index.get(chunk)? {
            let new = self.chunks.set(location.number as usize);
            if new {
                self.packs.set(location.pack as usize);
                self.bytes[location.pack as usize] += u64::from(location.length);
            }
            return Ok(new);
        }
        let pack = self.index.absent_with(chunk)?.into_iter().find(|pack| self.lost.contains(pack));
        let nowhere = || Error::corrupt(format!("no pack of the repository holds the chunk {}", chunk.short()));
        self.packs.set(pack.ok_or_else(nowhere)? as usize);
        Ok(true)
    }

    /// Whether a chunk was reached.
    pub(crate) fn reaches(&self, location: &Location) -> bool {
        self.chunks.get(location.number as usize)
    }

    /// The plaintext bytes of a pack of the index, and how many of them were reached.
    pub(crate) fn share(&self, pack: usize) -> (u64, u64) {
        (self.index.packs()[pack].plain_bytes, self.bytes[pack])
    }

    /// About how many bytes of a pack in the store nothing needs.
    pub(crate) fn dead_bytes(&self, pack: usize) -> u64 {
        let (whole, reached) = self.share(pack);
        let (bytes, dead) = (u128::from(self.index.packs()[pack].bytes), u128::from(whole.saturating_sub(reached)));
        u64::try_from(bytes * dead / u128::from(whole.max(1))).unwrap_or(u64::MAX)
    }

    /// Whether a pack was reached, one that is missing or cut off too.
    pub(crate) fn has_pack(&self, pack: &ObjectId) -> bool {
        self.index.find(pack).is_some_and(|number| self.packs.get(number as usize))
    }
}

/// A bit for each of many.
#[derive(Clone)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(count: usize) -> Self {
        Bits(vec![0; count.div_ceil(64)])
    }

    fn get(&self, number: usize) -> bool {
        self.0[number / 64] >> (number % 64) & 1 == 1
    }

    /// Sets a bit; tells whether it was not set.
    fn set(&mut self, number: usize) -> bool {
        let new = !self.get(number);
        self.0[number / 64] |= 1 << (number % 64);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_is_its_own() {
        let mut bits = Bits::new(130);
        for number in [0, 63, 64, 129] {
            assert!(!bits.get(number));
            assert!(bits.set(number) && !bits.set(number) && bits.get(number));
        }
        assert_eq!((0..130).filter(|n| bits.get(*n)).count(), 4);
    }
}
