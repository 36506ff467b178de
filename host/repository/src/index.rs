//! The index in memory: where each chunk lies, of all packs that are really there.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::format::index::PackEntry;
use crate::format::name::PackKind;
use crate::id::{ChunkId, ObjectId};
use crate::pack::lock;

/// Where a chunk lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
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
    /// Length of the object.
    pub(crate) bytes: u64,
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
    packs: Vec<IndexedPack>,
    by_id: HashSet<ObjectId>,
    chunks: HashMap<ChunkId, Location, ById>,
}

impl Index {
    /// Adds a pack whose presence was checked. The first place of a chunk wins.
    pub(crate) fn add(&mut self, entry: &PackEntry) {
        let pack = self.packs.len() as u32;
        let mut frames = Vec::with_capacity(entry.frames.len());
        let mut start = 0;
        for (number, frame) in entry.frames.iter().enumerate() {
            let mut offset = 0;
            for (id, length) in &frame.chunks {
                let location = Location { pack, frame: number as u32, offset, length: *length };
                self.chunks.entry(*id).or_insert(location);
                offset += length;
            }
            frames.push(IndexedFrame { start, bytes: frame.bytes, plain_bytes: offset });
            start += u64::from(frame.bytes);
        }
        self.by_id.insert(entry.pack);
        self.packs.push(IndexedPack {
            id: entry.pack,
            kind: entry.kind,
            bytes: entry.bytes,
            frames,
            used: AtomicBool::new(false),
        });
    }

    pub(crate) fn get(&self, id: &ChunkId) -> Option<Location> {
        self.chunks.get(id).copied()
    }

    /// Whether a pack was added.
    pub(crate) fn has_pack(&self, id: &ObjectId) -> bool {
        self.by_id.contains(id)
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

    #[test]
    fn chunks_are_found_where_they_lie() {
        let id = |n: u8| ChunkId([n; 32]);
        let frame = |chunks: &[u8]| FrameEntry { bytes: 50, chunks: chunks.iter().map(|n| (id(*n), 10)).collect() };
        let entry = PackEntry {
            pack: ObjectId::of(b"p"),
            kind: PackKind::Data,
            bytes: 1000,
            frames: vec![frame(&[1, 2]), frame(&[3, 1])],
        };
        let mut index = Index::default();
        index.add(&entry);
        assert_eq!(index.get(&id(2)), Some(Location { pack: 0, frame: 0, offset: 10, length: 10 }));
        assert_eq!(index.get(&id(3)), Some(Location { pack: 0, frame: 1, offset: 0, length: 10 }));
        assert_eq!(index.get(&id(1)).unwrap().frame, 0, "the first place wins");
        assert_eq!(index.pack(0).frames[1].start, 50);
        assert_eq!(index.get(&id(4)), None);
        assert!(index.has_pack(&entry.pack));
        let lying: Vec<ChunkId> = index.chunks_by_pack()[0].iter().map(|(_, id)| *id).collect();
        assert_eq!(lying, [id(1), id(2), id(3)]);
    }

    #[test]
    fn a_chunk_is_claimed_once() {
        let claims = Claims::default();
        assert!(claims.claim(ChunkId([1; 32])));
        assert!(!claims.claim(ChunkId([1; 32])));
        assert!(claims.claim(ChunkId([2; 32])));
    }
}
