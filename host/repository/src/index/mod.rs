//! The index: where each chunk lies, of all packs that are really there. It is made of tables, sorted files of which a
//! lookup reads a block, so that memory holds a few bytes for each chunk; what this machine remembers of them is never
//! trusted: [`open`] holds it against what the store lists. Knows nothing of what chunks are.

mod block;
mod build;
mod cache;
mod claims;
mod live;
mod merge;
mod open;
mod packs;
mod rows;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::format::name::PackKind;
use crate::id::{ChunkId, ObjectId};
use crate::limits::INDEX_BATCH_CHUNKS;

use cache::unreadable;
use live::Live;
use merge::{Merge, NONE};
use rows::ChunkRow;

pub(crate) use claims::Claims;
pub(crate) use open::Opened;

/// What is known of a pack, best first: of several places of a chunk, the best counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PackState {
    /// Nothing against it.
    Sound,
    /// A tombstone names it.
    Condemned,
    /// A damage document names it.
    Damaged,
    /// It is missing from the store, or of another length.
    Absent,
}

/// Which packs count for whoever asks where a chunk lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Counts {
    /// All that are there: for readers.
    #[default]
    There,
    /// Sound ones alone: for writers.
    Sound,
}

/// Where a chunk lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// A number of its own, below [`Index::chunks`]; the same wherever else the chunk lies.
    pub(crate) number: u32,
    /// Which of [`Index::pack`].
    pub(crate) pack: u32,
    /// In which of its frames.
    pub(crate) frame: IndexedFrame,
    /// Where in the frame's plaintext the chunk begins.
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// A frame of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexedFrame {
    /// Where in the pack's plaintext it begins: no two of a pack begin at the same place.
    pub(crate) start: u64,
    pub(crate) bytes: u32,
    pub(crate) plain_bytes: u32,
}

/// A pack that an index names.
#[derive(Debug)]
pub(crate) struct IndexedPack {
    pub(crate) id: ObjectId,
    pub(crate) kind: PackKind,
    pub(crate) state: PackState,
    /// Length of the object.
    pub(crate) bytes: u64,
    /// When it came to the store.
    pub(crate) modified: Timestamp,
    /// Length of all its chunks.
    pub(crate) plain_bytes: u64,
    /// How many they are.
    pub(crate) chunks: u32,
    /// Whether the run under way refers to it.
    used: AtomicBool,
}

/// All chunks that can be read.
pub(crate) struct Index {
    counts: Counts,
    /// By state, then by id, so that whoever looks at the same packs prefers the same places.
    packs: Vec<IndexedPack>,
    /// So many of them are there; the rest is absent.
    there: usize,
    parts: Vec<Part>,
}

/// A table as this index sees it.
struct Part {
    live: Live,
    /// The number of its first chunk.
    base: u32,
    /// Of each of its packs, which of the index it is.
    packs: Vec<u32>,
}

/// The best of the places of one chunk.
#[derive(Default)]
struct Best {
    number: Option<u32>,
    location: Option<Location>,
}

impl Location {
    /// Its place among those of the same chunk; the least is the best.
    fn rank(&self) -> (u32, u64, u32) {
        (self.pack, self.frame.start, self.offset)
    }
}

impl Best {
    fn consider(&mut self, part: &Part, position: u32, row: &ChunkRow) {
        let number = *self.number.get_or_insert(part.base + position);
        let pack = part.packs[row.pack as usize];
        let frame =
            IndexedFrame { start: u64::from(row.start), bytes: row.frame_bytes, plain_bytes: row.frame_plain_bytes };
        let location = Location { number, pack, frame, offset: row.offset, length: row.length };
        if pack != NONE && self.location.is_none_or(|best| location.rank() < best.rank()) {
            self.location = Some(location);
        }
    }
}

impl Index {
    /// An index of these tables, and of the packs that were found.
    fn new(counts: Counts, tables: Vec<Live>, packs: Vec<IndexedPack>) -> Result<Self> {
        let there = packs.partition_point(|pack| pack.state != PackState::Absent);
        let mut index = Index { counts, packs, there, parts: Vec::with_capacity(tables.len()) };
        let mut base = 0u32;
        for live in tables {
            let packs = index.numbers(&live).map_err(unreadable)?;
            let next = base.checked_add(live.table.chunk_count());
            index.parts.push(Part { live, base, packs });
            base = next.ok_or_else(|| Error::unsupported("the repository has more chunks than this program counts"))?;
        }
        Ok(index)
    }

    /// Which packs of the index those of a table are.
    fn numbers(&self, live: &Live) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::with_capacity(live.table.pack_count() as usize);
        for (row, counts) in live.table.packs().zip(live.packs_live()) {
            let row = row?;
            let same = |number: &u32| {
                let pack = &self.packs[*number as usize];
                pack.kind == row.kind && pack.bytes == u64::from(row.bytes)
            };
            let number = if counts { self.find(&row.id).filter(same) } else { None };
            numbers.push(number.unwrap_or(NONE));
        }
        Ok(numbers)
    }

    /// Where a chunk lies, if the pack counts.
    ///
    /// # Errors
    /// [`Unavailable`](crate::Kind::Unavailable) if the cache broke while it was in use.
    pub(crate) fn get(&self, id: &ChunkId) -> Result<Option<Location>> {
        let mut best = Best::default();
        self.places(id, |part, position, row| best.consider(part, position, row))?;
        Ok(best.location.filter(|location| self.counts(location.pack)))
    }

    fn counts(&self, pack: u32) -> bool {
        match self.pack(pack).state {
            PackState::Sound => true,
            PackState::Condemned | PackState::Damaged => self.counts == Counts::There,
            PackState::Absent => false,
        }
    }

    fn places(&self, id: &ChunkId, mut take: impl FnMut(&Part, u32, &ChunkRow)) -> Result<()> {
        for part in &self.parts {
            part.live.table.find(id, |position, row| take(part, position, &row)).map_err(unreadable)?;
        }
        Ok(())
    }

    /// The absent packs that should have a chunk.
    pub(crate) fn absent_with(&self, id: &ChunkId) -> Result<Vec<u32>> {
        let mut absent = Vec::new();
        self.places(id, |part, _, row| {
            let pack = part.packs[row.pack as usize];
            if pack != NONE && pack as usize >= self.there {
                absent.push(pack);
            }
        })?;
        Ok(absent)
    }

    /// The chunks of some packs that are read from there and nowhere else, in the order in which they lie. Reads all of the
    /// index, and holds the chunks of these packs alone: for as many packs as [`Index::batches`] says. Blocks.
    pub(crate) fn chunks_of(&self, packs: &HashSet<u32>) -> Result<HashMap<u32, Vec<(Location, ChunkId)>>> {
        let mut merge = Merge::new(self.parts.iter().map(|part| &part.live.table)).map_err(unreadable)?;
        let mut found: HashMap<u32, Vec<(Location, ChunkId)>> = HashMap::new();
        let mut rows = Vec::new();
        while merge.next_chunk(&mut rows).map_err(unreadable)? {
            let mut best = Best::default();
            rows.iter().for_each(|found| best.consider(&self.parts[found.table], found.position, &found.row));
            if let Some(location) = best.location.filter(|location| packs.contains(&location.pack)) {
                found.entry(location.pack).or_default().push((location, rows[0].row.id));
            }
        }
        for chunks in found.values_mut() {
            chunks.sort_unstable_by_key(|(location, _)| location.rank());
        }
        Ok(found)
    }

    /// Packs in groups that are small enough for [`Index::chunks_of`].
    pub(crate) fn batches(&self, packs: impl Iterator<Item = u32>) -> Vec<HashSet<u32>> {
        let (mut batches, mut batch, mut chunks) = (Vec::new(), HashSet::new(), 0);
        for pack in packs {
            let of_pack = u64::from(self.pack(pack).chunks);
            if chunks + of_pack > INDEX_BATCH_CHUNKS && !batch.is_empty() {
                batches.push(std::mem::take(&mut batch));
                chunks = 0;
            }
            chunks += of_pack;
            batch.insert(pack);
        }
        batches.extend((!batch.is_empty()).then_some(batch));
        batches
    }

    /// Notes that a snapshot in the making needs this pack.
    pub(crate) fn mark_used(&self, pack: u32) {
        self.packs[pack as usize].used.store(true, Ordering::Relaxed);
    }

    /// The packs that were noted.
    pub(crate) fn used_packs(&self) -> impl Iterator<Item = &IndexedPack> {
        self.packs().iter().filter(|pack| pack.used.load(Ordering::Relaxed))
    }

    /// A pack, absent ones too.
    pub(crate) fn pack(&self, number: u32) -> &IndexedPack {
        &self.packs[number as usize]
    }

    /// All packs that the store holds. Their places are their numbers.
    pub(crate) fn packs(&self) -> &[IndexedPack] {
        &self.packs[..self.there]
    }

    /// Packs that an index names, and that are missing or of another length.
    pub(crate) fn absent(&self) -> &[IndexedPack] {
        &self.packs[self.there..]
    }

    /// The number of a pack, of an absent one too.
    pub(crate) fn find(&self, id: &ObjectId) -> Option<u32> {
        let mut from = 0;
        for state in [PackState::Sound, PackState::Condemned, PackState::Damaged, PackState::Absent] {
            let end = self.packs.partition_point(|pack| pack.state <= state);
            if let Ok(at) = self.packs[from..end].binary_search_by_key(id, |pack| pack.id) {
                return Some((from + at) as u32);
            }
            from = end;
        }
        None
    }

    /// Numbers of packs, absent ones too.
    pub(crate) fn pack_numbers(&self) -> usize {
        self.packs.len()
    }

    /// Numbers of chunks: as many as there are, and some more.
    pub(crate) fn chunks(&self) -> usize {
        self.parts.last().map_or(0, |part| (part.base + part.live.table.chunk_count()) as usize)
    }

    /// How many documents it was made of.
    pub(crate) fn documents(&self) -> usize {
        self.parts.iter().map(|part| part.live.documents().filter(|(_, live)| *live).count()).sum()
    }

    /// Hands each pack that a document names, with the document, to `take`. Reads a part of the cache. Blocks.
    pub(crate) fn named(&self, mut take: impl FnMut(ObjectId, ObjectId)) -> Result<()> {
        for named in self.parts.iter().flat_map(|part| part.live.named()) {
            let (document, pack) = named.map_err(unreadable)?;
            take(document.id, pack.id);
        }
        Ok(())
    }
}
