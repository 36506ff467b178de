//! Reading a snapshot: its entries with the catalog identity alone, their content with an owner's keys.

use std::sync::Arc;

use crate::chunks::ChunkReader;
use crate::content::ContentReader;
use crate::entry::{Content, EntryKind, Extent, StoredEntry};
use crate::error::{Error, Result};
use crate::extents::Extents;
use crate::format::snapshot::Snapshot;
use crate::id::ObjectId;
use crate::manifest::ManifestReader;
use crate::path;
use crate::view::DataChunks;

/// One snapshot, open for reading.
pub struct SnapshotReader {
    id: ObjectId,
    snapshot: Arc<Snapshot>,
    catalog: Arc<ChunkReader>,
    manifest: ManifestReader,
}

impl SnapshotReader {
    pub(crate) fn new(id: ObjectId, snapshot: Arc<Snapshot>, catalog: Arc<ChunkReader>) -> Self {
        let manifest = ManifestReader::new(catalog.clone(), snapshot.manifest.clone());
        SnapshotReader { id, snapshot, catalog, manifest }
    }

    /// Which snapshot.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Its record.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The entry of this path.
    pub async fn get(&self, path: &str) -> Result<Option<StoredEntry>> {
        self.manifest.get(path).await
    }

    /// At most `max` entries that are `prefix` or below it, in order, beginning behind the path `after`.
    pub async fn page(&self, prefix: &str, after: Option<&str>, max: usize) -> Result<Vec<StoredEntry>> {
        self.manifest.page(prefix, after, max).await
    }

    /// Whether every chunk of the entry's content is in a pack that is really there. If so, those packs are noted as
    /// needed by the snapshot in the making, and looked for once more when it is committed.
    pub async fn pin(&self, stored: &StoredEntry) -> Result<bool> {
        if let Content::Listed(lists) = &stored.content {
            for list in lists {
                if !self.catalog.pin(&list.chunk)? {
                    return Ok(false);
                }
            }
        }
        let mut extents = Extents::new(self.catalog.clone(), &stored.content);
        while let Some(extent) = extents.next().await? {
            if !self.catalog.pin(&extent.chunk)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The extents that hold a range of an entry's content.
    pub async fn range(&self, stored: &StoredEntry, offset: u64, length: u64) -> Result<Vec<Extent>> {
        Extents::new(self.catalog.clone(), &stored.content).range(offset, length).await
    }

    /// The entry that has an entry's content: itself, or what a hard link is another name of.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::Kind::Corrupt) if that is not there, or holds nothing itself.
    pub async fn holder(&self, stored: StoredEntry) -> Result<StoredEntry> {
        let EntryKind::Hardlink(target) = &stored.entry.kind else { return Ok(stored) };
        let holder = self.get(target).await?.filter(|holder| !matches!(holder.entry.kind, EntryKind::Hardlink(_)));
        holder.ok_or_else(|| {
            let (link, target) = (path::shown(&stored.entry.path), path::shown(target));
            Error::corrupt(format!("`{link}` is another name of `{target}`, which the snapshot does not have"))
        })
    }

    /// The content of an entry from `offset` on, for a thread that may block.
    pub fn content(&self, stored: &StoredEntry, offset: u64, data: &DataChunks) -> Result<ContentReader> {
        ContentReader::new(stored, offset, data.0.clone(), self.catalog.clone())
    }

    pub(crate) fn manifest(&self) -> &ManifestReader {
        &self.manifest
    }

    pub(crate) fn catalog(&self) -> &Arc<ChunkReader> {
        &self.catalog
    }
}
