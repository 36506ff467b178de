//! Sealed packs on their way into the store: a bounded number at once, and an index in rounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::stream::{FuturesUnordered, StreamExt};

use crate::document;
use crate::error::Result;
use crate::failure::Failure;
use crate::format::index::{PackEntry, to_body};
use crate::format::name::Place;
use crate::keys::Keyring;
use crate::limits::{PACKS_PER_INDEX, UPLOADS_IN_FLIGHT};
use crate::pack::SealedPack;
use crate::store::Store;

/// Where packs and indexes go, and what has gone so far.
pub(crate) struct Uploader {
    pub(crate) store: Store,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) catalog: age::x25519::Recipient,
    pub(crate) failure: Failure,
    pub(crate) bytes_stored: Arc<AtomicU64>,
}

impl Uploader {
    /// Takes packs until the channel closes, then stores the index of the last. Returns all packs that it stored.
    ///
    /// A failure is noted at once, so that nobody goes on producing; packs that still come are dropped.
    pub(crate) async fn run(self, packs: async_channel::Receiver<SealedPack>) -> Result<Vec<PackEntry>> {
        let result = self.pump(&packs).await;
        if let Err(error) = &result {
            self.failure.note(error.clone());
        }
        packs.close();
        result
    }

    async fn pump(&self, packs: &async_channel::Receiver<SealedPack>) -> Result<Vec<PackEntry>> {
        let (mut all, mut unindexed) = (Vec::new(), Vec::new());
        let mut in_flight = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(stored) = in_flight.next(), if !in_flight.is_empty() => unindexed.push(stored?),
                pack = packs.recv(), if in_flight.len() < UPLOADS_IN_FLIGHT => match pack {
                    Ok(pack) => in_flight.push(self.put(pack)),
                    Err(_) => break,
                },
            }
            if unindexed.len() >= PACKS_PER_INDEX {
                self.put_index(&unindexed).await?;
                all.append(&mut unindexed);
            }
        }
        while let Some(stored) = in_flight.next().await {
            unindexed.push(stored?);
        }
        if !unindexed.is_empty() {
            self.put_index(&unindexed).await?;
            all.append(&mut unindexed);
        }
        Ok(all)
    }

    async fn put(&self, pack: SealedPack) -> Result<PackEntry> {
        let SealedPack { sealed, entry } = pack;
        self.store.put(&entry.kind.object(&entry.pack), &sealed).await?;
        self.bytes_stored.fetch_add(entry.bytes, Ordering::Relaxed);
        Ok(entry)
    }

    async fn put_index(&self, packs: &[PackEntry]) -> Result<()> {
        let sealed = document::seal(&Place::Index, &to_body(packs), &self.keyring, &self.catalog)?;
        self.store.put(&Place::Index.object(&sealed.id()), &sealed).await?;
        self.bytes_stored.fetch_add(sealed.bytes().len() as u64, Ordering::Relaxed);
        Ok(())
    }
}
