//! What is backed up: a copy of a part of /usr, which every machine has and nobody changes meanwhile.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::{run, say};

const WHOLE: &[&str] = &[
    "bin",
    "include",
    "share",
    "libexec",
    "local",
    "lib/gcc",
    "lib/python3",
    "lib/python3.11",
    "lib/postgresql",
    "lib/git-core",
];
const SMALL: &[&str] = &["share/doc", "share/perl", "libexec"];

/// What there is in a tree.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) files: u64,
    bytes: u64,
    directories: u64,
    others: u64,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { files, bytes, directories, others } = self;
        let megabytes = bytes / 1_000_000;
        write!(f, "{megabytes} MB in {files} files, {directories} directories, {others} links and other entries")
    }
}

/// The copy of /usr, made if it is not there.
pub(crate) fn usr(small: bool) -> Result<PathBuf> {
    let (name, parts) = if small { ("tree-small", SMALL) } else { ("tree", WHOLE) };
    let tree = super::home()?.join(name);
    if tree.exists() {
        return Ok(tree);
    }
    say(format!("copying a part of /usr to {}", tree.display()));
    let there: Vec<&str> = parts.iter().copied().filter(|part| Path::new("/usr").join(part).exists()).collect();
    let new = tree.with_extension("new");
    super::fresh(&new)?;
    // What an ordinary user cannot read is left out.
    let copy = r#"set -o pipefail; tar -C /usr --ignore-failed-read -cf - "${@:2}" | tar -C "$1" -xf -"#;
    run(Command::new("bash").args(["-c", copy, "copy"]).arg(&new).args(&there))?;
    fs::rename(&new, &tree)?;
    Ok(tree)
}

/// Counts what there is, and reads every file.
pub(crate) fn read_all(directory: &Path) -> Result<Seen> {
    let (mut seen, mut todo) = (Seen::default(), vec![directory.to_path_buf()]);
    while let Some(directory) = todo.pop() {
        seen.directories += 1;
        for item in fs::read_dir(&directory).with_context(|| format!("list {}", directory.display()))? {
            let item = item?;
            let (path, kind) = (item.path(), item.file_type()?);
            if kind.is_dir() {
                todo.push(path);
            } else if kind.is_file() {
                let mut file = File::open(&path).with_context(|| format!("read {}", path.display()))?;
                seen.files += 1;
                seen.bytes += io::copy(&mut file, &mut io::sink())?;
            } else {
                seen.others += 1;
            }
        }
    }
    Ok(seen)
}

/// Gives back the space of all files below a directory, and the memory that caches them, and leaves the rest.
pub(crate) fn empty(directory: &Path) -> Result<()> {
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
