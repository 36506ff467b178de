//! Compares two trees as a restore must leave them: kinds, modes, owners, times to the nanosecond, targets, content.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What a tree holds, and what differs.
pub(crate) struct Comparison {
    /// Entries in the first tree.
    pub(crate) entries: u64,
    /// Bytes of its files.
    pub(crate) bytes: u64,
    /// What is not the same, in words.
    pub(crate) differences: Vec<String>,
}

/// Whether owners are compared: only root can restore those of others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners {
    Compared,
    Ignored,
}

/// Compares everything below two directories, and the directories themselves.
pub(crate) fn trees(left: &Path, right: &Path, owners: Owners) -> Result<Comparison> {
    let mut comparison = Comparison { entries: 0, bytes: 0, differences: Vec::new() };
    compare(left, right, owners, &mut comparison)?;
    Ok(comparison)
}

/// Compares everything below two directories, and not the directories themselves.
pub(crate) fn below(left: &Path, right: &Path, owners: Owners) -> Result<Comparison> {
    let mut comparison = Comparison { entries: 0, bytes: 0, differences: Vec::new() };
    compare_below(left, right, owners, &mut comparison)?;
    Ok(comparison)
}

fn compare(left: &Path, right: &Path, owners: Owners, comparison: &mut Comparison) -> Result<()> {
    comparison.entries += 1;
    let (a, b) = match (fs::symlink_metadata(left), fs::symlink_metadata(right)) {
        (Ok(a), Ok(b)) => (a, b),
        (Ok(_), Err(error)) => {
            comparison.differences.push(format!("{}: {error}", right.display()));
            return Ok(());
        }
        (Err(error), _) => return Err(error).with_context(|| format!("look at {}", left.display())),
    };
    let differ = |what: &str, comparison: &mut Comparison| {
        comparison.differences.push(format!("{}: {what} differs", left.display()));
    };
    if a.mode() != b.mode() {
        differ("kind or mode", comparison);
    }
    if owners == Owners::Compared && (a.uid(), a.gid()) != (b.uid(), b.gid()) {
        differ("owner", comparison);
    }
    if (a.mtime(), a.mtime_nsec()) != (b.mtime(), b.mtime_nsec()) {
        differ("time", comparison);
    }
    if a.is_symlink() && fs::read_link(left)? != fs::read_link(right)? {
        differ("target", comparison);
    }
    if a.is_file() {
        comparison.bytes += a.len();
        if a.len() != b.len() || !same_content(left, right)? {
            differ("content", comparison);
        }
    }
    if a.is_dir() && b.is_dir() {
        compare_below(left, right, owners, comparison)?;
    }
    Ok(())
}

fn compare_below(left: &Path, right: &Path, owners: Owners, comparison: &mut Comparison) -> Result<()> {
    let (ours, theirs) = (names(left)?, names(right)?);
    for (name, path) in &ours {
        let other = theirs.get(name).cloned().unwrap_or_else(|| right.join(name));
        compare(path, &other, owners, comparison)?;
    }
    for (name, path) in &theirs {
        if !ours.contains_key(name) {
            comparison.differences.push(format!("{}: not in the original", path.display()));
        }
    }
    Ok(())
}

fn names(directory: &Path) -> Result<BTreeMap<std::ffi::OsString, PathBuf>> {
    let listing = fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    listing.map(|item| item.map(|item| (item.file_name(), item.path())).map_err(Into::into)).collect()
}

fn same_content(left: &Path, right: &Path) -> Result<bool> {
    let (mut a, mut b) = (BufReader::new(File::open(left)?), BufReader::new(File::open(right)?));
    let (mut from_a, mut from_b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let read = a.read(&mut from_a)?;
        if read == 0 {
            return Ok(b.read(&mut from_b)? == 0);
        }
        if b.read_exact(&mut from_b[..read]).is_err() || from_a[..read] != from_b[..read] {
            return Ok(false);
        }
    }
}
