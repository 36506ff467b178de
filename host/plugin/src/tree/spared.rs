//! What a restore that deletes leaves alone, though the snapshot does not have it: what was not looked at when the snapshot was made,
//! what lies on a file system that is mounted where the snapshot has a directory, and what is there under another name.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use dozo_job::port::{Time, path};
use dozo_job::{LeftOut, Result};
use rustix::fs::{self, AtFlags, FileType, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::Directory;
use super::leftovers::is_temporary;
use super::links::{Identity, identity};

const MOUNTED: &str = "not looked into for what `--delete` deletes, because a file system is mounted there (`SNAPSHOT:PATH` with `--to` \
                       the same path means it)";
const LEFT_OUT: &str = "not deleted, because the backup leaves it out: the snapshot cannot tell whether it was there";

const MOVED: &str =
    "not deleted, because it was put there, or changed, while the snapshot was made: the backup may have missed it";

impl Directory {
    /// Whether a restored directory is one in which nothing is deleted: another file system is mounted there, and it is not one that
    /// the job names.
    pub(super) fn is_mounted_over(&self, path: &str, directory: &OwnedFd, left_out: &LeftOut) -> Result<bool> {
        if path.is_empty() || left_out.is_root(path) {
            return Ok(false);
        }
        let is_mount = is_mount(directory).map_err(|e| self.failed("look at", path, e))?;
        if is_mount {
            self.note(MOUNTED, path);
        }
        Ok(is_mount)
    }

    /// Takes out of the names that a directory has and the snapshot does not those that are spared. `missing`: names that the
    /// snapshot has, and that the directory does not list.
    pub(super) fn spare(
        &self,
        (path, directory): (&str, &OwnedFd),
        names: &mut Vec<OsString>,
        missing: &HashSet<OsString>,
        left_out: &LeftOut,
    ) {
        let identity_of = |name: &OsString| look(directory, name).map(|there| there.identity);
        // Where two names are one, what was restored under one of them is listed under the other.
        let renamed: HashSet<Identity> = missing.iter().filter_map(identity_of).collect();
        names.retain(|name| {
            let is_alias = !renamed.is_empty() && identity_of(name).is_some_and(|it| renamed.contains(&it));
            !is_alias && !is_temporary(name.as_bytes()) && !self.is_left_out((path, directory), name, left_out)
        });
    }

    /// Whether an entry of a directory may be one that the backup leaves out; then that is told.
    pub(super) fn is_left_out(&self, (path, directory): (&str, &OwnedFd), name: &OsStr, left_out: &LeftOut) -> bool {
        let escaped = path::escape(name.as_bytes());
        let whole = if path.is_empty() { escaped } else { format!("{path}/{escaped}") };
        let there = look(directory, name);
        let (is_directory, bytes) = there.as_ref().map_or((false, None), |there| (there.is_directory, there.bytes));
        let why = match there {
            _ if left_out.spares(&whole, is_directory, bytes) => LEFT_OUT,
            Some(there) if left_out.may_have_moved(there.changed) => MOVED,
            _ => return false,
        };
        self.note(why, &whole);
        true
    }
}

/// Whether a directory is where a file system is mounted.
fn is_mount(directory: &OwnedFd) -> Result<bool, Errno> {
    if let Ok(stat) = fs::statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
        && stat.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
    {
        return Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    // Before Linux 5.8 what is mounted from the same file system is not told.
    let above = fs::statat(directory, "..", AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(fs::fstat(directory)?.st_dev != above.st_dev)
}

/// What is under a name.
struct There {
    identity: Identity,
    is_directory: bool,
    /// How long it is, if it is a file.
    bytes: Option<u64>,
    /// When it was last changed, renamed or moved.
    changed: Time,
}

#[allow(clippy::cast_sign_loss, reason = "no file is shorter than nothing")]
#[allow(clippy::unnecessary_cast, reason = "its type differs from machine to machine")]
fn look(directory: &OwnedFd, name: &OsStr) -> Option<There> {
    let stat = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    Some(There {
        identity: identity(&stat),
        is_directory: kind == FileType::Directory,
        bytes: (kind == FileType::RegularFile).then_some(stat.st_size as u64),
        changed: Time { seconds: stat.st_ctime, nanoseconds: stat.st_ctime_nsec as u32 },
    })
}
