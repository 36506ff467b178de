//! Files, symlinks and nodes with several names: what was created for the first is linked to for the others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use dozo_job::port::{Entry, EntryKind};
use rustix::fs::Stat;

/// Files whose other names are still to come: some 100 MB of them. Beyond, a name becomes a file of its own.
pub(super) const HOLDERS_MAX: usize = 1_000_000;

/// Which file it is: device and inode.
pub(super) type Identity = (u64, u64);

#[allow(clippy::unnecessary_cast, reason = "their types differ from machine to machine")]
pub(super) fn identity(stat: &Stat) -> Identity {
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// Files that were created, by the path of their entry.
#[derive(Default)]
pub(super) struct Holders(Mutex<HashMap<String, Holder>>);

struct Holder {
    identity: Identity,
    /// Names that it has in the snapshot.
    links: u32,
    /// Names that may still come.
    names: u32,
}

impl Holders {
    /// Remembers what was created for an entry, if other names of it may come.
    pub(super) fn remember(&self, entry: &Entry, stat: &Stat) {
        let links = entry.posix.as_ref().map_or(1, |posix| posix.links);
        let mut holders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entry.kind != EntryKind::Directory && links > 1 && holders.len() < HOLDERS_MAX {
            holders.insert(entry.path.clone(), Holder { identity: identity(stat), links, names: links - 1 });
        }
    }

    /// What was created for an entry, and how many names it has in the snapshot; asked once for each other name.
    pub(super) fn take_name(&self, path: &str) -> Option<(Identity, u32)> {
        let mut holders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = holders.get_mut(path)?;
        let found = (holder.identity, holder.links);
        holder.names -= 1;
        if holder.names == 0 {
            holders.remove(path);
        }
        Some(found)
    }
}
