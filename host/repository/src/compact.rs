//! Winning back the dead bytes of packs that are mostly dead: what is still reached is stored again, with its index, and then
//! the packs are condemned. Needs an owner's keys, because content is decrypted on the way.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use jiff::Timestamp;

use crate::chunks::ChunkReader;
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::format::name::PackKind;
use crate::frame::Compressor;
use crate::id::ChunkId;
use crate::index::{IndexedPack, PackState};
use crate::keys::{Keyring, ReadKeys};
use crate::limits::INDEX_SECONDS;
use crate::pack::{Packer, SealedPack};
use crate::pipeline::{blocking, joined};
use crate::prune::{PlannedPack, Pruner, guard};
use crate::reach::Reach;
use crate::upload::{StoredPack, Uploader};
use crate::view::View;

/// Which packs are worth it.
#[derive(Clone, Copy, Debug)]
pub struct CompactRules {
    /// Packs of which more than so many bytes in a hundred are dead.
    pub dead_percent: u8,
}

impl Default for CompactRules {
    fn default() -> Self {
        CompactRules { dead_percent: 30 }
    }
}

/// What a compaction did. The old packs are deleted by a later prune.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Compacted {
    /// Packs that were condemned.
    pub packs: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Packs that take their place.
    pub packs_new: u64,
    /// Bytes of those.
    pub bytes_new: u64,
    /// Packs that are mostly dead, and left alone because they lie in cold storage: reading them would cost more than they do.
    pub packs_cold: u64,
}

impl Pruner {
    /// Compacts what is mostly dead.
    ///
    /// # Errors
    /// [`Corrupt`](crate::Kind::Corrupt) if a chunk cannot be read; nothing is condemned then.
    pub async fn compact(&self, keys: &ReadKeys, rules: CompactRules) -> Result<Compacted> {
        let now = self.lease.assure().await?;
        let view = self.repository.view().await?;
        guard(&view).await?;
        let mut reach = Reach::new(&view);
        for (id, snapshot) in view.snapshots() {
            reach.walk(&view.reader(*id, snapshot.clone())).await?;
        }
        let (mut done, mut condemn) = (Compacted::default(), Vec::new());
        for (kind, reader) in [(PackKind::Data, view.data_chunks(keys).0), (PackKind::Catalog, view.catalog_chunks())] {
            let mut chosen = self.mostly_dead(&view, &reach, kind, now, rules);
            if kind == PackKind::Data && view.may_lie_cold() {
                let readable = view.readable(chosen.iter().map(|(number, _)| *number)).await?;
                done.packs_cold = (chosen.len() - readable.len()) as u64;
                chosen.retain(|(number, _)| readable.contains(number));
            }
            let chunks = reached_chunks(&view, &reach, &chosen).await?;
            let new = self.store_again(kind, reader, chunks).await?;
            done.packs_new += new.len() as u64;
            done.bytes_new += new.iter().map(|pack| pack.bytes).sum::<u64>();
            condemn.extend(chosen.iter().map(|(_, pack)| *pack));
        }
        if condemn.is_empty() {
            return Ok(done);
        }
        (done.packs, done.bytes) = (condemn.len() as u64, condemn.iter().map(|pack| pack.bytes).sum());
        let now = self.lease.assure().await?;
        let mut record = self.record(now);
        record.condemned = self.condemn(&condemn, now).await?;
        self.repository.put_record(&record).await?;
        Ok(done)
    }

    /// Packs with dead bytes enough, and something alive; what is all dead is for a prune.
    fn mostly_dead(
        &self,
        view: &View,
        reach: &Reach,
        kind: PackKind,
        now: Timestamp,
        rules: CompactRules,
    ) -> Vec<(u32, PlannedPack)> {
        let chosen = |(number, pack): (usize, &IndexedPack)| {
            let (whole, reached) = reach.share(number);
            let old = pack.modified.checked_add(self.rules.pack_age_min).is_ok_and(|ripe| ripe <= now);
            let dead = whole.saturating_sub(reached) * 100 > whole * u64::from(rules.dead_percent);
            let sound = pack.kind == kind && pack.state == PackState::Sound;
            let planned = PlannedPack { kind: pack.kind, id: pack.id, bytes: pack.bytes };
            (sound && old && dead && reached > 0).then_some((number as u32, planned))
        };
        view.index().packs().iter().enumerate().filter_map(chosen).collect()
    }

    /// Stores chunks in new packs, and their index. All are durable when this returns.
    async fn store_again(
        &self,
        kind: PackKind,
        reader: Arc<ChunkReader>,
        chunks: Vec<ChunkId>,
    ) -> Result<Vec<StoredPack>> {
        if chunks.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.repository.key();
        let recipient = match kind {
            PackKind::Data => key.data.clone(),
            PackKind::Catalog => key.catalog.to_public(),
        };
        let (sender, receiver) = async_channel::bounded(1);
        let failure = Failure::default();
        let uploader = Uploader {
            store: self.repository.store().clone(),
            keyring: self.repository.keyring().clone(),
            catalog: key.catalog.to_public(),
            failure: failure.clone(),
            bytes_stored: Arc::new(AtomicU64::new(0)),
            index_within: Duration::from_secs(INDEX_SECONDS),
        };
        let uploads = tokio::spawn(uploader.run(receiver));
        let packer = Packer::new(kind, recipient);
        let repacker = Repacker { reader, packer, keyring: self.repository.keyring().clone(), sender, failure };
        let runtime = tokio::runtime::Handle::current();
        let packed = blocking(move || repacker.pack(&chunks, &runtime)).await;
        // The uploader's error comes first: the packer's may only say that nobody takes packs any more.
        let stored = joined(uploads.await)?;
        packed?;
        Ok(stored)
    }
}

/// The chunks of some packs that snapshots reach, in the order in which they lie.
async fn reached_chunks(view: &View, reach: &Reach, packs: &[(u32, PlannedPack)]) -> Result<Vec<ChunkId>> {
    let mut chunks = Vec::new();
    for batch in view.index().batches(packs.iter().map(|(number, _)| *number)) {
        let index = view.index().clone();
        let mut by_pack: Vec<_> = blocking(move || index.chunks_of(&batch)).await?.into_iter().collect();
        by_pack.sort_unstable_by_key(|(number, _)| *number);
        let of_batch = by_pack.into_iter().flat_map(|(_, chunks)| chunks);
        chunks.extend(of_batch.filter(|(location, _)| reach.reaches(location)).map(|(_, id)| id));
    }
    Ok(chunks)
}

/// Packs chunks on a thread that may block.
struct Repacker {
    reader: Arc<ChunkReader>,
    packer: Packer,
    keyring: Arc<Keyring>,
    sender: async_channel::Sender<SealedPack>,
    failure: Failure,
}

impl Repacker {
    fn pack(self, chunks: &[ChunkId], runtime: &tokio::runtime::Handle) -> Result<()> {
        let mut compressor = Compressor::new()?;
        for id in chunks {
            let plaintext = runtime.block_on(self.reader.read(id))?;
            if let Some(pack) = self.packer.add(*id, &plaintext, &self.keyring, &mut compressor)? {
                self.send(pack)?;
            }
        }
        let last = self.packer.finish(&self.keyring, &mut compressor)?;
        last.into_iter().try_for_each(|pack| self.send(pack))
    }

    fn send(&self, pack: SealedPack) -> Result<()> {
        let closed = |_| self.failure.or(Error::internal("the uploader ended early"));
        self.sender.send_blocking(pack).map_err(closed)
    }
}
