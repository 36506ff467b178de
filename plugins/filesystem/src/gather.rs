//! What the walk found goes to the host in batches: what is unchanged is kept unread, files are read several at a time.

use std::collections::HashSet;

use dozo_sdk::prelude::*;
use dozo_sdk::tree::{Directory, Found};
use dozo_sdk::{ContentEntry, LeftOut, SmallEntry};

use crate::links::{Links, NAME_OF};
use crate::selection::Selection;

/// Entries, and bytes of files, that go to the host in one call.
const BATCH_ENTRIES: usize = 512;
const BATCH_BYTES: u64 = 32 << 20;
/// How often a file is read that is written to meanwhile, before it is taken as it is; a large one is not read as often.
const TRIES: u32 = 3;
const TRIES_LARGE: u32 = 2;
const LARGE_BYTES: u64 = 64 << 20;
/// Paths that are kept of what was left out; more do not fit into a snapshot.
const LEFT_OUT_NAMED: usize = 10_000;

pub(crate) struct Gather<'a> {
    backup: &'a Backup,
    selection: &'a Selection,
    /// Files that changed before this time may be kept.
    settled: Option<i64>,
    /// Entries without content.
    small: Vec<SmallEntry>,
    /// Files that may be unchanged.
    settled_files: Vec<File>,
    /// Files to be read.
    files: Vec<File>,
    /// Other names of files, and the entries that hold them.
    names: Vec<(File, String)>,
    links: Links,
    /// Entries that have other names, and that could not be read, or not at once: their names are read by themselves.
    unsure: HashSet<String>,
    bytes: u64,
    /// What was left out by other rules than patterns.
    pub(crate) left_out: LeftOut,
}

/// A file on its way.
struct File {
    /// Its path in the granted directory.
    path: String,
    entry: Entry,
}

impl<'a> Gather<'a> {
    pub(crate) fn new(backup: &'a Backup, selection: &'a Selection, settled: Option<i64>) -> Self {
        let (small, settled_files, files, names) = (vec![], vec![], vec![], vec![]);
        let (links, unsure) = (Links::default(), HashSet::new());
        let (bytes, left_out) = (0, LeftOut::default());
        Gather { backup, selection, settled, small, settled_files, files, names, links, unsure, bytes, left_out }
    }

    /// A symlink, pipe, socket or device.
    pub(crate) fn node(&mut self, found: Found) {
        let holder = self.links.holder(&found);
        let mut entry = found.entry;
        entry.attributes.extend(holder.map(|holder| (NAME_OF.to_string(), holder)));
        self.put(entry);
    }

    /// An entry without content.
    pub(crate) fn put(&mut self, entry: Entry) {
        self.small.push(SmallEntry { entry, content: vec![] });
    }

    /// A file, at this path of the granted directory.
    pub(crate) fn file(&mut self, path: String, found: Found) {
        let holder = self.links.holder(&found);
        let entry = found.entry;
        if let Some(holder) = holder {
            self.names.push((File { path, entry }, holder));
        } else if self.is_settled(&entry) {
            self.settled_files.push(File { path, entry });
        } else {
            self.bytes += entry.size.unwrap_or(0);
            self.files.push(File { path, entry });
        }
    }

    /// Whether a file changed so long ago that its metadata tells whether it did.
    fn is_settled(&self, entry: &Entry) -> bool {
        let changed = entry.version.as_deref().and_then(change_seconds);
        self.settled.zip(changed).is_some_and(|(settled, changed)| changed < settled)
    }

    pub(crate) fn is_full(&self) -> bool {
        let entries = [self.small.len(), self.settled_files.len(), self.files.len(), self.names.len()];
        self.bytes >= BATCH_BYTES || entries.iter().any(|count| *count >= BATCH_ENTRIES)
    }

    /// Hands over what has gathered of one granted directory.
    pub(crate) fn flush(&mut self, directory: &Directory) -> Result<()> {
        self.bytes = 0;
        if !self.small.is_empty() {
            self.backup.put_small(&std::mem::take(&mut self.small))?;
        }
        self.keep_unchanged()?;
        self.read(directory)?;
        self.point(directory)
    }

    /// Keeps what is unchanged; the rest is to be read.
    fn keep_unchanged(&mut self) -> Result<()> {
        if self.settled_files.is_empty() {
            return Ok(());
        }
        let (paths, entries): (Vec<_>, Vec<_>) =
            self.settled_files.drain(..).map(|file| (file.path, file.entry)).unzip();
        let kept = self.backup.keep_unchanged(&entries)?;
        answered(entries.len(), kept.len())?;
        let changed = paths.into_iter().zip(entries).zip(kept).filter(|(_, kept)| !kept);
        self.files.extend(changed.map(|((path, entry), _)| File { path, entry }));
        Ok(())
    }

    fn read(&mut self, directory: &Directory) -> Result<()> {
        while !self.files.is_empty() {
            let batch: Vec<File> = self.files.drain(..self.files.len().min(BATCH_ENTRIES)).collect();
            let contents = batch.iter().map(|file| content(directory, file)).collect::<Result<Vec<_>>>()?;
            let results = self.backup.put_contents(contents);
            answered(batch.len(), results.len())?;
            for (file, result) in batch.into_iter().zip(results) {
                if let Err(error) = result {
                    self.once_more(directory, file, error)?;
                }
            }
        }
        Ok(())
    }

    /// Other names, once what they are names of has been read.
    fn point(&mut self, directory: &Directory) -> Result<()> {
        let mut links = Vec::with_capacity(self.names.len());
        for (mut file, holder) in std::mem::take(&mut self.names) {
            if self.unsure.contains(&holder) {
                self.read_alone(directory, file)?;
            } else {
                (file.entry.kind, file.entry.size) = (Kind::Hardlink(holder), None);
                links.push(SmallEntry { entry: file.entry, content: vec![] });
            }
        }
        if links.is_empty() { Ok(()) } else { self.backup.put_small(&links) }
    }

    fn read_alone(&mut self, directory: &Directory, file: File) -> Result<()> {
        match self.put_alone(content(directory, &file)?) {
            Err(error) => self.once_more(directory, file, error),
            Ok(()) => Ok(()),
        }
    }

    /// One file alone.
    fn put_alone(&self, content: ContentEntry) -> Result<()> {
        let none = || Err(Error::Internal("the host did not say what became of a file".into()));
        self.backup.put_contents(vec![content]).pop().unwrap_or_else(none).map(|_| ())
    }

    /// A file that could not be read, or not in peace, is looked at again: it has other metadata now. The last time it is taken
    /// as it is.
    fn once_more(&mut self, directory: &Directory, mut file: File, mut error: Error) -> Result<()> {
        // What is read now may be another file under the same name: then the other names are not this one's.
        if file.entry.posix.as_ref().is_some_and(|posix| posix.links > 1) {
            self.unsure.insert(file.entry.path.clone());
        }
        // What has no end has none the next time.
        if matches!(error, Error::Unsupported(_)) {
            return self.unreadable(directory, &file.path, &file.entry.path, &error);
        }
        let is_large = file.entry.size.is_some_and(|bytes| bytes > LARGE_BYTES);
        let tries = if is_large { TRIES_LARGE } else { TRIES };
        for left in (1..tries).rev() {
            let Ok(Some(found)) = directory.get(&file.path) else { break };
            if found.entry.kind != Kind::File {
                break;
            }
            file.entry = Entry { path: file.entry.path, ..found.entry };
            let content = match left {
                1 => directory.open_changing(&file.path)?,
                _ => directory.open(&file.path, file.entry.version.as_deref())?,
            };
            match self.put_alone(ContentEntry { entry: file.entry.clone(), content }) {
                Err(again) => error = again,
                Ok(()) => return Ok(()),
            }
        }
        self.unreadable(directory, &file.path, &file.entry.path, &error)
    }

    /// Something was left out: a file, or all that is in a directory.
    pub(crate) fn leave_out(&mut self, path: &str) {
        if self.left_out.places.len() < LEFT_OUT_NAMED {
            self.left_out.places.push(path.to_string());
        } else {
            self.left_out.more += 1;
        }
    }

    /// What could not be read is omitted by name, unless it is not there any more, or may be missing.
    pub(crate) fn unreadable(
        &mut self,
        directory: &Directory,
        path: &str,
        entry_path: &str,
        error: &Error,
    ) -> Result<()> {
        match directory.get(path) {
            Ok(None) => self.backup.vanished(entry_path),
            _ if self.selection.tolerates(entry_path) => {
                self.leave_out(entry_path);
                self.backup.tolerate(entry_path, error)
            }
            _ => self.backup.omit(entry_path, error),
        }
    }
}

/// A batch of which the host tells less than it was given would lose files without a word.
fn answered(given: usize, told: usize) -> Result<()> {
    if given == told {
        return Ok(());
    }
    Err(Error::Internal(format!("the host was given {given} files and tells of {told}")))
}

fn content(directory: &Directory, file: &File) -> Result<ContentEntry> {
    let content = directory.open(&file.path, file.entry.version.as_deref())?;
    Ok(ContentEntry { entry: file.entry.clone(), content })
}

/// The seconds in a version `inode:seconds.nanoseconds`.
fn change_seconds(version: &str) -> Option<i64> {
    version.split_once(':')?.1.split_once('.')?.0.parse().ok()
}
