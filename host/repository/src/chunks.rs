//! Reading chunks: pack, frame, chunk, each checked before the next looks at it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::cache::Cache;
use crate::error::{Error, Kind, Result};
use crate::format::name::PackKind;
use crate::format::pack::decompress;
use crate::id::ChunkId;
use crate::index::{Index, Location};
use crate::keys::Keyring;
use crate::limits::{
    CATALOG_PACKS_CACHED, CHUNK_BYTES_MAX, FRAME_BYTES_MAX, PACK_BYTES_MAX, WINDOW_BYTES, WINDOWS_CACHED,
};
use crate::pack_reader::{PackReader, Window};
use crate::store::Store;

/// Decoded frames that a reader keeps: small chunks that were stored together are read together.
const FRAMES_CACHED: usize = 16;

/// Reads chunks of one kind.
pub(crate) struct ChunkReader {
    index: Arc<Index>,
    keyring: Arc<Keyring>,
    kind: PackKind,
    packs: PackReader,
    frames: Cache<(u32, u64), Bytes>,
    zero: OnceLock<ChunkId>,
    /// What finds all damage in the same store.
    verify: String,
}

impl ChunkReader {
    pub(crate) fn new(
        (store, verify): (Store, String),
        index: Arc<Index>,
        keyring: Arc<Keyring>,
        kind: PackKind,
        identities: Vec<age::x25519::Identity>,
    ) -> Self {
        let windows = match kind {
            PackKind::Data => (WINDOWS_CACHED, WINDOW_BYTES),
            PackKind::Catalog => (CATALOG_PACKS_CACHED, PACK_BYTES_MAX),
        };
        let packs = PackReader::new(store, identities, windows);
        let (frames, zero) = (Cache::new(FRAMES_CACHED), OnceLock::new());
        ChunkReader { index, keyring, kind, packs, frames, zero, verify }
    }

    /// A chunk, compared with its id.
    pub(crate) async fn read(&self, id: &ChunkId) -> Result<Bytes> {
        let location = self.index.get(id)?.ok_or_else(|| self.missing(id))?;
        let frame = self.frame(location).await.map_err(|e| self.damaged(id, location, e))?;
        let (start, length) = (location.offset as usize, location.length as usize);
        if start + length > frame.len() {
            return Err(self.damaged(id, location, Error::corrupt("the frame is shorter than its chunks")));
        }
        let chunk = frame.slice(start..start + length);
        if self.keyring.chunk_id(self.kind, &chunk) != *id {
            return Err(self.damaged(id, location, Error::corrupt("its bytes do not have its id")));
        }
        Ok(chunk)
    }

    /// The id of the largest chunk of nothing but zeros, by which holes are stored.
    pub(crate) fn zero(&self) -> ChunkId {
        *self.zero.get_or_init(|| self.keyring.chunk_id(self.kind, &vec![0; CHUNK_BYTES_MAX]))
    }

    /// The chunk as it is in somebody else's hand: none if these bytes are not the whole of it.
    pub(crate) fn is_chunk(&self, id: &ChunkId, bytes: &[u8]) -> bool {
        self.keyring.chunk_id(self.kind, bytes) == *id
    }

    /// How long the chunk is.
    pub(crate) fn length_of(&self, id: &ChunkId) -> Result<Option<u32>> {
        Ok(self.index.get(id)?.map(|location| location.length))
    }

    /// Whether the chunk can be read; if so, its pack is noted as needed.
    pub(crate) fn pin(&self, id: &ChunkId) -> Result<bool> {
        let location = self.index.get(id)?;
        if let Some(location) = location {
            self.index.mark_used(location.pack);
        }
        Ok(location.is_some())
    }

    /// The pack that a chunk would be read from.
    pub(crate) fn pack_of(&self, id: &ChunkId) -> Result<Option<u32>> {
        Ok(self.index.get(id)?.map(|location| location.pack))
    }

    /// What is fetched of the store to read a chunk.
    pub(crate) fn window_of(&self, id: &ChunkId) -> Result<Option<Window>> {
        Ok(self.index.get(id)?.map(|location| self.packs.window_of(location.pack, location.frame)))
    }

    /// Fetches what is soon to be read from.
    pub(crate) async fn fetch_ahead(&self, window: Window) {
        self.packs.fetch_ahead(window, self.index.pack(window.0)).await;
    }

    async fn frame(&self, location: Location) -> Result<Bytes> {
        let Location { pack, frame, .. } = location;
        if let Some(plain) = self.frames.ready((pack, frame.start)) {
            return Ok(plain.as_ref().clone());
        }
        // Boxed: nearly all who ask find the frame, and those futures hold requests to a store.
        let decode = Box::pin(async {
            let compressed = self.packs.read(pack, self.index.pack(pack), frame).await?;
            let plain = decompress(&compressed, FRAME_BYTES_MAX)?;
            if plain.len() != frame.plain_bytes as usize {
                return Err(Error::corrupt("the frame is not as long as its chunks"));
            }
            Ok(Bytes::from(plain))
        });
        Ok(self.frames.get((pack, frame.start), decode).await?.as_ref().clone())
    }

    fn missing(&self, id: &ChunkId) -> Error {
        let noun = self.noun();
        Error::corrupt(format!("no pack of the repository holds the {noun} chunk {}", id.short()))
            .hinted(format!("`{}` lists every entry that this touches; another store may still have it", self.verify))
    }

    fn damaged(&self, id: &ChunkId, location: Location, cause: Error) -> Error {
        let pack = self.index.pack(location.pack);
        let what = format!("read the {} chunk {} from {}", self.noun(), id.short(), pack.kind.object(&pack.id));
        match cause.kind() {
            Kind::Corrupt => {
                let hint = format!("`{} --read-data` lists every entry that this touches", self.verify);
                cause.context(what).hinted(hint)
            }
            _ => cause.context(what),
        }
    }

    fn noun(&self) -> &'static str {
        match self.kind {
            PackKind::Data => "data",
            PackKind::Catalog => "catalog",
        }
    }
}
