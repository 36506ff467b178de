//! Caches that rotted, that are old, that are a stranger's: never an answer that is wrong. Where an incident of another
//! program is covered, its name stands by the test.

use std::fs;

use super::model::{PACKS, entry};
use super::rig::Rig;
use super::{Counts, TINY};
use crate::index::cache::{Bounds, TableCache};
use crate::index::table::{Bytes, Table};

async fn full(bounds: Bounds) -> Rig {
    let mut rig = Rig::new(bounds).await;
    for n in 0..PACKS {
        rig.put_pack(n, entry(n).bytes).await;
    }
    rig.put_document(&(0..PACKS).collect::<Vec<_>>()).await;
    rig.check().await;
    rig
}

#[tokio::test]
async fn each_byte_of_a_table_is_sealed() {
    let rig = full(TINY).await;
    let whole = fs::read(&rig.files()[0]).unwrap();
    let open = |bytes: Vec<u8>| Table::open(Bytes::Memory(bytes), &rig.repository.keyring().index_cache);
    assert!(open(whole.clone()).is_ok());
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(open(flipped).is_err(), "byte {at}");
    }
    for cut in (0..whole.len()).step_by(61).chain([whole.len() - 1, 4096, 8192]) {
        assert!(open(whole[..cut].to_vec()).is_err(), "cut to {cut}");
    }
    let longer = [&whole[..], &whole[whole.len() - 4096..]].concat();
    assert!(open(longer).is_err());
    let mut swapped = whole.clone();
    swapped.copy_within(whole.len() - 4096.., whole.len() - 8192);
    assert!(open(swapped).is_err(), "a block in another's place");
}

/// borg#9748: a stale cache made the next run skip what was not stored.
#[tokio::test]
async fn a_damaged_table_is_made_anew() {
    for bounds in [TINY, Bounds::default()] {
        let rig = full(bounds).await;
        let file = rig.files()[0].clone();
        let whole = fs::read(&file).unwrap();
        for at in (0..whole.len()).step_by(3_989) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            for bytes in [&damaged[..], &whole[..at]] {
                fs::write(&file, bytes).unwrap();
                rig.check().await;
                assert!(fs::read(&file).unwrap() == whole, "made anew at {at}");
            }
        }
        fs::write(&file, b"another version").unwrap();
        rig.check().await;
        fs::remove_dir_all(rig.cache.path()).unwrap();
        rig.check().await;
        assert!(fs::read(&file).unwrap() == whole);
    }
}

/// A file that rots while it is in use is an error, and never an answer.
#[tokio::test]
async fn rot_behind_the_back_is_told() {
    let rig = full(TINY).await;
    let index = rig.open(Counts::There).await.index;
    let file = rig.files()[0].clone();
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 4096;
    bytes[last..].fill(0);
    fs::write(&file, &bytes).unwrap();
    let mut told = 0;
    for n in rig.model.places(Counts::There).into_keys() {
        match index.get(&super::chunk(n)) {
            Ok(place) => assert!(place.is_some()),
            Err(why) => {
                assert_eq!(why.kind(), crate::Kind::Unavailable);
                told += 1;
            }
        }
    }
    assert!(told > 0);
    assert!(index.chunks_of(&[0].into()).is_err());
    drop(index);
    rig.check().await;
}

/// borg#9748, borg#9904: what the cache knows of is gone from the store.
#[tokio::test]
async fn a_pack_that_left_the_store_does_not_count() {
    let mut rig = full(Bounds::default()).await;
    rig.remove_pack(1).await;
    rig.check().await;
    rig.put_pack(1, entry(1).bytes - 1).await;
    rig.check().await;
    rig.remove_document(0).await;
    rig.check().await;
    assert_eq!(rig.open(Counts::There).await.index.packs().len(), 0);
}

#[tokio::test]
async fn a_strangers_table_is_not_read() {
    let (mine, other) = (full(TINY).await, Rig::new(TINY).await);
    let key = *blake3::hash(b"a stranger").as_bytes();
    let stranger = TableCache::new(key, Some(other.cache.path())).bounded(TINY);
    assert!(stranger.load().is_empty());
    let name = mine.files()[0].file_name().unwrap().to_owned();
    fs::copy(&mine.files()[0], other.cache.path().join(&name)).unwrap();
    assert!(stranger.load().is_empty());
    assert!(!other.cache.path().join(&name).exists());
}

#[tokio::test]
async fn what_was_begun_and_abandoned_is_deleted() {
    let rig = full(TINY).await;
    let (abandoned, held) = (rig.cache.path().join("a.part"), rig.cache.path().join("b.part"));
    fs::write(&abandoned, b"half").unwrap();
    let lock = fs::File::create(&held).unwrap();
    lock.lock().unwrap();
    rig.check().await;
    assert!(!abandoned.exists() && held.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_open_at_once() {
    let mut rig = full(TINY).await;
    for round in 0..9 {
        rig.put_document(&[round % PACKS, (round * 5 + 2) % PACKS]).await;
        if round % 3 == 0 {
            rig.remove_document(1).await;
        }
        let opening = || async {
            for _ in 0..2 {
                rig.check().await;
            }
        };
        tokio::join!(opening(), opening(), opening());
    }
    let parts = rig.files().iter().filter(|file| file.to_string_lossy().ends_with(".part")).count();
    assert_eq!(parts, 0, "{:?}", rig.files());
}

/// The documents in the cache are not read again; one that rotted in the store is found by whoever looks.
#[tokio::test]
async fn what_is_remembered_can_be_checked() {
    let rig = full(Bounds::default()).await;
    let opened = rig.open(Counts::There).await;
    assert_eq!(opened.unread.len(), 1);
    assert!(rig.repository.check_indexes(&opened.unread).await.unwrap().is_empty());
    let name = &opened.unread[0];
    let bytes = rig.repository.store().get(name, 1 << 20).await.unwrap();
    rig.repository.store().delete(std::slice::from_ref(name)).await.unwrap();
    let rotten = [&bytes[..bytes.len() - 1], &[bytes[bytes.len() - 1] ^ 1]].concat();
    rig.repository.store().put(name, &crate::seal::Sealed::sign(rotten)).await.unwrap();
    let problems = rig.repository.check_indexes(&opened.unread).await.unwrap();
    assert_eq!(problems.len(), 1);
    assert_eq!(&problems[0].object, name);
}
