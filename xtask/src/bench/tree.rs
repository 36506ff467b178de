//! Trees of files: walking them, counting them, emptying them.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What there is in a tree.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) files: u64,
    bytes: u64,
    directories: u64,
    others: u64,
    /// What it takes of the disk.
    pub(crate) allocated_bytes: u64,
}

impl Seen {
    pub(crate) fn entries(&self) -> u64 {
        self.files + self.directories + self.others
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { files, bytes, directories, others, .. } = self;
        let megabytes = bytes / 1_000_000;
        write!(f, "{megabytes} MB in {files} files, {directories} directories, {others} links and other entries")
    }
}

/// Shows everything below a directory, and the directory itself, in the order of names.
pub(crate) fn visit(directory: &Path, see: &mut dyn FnMut(&Path, &Metadata) -> Result<()>) -> Result<()> {
    let metadata = fs::symlink_metadata(directory).with_context(|| format!("look at {}", directory.display()))?;
    see(directory, &metadata)?;
    let listing = fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    let mut items: Vec<fs::DirEntry> = listing.collect::<io::Result<_>>()?;
    items.sort_by_key(fs::DirEntry::file_name);
    for item in items {
        if item.file_type()?.is_dir() {
            visit(&item.path(), see)?;
        } else {
            see(&item.path(), &item.metadata()?)?;
        }
    }
    Ok(())
}

/// Counts what there is, and reads every file.
pub(crate) fn read_all(directory: &Path) -> Result<Seen> {
    let mut seen = Seen::default();
    visit(directory, &mut |path, metadata| {
        // Counted by the kernel in 512 bytes, whatever the disk's own blocks.
        seen.allocated_bytes += metadata.blocks() * 512;
        if metadata.is_dir() {
            seen.directories += 1;
        } else if metadata.is_file() {
            let mut file = File::open(path).with_context(|| format!("read {}", path.display()))?;
            seen.files += 1;
            seen.bytes += io::copy(&mut file, &mut io::sink())?;
        } else {
            seen.others += 1;
        }
        Ok(())
    })?;
    Ok(seen)
}

/// Puts a directory out of the way of a new one of its name, and gives back the space of its files and the memory that caches
/// them. Emptied, not removed: an ext4 without a journal is slow to make files for minutes after many were removed.
pub(crate) fn put_away(directory: &Path) -> Result<()> {
    let old = (1..).map(|number| directory.with_extension(format!("old-{number}"))).find(|old| !old.exists());
    let old = old.context("there is no name left")?;
    fs::rename(directory, &old)?;
    empty(&old)
}

fn empty(directory: &Path) -> Result<()> {
    for item in fs::read_dir(directory)? {
        let item = item?;
        let (path, kind) = (item.path(), item.file_type()?);
        if kind.is_dir() {
            empty(&path)?;
        } else if kind.is_file() {
            // A file that its owner may not write, if its owner is not root.
            let _ = OpenOptions::new().write(true).truncate(true).open(&path);
        }
    }
    Ok(())
}

/// Bytes of all files below a directory, or of one file.
pub(crate) fn stored(place: &Path) -> Result<u64> {
    let metadata = fs::symlink_metadata(place).with_context(|| format!("look at {}", place.display()))?;
    if !metadata.is_dir() {
        return Ok(metadata.size());
    }
    fs::read_dir(place)?.map(|item| stored(&item?.path())).sum()
}

/// A path beside another: its name with more at the end.
pub(crate) fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    PathBuf::from(name)
}
