//! A finished snapshot, as a source sees it when it restores: only what the operator chose, and every read counted.

use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dozo_repository::{
    ContentReader, DataChunks, Entry, EntryKind, Error, PacksToRead, Result, SnapshotReader, StoredEntry, path,
};

use crate::limits::PAGE_ENTRIES;
use crate::needed::Needed;
use crate::port::{self, Content, ReadContent};
use crate::progress::Progress;
use crate::room::{Room, Wanted};
use crate::selection::{Seen, Selection};

/// The chosen entries of one snapshot.
pub(crate) struct Chosen {
    reader: SnapshotReader,
    selection: Selection,
    data: DataChunks,
    room: Option<Arc<dyn Room>>,
    progress: Arc<Progress>,
    state: Mutex<State>,
}

/// What the source needs of them, and what it did.
#[derive(Default)]
struct State {
    /// None: all of them.
    needed: Option<Arc<Needed>>,
    counted: Counted,
    /// Files whose content was read from the beginning to the end.
    files_read: Arc<AtomicU64>,
    /// Something was written: what is needed is settled.
    is_settled: bool,
    /// Why nothing may be written.
    refused: Option<Error>,
}

/// What there is to restore.
#[derive(Clone, Copy, Default)]
pub(crate) struct Total {
    pub(crate) entries: u64,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// The same, and the room that it takes.
#[derive(Default)]
struct Counted {
    total: Total,
    wanted: Wanted,
}

impl Counted {
    fn add(&mut self, entry: &Entry, room: Option<&dyn Room>) {
        self.total.entries += 1;
        self.total.files += u64::from(entry.kind == EntryKind::File);
        self.total.bytes += entry.size.unwrap_or(0);
        room.iter().for_each(|room| self.wanted.add(entry, *room));
    }
}

impl Chosen {
    /// Counts what was chosen. A path that chose nothing is an error, also beside others that did: a mistyped path must not
    /// look like a restore.
    pub(crate) async fn count(
        (reader, data): (SnapshotReader, DataChunks),
        selection: Selection,
        room: Option<Arc<dyn Room>>,
        progress: Arc<Progress>,
    ) -> Result<Self> {
        let mut chosen = Chosen { reader, selection, data, room, progress, state: Mutex::default() };
        let mut seen = Seen::default();
        let counted = chosen.look(None, |path| chosen.selection.note(path, &mut seen)).await?;
        let unmatched: Vec<&str> = chosen.selection.unmatched(&seen).collect();
        match unmatched.as_slice() {
            [] if counted.total.entries > 0 => {}
            [] => return Err(Error::invalid("the snapshot has no entries")),
            patterns => {
                let what = format!("the snapshot has nothing under `{}`", patterns.join("`, `"));
                let hint = "`dozo ls` shows what it has; `*`, `?` and `[` in a name are written `\\*`, `\\?`, `\\[`";
                return Err(Error::invalid(what).hinted(hint));
            }
        }
        chosen.progress.begin(counted.total.bytes);
        chosen.state = Mutex::new(State { counted, ..State::default() });
        Ok(chosen)
    }

    /// What there was to restore, and how many files were read.
    pub(crate) fn done(&self) -> (Total, u64) {
        let state = self.state();
        (state.counted.total, state.files_read.load(Ordering::Relaxed))
    }

    /// Why nothing could be written, if so.
    pub(crate) fn refused(&self) -> Option<Error> {
        self.state().refused.clone()
    }

    /// Whether something was written, or may have been.
    pub(crate) fn is_settled(&self) -> bool {
        let state = self.state();
        state.is_settled && state.refused.is_none()
    }

    /// Counts what is chosen and needed, and shows the path of each.
    async fn look(&self, needed: Option<&Needed>, mut show: impl FnMut(&str)) -> Result<Counted> {
        let (mut counted, mut after, mut leaf) = (Counted::default(), None::<String>, None::<String>);
        let (root, takes) = (self.selection.root(), |path: &str| self.takes(path, needed));
        loop {
            let page = page(&self.reader, (&root, &takes), (&root, after.as_deref(), PAGE_ENTRIES)).await?;
            let Some(last) = page.last() else { return Ok(counted) };
            after = Some(last.entry.path.clone());
            for stored in &page {
                let path = &stored.entry.path;
                // A writer makes no such manifest; behind a symlink a restore could be led anywhere.
                if let Some(above) = leaf.filter(|leaf| path::is_under(path, leaf)) {
                    let (path, above) = (path::shown(path), path::shown(&above));
                    return Err(Error::corrupt(format!(
                        "the snapshot has `{path}` below `{above}`, which is no directory"
                    )));
                }
                leaf = (stored.entry.kind != EntryKind::Directory).then(|| path.clone());
                show(path);
                counted.add(&stored.entry, self.room.as_deref());
            }
        }
    }

    fn takes(&self, path: &str, needed: Option<&Needed>) -> bool {
        self.selection.takes(path) && needed.is_none_or(|needed| needed.takes(path))
    }

    fn needed(&self) -> Option<Arc<Needed>> {
        self.state().needed.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether it can still be said what is needed.
    fn check_open(&self) -> Result<()> {
        match (self.is_settled, self.needed.is_some()) {
            (true, _) => Err(Error::invalid("a restore can be narrowed only before anything is written")),
            (false, true) => Err(Error::invalid("a restore can be narrowed only once")),
            (false, false) => Ok(()),
        }
    }
}

/// At most so many of the entries that are taken and lie below a prefix, behind the path `after`. Nothing is taken beside the
/// directory `root`: damage elsewhere in the manifest is not met.
async fn page(
    reader: &SnapshotReader,
    (root, takes): (&str, &(dyn Fn(&str) -> bool + Sync)),
    (prefix, after, max): (&str, Option<&str>, usize),
) -> Result<Vec<StoredEntry>> {
    let mut after = after.map(str::to_string);
    let prefix = if path::is_under(root, prefix) { root } else { prefix };
    loop {
        let mut page = reader.page(prefix, after.as_deref(), max).await?;
        let Some(last) = page.last() else { return Ok(page) };
        after = Some(last.entry.path.clone());
        page.retain(|stored| takes(&stored.entry.path));
        // An empty page would mean the end, so those without an entry to show are passed over here.
        if !page.is_empty() {
            return Ok(page);
        }
    }
}

/// The same, and before each entry those directories above it that are not taken themselves, in order: a directory that has to be
/// made on the way to what was chosen is made as it was. Those above `root` that cannot be read are left out.
async fn page_with_above(
    reader: &SnapshotReader,
    (root, takes): (&str, &(dyn Fn(&str) -> bool + Sync)),
    (prefix, after, max): (&str, Option<&str>, usize),
) -> Result<Vec<StoredEntry>> {
    let is_behind = |path: &str| after.is_none_or(|after| path::compare(path, after).is_gt());
    let mut above = Vec::new();
    for (end, _) in root.match_indices('/') {
        let directory = &root[..end];
        if path::is_under(directory, prefix) && is_behind(directory) {
            above.extend(reader.get(directory).await.ok().flatten().filter(is_directory));
        }
    }
    let (mut shown, mut after) = (Vec::new(), after.map(str::to_string));
    let prefix = if path::is_under(root, prefix) { root } else { prefix };
    loop {
        let page = reader.page(prefix, after.as_deref(), max).await?;
        let Some(last) = page.last() else { return Ok(shown) };
        after = Some(last.entry.path.clone());
        for stored in page {
            above.retain(|directory| path::is_under(&stored.entry.path, &directory.entry.path));
            if takes(&stored.entry.path) {
                shown.append(&mut above);
                shown.push(stored);
            } else if is_directory(&stored) {
                above.push(stored);
            }
            if shown.len() >= max {
                // What comes behind is met again.
                shown.truncate(max);
                return Ok(shown);
            }
        }
        if !shown.is_empty() {
            return Ok(shown);
        }
    }
}

fn is_directory(stored: &StoredEntry) -> bool {
    stored.entry.kind == EntryKind::Directory
}

/// The packs of content that a restore of this selection reads.
///
/// # Errors
/// If the manifest cannot be read; that nothing was chosen is for the restore to say.
pub async fn packs_to_restore(reader: &SnapshotReader, selection: &Selection) -> Result<PacksToRead> {
    let (mut packs, mut after) = (PacksToRead::default(), None::<String>);
    let (root, takes) = (selection.root(), |path: &str| selection.takes(path));
    loop {
        let entries = page(reader, (&root, &takes), (&root, after.as_deref(), PAGE_ENTRIES)).await?;
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
        let needed = self.needed();
        let (root, takes) = (self.selection.root(), |path: &str| self.takes(path, needed.as_deref()));
        let asked = (prefix.as_str(), after.as_deref(), max.clamp(1, PAGE_ENTRIES));
        let page = if needed.is_none() && !self.selection.is_all() {
            page_with_above(&self.reader, (&root, &takes), asked).await?
        } else {
            page(&self.reader, (&root, &takes), asked).await?
        };
        Ok(page.into_iter().map(|stored| stored.entry).collect())
    }

    async fn narrow(&self, prefixes: Vec<String>) -> Result<()> {
        self.state().check_open()?;
        let needed = Needed::new(prefixes)?;
        let mut unmatched = needed.prefixes();
        let counted = self.look(Some(&needed), |path| needed.note(path, &mut unmatched)).await?;
        if let Some(prefix) = unmatched.into_iter().min() {
            return Err(Error::invalid(format!("nothing is chosen at or under `{}`", path::shown(prefix))));
        }
        let mut state = self.state();
        state.check_open()?;
        self.progress.begin(counted.total.bytes);
        // What is being read still counts where it began to.
        *state = State { needed: Some(Arc::new(needed)), counted, ..State::default() };
        Ok(())
    }

    fn is_above(&self, path: &str) -> bool {
        !self.selection.takes(path)
    }

    fn settle(&self) -> Result<()> {
        let mut state = self.state();
        if !state.is_settled {
            state.is_settled = true;
            let checked = self.room.as_deref().map_or(Ok(()), |room| state.counted.wanted.check(room));
            state.refused = checked.err();
        }
        state.refused.clone().map_or(Ok(()), Err)
    }

    async fn read(&self, path: String, offset: u64) -> Result<Content> {
        let (needed, files_read) = {
            let state = self.state();
            (state.needed.clone(), state.files_read.clone())
        };
        let chosen = self.reader.get(&path).await?.filter(|_| self.takes(&path, needed.as_deref()));
        let chosen = chosen.ok_or_else(|| {
            Error::invalid(format!("`{}` is not among the entries that are restored", path::shown(&path)))
        })?;
        let stored = self.reader.holder(chosen).await?;
        let content = self.reader.content(&stored, offset, &self.data)?;
        let whole = (offset == 0 && stored.entry.path == path).then_some(files_read);
        let left = stored.entry.size.unwrap_or(0) - offset;
        let mut counted = Reading { content, progress: self.progress.clone(), left, whole };
        counted.note_end();
        Ok(Box::new(counted))
    }
}

/// Content that notes when it was read to its end.
struct Reading {
    content: ContentReader,
    progress: Arc<Progress>,
    left: u64,
    whole: Option<Arc<AtomicU64>>,
}

impl Reading {
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

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.content.read(buffer)?;
        self.note(read as u64);
        Ok(read)
    }
}

impl ReadContent for Reading {
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
