//! A walk through the configured paths: depth first, each directory in order of its names, so that entries come in the
//! order in which a manifest has them.

use std::time::{SystemTime, UNIX_EPOCH};

use dozo_sdk::prelude::*;
use dozo_sdk::tree::{self, Directory, Found, Place};

use crate::config::Config;
use crate::gather::Gather;
use crate::parts::Parts;
use crate::path::{join, name, names};
use crate::roots::{is_lost_and_found, look};
use crate::selection::{Marker, Selection};

/// Entries of a directory fetched at once.
const PAGE: u32 = 512;
/// How often the operator is told how far it is.
const PROGRESS_ENTRIES: u64 = 256;
/// File systems that are named in the note about those that were not gone into.
const SPECIAL_NAMED: usize = 50;
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
    let parts = Parts::new(backup.previous_measure());
    let (prefix, left_out) = (String::new(), LeftOut::default());
    let (device, root_bytes, seen) = (0, 0, 0);
    let mut walk = Walk { backup, selection: &selection, gather, prefix, device, root_bytes, seen, parts, left_out };
    for place in places {
        walk.place(place, config)?;
    }
    walk.left_out.tell(backup);
    backup.left_out(&dozo_sdk::LeftOut {
        roots: selection.roots.clone(),
        exclude: config.exclude.clone(),
        include: config.include.clone(),
        larger_than: selection.larger_than,
        ..walk.gather.left_out.clone()
    })?;
    backup.measure(&walk.parts.measure())
}

/// What was left out by other rules than patterns, which the operator sees in the log.
#[derive(Default)]
struct LeftOut {
    marked: u64,
    large: u64,
    mounted: u64,
    /// Where a file system is mounted that the kernel makes up, and its name; the first of them, and how many there are.
    special: Vec<(String, String)>,
    specials: u64,
}

impl LeftOut {
    fn special(&mut self, path: &str, kind: String) {
        self.specials += 1;
        if self.special.len() < SPECIAL_NAMED {
            self.special.push((path.to_string(), kind));
        }
    }

    fn tell(&self, backup: &Backup) {
        if self.specials > 0 {
            let mut names: Vec<String> = self.special.iter().map(|(path, kind)| format!("/{path} ({kind})")).collect();
            let more = self.specials - names.len() as u64;
            names.extend((more > 0).then(|| format!("{more} more")));
            backup.note(&format!(
                "not gone into, because the kernel makes up what is in there: {} (`special_file_systems = true` goes into \
                 them)",
                names.join(", ")
            ));
        }
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
    /// What stands before paths of the granted directory in paths of entries.
    prefix: String,
    /// The file system of the configured path.
    device: u64,
    /// The length of its path: what is found there is the path itself, and nothing else.
    root_bytes: usize,
    seen: u64,
    parts: Parts,
    left_out: LeftOut,
}

/// Where what is found lies.
#[derive(Clone, Copy)]
struct Within {
    /// The file system of its directory.
    device: u64,
    /// The part of what is backed up for which it counts.
    part: usize,
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
    within: Within,
    /// What is left of its current page, last entry first.
    page: Vec<Found>,
    /// The name behind which the next page begins; none at the end.
    after: Option<String>,
}

impl Walk<'_> {
    /// Backs up one configured path.
    fn place(&mut self, place: Place, config: &Config) -> Result<()> {
        let mut root = look(&place, config)?;
        let Place { directory, path, entry_path } = place;
        (self.device, self.root_bytes) = (root.device, entry_path.len());
        // What lies below `path` in the directory lies below `entry_path` in the snapshot.
        self.prefix = entry_path.strip_suffix(&path).unwrap_or(&entry_path).trim_end_matches('/').to_string();
        let part = self.parts.root(&entry_path, lies_on(&directory, &path, &root)?);
        let within = Within { device: root.device, part };
        if root.entry.kind != Kind::Directory {
            self.found(&directory, path, root, within)?;
            return self.gather.flush(&directory);
        }
        // The root of a file system has no name and no entry of its own.
        if !entry_path.is_empty() {
            root.entry.path = entry_path;
            self.gather.put(root.entry);
        }
        self.directory(&directory, &path, within)?;
        self.gather.flush(&directory)
    }

    fn directory(&mut self, directory: &Directory, path: &str, within: Within) -> Result<()> {
        let mut open = Vec::new();
        // What stands in `paths` is wanted, whatever marks it.
        open.extend(self.listed(directory, path, within, Marks::Ignored)?);
        while let Some(top) = open.last_mut() {
            if let Some(found) = top.page.pop() {
                let path = found.entry.path.clone();
                if let Some(within) = self.found(directory, path.clone(), found, top.within)? {
                    open.extend(self.listed(directory, &path, within, Marks::Heeded)?);
                }
            } else if let Some(after) = top.after.take() {
                let path = std::mem::take(&mut top.path);
                *top = page(directory, &path, Some(&after), top.within)?;
            } else {
                open.pop();
            }
        }
        Ok(())
    }

    /// The first page of a directory. One that cannot be listed is omitted by name, one that vanished is a note.
    fn listed(&mut self, directory: &Directory, path: &str, within: Within, marks: Marks) -> Result<Option<Open>> {
        let page = page(directory, path, None, within).and_then(|page| {
            let marked = marks == Marks::Heeded && self.marked(directory, path, within)?;
            Ok((!marked).then_some(page))
        });
        match page {
            Ok(open) => Ok(open),
            Err(error) => {
                self.gather.unreadable(directory, path, &join(&self.prefix, path), &error)?;
                Ok(None)
            }
        }
    }

    /// Takes what was found at a path of the granted directory. Of a directory to go into, returns where its content lies.
    fn found(
        &mut self,
        directory: &Directory,
        path: String,
        mut found: Found,
        within: Within,
    ) -> Result<Option<Within>> {
        found.entry.path = join(&self.prefix, &path);
        let is_directory = found.entry.kind == Kind::Directory;
        if !self.selection.takes(&found.entry.path, is_directory) {
            return Ok(None);
        }
        // What stands in `paths` is wanted, whatever its size.
        let wanted = found.entry.path.len() == self.root_bytes;
        if found.entry.kind == Kind::File && !wanted && self.selection.too_large(found.entry.size) {
            self.left_out.large += 1;
            self.gather.leave_out(&found.entry.path);
            return Ok(None);
        }
        if !is_lost_and_found(&found) {
            self.parts.count(within.part);
        }
        self.seen += 1;
        if self.seen.is_multiple_of(PROGRESS_ENTRIES) {
            self.backup.progress(self.seen, None);
        }
        let below = if is_directory { self.below(directory, &path, &found, within) } else { None };
        match found.entry.kind {
            Kind::File => self.gather.file(path, found),
            Kind::Directory => self.gather.put(found.entry),
            _ => self.gather.node(found),
        }
        if self.gather.is_full() {
            self.gather.flush(directory)?;
        }
        Ok(below)
    }

    /// Where the content of a directory lies, if it is to be gone into. Where another file system is mounted and is not to
    /// be, the directory stays, to mount it on.
    fn below(&mut self, directory: &Directory, path: &str, found: &Found, within: Within) -> Option<Within> {
        let is_mounted = found.device != within.device;
        if self.selection.one_file_system() && found.device != self.device {
            self.left_out.mounted += 1;
            self.gather.leave_out(&found.entry.path);
            return None;
        }
        let name = &found.entry.path;
        if is_mounted && !self.selection.special_file_systems() {
            // What cannot be looked at is told when it is listed.
            if let Ok(Some(kind)) = directory.special_file_system(path) {
                self.left_out.special(name, kind);
                self.gather.leave_out(name);
                return None;
            }
        }
        Some(Within { device: found.device, part: self.parts.below(within.part, name, is_mounted) })
    }

    /// Whether something in a directory says that what is in it is to be left out; then that alone is taken.
    fn marked(&mut self, directory: &Directory, path: &str, within: Within) -> Result<bool> {
        let selection = self.selection;
        for marker in selection.markers() {
            let beside = join(path, marker.name());
            let Some(found) = directory.get(&beside)? else { continue };
            if marker.is(&found.entry.kind, &head(directory, &beside, marker)?) {
                self.left_out.marked += 1;
                self.gather.leave_out(&join(&self.prefix, path));
                self.found(directory, beside, found, within)?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn page(directory: &Directory, path: &str, after: Option<&str>, within: Within) -> Result<Open> {
    let mut page = directory.children(path, after, PAGE)?;
    let more = page.len() == PAGE as usize;
    let after = page.last().filter(|_| more).map(|found| name(&found.entry.path).to_string());
    page.reverse();
    Ok(Open { path: path.to_string(), within, page, after })
}

/// On which file system a configured path lies: that of the granted directory, or one that is mounted in it.
fn lies_on(directory: &Directory, path: &str, root: &Found) -> Result<String> {
    let granted = if path.is_empty() { None } else { directory.get("")? };
    let is_mounted = granted.is_some_and(|granted| granted.device != root.device);
    Ok(format!("{}{}", directory.identity()?, if is_mounted { " and below" } else { "" }))
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
