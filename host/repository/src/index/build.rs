//! Making tables of documents that were just read. Memory holds the rows of one table.

use super::cache::TableCache;
use super::rows::{ChunkRow, DocumentRow, PackRow};
use super::table::Table;
use crate::error::Result;
use crate::format::index::PackEntry;
use crate::id::ObjectId;

/// Takes documents, gives tables.
pub(super) struct Builder {
    cache: TableCache,
    documents: Vec<DocumentRow>,
    packs: Vec<PackRow>,
    chunks: Vec<ChunkRow>,
    tables: Vec<Table>,
}

impl Builder {
    pub(super) fn new(cache: TableCache) -> Self {
        Builder { cache, documents: Vec::new(), packs: Vec::new(), chunks: Vec::new(), tables: Vec::new() }
    }

    /// Takes a document. Its entries were checked against the limits of the format, so that their numbers fit.
    pub(super) fn push(&mut self, (id, bytes): (ObjectId, u64), entries: &[PackEntry]) {
        let before = self.chunks.len();
        for entry in entries {
            self.push_pack(entry);
        }
        let chunks = (self.chunks.len() - before) as u32;
        self.documents.push(DocumentRow { id, bytes: bytes as u32, packs: entries.len() as u32, chunks });
    }

    fn push_pack(&mut self, entry: &PackEntry) {
        let (pack, before) = (self.packs.len() as u32, self.chunks.len());
        let (mut start, mut plain_bytes) = (0, 0);
        for frame in &entry.frames {
            let (mut offset, frame_plain_bytes) = (0, frame.plain_bytes() as u32);
            for (id, length) in &frame.chunks {
                let (id, length, frame_bytes) = (*id, *length, frame.bytes);
                self.chunks.push(ChunkRow { id, pack, start, offset, length, frame_bytes, frame_plain_bytes });
                offset += length;
            }
            start += frame.bytes;
            plain_bytes += u64::from(frame_plain_bytes);
        }
        let (bytes, chunks) = (entry.bytes as u32, (self.chunks.len() - before) as u32);
        self.packs.push(PackRow { id: entry.pack, kind: entry.kind, bytes, chunks, plain_bytes });
    }

    /// Whether it is time for [`Builder::flush`].
    pub(super) fn is_full(&self) -> bool {
        self.chunks.len() >= self.cache.bounds.sort_chunks
    }

    /// Makes a table of what it has. Blocks.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.documents.is_empty() {
            return Ok(());
        }
        self.chunks.sort_unstable();
        let (packs, chunks) = (self.packs.iter().copied().map(Ok), self.chunks.iter().copied().map(Ok));
        self.tables.push(self.cache.make(&self.documents, packs, chunks)?);
        self.documents.clear();
        self.packs.clear();
        self.chunks.clear();
        Ok(())
    }

    /// All tables. Blocks.
    pub(super) fn finish(mut self) -> Result<Vec<Table>> {
        self.flush()?;
        Ok(self.tables)
    }
}
