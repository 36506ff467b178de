//! A finished snapshot, as a source sees it when it restores: only what the operator chose, and every read counted.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use dozo_repository::{
    ContentReader, DataChunks, Entry, Error, PacksToRead, Result, SnapshotReader, StoredEntry, path,
};

use crate::limits::PAGE_ENTRIES;
use crate::port::{self, Content, ReadContent};
use crate::progress::Progress;
use crate::selection::Selection;

/// The chosen entries of one snapshot.
pub(crate) struct Chosen {
    pub(crate) reader: SnapshotReader,
    pub(crate) selection: Selection,
    pub(crate) data: DataChunks,
    pub(crate) progress: Arc<Progress>,
    /// Files whose content was read from the beginning to the end.
    pub(crate) files_read: Arc<AtomicU64>,
}

impl Chosen {
    /// A page of the chosen entries with what is stored of them.
    pub(crate) async fn page(&self, prefix: &str, after: Option<&str>, max: usize) -> Result<Vec<StoredEntry>> {
        page(&self.reader, &self.selection, (prefix, after, max)).await
    }
}

/// At most so many of the chosen entries that are below a prefix, behind the path `after`.
async fn page(
    reader: &SnapshotReader,
    selection: &Selection,
    (prefix, after, max): (&str, Option<&str>, usize),
) -> Result<Vec<StoredEntry>> {
    let mut after = after.map(str::to_string);
    // Nothing is chosen beside this directory: damage elsewhere in the manifest is not met.
    let root = selection.root();
    let prefix = if path::is_under(&root, prefix) { root.as_str() } else { prefix };
    loop {
        let mut page = reader.page(prefix, after.as_deref(), max).await?;
        let Some(last) = page.last() else { return Ok(page) };
        after = Some(last.entry.path.clone());
        page.retain(|stored| selection.takes(&stored.entry.path));
        // An empty page would mean the end, so those without a chosen entry are passed over here.
        if !page.is_empty() {
            return Ok(page);
        }
    }
}

/// The packs of content that a restore of this selection reads.
///
/// # Errors
/// If the manifest cannot be read; that nothing was chosen is for the restore to say.
pub async fn packs_to_restore(reader: &SnapshotReader, selection: &Selection) -> Result<PacksToRead> {
    let (mut packs, mut after) = (PacksToRead::default(), None::<String>);
    loop {
        let entries = page(reader, selection, (&selection.root(), after.as_deref(), PAGE_ENTRIES)).await?;
        let Some(last) = entries.last() else { return Ok(packs) };
        after = Some(last.entry.path.clone());
        for stored in &entries {
            reader.packs_of(stored, &mut packs).await?;
        }
    }
}

#[async_trait]
impl port::Stored for Chosen {
    fn attributes(&self) -> Vec<(String, String)> {
        self.reader.snapshot().attributes.clone()
    }

    async fn entries(&self, prefix: String, after: Option<String>, max: usize) -> Result<Vec<Entry>> {
        let page = self.page(&prefix, after.as_deref(), max.clamp(1, PAGE_ENTRIES)).await?;
        Ok(page.into_iter().map(|stored| stored.entry).collect())
    }

    async fn narrow(&self, _prefixes: Vec<String>) -> Result<()> {
        Err(Error::unsupported("a restore cannot be narrowed yet"))
    }

    async fn read(&self, path: String, offset: u64) -> Result<Content> {
        let chosen = self.reader.get(&path).await?.filter(|_| self.selection.takes(&path));
        let chosen = chosen.ok_or_else(|| {
            Error::invalid(format!("`{}` is not among the entries that are restored", path::shown(&path)))
        })?;
        let stored = self.reader.holder(chosen).await?;
        let content = self.reader.content(&stored, offset, &self.data)?;
        let whole = (offset == 0 && stored.entry.path == path).then(|| self.files_read.clone());
        let left = stored.entry.size.unwrap_or(0) - offset;
        let mut counted = Counted { content, progress: self.progress.clone(), left, whole };
        counted.note_end();
        Ok(Box::new(counted))
    }
}

/// Content that notes when it was read to its end.
struct Counted {
    content: ContentReader,
    progress: Arc<Progress>,
    left: u64,
    whole: Option<Arc<AtomicU64>>,
}

impl Counted {
    fn note(&mut self, bytes: u64) {
        self.left -= bytes;
        self.progress.bytes_restored.fetch_add(bytes, Ordering::Relaxed);
        self.note_end();
    }

    fn note_end(&mut self) {
        if self.left == 0
            && let Some(files_read) = self.whole.take()
        {
            files_read.fetch_add(1, Ordering::Relaxed);
            self.progress.entries_restored.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.content.read(buffer)?;
        self.note(read as u64);
        Ok(read)
    }
}

impl ReadContent for Counted {
    fn skip_hole(&mut self) -> std::io::Result<u64> {
        let hole = self.content.skip_hole()?;
        self.note(hole);
        Ok(hole)
    }

    fn is_in(&mut self, there: &File) -> std::io::Result<bool> {
        let is_in = self.content.is_in(there)?;
        if is_in {
            self.note(self.left);
        }
        Ok(is_in)
    }

    fn draw_on(&mut self, there: File) {
        self.content.draw_on(there);
    }
}
