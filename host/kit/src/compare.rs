//! Two snapshots beside each other, entry by entry. Chunks of one repository have the same id if and only if they have the
//! same bytes, so equal extents are equal contents; where extents differ, the bytes are read.

use std::collections::BTreeSet;
use std::io::Read;

use dozo_job::port::{Entry, EntryKind};
use dozo_job::{Error, Result};
use dozo_repository::{StoredEntry, path};

use crate::limits::{COMPARE_BYTES, DIFFERENCES_TOLD};
use crate::stage::Taken;

/// How much of two entries must be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    /// Kind, of paths that both have.
    Shared,
    /// Path and kind.
    Names,
    /// Also length, bytes and attributes.
    Contents,
    /// Also times, modes, extended attributes and, where this process can set them, owners.
    Metadata,
}

/// Paths at which two snapshots differ, and how.
#[derive(Debug, Default)]
pub(crate) struct Differences {
    pub(crate) paths: BTreeSet<String>,
    told: Vec<String>,
}

impl Differences {
    fn add(&mut self, path: &str, what: impl std::fmt::Display) {
        self.paths.insert(path.to_string());
        if self.told.len() < DIFFERENCES_TOLD {
            self.told.push(format!("`{}` {what}", path::shown(path)));
        }
    }

    /// The first few, in one line; none if there is none.
    pub(crate) fn sentence(&self) -> Option<String> {
        let more = self.paths.len().saturating_sub(self.told.len());
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        (!self.paths.is_empty()).then(|| format!("{}{more}", self.told.join("; ")))
    }
}

/// Compares two snapshots; paths in `except` are left out.
pub(crate) async fn compare(
    one: &Taken,
    other: &Taken,
    depth: Depth,
    except: &BTreeSet<String>,
) -> Result<Differences> {
    let mut differences = Differences::default();
    let (mut left, mut right) = (one.entries.iter().peekable(), other.entries.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return Ok(differences),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => path::compare(&a.entry.path, &b.entry.path),
        };
        let a = if order.is_le() { left.next() } else { None };
        let b = if order.is_ge() { right.next() } else { None };
        match (a, b) {
            (Some(a), Some(b)) if !except.contains(&a.entry.path) => {
                for what in differing((one, a), (other, b), depth).await? {
                    differences.add(&a.entry.path, what);
                }
            }
            _ if depth == Depth::Shared => {}
            (Some(only), None) => differences.add(&only.entry.path, "is missing in the second"),
            (None, Some(only)) => differences.add(&only.entry.path, "is missing in the first"),
            _ => {}
        }
    }
}

/// What differs of two entries with the same path.
async fn differing(
    (one, a): (&Taken, &StoredEntry),
    (other, b): (&Taken, &StoredEntry),
    depth: Depth,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if a.entry.kind != b.entry.kind {
        found.push(format!("is {:?}, then {:?}", a.entry.kind, b.entry.kind));
    }
    if depth >= Depth::Contents {
        if a.entry.size != b.entry.size {
            found.push(format!("has {:?} bytes, then {:?}", a.entry.size, b.entry.size));
        } else if a.content != b.content && !same_bytes((one, a), (other, b)).await? {
            found.push("has other bytes".into());
        }
        if a.entry.attributes != b.entry.attributes {
            found.push(format!("has the attributes {:?}, then {:?}", a.entry.attributes, b.entry.attributes));
        }
    }
    if depth >= Depth::Metadata {
        found.extend(metadata(&a.entry, &b.entry));
    }
    Ok(found)
}

/// What differs of what a restore can set again.
fn metadata(a: &Entry, b: &Entry) -> Option<String> {
    if a.modified != b.modified {
        return Some(format!("was modified at {:?}, then {:?}", a.modified, b.modified));
    }
    let (Some(p), Some(q)) = (&a.posix, &b.posix) else {
        return (a.posix != b.posix).then(|| "has owner and mode only once".into());
    };
    // A symlink has no mode of its own.
    if p.mode != q.mode && !matches!(a.kind, EntryKind::Symlink(_)) {
        return Some(format!("has the mode {:o}, then {:o}", p.mode, q.mode));
    }
    let is_root = rustix::process::geteuid().is_root();
    if is_root && (p.uid, p.gid) != (q.uid, q.gid) {
        return Some(format!("belongs to {}:{}, then {}:{}", p.uid, p.gid, q.uid, q.gid));
    }
    let settable = |name: &str| is_root || name.starts_with("user.");
    let of = |xattrs: &[(String, Vec<u8>)]| -> Vec<(String, Vec<u8>)> {
        xattrs.iter().filter(|(name, _)| settable(name)).cloned().collect()
    };
    (of(&p.xattrs) != of(&q.xattrs)).then(|| "has other extended attributes".into())
}

async fn same_bytes((one, a): (&Taken, &StoredEntry), (other, b): (&Taken, &StoredEntry)) -> Result<bool> {
    let left = one.reader.content(a, 0, &one.data)?;
    let right = other.reader.content(b, 0, &other.data)?;
    blocking(move || equal(left, right)).await
}

/// Reads every content to its end, each chunk compared with its id; returns how many bytes there were.
pub(crate) async fn read_all(taken: &Taken) -> Result<u64> {
    let mut total = 0;
    for stored in taken.entries.iter().filter(|stored| stored.entry.kind == EntryKind::File) {
        let mut content = taken.reader.content(stored, 0, &taken.data)?;
        let mut sink = std::io::sink();
        let copy = move || std::io::copy(&mut content, &mut sink).map_err(|e| Error::io("read a content back", e));
        total += blocking(copy).await?;
    }
    Ok(total)
}

/// Whether two readers have the same bytes.
pub(crate) fn equal(mut one: impl Read, mut other: impl Read) -> Result<bool> {
    let (mut a, mut b) = (Vec::with_capacity(COMPARE_BYTES), Vec::with_capacity(COMPARE_BYTES));
    loop {
        fill(&mut one, &mut a)?;
        fill(&mut other, &mut b)?;
        if a != b {
            return Ok(false);
        }
        if a.is_empty() {
            return Ok(true);
        }
    }
}

fn fill(from: &mut impl Read, buffer: &mut Vec<u8>) -> Result<()> {
    buffer.clear();
    let read = from.take(COMPARE_BYTES as u64).read_to_end(buffer);
    read.map(|_| ()).map_err(|e| Error::io("read a content to compare it", e))
}

/// Does what blocks on a thread for that.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|e| Err(Error::internal("a thread of the kit ended early").caused_by(e)))
}
