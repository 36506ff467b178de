//! Sealed packs on their way into the store: a bounded number at once, and an index in rounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until};

use crate::document;
use crate::error::Result;
use crate::failure::Failure;
use crate::format::index::{PackEntry, to_body};
use crate::format::name::{PackKind, Place};
use crate::id::ObjectId;
use crate::keys::Keyring;
use crate::limits::{INDEX_CHUNKS_TARGET, PACKS_PER_INDEX, UPLOADS_IN_FLIGHT};
use crate::pack::SealedPack;
use crate::store::Store;

/// Where packs and indexes go, and what has gone so far.
pub(crate) struct Uploader {
    pub(crate) store: Store,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) catalog: age::x25519::Recipient,
    pub(crate) failure: Failure,
    pub(crate) bytes_stored: Arc<AtomicU64>,
    /// How long a stored pack may be without an index.
    pub(crate) index_within: Duration,
}

impl Uploader {
    /// Takes packs until the channel closes, then stores the index of the last. Returns all packs that it stored.
    ///
    /// A failure is noted at once, so that nobody goes on producing; packs that still come are dropped.
    pub(crate) async fn run(self, packs: async_channel::Receiver<SealedPack>) -> Result<Vec<StoredPack>> {
        let result = self.pump(&packs).await;
        if let Err(error) = &result {
            self.failure.note(error.clone());
        }
        packs.close();
        result
    }

    async fn pump(&self, packs: &async_channel::Receiver<SealedPack>) -> Result<Vec<StoredPack>> {
        let mut stored = Stored::new();
        let pumped = self.all(packs, &mut stored).await;
        // What is stored is of use to the next run, whatever became of this one.
        let indexed = self.put_index(&mut stored).await;
        pumped.and(indexed)?;
        Ok(stored.indexed)
    }

    /// Stores packs until no more come. An index in between bounds what a run that dies has stored in vain.
    async fn all(&self, packs: &async_channel::Receiver<SealedPack>, stored: &mut Stored) -> Result<()> {
        let mut in_flight = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(done) = in_flight.next(), if !in_flight.is_empty() => stored.add(done?, self.index_within),
                () = sleep_until(stored.due), if !stored.unindexed.is_empty() => self.put_index(stored).await?,
                pack = packs.recv(), if in_flight.len() < UPLOADS_IN_FLIGHT => match pack {
                    Ok(pack) => in_flight.push(self.put(pack)),
                    Err(_) => break,
                },
            }
            if stored.unindexed.len() >= PACKS_PER_INDEX || stored.chunks >= INDEX_CHUNKS_TARGET {
                self.put_index(stored).await?;
            }
        }
        while let Some(done) = in_flight.next().await {
            stored.add(done?, self.index_within);
        }
        Ok(())
    }

    async fn put(&self, pack: SealedPack) -> Result<PackEntry> {
        let SealedPack { sealed, entry } = pack;
        self.store.put(&entry.kind.object(&entry.pack), &sealed).await?;
        self.bytes_stored.fetch_add(entry.bytes, Ordering::Relaxed);
        Ok(entry)
    }

    async fn put_index(&self, stored: &mut Stored) -> Result<()> {
        if stored.unindexed.is_empty() {
            return Ok(());
        }
        let sealed = document::seal(&Place::Index, &to_body(&stored.unindexed), &self.keyring, &self.catalog)?;
        self.store.put(&Place::Index.object(&sealed.id()), &sealed).await?;
        self.bytes_stored.fetch_add(sealed.bytes().len() as u64, Ordering::Relaxed);
        stored.indexed.extend(stored.unindexed.drain(..).map(|entry| StoredPack::of(&entry)));
        stored.chunks = 0;
        Ok(())
    }
}

/// A pack that is in the store, and in an index. What it holds is forgotten: memory does not grow with chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredPack {
    pub(crate) kind: PackKind,
    pub(crate) id: ObjectId,
    /// Length of the object.
    pub(crate) bytes: u64,
}

impl StoredPack {
    fn of(entry: &PackEntry) -> Self {
        StoredPack { kind: entry.kind, id: entry.pack, bytes: entry.bytes }
    }
}

/// Packs that are in the store.
struct Stored {
    indexed: Vec<StoredPack>,
    unindexed: Vec<PackEntry>,
    /// How many chunks those without an index have.
    chunks: usize,
    /// When those without an index must get one.
    due: Instant,
}

impl Stored {
    fn new() -> Self {
        Stored { indexed: Vec::new(), unindexed: Vec::new(), chunks: 0, due: Instant::now() }
    }

    fn add(&mut self, pack: PackEntry, within: Duration) {
        if self.unindexed.is_empty() {
            self.due = Instant::now() + within;
        }
        self.chunks += pack.chunks();
        self.unindexed.push(pack);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::format::pack::FrameEntry;
    use crate::id::ChunkId;
    use crate::keys::Secret;
    use crate::seal::Sealed;

    fn uploader(store: &Store, index_within: Duration) -> Uploader {
        Uploader {
            store: store.clone(),
            keyring: Arc::new(Secret::new([7; 32]).keyring()),
            catalog: age::x25519::Identity::generate().to_public(),
            failure: Failure::default(),
            bytes_stored: Arc::default(),
            index_within,
        }
    }

    fn pack(text: &str) -> SealedPack {
        let sealed = Sealed::sign(text.into());
        let entry = PackEntry {
            pack: sealed.id(),
            kind: PackKind::Data,
            bytes: sealed.bytes().len() as u64,
            frames: Vec::new(),
        };
        SealedPack { sealed, entry }
    }

    #[tokio::test]
    async fn a_run_that_may_take_days_leaves_an_index_on_the_way() {
        let (store, (send, packs)) = (Store::memory(), async_channel::bounded(1));
        let running = tokio::spawn(uploader(&store, Duration::from_millis(1)).run(packs));
        send.send(pack("one")).await.unwrap();
        while store.list("index").await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        send.send(pack("two")).await.unwrap();
        drop(send);
        assert_eq!(running.await.unwrap().unwrap().len(), 2);
        assert_eq!(store.list("index").await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn an_index_lists_no_more_chunks_than_a_reader_takes() {
        let (store, (send, packs)) = (Store::memory(), async_channel::bounded(1));
        let running = tokio::spawn(uploader(&store, Duration::from_secs(3_600)).run(packs));
        let tiny = FrameEntry { bytes: 1, chunks: vec![(ChunkId([1; 32]), 1); INDEX_CHUNKS_TARGET / 2] };
        for number in 0..4 {
            let mut pack = pack(&number.to_string());
            pack.entry.frames.push(tiny.clone());
            send.send(pack).await.unwrap();
        }
        drop(send);
        assert_eq!(running.await.unwrap().unwrap().len(), 4);
        assert_eq!(store.list("index").await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn what_was_stored_before_a_failure_has_an_index() {
        let (store, (send, packs)) = (Store::memory(), async_channel::bounded(1));
        let (one, two) = (pack("one"), pack("two"));
        store.put(&two.entry.kind.object(&two.entry.pack), &Sealed::sign("something else".into())).await.unwrap();
        let running = tokio::spawn(uploader(&store, Duration::from_secs(3_600)).run(packs));
        send.send(one).await.unwrap();
        send.send(two).await.unwrap();
        assert_eq!(running.await.unwrap().unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(store.list("index").await.unwrap().len(), 1);
    }
}
