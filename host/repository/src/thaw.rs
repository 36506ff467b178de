//! Content that lies in cold storage: which packs of those that somebody is about to read, and bringing them back. All of
//! them are asked for before the first is waited for. Knows nothing of what they are read for.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::time::Instant;

use crate::entry::StoredEntry;
use crate::error::{Error, Result};
use crate::extents::Extents;
use crate::format::name::PackKind;
use crate::limits::{READS_IN_FLIGHT, THAW_PAUSE_SECONDS_MAX};
use crate::reader::SnapshotReader;
use crate::store::{Class, ThawOrder, ThawTier, Warmth};
use crate::view::View;

/// Data packs that somebody is about to read, of one view.
#[derive(Clone, Debug, Default)]
pub struct PacksToRead(pub(crate) BTreeSet<u32>);

/// Packs that cannot be read now, or not for long.
#[derive(Clone, Debug, Default)]
pub struct ColdPacks {
    /// Nobody has asked for them.
    cold: Vec<(u32, Class)>,
    /// The store was asked for them.
    on_their_way: Vec<u32>,
    /// They are there, and soon will not be.
    expiring: Vec<u32>,
    /// Bytes of the first.
    bytes_cold: u64,
    /// Bytes of the second.
    bytes_on_their_way: u64,
}

/// On which terms packs are brought back.
#[derive(Clone, Copy, Debug)]
pub struct ThawTerms {
    /// How fast, and at what price.
    pub tier: ThawTier,
    /// How many days they can be read.
    pub days: u16,
    /// How long to wait for all of them.
    pub patience: Duration,
}

/// How far a thaw is; read by whoever shows progress.
#[derive(Debug, Default)]
pub struct ThawCounters {
    /// Packs in all.
    pub packs: AtomicU64,
    /// Packs that the store was asked for.
    pub asked: AtomicU64,
    /// Packs that are known to be there.
    pub there: AtomicU64,
}

impl ColdPacks {
    /// Whether all can be read.
    pub fn is_empty(&self) -> bool {
        self.cold.is_empty() && self.on_their_way.is_empty()
    }

    /// Packs, and their bytes, that the store must be asked for.
    pub fn cold(&self) -> (u64, u64) {
        (self.cold.len() as u64, self.bytes_cold)
    }

    /// Packs, and their bytes, that the store was asked for before.
    pub fn on_their_way(&self) -> (u64, u64) {
        (self.on_their_way.len() as u64, self.bytes_on_their_way)
    }
}

impl SnapshotReader {
    /// Adds the packs that hold an entry's content. What is nowhere is left out: whoever reads it finds out.
    pub async fn packs_of(&self, stored: &StoredEntry, packs: &mut PacksToRead) -> Result<()> {
        let mut extents = Extents::new(self.catalog().clone(), &stored.content);
        while let Some(extent) = extents.next().await? {
            packs.0.extend(self.catalog().pack_of(&extent.chunk)?);
        }
        Ok(())
    }
}

impl View {
    /// Whether content may lie in cold storage here at all.
    pub fn may_lie_cold(&self) -> bool {
        self.repository().store().may_lie_cold()
    }

    /// Which of these packs cannot be read now. Asks the store about each.
    pub async fn cold_among(&self, packs: &PacksToRead) -> Result<ColdPacks> {
        let mut found = ColdPacks::default();
        if !self.may_lie_cold() {
            return Ok(found);
        }
        let looks = packs.0.iter().map(|number| async move { Ok::<_, Error>((*number, self.warmth(*number).await?)) });
        let mut looks = stream::iter(looks).buffered(READS_IN_FLIGHT);
        while let Some((number, warmth)) = looks.try_next().await? {
            let bytes = self.index().pack(number).bytes;
            match warmth {
                Warmth::Warm => {}
                Warmth::Expires => found.expiring.push(number),
                Warmth::OnItsWay => {
                    found.on_their_way.push(number);
                    found.bytes_on_their_way += bytes;
                }
                Warmth::Cold(class) => {
                    found.cold.push((number, class));
                    found.bytes_cold += bytes;
                }
            }
        }
        Ok(found)
    }

    async fn warmth(&self, number: u32) -> Result<Warmth> {
        self.repository().store().warmth(&self.object(number)).await
    }

    fn object(&self, number: u32) -> String {
        let pack = self.index().pack(number);
        pack.kind.object(&pack.id)
    }

    /// Has the store bring packs back, and waits until all can be read.
    ///
    /// # Errors
    /// [`Unavailable`](crate::Kind::Unavailable) if it takes longer than the terms say; what was asked for comes all the same.
    pub async fn thaw(&self, packs: &ColdPacks, terms: &ThawTerms, counters: &ThawCounters) -> Result<()> {
        let begun = Instant::now();
        let waiting: Vec<u32> =
            packs.cold.iter().map(|(number, _)| *number).chain(packs.on_their_way.clone()).collect();
        counters.packs.store(waiting.len() as u64, Ordering::Relaxed);
        counters.asked.store(packs.on_their_way.len() as u64, Ordering::Relaxed);
        self.ask_for_all(packs, terms, counters).await?;
        let (mut pause, mut there) = (Duration::from_secs(1), 0);
        loop {
            there += self.thawed(&waiting[there..]).await?;
            counters.there.store(there as u64, Ordering::Relaxed);
            let left = waiting.len() - there;
            if left == 0 {
                return Ok(());
            }
            let patience = terms.patience.saturating_sub(begun.elapsed());
            if patience.is_zero() {
                return Err(Error::unavailable(format!("{left} packs are still on their way out of cold storage"))
                    .hinted("they come all the same: say the same again later, nothing is asked for twice"));
            }
            tokio::time::sleep(pause.min(patience)).await;
            pause = (pause * 2).min(Duration::from_secs(THAW_PAUSE_SECONDS_MAX));
        }
    }

    /// An interruption leaves what was asked for on its way.
    async fn ask_for_all(&self, packs: &ColdPacks, terms: &ThawTerms, counters: &ThawCounters) -> Result<()> {
        let copies = packs.expiring.iter().map(|number| (*number, Class::Archive));
        let orders = packs.cold.iter().copied().chain(copies).map(|(number, class)| async move {
            let order = ThawOrder { days: terms.days, tier: terms.tier, class };
            self.repository().store().ask_for(&self.object(number), &order).await?;
            counters.asked.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Error>(())
        });
        stream::iter(orders).buffer_unordered(READS_IN_FLIGHT).try_collect().await
    }

    /// How many of these, from the first on, can be read. The first that cannot ends the look: all must be there, so the rest
    /// need not be asked about yet.
    async fn thawed(&self, waiting: &[u32]) -> Result<usize> {
        let looks = waiting.iter().map(|number| self.warmth(*number));
        let mut looks = stream::iter(looks).buffered(READS_IN_FLIGHT);
        let mut there = 0;
        while let Some(warmth) = looks.try_next().await? {
            match warmth {
                Warmth::Warm | Warmth::Expires => there += 1,
                Warmth::OnItsWay | Warmth::Cold(_) => break,
            }
        }
        Ok(there)
    }

    /// The packs among these that can be read, so that nobody waits for the others.
    pub(crate) async fn readable(&self, packs: impl Iterator<Item = u32>) -> Result<BTreeSet<u32>> {
        let mut packs = PacksToRead(packs.collect());
        let cold = self.cold_among(&packs).await?;
        for number in cold.cold.iter().map(|(number, _)| number).chain(&cold.on_their_way) {
            packs.0.remove(number);
        }
        Ok(packs.0)
    }

    /// Whether a pack of the index holds content.
    pub(crate) fn holds_content(&self, number: u32) -> bool {
        self.index().pack(number).kind == PackKind::Data
    }
}
