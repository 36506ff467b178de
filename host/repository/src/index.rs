//! The index in memory: where each chunk lies, of all packs that are really there.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;

use crate::format::index::PackEntry;
use crate::format::name::PackKind;
use crate::id::{ChunkId, ObjectId};
use crate::pack::lock;

/// What is known of a pack, best first: of several places of a chunk, the best counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PackState {
    /// Nothing against it.
    Sound,
    /// A tombstone names it.
    Condemned,
    /// A damage document names it.
    Damaged,
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
    /// A number of its own, below [`Index::chunks`].
    pub(crate) number: u32,
    /// Which of [`Index::pack`].
    pub(crate) pack: u32,
    /// Which of its frames.
    pub(crate) frame: u32,
    /// Where in the frame's plaintext the chunk begins.
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// A pack that an index names and the store holds.
#[derive(Debug)]
pub(crate) struct IndexedPack {
    pub(crate) id: ObjectId,
    pub(crate) kind: PackKind,
    pub(crate) state: PackState,
    /// Length of the object.
    pub(crate) bytes: u64,
    /// When it came to the store.
    pub(crate) modified: Timestamp,
    pub(crate) frames: Vec<IndexedFrame>,
    /// Whether the run under way refers to it.
    used: AtomicBool,
}

/// A frame without the ids of its chunks, which are the keys of the index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexedFrame {
    /// Where in the pack's plaintext it begins.
    pub(crate) start: u64,
    pub(crate) bytes: u32,
    pub(crate) plain_bytes: u32,
}

/// All chunks that can be read.
#[derive(Default)]
pub(crate) struct Index {
    counts: Counts,
    packs: Vec<IndexedPack>,
    chunks: HashMap<ChunkId, Location, ById>,
}

impl Index {
    /// An index of these packs. Their order does not depend on the order of listings, so that whoever looks at the same
    /// packs prefers the same places.
    pub(crate) fn build(counts: Counts, mut packs: Vec<(PackState, Timestamp, PackEntry)>) -> Self {
        packs.sort_unstable_by_key(|(state, _, entry)| (*state, entry.pack));
        let mut index = Index { counts, ..Index::default() };
        for (state, modified, entry) in &packs {
            index.add(entry, *state, *modified);
        }
        index
    }

    /// Adds a pack whose presence was checked. The first place of a chunk wins.
    fn add(&mut self, entry: &PackEntry, state: PackState, modified: Timestamp) {
        let pack = self.packs.len() as u32;
        let mut frames = Vec::with_capacity(entry.frames.len());
        let mut start = 0;
        for (number, frame) in entry.frames.iter().enumerate() {
            let mut offset = 0;
            for (id, length) in &frame.chunks {
                let chunk = self.chunks.len() as u32;
                let location = Location { number: chunk, pack, frame: number as u32, offset, length: *length };
                self.chunks.entry(*id).or_insert(location);
                offset += length;
            }
            frames.push(IndexedFrame { start, bytes: frame.bytes, plain_bytes: offset });
            start += u64::from(frame.bytes);
        }
        self.packs.push(IndexedPack {
            id: entry.pack,
            kind: entry.kind,
            state,
            bytes: entry.bytes,
            modified,
            frames,
            used: AtomicBool::new(false),
        });
    }

    /// Where a chunk lies, if the pack counts.
    pub(crate) fn get(&self, id: &ChunkId) -> Option<Location> {
        let location = self.chunks.get(id).copied()?;
        let sound = self.packs[location.pack as usize].state == PackState::Sound;
        (sound || self.counts == Counts::There).then_some(location)
    }

    /// The chunks of some packs that are read from there and nowhere else, in the order in which they lie.
    pub(crate) fn chunks_of(&self, packs: &HashSet<u32>) -> HashMap<u32, Vec<(Location, ChunkId)>> {
        let mut found: HashMap<u32, Vec<(Location, ChunkId)>> = HashMap::new();
        for (id, location) in self.chunks.iter().filter(|(_, location)| packs.contains(&location.pack)) {
            found.entry(location.pack).or_default().push((*location, *id));
        }
        for chunks in found.values_mut() {
            chunks.sort_unstable_by_key(|(l, _)| (l.frame, l.offset));
        }
        found
    }

    /// The chunks that are read from each pack, in the order in which they lie there.
    pub(crate) fn chunks_by_pack(&self) -> Vec<Vec<(Location, ChunkId)>> {
        let mut packs = vec![Vec::new(); self.packs.len()];
        for (id, location) in &self.chunks {
            packs[location.pack as usize].push((*location, *id));
        }
        for chunks in &mut packs {
            chunks.sort_unstable_by_key(|(l, _)| (l.frame, l.offset));
        }
        packs
    }

    /// Notes that a snapshot in the making needs this pack.
    pub(crate) fn mark_used(&self, pack: u32) {
        self.packs[pack as usize].used.store(true, Ordering::Relaxed);
    }

    /// The packs that were noted.
    pub(crate) fn used_packs(&self) -> impl Iterator<Item = &IndexedPack> {
        self.packs.iter().filter(|pack| pack.used.load(Ordering::Relaxed))
    }

    pub(crate) fn pack(&self, number: u32) -> &IndexedPack {
        &self.packs[number as usize]
    }

    pub(crate) fn packs(&self) -> &[IndexedPack] {
        &self.packs
    }

    pub(crate) fn chunks(&self) -> usize {
        self.chunks.len()
    }
}

/// Which chunks a run has taken on itself to store: each is stored once, whoever sees it first.
#[derive(Default)]
pub(crate) struct Claims {
    shards: [Mutex<HashSet<ChunkId, ById>>; 16],
}

impl Claims {
    /// Whether the caller is the first to claim this chunk in this run.
    pub(crate) fn claim(&self, id: ChunkId) -> bool {
        lock(&self.shards[usize::from(id.0[31] & 15)]).insert(id)
    }
}

/// Ids are random already: eight of their bytes are the hash.
#[derive(Default)]
pub(crate) struct IdHasher(u64);
type ById = BuildHasherDefault<IdHasher>;

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length_prefix: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::pack::FrameEntry;

    fn id(n: u8) -> ChunkId {
        ChunkId([n; 32])
    }

    fn entry(name: u8, frames: &[&[u8]]) -> PackEntry {
        let frame = |chunks: &&[u8]| FrameEntry { bytes: 50, chunks: chunks.iter().map(|n| (id(*n), 10)).collect() };
        let frames = frames.iter().map(frame).collect();
        PackEntry { pack: ObjectId([name; 32]), kind: PackKind::Data, bytes: 1000, frames }
    }

    fn index(counts: Counts, packs: Vec<(PackState, PackEntry)>) -> Index {
        let dated = packs.into_iter().map(|(state, entry)| (state, Timestamp::UNIX_EPOCH, entry));
        Index::build(counts, dated.collect())
    }

    #[test]
    fn chunks_are_found_where_they_lie() {
        let index = index(Counts::There, vec![(PackState::Sound, entry(1, &[&[1, 2], &[3, 1]]))]);
        assert_eq!(index.get(&id(2)), Some(Location { number: 1, pack: 0, frame: 0, offset: 10, length: 10 }));
        assert_eq!(index.get(&id(3)), Some(Location { number: 2, pack: 0, frame: 1, offset: 0, length: 10 }));
        assert_eq!(index.get(&id(1)).unwrap().frame, 0, "the first place wins");
        assert_eq!(index.pack(0).frames[1].start, 50);
        assert_eq!(index.get(&id(4)), None);
        let lying: Vec<ChunkId> = index.chunks_by_pack()[0].iter().map(|(_, id)| *id).collect();
        assert_eq!(lying, [id(1), id(2), id(3)]);
        let of_pack = index.chunks_of(&HashSet::from([0]));
        assert_eq!(of_pack[&0].iter().map(|(_, id)| *id).collect::<Vec<_>>(), lying);
    }

    #[test]
    fn a_sound_place_comes_first_and_is_the_only_one_that_counts_for_writers() {
        let packs = || {
            vec![
                (PackState::Damaged, entry(1, &[&[1, 2, 3]])),
                (PackState::Condemned, entry(2, &[&[1, 2, 4]])),
                (PackState::Sound, entry(3, &[&[1]])),
            ]
        };
        let (reader, writer) = (index(Counts::There, packs()), index(Counts::Sound, packs()));
        let place = |index: &Index, n| index.get(&id(n)).map(|l| index.pack(l.pack).id.0[0]);
        assert_eq!([1, 2, 3, 4].map(|n| place(&reader, n)), [Some(3), Some(2), Some(1), Some(2)]);
        assert_eq!([1, 2, 3, 4].map(|n| place(&writer, n)), [Some(3), None, None, None]);
        let mut turned = packs();
        turned.reverse();
        assert_eq!(place(&index(Counts::There, turned), 1), Some(3), "whatever the order of listings");
    }

    #[test]
    fn a_chunk_is_claimed_once() {
        let claims = Claims::default();
        assert!(claims.claim(ChunkId([1; 32])));
        assert!(!claims.claim(ChunkId([1; 32])));
        assert!(claims.claim(ChunkId([2; 32])));
    }
}
