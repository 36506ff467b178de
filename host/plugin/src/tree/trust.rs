//! Who can change the names of a directory. What another user can put into a directory, or move about in it, is never taken for
//! the work of root: a link that root made can be renamed by whoever may write to the directory that it lies in.

use rustix::fs::Stat;

/// Group and others may write.
const OTHERS_WRITE: u32 = 0o022;
/// Names are removed and renamed by their owners alone.
const STICKY: u32 = 0o1000;

/// Whether a user is root, or the one of this process.
pub(super) fn is_ours(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

/// Whether nobody but root and this user can put a name into a directory, or take one out of it. With the sticky bit others
/// still move links into it that they found elsewhere.
pub(super) fn is_ours_alone(directory: &Stat) -> bool {
    is_ours(directory.st_uid) && directory.st_mode & OTHERS_WRITE == 0
}

/// Whether nobody else can put something in the place of a directory of root's, or of this user's, that lies in a directory.
pub(super) fn keeps_directories(directory: &Stat) -> bool {
    is_ours_alone(directory) || (is_ours(directory.st_uid) && directory.st_mode & STICKY != 0)
}
