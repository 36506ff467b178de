//! What still fits into a granted directory.

use dozo_job::Room;
use dozo_job::port::{Conflict, Entry};
use rustix::fs::{self, AtFlags};

use super::{Access, Directory};

impl Room for Directory {
    fn free(&self) -> Option<(u64, u64)> {
        let stat = fs::fstatvfs(self.root()).ok()?;
        // A file system that counts no files has room for any number.
        let files = if stat.f_files == 0 { u64::MAX } else { stat.f_favail };
        Some((stat.f_bavail.saturating_mul(stat.f_frsize), files))
    }

    fn taken(&self, entry: &Entry) -> Option<u64> {
        if self.0.access == Access::Write(Conflict::Refuse) {
            return None;
        }
        let (parent, name) = self.parent(&entry.path).ok()?;
        let stat = fs::statat(&*parent, &name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        u64::try_from(stat.st_blocks * 512).ok()
    }
}
