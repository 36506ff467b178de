//! A finished snapshot, as a source sees it when it restores: only what the operator chose, from where they said it begins, and
//! every read counted.

use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dozo_repository::{
    ContentReader, DataChunks, Entry, EntryKind, Error, Kind, PacksToRead, Result, SnapshotReader, StoredEntry, path,
};

use crate::adopted::Adopted;
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
    /// Other names of files whose own is not among them.
    adopted: Arc<Adopted>,
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
        let note = |path: &str, is_directory| chosen.selection.note(path, is_directory, &mut seen);
        let (counted, adopted) = chosen.look(None, note).await?;
        let unmatched: Vec<&str> = chosen.selection.unmatched(&seen).collect();
        if let Some(error) = chosen.selection.refuse_unmatched(&unmatched) {
            return Err(error);
        }
        if counted.total.entries == 0 {
            return Err(Error::invalid(match chosen.selection.is_all() {
                true => "the snapshot has no entries",
                false => "there is nothing in that directory of the snapshot",
            }));
        }
        chosen.progress.begin(counted.total.bytes);
        chosen.state = Mutex::new(State { counted, adopted: adopted.into(), ..State::default() });
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

    /// What the operator should know of how the selection was read.
    pub(crate) fn notes(&self) -> &[String] {
        self.selection.notes()
    }

    /// Counts what is chosen and needed, and shows the path of each, and whether it is a directory.
    async fn look(&self, needed: Option<&Needed>, mut show: impl FnMut(&str, bool)) -> Result<(Counted, Adopted)> {
        let (mut counted, mut adopted) = (Counted::default(), Adopted::default());
        let (mut after, mut leaf) = (None::<String>, None::<String>);
        let root = self.selection.root();
        let takes = |path: &str, is_directory: bool| self.takes(path, is_directory, needed);
        loop {
            let page = page(&self.reader, (&root, &takes), (&root, after.as_deref(), PAGE_ENTRIES)).await?;
            let Some(last) = page.last() else { return Ok((counted, adopted)) };
            after = Some(last.entry.path.clone());
            for stored in page {
                check_below(leaf.as_deref(), &stored.entry)?;
                leaf = (stored.entry.kind != EntryKind::Directory).then(|| stored.entry.path.clone());
                show(&stored.entry.path, stored.entry.kind == EntryKind::Directory);
                if let EntryKind::Hardlink(holder) = &stored.entry.kind
                    && !takes(holder, false)
                {
                    adopted.add(holder, &stored.entry.path);
                }
                counted.add(&self.as_shown(stored, needed, &adopted).await?, self.room.as_deref());
            }
        }
    }

    /// An entry as the source sees it: its path, and that of the entry which it is another name of, as the selection shows them.
    /// What holds its content may not be chosen: then the first name that is takes its place.
    async fn as_shown(&self, stored: StoredEntry, needed: Option<&Needed>, adopted: &Adopted) -> Result<Entry> {
        let path = self.selection.shown(&stored.entry.path).to_string();
        let EntryKind::Hardlink(holder) = &stored.entry.kind else { return Ok(Entry { path, ..stored.entry }) };
        let first = match self.takes(holder, false, needed) {
            true => Some(holder.as_str()),
            false => adopted.first(holder).filter(|first| *first != stored.entry.path),
        };
        if let Some(first) = first {
            let kind = EntryKind::Hardlink(self.selection.shown(first).to_string());
            return Ok(Entry { path, kind, ..stored.entry });
        }
        let alone = Entry { path: path.clone(), kind: EntryKind::File, size: None, ..stored.entry.clone() };
        match self.reader.holder(stored).await {
            Ok(holder) => Ok(Entry { path, ..holder.entry }),
            // Damage is met when it is read, and stops that entry alone.
            Err(error) if error.kind() == Kind::Corrupt => Ok(alone),
            Err(error) => Err(error),
        }
    }

    fn takes(&self, path: &str, is_directory: bool, needed: Option<&Needed>) -> bool {
        let is_needed = |needed: &Needed| needed.takes(self.selection.shown(path));
        self.selection.takes(path, is_directory) && needed.is_none_or(is_needed)
    }

    fn view(&self) -> (Option<Arc<Needed>>, Arc<Adopted>) {
        let state = self.state();
        (state.needed.clone(), state.adopted.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A writer makes no manifest with an entry below one that is no directory; behind a symlink a restore could be led anywhere.
fn check_below(leaf: Option<&str>, entry: &Entry) -> Result<()> {
    match leaf.filter(|leaf| path::is_under(&entry.path, leaf)) {
        None => Ok(()),
        Some(leaf) => {
            let (path, above) = (path::shown(&entry.path), path::shown(leaf));
            Err(Error::corrupt(format!("the snapshot has `{path}` below `{above}`, which is no directory")))
        }
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

/// Whether an entry is taken, by its path and whether it is a directory.
type Takes<'a> = dyn Fn(&str, bool) -> bool + Sync + 'a;

/// At most so many of the entries that are taken and lie below a prefix, behind the path `after`. Nothing is taken beside the
/// directory `root`: damage elsewhere in the manifest is not met.
async fn page(
    reader: &SnapshotReader,
    (root, takes): (&str, &Takes<'_>),
    (prefix, after, max): (&str, Option<&str>, usize),
) -> Result<Vec<StoredEntry>> {
    let mut after = after.map(str::to_string);
    let prefix = if path::is_under(root, prefix) { root } else { prefix };
    loop {
        let mut page = reader.page(prefix, after.as_deref(), max).await?;
        let Some(last) = page.last() else { return Ok(page) };
        after = Some(last.entry.path.clone());
        page.retain(|stored| takes(&stored.entry.path, stored.entry.kind == EntryKind::Directory));
        // An empty page would mean the end, so those without an entry to show are passed over here.
        if !page.is_empty() {
            return Ok(page);
        }
    }
}

/// The same, and before each entry those directories above it that are not taken themselves, in order: a directory that has to be
/// made on the way to what was chosen is made as it was. Those above `root` that cannot be read are left out, and the one that is
/// shown as the root is the target itself.
async fn page_with_above(
    reader: &SnapshotReader,
    shown_root: &str,
    (root, takes): (&str, &Takes<'_>),
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
            if takes(&stored.entry.path, is_directory(&stored)) {
                shown.append(&mut above);
                shown.push(stored);
            } else if is_directory(&stored) && stored.entry.path != shown_root {
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
    let (root, takes) = (selection.root(), |path: &str, is_directory: bool| selection.takes(path, is_directory));
    loop {
        let entries = page(reader, (&root, &takes), (&root, after.as_deref(), PAGE_ENTRIES)).await?;
        let Some(last) = entries.last() else { return Ok(packs) };
        after = Some(last.entry.path.clone());
        for stored in entries {
            // What another name of it holds may not be chosen itself. Damage is met when it is read.
            match reader.holder(stored).await {
                Ok(holder) => reader.packs_of(&holder, &mut packs).await?,
                Err(error) if error.kind() == Kind::Corrupt => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[async_trait]
impl port::Stored for Chosen {
    fn attributes(&self) -> Vec<(String, String)> {
        self.reader.snapshot().attributes.clone()
    }

    async fn entries(&self, prefix: String, after: Option<String>, max: usize) -> Result<Vec<Entry>> {
        let (needed, adopted) = self.view();
        let root = self.selection.root();
        let takes = |path: &str, is_directory: bool| self.takes(path, is_directory, needed.as_deref());
        let (prefix, after) = (self.selection.stored(&prefix), after.map(|after| self.selection.stored(&after)));
        let asked = (prefix.as_str(), after.as_deref(), max.clamp(1, PAGE_ENTRIES));
        let page = if needed.is_none() && !self.selection.is_all() {
            page_with_above(&self.reader, &self.selection.stored(""), (&root, &takes), asked).await?
        } else {
            page(&self.reader, (&root, &takes), asked).await?
        };
        let mut entries = Vec::with_capacity(page.len());
        for stored in page {
            entries.push(self.as_shown(stored, needed.as_deref(), &adopted).await?);
        }
        Ok(entries)
    }

    async fn narrow(&self, prefixes: Vec<String>) -> Result<()> {
        self.state().check_open()?;
        let needed = Needed::new(prefixes)?;
        let mut unmatched = needed.prefixes();
        let note = |path: &str, _| needed.note(self.selection.shown(path), &mut unmatched);
        let (counted, adopted) = self.look(Some(&needed), note).await?;
        if let Some(prefix) = unmatched.into_iter().min() {
            return Err(Error::invalid(format!("nothing is chosen at or under `{}`", path::shown(prefix))));
        }
        let mut state = self.state();
        state.check_open()?;
        self.progress.begin(counted.total.bytes);
        // What is being read still counts where it began to.
        *state = State { needed: Some(Arc::new(needed)), adopted: adopted.into(), counted, ..State::default() };
        Ok(())
    }

    fn is_above(&self, path: &str) -> bool {
        !self.selection.takes(&self.selection.stored(path), true)
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
        let (needed, adopted) = self.view();
        let files_read = self.state().files_read.clone();
        let whole = self.selection.stored(&path);
        let chosen = self.reader.get(&whole).await?;
        let chosen =
            chosen.filter(|chosen| self.takes(&whole, chosen.entry.kind == EntryKind::Directory, needed.as_deref()));
        let chosen = chosen.ok_or_else(|| {
            Error::invalid(format!("`{}` is not among the entries that are restored", path::shown(&path)))
        })?;
        let stored = self.reader.holder(chosen).await?;
        let content = self.reader.content(&stored, offset, &self.data)?;
        let holder = &stored.entry.path;
        let is_shown_as_file = *holder == whole
            || !self.takes(holder, false, needed.as_deref())
                && adopted.first(holder).is_none_or(|first| first == whole);
        let whole = (offset == 0 && is_shown_as_file).then_some(files_read);
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
