//! A walk through the configured paths: depth first, each directory in order of its names, so that entries come in the
//! order in which a manifest has them.

use std::time::{SystemTime, UNIX_EPOCH};

use dozo_sdk::prelude::*;
use dozo_sdk::tree::{self, Directory, Place};
use dozo_sdk::{ContentEntry, SmallEntry};

use crate::config::{Config, Selection};

/// Entries of a directory fetched at once.
const PAGE: u32 = 512;
/// Entries, and bytes of them, that go to the host in one call.
const BATCH_ENTRIES: usize = 256;
const BATCH_BYTES: u64 = 32 << 20;
/// The attribute that tells the next run when this one began to look at files.
const BEGAN: &str = "filesystem.began";

pub(crate) fn backup(config: &Config, backup: &Backup) -> Result<()> {
    let selection = config.selection()?;
    let places = config.paths.iter().map(|path| tree::locate(path)).collect::<Result<Vec<_>>>()?;
    backup.identify(&identity(&places)?)?;
    let settled = settled(backup, config.settle_seconds);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    backup.set_attribute(BEGAN, &now.as_secs().to_string());
    let mut walk = Walk {
        backup,
        selection: &selection,
        settled,
        small: vec![],
        contents: vec![],
        paths: vec![],
        bytes: 0,
        seen: 0,
    };
    for place in places {
        walk.place(place, config)?;
    }
    Ok(())
}

/// Which paths of which file systems.
fn identity(places: &[Place]) -> Result<String> {
    let identities = places.iter().map(|place| Ok(format!("{}:{}", place.directory.identity()?, place.entry_path)));
    Ok(identities.collect::<Result<Vec<_>>>()?.join("\n"))
}

/// Files that changed before this many seconds since 1970 are as the previous run saw them, if they look the same. None
/// where everything is to be read.
fn settled(backup: &Backup, settle_seconds: u32) -> Option<i64> {
    let began = backup.previous_attribute(BEGAN)?.parse::<i64>().ok()?;
    (backup.scope == Scope::Incremental).then_some(began - i64::from(settle_seconds))
}

struct Walk<'a> {
    backup: &'a Backup,
    selection: &'a Selection,
    settled: Option<i64>,
    small: Vec<SmallEntry>,
    contents: Vec<ContentEntry>,
    /// The paths of `contents` in the granted directory.
    paths: Vec<String>,
    bytes: u64,
    seen: u64,
}

/// A directory that is being walked.
struct Open {
    /// Its path in the granted directory.
    path: String,
    /// What is left of its current page, last entry first.
    page: Vec<Entry>,
    /// The name behind which the next page begins; none at the end.
    after: Option<String>,
}

impl Walk<'_> {
    /// Backs up one configured path. That it is not there is an error: a source that is not mounted must not look empty.
    fn place(&mut self, place: Place, config: &Config) -> Result<()> {
        let Place { directory, path, entry_path } = place;
        let Some(mut root) = directory.get(&path)? else {
            return Err(Error::Invalid(format!("/{entry_path} does not exist: is its file system mounted?")));
        };
        if let Kind::Symlink(target) = &root.kind {
            return Err(Error::Invalid(format!(
                "/{entry_path} is a symlink to {target}: write the path that it points to, or the link alone would be kept"
            )));
        }
        // What lies below `path` in the directory lies below `entry_path` in the snapshot.
        let prefix = entry_path.strip_suffix(&path).unwrap_or(&entry_path).trim_end_matches('/').to_string();
        if root.kind != Kind::Directory {
            self.entry(&directory, path, root, &prefix)?;
            return self.flush(&directory);
        }
        if !config.allow_empty && directory.children(&path, None, 1)?.is_empty() {
            return Err(Error::Unavailable(format!(
                "/{entry_path} is empty: is its file system mounted? (`allow_empty = true` takes it as it is)"
            )));
        }
        // The root of a file system has no name and no entry of its own.
        if !entry_path.is_empty() {
            root.path = entry_path;
            self.small.push(SmallEntry { entry: root, content: vec![] });
        }
        self.directory(&directory, &path, &prefix)?;
        self.flush(&directory)
    }

    fn directory(&mut self, directory: &Directory, path: &str, prefix: &str) -> Result<()> {
        let mut open = Vec::new();
        open.extend(self.open(directory, path, prefix)?);
        while let Some(top) = open.last_mut() {
            if let Some(entry) = top.page.pop() {
                let path = entry.path.clone();
                if self.entry(directory, path.clone(), entry, prefix)? {
                    open.extend(self.open(directory, &path, prefix)?);
                }
            } else if let Some(after) = top.after.take() {
                let path = std::mem::take(&mut top.path);
                *top = self.page(directory, &path, Some(&after))?;
            } else {
                open.pop();
            }
        }
        Ok(())
    }

    /// The first page of a directory. One that cannot be listed is omitted by name, one that vanished is a note.
    fn open(&mut self, directory: &Directory, path: &str, prefix: &str) -> Result<Option<Open>> {
        match self.page(directory, path, None) {
            Ok(open) => Ok(Some(open)),
            Err(error) => {
                self.unreadable(directory, path, &join(prefix, path), &error)?;
                Ok(None)
            }
        }
    }

    fn page(&self, directory: &Directory, path: &str, after: Option<&str>) -> Result<Open> {
        let mut page = directory.children(path, after, PAGE)?;
        let more = page.len() == PAGE as usize;
        let after = page.last().filter(|_| more).map(|entry| name(&entry.path).to_string());
        page.reverse();
        Ok(Open { path: path.to_string(), page, after })
    }

    /// Takes one entry; returns whether it is a directory to go into.
    fn entry(&mut self, directory: &Directory, path: String, mut entry: Entry, prefix: &str) -> Result<bool> {
        entry.path = join(prefix, &path);
        let is_directory = entry.kind == Kind::Directory;
        if !self.selection.takes(&entry.path, is_directory) {
            return Ok(false);
        }
        self.seen += 1;
        if self.seen.is_multiple_of(BATCH_ENTRIES as u64) {
            self.backup.progress(self.seen, None);
        }
        if entry.kind != Kind::File {
            self.small.push(SmallEntry { entry, content: vec![] });
        } else if self.is_unchanged(&entry) {
            self.backup.keep(&entry.path)?;
        } else {
            self.bytes += entry.size.unwrap_or(0);
            let content = directory.open(&path)?;
            self.contents.push(ContentEntry { entry, content });
            self.paths.push(path);
        }
        if self.small.len() >= BATCH_ENTRIES || self.contents.len() >= BATCH_ENTRIES || self.bytes >= BATCH_BYTES {
            self.flush(directory)?;
        }
        Ok(is_directory)
    }

    /// Whether the previous snapshot has this very file: same size, time, inode and change time, and old enough for that
    /// to mean something.
    fn is_unchanged(&self, entry: &Entry) -> bool {
        let Some(settled) = self.settled else { return false };
        let changed = entry.version.as_deref().and_then(change_seconds);
        if changed.is_none_or(|changed| changed >= settled) {
            return false;
        }
        self.backup.previous(&entry.path).is_some_and(|previous| {
            previous.kind == Kind::File
                && previous.size == entry.size
                && same_time(&previous, entry)
                && previous.version == entry.version
        })
    }

    /// Hands over what has gathered of one granted directory.
    fn flush(&mut self, directory: &Directory) -> Result<()> {
        self.bytes = 0;
        if !self.small.is_empty() {
            self.backup.put_small(&std::mem::take(&mut self.small))?;
        }
        let contents = std::mem::take(&mut self.contents);
        let paths = std::mem::take(&mut self.paths);
        let entry_paths: Vec<String> = contents.iter().map(|content| content.entry.path.clone()).collect();
        let results = self.backup.put_contents(contents);
        for ((path, entry_path), result) in paths.iter().zip(&entry_paths).zip(results) {
            if let Err(error) = result {
                self.once_more(directory, path, entry_path, &error)?;
            }
        }
        Ok(())
    }

    /// A file that could not be read is looked at again: another may have taken its place, with metadata of its own.
    fn once_more(&self, directory: &Directory, path: &str, entry_path: &str, error: &Error) -> Result<()> {
        let Ok(Some(mut entry)) = directory.get(path) else {
            return self.unreadable(directory, path, entry_path, error);
        };
        if entry.kind != Kind::File {
            return self.backup.omit(entry_path, error);
        }
        entry.path = entry_path.to_string();
        let content = directory.open(path)?;
        match self.backup.put_contents(vec![ContentEntry { entry, content }]).pop() {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => self.unreadable(directory, path, entry_path, &error),
            None => self.unreadable(directory, path, entry_path, error),
        }
    }

    /// What could not be read is omitted by name, unless it is not there any more.
    fn unreadable(&self, directory: &Directory, path: &str, entry_path: &str, error: &Error) -> Result<()> {
        match directory.get(path) {
            Ok(None) => self.backup.vanished(entry_path),
            _ => self.backup.omit(entry_path, error),
        }
    }
}

fn join(prefix: &str, path: &str) -> String {
    match (prefix, path) {
        ("", path) => path.to_string(),
        (prefix, "") => prefix.to_string(),
        (prefix, path) => format!("{prefix}/{path}"),
    }
}

fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The seconds in a version `inode:seconds.nanoseconds`.
fn change_seconds(version: &str) -> Option<i64> {
    version.split_once(':')?.1.split_once('.')?.0.parse().ok()
}

fn same_time(a: &Entry, b: &Entry) -> bool {
    let key = |entry: &Entry| entry.modified.map(|time| (time.seconds, time.nanoseconds));
    key(a) == key(b)
}
