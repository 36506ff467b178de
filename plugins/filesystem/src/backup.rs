//! A walk through the configured paths: depth first, each directory in order of its names, so that entries come in the
//! order in which a manifest has them.

use std::time::{SystemTime, UNIX_EPOCH};

use dozo_sdk::prelude::*;
use dozo_sdk::tree::{self, Directory, Found, Place};

use crate::config::Config;
use crate::gather::Gather;
use crate::path::{join, name, names};
use crate::selection::{Marker, Selection};

/// Entries of a directory fetched at once.
const PAGE: u32 = 512;
/// How often the operator is told how far it is.
const PROGRESS_ENTRIES: u64 = 256;
/// The attribute that tells the next run when this one began to look at files.
const BEGAN: &str = "filesystem.began";

pub(crate) fn backup(config: &Config, backup: &Backup) -> Result<()> {
    let selection = config.selection()?;
    let mut places = config.paths.iter().map(|path| tree::locate(path)).collect::<Result<Vec<_>>>()?;
    backup.identify(&identity(&places)?)?;
    let settled = settled(backup, config.settle_seconds);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    backup.set_attribute(BEGAN, &now.as_secs().to_string());
    // The first name of a file that has several is the first in the manifest too.
    places.sort_by(|a, b| names(&a.entry_path).cmp(names(&b.entry_path)));
    let gather = Gather::new(backup, &selection, settled);
    let left_out = LeftOut::default();
    let mut walk = Walk { backup, selection: &selection, gather, device: 0, root_bytes: 0, seen: 0, left_out };
    for place in places {
        walk.place(place, config)?;
    }
    walk.left_out.tell();
    Ok(())
}

/// What was left out by other rules than patterns, which the operator sees in the log.
#[derive(Default)]
struct LeftOut {
    marked: u64,
    large: u64,
    mounted: u64,
}

impl LeftOut {
    fn tell(&self) {
        for (count, what) in [
            (self.marked, "directories were left out for what marks them"),
            (self.large, "files were left out for their size"),
            (self.mounted, "directories of other file systems were left out"),
        ] {
            if count > 0 {
                dozo_sdk::log::info(format!("{count} {what}"));
            }
        }
    }
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
    gather: Gather<'a>,
    /// The file system of the configured path.
    device: u64,
    /// The length of its path: what is found there is the path itself, and nothing else.
    root_bytes: usize,
    seen: u64,
    left_out: LeftOut,
}

/// What becomes of a directory that something in it marks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Marks {
    /// Its content is left out.
    Heeded,
    Ignored,
}

/// A directory that is being walked.
struct Open {
    /// Its path in the granted directory.
    path: String,
    /// What is left of its current page, last entry first.
    page: Vec<Found>,
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
        if let Kind::Symlink(target) = &root.entry.kind {
            return Err(Error::Invalid(format!(
                "/{entry_path} is a symlink to {target}: write the path that it points to, or the link alone would be kept"
            )));
        }
        (self.device, self.root_bytes) = (root.device, entry_path.len());
        // What lies below `path` in the directory lies below `entry_path` in the snapshot.
        let prefix = entry_path.strip_suffix(&path).unwrap_or(&entry_path).trim_end_matches('/').to_string();
        if root.entry.kind != Kind::Directory {
            self.found(&directory, path, root, &prefix)?;
            return self.gather.flush(&directory);
        }
        if !config.allow_empty && directory.children(&path, None, 1)?.is_empty() {
            return Err(Error::Unavailable(format!(
                "/{entry_path} is empty: is its file system mounted? (`allow_empty = true` takes it as it is)"
            )));
        }
        // The root of a file system has no name and no entry of its own.
        if !entry_path.is_empty() {
            root.entry.path = entry_path;
            self.gather.put(root.entry);
        }
        self.directory(&directory, &path, &prefix)?;
        self.gather.flush(&directory)
    }

    fn directory(&mut self, directory: &Directory, path: &str, prefix: &str) -> Result<()> {
        let mut open = Vec::new();
        // What stands in `paths` is wanted, whatever marks it.
        open.extend(self.listed(directory, path, prefix, Marks::Ignored)?);
        while let Some(top) = open.last_mut() {
            if let Some(found) = top.page.pop() {
                let path = found.entry.path.clone();
                if self.found(directory, path.clone(), found, prefix)? {
                    open.extend(self.listed(directory, &path, prefix, Marks::Heeded)?);
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
    fn listed(&mut self, directory: &Directory, path: &str, prefix: &str, marks: Marks) -> Result<Option<Open>> {
        let page = self.page(directory, path, None).and_then(|page| {
            let marked = marks == Marks::Heeded && self.marked(directory, path, prefix)?;
            Ok((!marked).then_some(page))
        });
        match page {
            Ok(open) => Ok(open),
            Err(error) => {
                self.gather.unreadable(directory, path, &join(prefix, path), &error)?;
                Ok(None)
            }
        }
    }

    fn page(&self, directory: &Directory, path: &str, after: Option<&str>) -> Result<Open> {
        let mut page = directory.children(path, after, PAGE)?;
        let more = page.len() == PAGE as usize;
        let after = page.last().filter(|_| more).map(|found| name(&found.entry.path).to_string());
        page.reverse();
        Ok(Open { path: path.to_string(), page, after })
    }

    /// Takes what was found at a path of the granted directory; returns whether it is a directory to go into.
    fn found(&mut self, directory: &Directory, path: String, mut found: Found, prefix: &str) -> Result<bool> {
        found.entry.path = join(prefix, &path);
        let is_directory = found.entry.kind == Kind::Directory;
        if !self.selection.takes(&found.entry.path, is_directory) {
            return Ok(false);
        }
        // What stands in `paths` is wanted, whatever its size.
        let wanted = found.entry.path.len() == self.root_bytes;
        if found.entry.kind == Kind::File && !wanted && self.selection.too_large(found.entry.size) {
            self.left_out.large += 1;
            return Ok(false);
        }
        let elsewhere = is_directory && self.selection.one_file_system() && found.device != self.device;
        self.left_out.mounted += u64::from(elsewhere);
        self.seen += 1;
        if self.seen.is_multiple_of(PROGRESS_ENTRIES) {
            self.backup.progress(self.seen, None);
        }
        match found.entry.kind {
            Kind::File => self.gather.file(path, found),
            Kind::Directory => self.gather.put(found.entry),
            _ => self.gather.node(found),
        }
        if self.gather.is_full() {
            self.gather.flush(directory)?;
        }
        // Where another file system is mounted, the directory stays, to mount it on.
        Ok(is_directory && !elsewhere)
    }

    /// Whether something in a directory says that what is in it is to be left out; then that alone is taken.
    fn marked(&mut self, directory: &Directory, path: &str, prefix: &str) -> Result<bool> {
        let selection = self.selection;
        for marker in selection.markers() {
            let beside = join(path, marker.name());
            let Some(found) = directory.get(&beside)? else { continue };
            if marker.is(&found.entry.kind, &head(directory, &beside, marker)?) {
                self.left_out.marked += 1;
                self.found(directory, beside, found, prefix)?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The beginning of a marker, as far as it matters. One that cannot be read marks nothing; it is met again in the walk.
fn head(directory: &Directory, path: &str, marker: &Marker) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    if marker.head_bytes() == 0 {
        return Ok(head);
    }
    let content = directory.open(path, None)?;
    while head.len() < marker.head_bytes() as usize {
        match content.read(marker.head_bytes() - head.len() as u32) {
            Ok(piece) if !piece.is_empty() => head.extend(piece),
            _ => break,
        }
    }
    Ok(head)
}
