//! An entry's metadata, set on a file. What is right already is left alone: to set it again would take privileges that this
//! process may not have, and a change of owner takes capabilities away. What this user, this user namespace or this file system
//! does not allow is noted, never an error: the content is worth having without.

use std::sync::atomic::Ordering;

use dozo_job::Result;
use dozo_job::port::{Entry, Posix, Time};
use rustix::fs::{FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::subject::Subject;
use super::{Directory, is_privilege};

/// The permission bits, with set-user-id, set-group-id and sticky.
const MODE_BITS: u32 = 0o7777;
/// Set-user-id and set-group-id.
pub(super) const SET_ID_BITS: u32 = 0o6000;

/// What became of a file's owner.
struct Owned {
    /// Whether it has the one that its entry says.
    is_right: bool,
    /// Whether it was changed, which clears set-user-id bits and capabilities.
    changed: bool,
}

impl Directory {
    /// Sets what differs of owner, attributes, mode and time, in this order: a change of owner clears set-user-id bits and
    /// capabilities, and an ACL says part of the mode.
    ///
    /// # Errors
    /// What the disk or the kernel says, but not that it may not be set.
    pub(super) fn apply(&self, subject: Subject<'_>, entry: &Entry) -> Result<()> {
        let look = || subject.stat().map_err(|e| self.failed("look at", &entry.path, e));
        let mut stat = look()?;
        if let Some(posix) = &entry.posix {
            let owned = self.apply_owner(subject, entry, posix, &stat)?;
            if self.apply_xattrs(subject, entry)? || owned.changed {
                stat = look()?;
            }
            // Linux has no mode for symlinks.
            if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                self.apply_mode(subject, entry, self.mode(entry, posix, owned.is_right), &stat)?;
            }
        }
        match entry.modified {
            Some(modified) => self.apply_time(subject, entry, modified, &stat),
            None => Ok(()),
        }
    }

    fn apply_owner(&self, subject: Subject<'_>, entry: &Entry, posix: &Posix, stat: &Stat) -> Result<Owned> {
        let here = self.0.owners.here(posix);
        if here.is_unasked {
            self.note(
                "names of owners could not be asked for on this machine: the owners were taken by number",
                &entry.path,
            );
        }
        let right = |changed| {
            if here.is_renumbered {
                self.note("owners have other numbers on this machine: they were set by name", &entry.path);
            }
            Ok(Owned { is_right: true, changed })
        };
        let user = (stat.st_uid != here.user).then(|| Uid::from_raw(here.user));
        let group = (stat.st_gid != here.group).then(|| Gid::from_raw(here.group));
        if user.is_none() && group.is_none() {
            return right(false);
        }
        match subject.chown(user, group) {
            Ok(()) => return right(true),
            Err(errno) if is_privilege(errno) => {
                self.note("owners were not set, because this user may not", &entry.path);
            }
            Err(Errno::INVAL) => {
                self.note("owners were not set, because this user namespace does not have them", &entry.path);
            }
            Err(errno) => return Err(self.failed("set the owner of", &entry.path, errno)),
        }
        // The group alone may be set by whoever is in it.
        let grouped = user.is_some() && group.is_some() && subject.chown(None, group).is_ok();
        Ok(Owned { is_right: false, changed: grouped })
    }

    /// The permission bits; set-user-id and set-group-id only where the owner is the one they were meant for.
    fn mode(&self, entry: &Entry, posix: &Posix, is_owned: bool) -> u32 {
        if is_owned {
            return posix.mode & MODE_BITS;
        }
        if posix.mode & SET_ID_BITS != 0 {
            self.note("set-user-id and set-group-id were left out, because the owner is another", &entry.path);
        }
        posix.mode & MODE_BITS & !SET_ID_BITS
    }

    fn apply_mode(&self, subject: Subject<'_>, entry: &Entry, mode: u32, stat: &Stat) -> Result<()> {
        if stat.st_mode & MODE_BITS == mode {
            return Ok(());
        }
        match subject.chmod(Mode::from_raw_mode(mode)) {
            // The kernel drops these bits without a word.
            Ok(()) if mode & SET_ID_BITS != 0 => {
                let now = subject.stat().map_err(|e| self.failed("look at", &entry.path, e))?;
                if now.st_mode & MODE_BITS != mode {
                    self.note(
                        "set-user-id and set-group-id were left out, because this user may not set them",
                        &entry.path,
                    );
                }
            }
            Ok(()) => {}
            Err(errno) if is_privilege(errno) => {
                self.note("modes were not set, because this user may not", &entry.path);
            }
            Err(Errno::NOSYS) => {
                let what = "modes of pipes, sockets and devices were not set, because `/proc` is not mounted";
                self.note(what, &entry.path);
            }
            Err(Errno::OPNOTSUPP) => {
                self.note("modes were not set, because this file system cannot have them", &entry.path);
            }
            Err(errno) => return Err(self.failed("set the mode of", &entry.path, errno)),
        }
        Ok(())
    }

    /// Sets the modification time; the access time becomes the same, as of a file that nobody has read since.
    fn apply_time(&self, subject: Subject<'_>, entry: &Entry, modified: Time, stat: &Stat) -> Result<()> {
        if modified_of(stat) == modified {
            return Ok(());
        }
        let time = Timespec { tv_sec: modified.seconds, tv_nsec: i64::from(modified.nanoseconds) };
        match subject.set_times(&Timestamps { last_access: time, last_modification: time }) {
            Ok(()) => self.look_at_time(subject, entry, modified),
            Err(errno) if is_privilege(errno) => {
                self.note("times were not set, because this user may not", &entry.path);
                Ok(())
            }
            Err(errno) => Err(self.failed("set the time of", &entry.path, errno)),
        }
    }

    /// Whether the file system could hold a time: it takes the nearest that it can without a word. Times that every file system
    /// holds are looked at once, for what they are rounded to.
    fn look_at_time(&self, subject: Subject<'_>, entry: &Entry, modified: Time) -> Result<()> {
        let is_common = (0..=i64::from(i32::MAX)).contains(&modified.seconds);
        let is_known = modified.nanoseconds == 0 || self.0.time_was_looked_at.swap(true, Ordering::Relaxed);
        if is_common && is_known {
            return Ok(());
        }
        let stat = subject.stat().map_err(|e| self.failed("look at", &entry.path, e))?;
        let there = modified_of(&stat);
        if there.seconds.abs_diff(modified.seconds) > 2 {
            self.note("times that this file system cannot hold became the nearest that it can", &entry.path);
        } else if there != modified {
            self.note("times were rounded to what this file system holds", &entry.path);
        }
        Ok(())
    }
}

impl Directory {
    /// Whether applying an entry would change anything of a file, as far as can be read.
    pub(super) fn would_change(&self, subject: Subject<'_>, entry: &Entry) -> Result<bool> {
        let stat = subject.stat().map_err(|e| self.failed("look at", &entry.path, e))?;
        if entry.modified.is_some_and(|modified| modified != modified_of(&stat)) {
            return Ok(true);
        }
        Ok(entry.posix.as_ref().is_some_and(|posix| self.has_other_rights(subject, &stat, posix)))
    }

    /// Whether a file has another owner, mode or attributes than its entry says.
    pub(super) fn has_other_rights(&self, subject: Subject<'_>, stat: &Stat, posix: &Posix) -> bool {
        let here = self.0.owners.here(posix);
        let is_symlink = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        let is_other_mode = !is_symlink && stat.st_mode & MODE_BITS != posix.mode & MODE_BITS;
        (stat.st_uid, stat.st_gid) != (here.user, here.group) || is_other_mode || self.has_other_xattrs(subject, posix)
    }
}

#[allow(clippy::unnecessary_cast, reason = "their types differ from machine to machine")]
pub(super) fn modified_of(stat: &Stat) -> Time {
    Time { seconds: stat.st_mtime as i64, nanoseconds: stat.st_mtime_nsec as u32 }
}
