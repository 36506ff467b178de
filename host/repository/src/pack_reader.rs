//! Reading packs in windows: what lies beside what is read is fetched with it, and what lies far from it is not. Of packs that
//! are mostly needed, a restore fetches all in a few requests; of those of which later snapshots left little, a few windows.

use std::ops::Range;

use age::x25519;
use bytes::Bytes;
use futures::future::try_join_all;

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::index::{IndexedFrame, IndexedPack};
use crate::limits::{PACK_BYTES_MAX, PACKS_OPENED, WHOLE_PACKS_CACHED};
use crate::parts::Opened;
use crate::store::Store;

/// About how long the header of a pack is: two recipients, and what age adds so that nobody counts on their number.
const HEADER_BYTES_USUAL: u64 = 400;

/// A window of a pack: the numbers of both.
pub(crate) type Window = (u32, u64);

/// Reads frames of packs. A pack comes with its number, by which it is remembered.
pub(crate) struct PackReader {
    store: Store,
    identities: Vec<x25519::Identity>,
    window_bytes: u64,
    windows: Cache<Window, Bytes>,
    /// Packs out of a store that answers with whole objects alone.
    wholes: Cache<u32, Bytes>,
    opened: Cache<u32, Opened>,
}

impl PackReader {
    /// Reads so many windows of so many bytes each, and keeps them for whoever needs them next.
    pub(crate) fn new(store: Store, identities: Vec<x25519::Identity>, (windows, window_bytes): (usize, u64)) -> Self {
        let (windows, wholes, opened) = (Cache::new(windows), Cache::new(WHOLE_PACKS_CACHED), Cache::new(PACKS_OPENED));
        PackReader { store, identities, window_bytes, windows, wholes, opened }
    }

    /// A frame, as it is in the pack's plaintext.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::Kind::Corrupt) if the pack is not there, shorter than it should be, or changed where the
    /// frame is; [`Denied`](crate::error::Kind::Denied) if it is sealed to others.
    pub(crate) async fn read(&self, number: u32, pack: &IndexedPack, frame: IndexedFrame) -> Result<Vec<u8>> {
        let open = async {
            let start = self.window((number, 0), pack).await?;
            Opened::new(&start, pack.bytes, &self.identities)
        };
        let opened = self.opened.get(number, open).await?;
        let range = opened.range(frame.start, u64::from(frame.bytes));
        let windows = range.start / self.window_bytes..range.end.div_ceil(self.window_bytes);
        let parts = windows.map(|window| async move {
            Ok::<_, Error>((window * self.window_bytes, self.window((number, window), pack).await?))
        });
        opened.read(try_join_all(parts).await?, frame.start, u64::from(frame.bytes))
    }

    /// The window in which a frame begins, if the pack's header is as long as nearly all are: what to fetch ahead.
    pub(crate) fn window_of(&self, number: u32, frame: IndexedFrame) -> Window {
        // Before it are the header, and a tag for each chunk of age.
        (number, (HEADER_BYTES_USUAL + frame.start + frame.start / 4_096) / self.window_bytes)
    }

    /// Fetches a window that is soon to be read from. What is wrong with it is for whoever reads from it.
    pub(crate) async fn fetch_ahead(&self, window: Window, pack: &IndexedPack) {
        let _ = self.window(window, pack).await;
    }

    async fn window(&self, (number, window): Window, pack: &IndexedPack) -> Result<Bytes> {
        if let Some(bytes) = self.windows.ready((number, window)) {
            return Ok(bytes.as_ref().clone());
        }
        let start = window * self.window_bytes;
        let fetch = Box::pin(self.fetch(number, pack, start..pack.bytes.min(start + self.window_bytes)));
        Ok(self.windows.get((number, window), fetch).await?.as_ref().clone())
    }

    async fn fetch(&self, number: u32, pack: &IndexedPack, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Err(Error::corrupt("it is shorter than what is in it"));
        }
        if range == (0..pack.bytes) {
            return self.fetch_whole(pack).await;
        }
        if !self.store.reads_whole() {
            let name = pack.kind.object(&pack.id);
            let part = self.store.get_range(&name, range, PACK_BYTES_MAX).await?;
            return part.ok_or_else(|| Error::corrupt(format!("{name} is not in {}", self.store)));
        }
        let whole = self.wholes.get(number, self.fetch_whole(pack)).await?;
        // A copy, so that the rest need not stay.
        Ok(Bytes::copy_from_slice(&whole[range.start as usize..range.end as usize]))
    }

    async fn fetch_whole(&self, pack: &IndexedPack) -> Result<Bytes> {
        let whole = self.store.get(&pack.kind.object(&pack.id), PACK_BYTES_MAX).await?;
        if whole.len() as u64 != pack.bytes {
            let (got, bytes) = (whole.len(), pack.bytes);
            return Err(Error::corrupt(format!("it has {got} bytes, not the {bytes} that its index names")));
        }
        Ok(whole)
    }
}
