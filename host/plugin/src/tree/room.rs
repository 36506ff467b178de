//! What still fits into granted directories.

use std::collections::BTreeMap;

use dozo_job::Room;
use dozo_job::port::{Conflict, Entry};
use rustix::fs::{self, AtFlags};

use super::{Access, Directory};

/// The room of the directories that a restore writes to, together: which of them an entry goes to only its plugin knows. So
/// too little room in one of several shows when it is full, but a restore that would fit is never refused.
pub struct Rooms(Vec<Directory>);

impl Rooms {
    /// Of these.
    pub fn of(directories: &[Directory]) -> Self {
        Rooms(directories.to_vec())
    }
}

impl Room for Rooms {
    fn free(&self) -> Option<(u64, u64)> {
        // What is there and written over is found only where one directory takes all.
        if self.0.len() > 1 && self.0.iter().any(|directory| !directory.is_new()) {
            return None;
        }
        let free = self.0.iter().map(Directory::free).collect::<Option<BTreeMap<_, _>>>()?;
        let add =
            |(bytes, files): (u64, u64), more: (u64, u64)| (bytes.saturating_add(more.0), files.saturating_add(more.1));
        Some(free.into_values().fold((0, 0), add))
    }

    fn taken(&self, entry: &Entry) -> Option<u64> {
        match self.0.as_slice() {
            [directory] => directory.taken(entry),
            _ => None,
        }
    }
}

impl Directory {
    /// The number of its file system, and bytes and files that still fit there; none where that is not known.
    fn free(&self) -> Option<(u64, (u64, u64))> {
        let (device, stat) = (fs::fstat(self.root()).ok()?.st_dev, fs::fstatvfs(self.root()).ok()?);
        // A file system that counts no files has room for any number.
        let files = if stat.f_files == 0 { u64::MAX } else { stat.f_favail };
        Some((device, (stat.f_bavail.saturating_mul(stat.f_frsize), files)))
    }

    /// Bytes of what is there under an entry's path already.
    fn taken(&self, entry: &Entry) -> Option<u64> {
        if self.is_new() {
            return None;
        }
        let (parent, name) = self.parent(&entry.path).ok()?;
        let stat = fs::statat(&*parent, &name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        u64::try_from(stat.st_blocks * 512).ok()
    }

    /// Whether nothing was there before.
    fn is_new(&self) -> bool {
        self.0.access == Access::Write(Conflict::Refuse)
    }
}
