//! The index beside a plain map of all chunks, over a store that changes under it.

mod damage;
mod model;
mod rig;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use proptest::prelude::*;

use super::build::Builder;
use super::cache::Bounds;
use super::{Counts, Index, PackState};
use crate::id::ChunkId;
use model::{CHUNKS, PACKS, chunk, entry, pack};
use rig::Rig;

/// Everything in files, and a table for every few chunks.
const TINY: Bounds = Bounds { sort_chunks: 20, memory_bytes: 0, resident_bytes: 0 };

#[derive(Clone, Debug)]
enum Change {
    Document(Vec<usize>),
    RemoveDocument(usize),
    Put(usize),
    PutOther(usize),
    Remove(usize),
    Condemn(usize),
    Damage(usize),
    /// An opening that fills the cache.
    Look,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let pack = 0..PACKS;
    let change = prop_oneof![
        4 => prop::collection::vec(pack.clone(), 1..6).prop_map(Change::Document),
        2 => (0..100usize).prop_map(Change::RemoveDocument),
        8 => pack.clone().prop_map(Change::Put),
        1 => pack.clone().prop_map(Change::PutOther),
        2 => pack.clone().prop_map(Change::Remove),
        1 => pack.clone().prop_map(Change::Condemn),
        1 => pack.prop_map(Change::Damage),
        3 => Just(Change::Look),
    ];
    prop::collection::vec(change, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn it_answers_as_a_plain_map_would(changes in changes(), tiny in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut rig = Rig::new(if tiny { TINY } else { Bounds::default() }).await;
            for change in changes {
                match change {
                    Change::Document(packs) => rig.put_document(&packs).await,
                    Change::RemoveDocument(number) => rig.remove_document(number).await,
                    Change::Put(pack) => rig.put_pack(pack, entry(pack).bytes).await,
                    Change::PutOther(pack) => rig.put_pack(pack, entry(pack).bytes - 1).await,
                    Change::Remove(pack) => rig.remove_pack(pack).await,
                    Change::Condemn(pack) => rig.condemn(pack).await,
                    Change::Damage(pack) => rig.damage(pack).await,
                    Change::Look => rig.check().await,
                }
            }
            rig.check().await;
        });
    }
}

impl Rig {
    /// The index of a reader and that of a writer hold against the map.
    async fn check(&self) {
        for counts in [Counts::There, Counts::Sound] {
            let opened = self.open(counts).await;
            let index = &opened.index;
            let expected = self.model.places(counts);
            let found: BTreeMap<usize, _> = (0..CHUNKS).filter_map(|n| Some((n, self.place(index, n)?))).collect();
            assert_eq!(found, expected);
            assert_eq!(index.get(&ChunkId([7; 32])).unwrap(), None);
            check_numbers(index, found.keys().copied());
            let absent: BTreeSet<usize> = index.absent().iter().map(|pack| usize::from(pack.id.0[0])).collect();
            assert_eq!(absent, self.model.absent());
            for n in 0..CHUNKS {
                let absent = index.absent_with(&chunk(n)).unwrap();
                let absent: BTreeSet<usize> = absent.iter().map(|p| usize::from(index.pack(*p).id.0[0])).collect();
                assert_eq!(absent, self.model.absent_with(n));
            }
            assert_eq!(
                opened.unindexed.iter().map(|o| o.name.clone()).collect::<BTreeSet<_>>(),
                self.model.unindexed()
            );
            assert_eq!(index.documents(), self.model.documents.len());
            check_packs(index, &found);
        }
    }

    fn place(&self, index: &Index, n: usize) -> Option<model::Place> {
        let location = index.get(&chunk(n)).unwrap()?;
        let pack = index.pack(location.pack);
        let frame = location.frame;
        Some(model::Place {
            state: pack.state,
            pack: usize::from(pack.id.0[0]),
            start: frame.start,
            offset: location.offset,
            length: location.length,
            frame: (frame.bytes, frame.plain_bytes),
        })
    }
}

/// Each chunk has a number of its own, and always the same.
fn check_numbers(index: &Index, chunks: impl Iterator<Item = usize>) {
    let mut numbers = HashSet::new();
    for n in chunks {
        let number = index.get(&chunk(n)).unwrap().unwrap().number;
        assert!((number as usize) < index.chunks());
        assert!(numbers.insert(number), "two chunks have the number {number}");
    }
}

/// What is told of packs is what is told of chunks.
fn check_packs(index: &Index, places: &BTreeMap<usize, model::Place>) {
    let all: HashSet<u32> = (0..index.packs().len() as u32).collect();
    let by_pack = index.chunks_of(&all).unwrap();
    for number in all {
        let of_pack = index.pack(number);
        assert_eq!(index.find(&of_pack.id), Some(number));
        assert_ne!(of_pack.state, PackState::Absent);
        let n = usize::from(of_pack.id.0[0]);
        assert_eq!(u64::from(of_pack.chunks), entry(n).frames.iter().map(|f| f.chunks.len() as u64).sum::<u64>());
        assert_eq!(of_pack.plain_bytes, entry(n).frames.iter().map(|f| f.plain_bytes() as u64).sum::<u64>());
        let mut last = None;
        for (location, id) in by_pack.get(&number).into_iter().flatten() {
            assert_eq!(index.get(id).unwrap().map_or(*location, |l| l), *location);
            assert!(last < Some(location.rank()), "in the order in which they lie");
            last = Some(location.rank());
        }
    }
    for (n, place) in places {
        let number = index.find(&pack(place.pack)).unwrap();
        assert!(by_pack[&number].iter().any(|(_, id)| *id == chunk(*n)));
    }
}

#[tokio::test]
async fn a_sound_place_comes_first_and_is_the_only_one_that_counts_for_writers() {
    let mut rig = Rig::new(Bounds::default()).await;
    for n in 0..PACKS {
        rig.put_pack(n, entry(n).bytes).await;
        rig.put_document(&[n]).await;
    }
    rig.damage(0).await;
    rig.condemn(1).await;
    rig.check().await;
    let (reader, writer) = (rig.open(Counts::There).await.index, rig.open(Counts::Sound).await.index);
    // The chunk that every pack has, and one that none but the damaged pack has.
    assert_eq!(rig.place(&reader, 0).unwrap().pack, 2);
    let only = model::own_chunk(0);
    assert_eq!(rig.place(&reader, only).unwrap().pack, 0);
    assert!(rig.place(&writer, only).is_none());
}

#[tokio::test]
async fn there_are_few_tables_however_many_documents() {
    let mut rig = Rig::new(Bounds { sort_chunks: 1 << 20, memory_bytes: 0, resident_bytes: 0 }).await;
    for round in 0..40 {
        rig.put_pack(round % PACKS, entry(round % PACKS).bytes).await;
        rig.put_document(&[round % PACKS, (round * 7 + 1) % PACKS]).await;
        drop(rig.open(Counts::There).await);
        assert!(rig.files().len() <= crate::limits::INDEX_TABLES_MAX, "{:?}", rig.files());
    }
    rig.check().await;
    // Prune replaces them: what is of gone documents alone goes, too.
    for _ in 0..rig.model.documents.len() {
        rig.remove_document(0).await;
    }
    rig.put_document(&[1]).await;
    rig.check().await;
    assert_eq!(rig.files().len(), 1);
}

#[tokio::test]
async fn what_is_mostly_gone_is_written_again_without_it() {
    let mut rig = Rig::new(Bounds { sort_chunks: 1 << 20, memory_bytes: 0, resident_bytes: 0 }).await;
    for n in 0..PACKS {
        rig.put_pack(n, entry(n).bytes).await;
        rig.put_document(&[n]).await;
    }
    drop(rig.open(Counts::There).await);
    let before = rig.tables().load();
    assert_eq!(before.iter().map(|table| table.documents().len()).collect::<Vec<_>>(), [PACKS]);
    for _ in 0..PACKS - 2 {
        rig.remove_document(1).await;
    }
    rig.check().await;
    let after = rig.tables().load();
    assert_eq!(after.iter().map(|table| table.documents().len()).collect::<Vec<_>>(), [2]);
    assert_eq!(after[0].pack_count(), 2);
    rig.check().await;
}

/// A document that went away while the others were read: what is left of two tables is one of them.
#[tokio::test]
async fn a_table_that_comes_out_of_a_merge_as_it_went_in_is_kept() {
    let rig = Rig::new(TINY).await;
    let cache = rig.tables();
    let table = |n: usize| {
        let mut builder = Builder::new(cache.clone());
        builder.push((pack(n), 100), &[entry(n)]);
        builder.finish().unwrap().remove(0)
    };
    let live = cache.settle(Vec::new(), vec![table(1), table(2)], &[(pack(1), 100)].into()).unwrap();
    assert_eq!(live.len(), 1);
    assert_eq!(cache.load().len(), 1);
}
