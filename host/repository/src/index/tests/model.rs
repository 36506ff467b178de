//! What the index should say: a plain list of everything, searched from end to end.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::index::PackEntry;
use crate::format::name::PackKind;
use crate::format::pack::FrameEntry;
use crate::id::{ChunkId, ObjectId};
use crate::index::{Counts, PackState};

pub(super) const PACKS: usize = 12;
pub(super) const CHUNKS: usize = 200;

/// Ids as they are, and some that memory cannot tell apart.
pub(super) fn chunk(n: usize) -> ChunkId {
    let mut id: [u8; 32] = *blake3::hash(&n.to_le_bytes()).as_bytes();
    if n.is_multiple_of(5) {
        id[..10].copy_from_slice(&[9; 10]);
    }
    ChunkId(id)
}

pub(super) fn pack(n: usize) -> ObjectId {
    ObjectId([n as u8; 32])
}

/// A chunk that this pack alone has.
pub(super) fn own_chunk(n: usize) -> usize {
    1 + n
}

/// A pack has its own chunk, some that others have, and one that all have, many times.
pub(super) fn entry(n: usize) -> PackEntry {
    let draw = |k: usize| blake3::hash(&[n as u8, k as u8]).as_bytes()[0] as usize;
    let mut frames = vec![vec![own_chunk(n)], vec![0; 1 + n * 3]];
    for frame in 0..draw(0) % 5 {
        let chunks = (0..1 + draw(frame + 1) % 9).map(|k| 1 + PACKS + draw(frame * 10 + k) % (CHUNKS - PACKS - 1));
        frames.push(chunks.collect());
    }
    let frames = frames.into_iter().map(|chunks| FrameEntry {
        bytes: 10 + chunks.len() as u32,
        chunks: chunks.into_iter().map(|c| (chunk(c), 100 + c as u32)).collect(),
    });
    let kind = if n.is_multiple_of(4) { PackKind::Catalog } else { PackKind::Data };
    PackEntry { pack: pack(n), kind, bytes: 2_000 + n as u64, frames: frames.collect() }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) state: PackState,
    pub(super) pack: usize,
    pub(super) start: u64,
    pub(super) offset: u32,
    pub(super) length: u32,
    pub(super) frame: (u32, u32),
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) documents: Vec<(String, Vec<usize>)>,
    /// The length of each pack that is there.
    pub(super) there: BTreeMap<usize, u64>,
    pub(super) condemned: BTreeSet<usize>,
    pub(super) damaged: BTreeSet<usize>,
}

impl Model {
    fn named(&self) -> BTreeSet<usize> {
        self.documents.iter().flat_map(|(_, packs)| packs).copied().collect()
    }

    fn is_there(&self, n: usize) -> bool {
        self.there.get(&n) == Some(&entry(n).bytes)
    }

    fn state(&self, n: usize) -> PackState {
        match (self.damaged.contains(&n), self.condemned.contains(&n)) {
            (true, _) => PackState::Damaged,
            (_, true) => PackState::Condemned,
            _ => PackState::Sound,
        }
    }

    /// The best place of each chunk that has one.
    pub(super) fn places(&self, counts: Counts) -> BTreeMap<usize, Place> {
        let numbers: BTreeMap<ChunkId, usize> = (0..CHUNKS).map(|n| (chunk(n), n)).collect();
        let mut places: BTreeMap<usize, Place> = BTreeMap::new();
        for n in self.named().into_iter().filter(|n| self.is_there(*n)) {
            let mut start = 0;
            for frame in entry(n).frames {
                let (mut offset, of_frame) = (0, (frame.bytes, frame.plain_bytes() as u32));
                for (id, length) in frame.chunks {
                    let place = Place { state: self.state(n), pack: n, start, offset, length, frame: of_frame };
                    places.entry(numbers[&id]).and_modify(|best| *best = place.min(*best)).or_insert(place);
                    offset += length;
                }
                start += u64::from(frame.bytes);
            }
        }
        places.retain(|_, place| counts == Counts::There || place.state == PackState::Sound);
        places
    }

    pub(super) fn absent(&self) -> BTreeSet<usize> {
        self.named().into_iter().filter(|n| !self.is_there(*n)).collect()
    }

    pub(super) fn absent_with(&self, n: usize) -> BTreeSet<usize> {
        let has = |pack: &usize| entry(*pack).frames.iter().any(|f| f.chunks.iter().any(|(id, _)| *id == chunk(n)));
        self.absent().into_iter().filter(has).collect()
    }

    pub(super) fn unindexed(&self) -> BTreeSet<String> {
        let named = self.named();
        let others = self.there.keys().filter(|n| !named.contains(n) || !self.is_there(**n));
        others.map(|n| entry(*n).kind.object(&pack(*n))).collect()
    }
}
