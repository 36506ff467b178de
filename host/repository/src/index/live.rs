//! A table, and which of its documents count: those that are in the store, and that no other table has.

use std::io;

use super::rows::{DocumentRow, PackRow};
use super::table::Table;

/// A table of which some documents may be gone.
pub(super) struct Live {
    pub(super) table: Table,
    live: Vec<bool>,
}

impl Live {
    /// A table whose documents count if `counts` says so.
    pub(super) fn new(table: Table, counts: impl FnMut(&DocumentRow) -> bool) -> Self {
        let live = table.documents().iter().map(counts).collect();
        Live { table, live }
    }

    /// The same with the bytes in memory.
    pub(super) fn into_memory(self, key: &[u8; 32]) -> io::Result<Self> {
        Ok(Live { table: self.table.into_memory(key)?, ..self })
    }

    /// Each document, and whether it counts.
    pub(super) fn documents(&self) -> impl Iterator<Item = (&DocumentRow, bool)> {
        self.table.documents().iter().zip(self.live.iter().copied())
    }

    /// Of each pack row, whether its document counts.
    pub(super) fn packs_live(&self) -> impl Iterator<Item = bool> {
        self.documents().flat_map(|(document, live)| std::iter::repeat_n(live, document.packs as usize))
    }

    /// The packs of documents that count, each with its document.
    pub(super) fn named(&self) -> impl Iterator<Item = io::Result<(&DocumentRow, PackRow)>> {
        let documents = self.documents().flat_map(|(row, live)| std::iter::repeat_n((row, live), row.packs as usize));
        let packs = self.table.packs().zip(documents);
        packs.filter(|(pack, (_, live))| *live || pack.is_err()).map(|(pack, (row, _))| pack.map(|pack| (row, pack)))
    }

    /// Whether any document counts.
    pub(super) fn is_live(&self) -> bool {
        self.live.contains(&true)
    }

    /// Chunks of documents that count.
    pub(super) fn chunks(&self) -> u64 {
        self.documents().filter(|(_, live)| *live).map(|(row, _)| u64::from(row.chunks)).sum()
    }

    /// Whether most of it does not count.
    pub(super) fn is_stale(&self) -> bool {
        self.chunks() * 2 < u64::from(self.table.chunk_count())
    }
}
