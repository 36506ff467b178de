//! The directory that a restore goes to: reached once, name by name from the root of the file system, made where it is missing, and
//! from then on used by its descriptor alone. Nobody can put another in its place meanwhile, and no link is followed on the way
//! that somebody else may have put there.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use dozo_job::port::Conflict;
use dozo_job::{Error, Result};
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::follow::{Blocked, Walk};
use super::stage::{is_empty, make_directory};
use super::{Access, Directory, beneath, is_privilege};

/// What others may do in directories above a target that are made on the way: what is restored may belong to somebody else, such as
/// a server's user.
const MODE_OF_PARENTS: u32 = 0o755;
/// What the target itself may be, as far as this process's mask lets it.
const MODE_OF_TARGET: u32 = 0o777;
/// The same where it becomes what a directory of the snapshot was, until it does.
const MODE_UNTIL_SET: u32 = 0o700;
/// What the root of a file system has of its own: nobody put anything there.
const LOST_AND_FOUND: &str = "lost+found";

/// A directory to restore into.
pub struct Reached {
    /// It, granted for writing.
    pub directory: Directory,
    /// Its path without links.
    pub whole: PathBuf,
    /// Whether it was made for the restore.
    pub was_made: bool,
}

/// Directories that were made for a restore, those above the target too. What is empty of them is removed again, unless the
/// restore came to its end.
#[derive(Default)]
pub struct MadeDirectories {
    made: Vec<(Arc<OwnedFd>, OsString)>,
    /// Whether the next target is its owner's alone until its metadata is set.
    is_private: bool,
    /// Whether the last target was made.
    was_made: bool,
}

impl MadeDirectories {
    /// The next target is its owner's alone until its metadata is set, or not.
    pub fn until_set(&mut self, is_private: bool) -> &mut Self {
        self.is_private = is_private;
        self
    }

    /// They stay.
    pub fn keep(mut self) {
        self.made.clear();
    }

    fn make(&mut self, parent: &Arc<OwnedFd>, name: &OsStr, is_target: bool) -> Result<(), Errno> {
        let mode = match (is_target, self.is_private) {
            (true, true) => MODE_UNTIL_SET,
            (true, false) => MODE_OF_TARGET,
            (false, _) => MODE_OF_PARENTS,
        };
        match make_directory(parent, name, mode) {
            // Somebody else made it meanwhile.
            Err(Errno::EXIST) => return Ok(()),
            Err(errno) => return Err(errno),
            // Whatever this process lets others do by default.
            Ok(made) if !is_target => fs::fchmod(&made, Mode::from_raw_mode(MODE_OF_PARENTS))?,
            Ok(_) => self.was_made = true,
        }
        self.made.push((parent.clone(), name.to_os_string()));
        Ok(())
    }
}

impl Drop for MadeDirectories {
    fn drop(&mut self) {
        for (parent, name) in self.made.iter().rev() {
            // One that holds something stays.
            let _ = fs::unlinkat(&**parent, name, AtFlags::REMOVEDIR);
        }
    }
}

impl Directory {
    /// Opens the directory that a restore goes to. What is missing is made; without `made` there is nothing then.
    ///
    /// # Errors
    /// [`NotGranted`](dozo_job::Kind::NotGranted) if a link is on the way that somebody else may have put there.
    pub fn reach(path: &Path, conflict: Conflict, mut made: Option<&mut MadeDirectories>) -> Result<Option<Reached>> {
        let shown = path.display();
        let failed = |e: std::io::Error| Error::io(format!("open the directory {shown}"), e);
        let absolute = std::path::absolute(path).map_err(failed)?;
        let is_made = made.is_some();
        made.iter_mut().for_each(|made| made.was_made = false);
        let (root, whole) = match walk(&absolute, made.as_deref_mut()) {
            Ok(reached) => reached,
            Err(Blocked::Kernel(Errno::NOENT)) if !is_made => return Ok(None),
            Err(why) => {
                return Err(why.refusal(&shown.to_string()).unwrap_or_else(|| match why {
                    Blocked::Kernel(errno) => failed(errno.into()),
                    _ => failed(Errno::XDEV.into()),
                }));
            }
        };
        // Symlinks that a plugin makes lead to it, so it must not depend on where this process stands.
        let climbs = absolute.components().any(|component| component == Component::ParentDir);
        let named = if climbs { &whole } else { &absolute };
        let directory = Directory::of(root, named, Access::Write(conflict));
        Ok(Some(Reached { directory, whole, was_made: made.is_some_and(|made| made.was_made) }))
    }

    /// Whether there is anything in it that somebody put there.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub fn holds_something(&self) -> Result<bool> {
        let failed = |e| self.failed("look into", "", e);
        for item in Dir::read_from(self.root()).map_err(failed)? {
            let item = item.map_err(failed)?;
            match item.file_name().to_bytes() {
                b"." | b".." => {}
                name if name == LOST_AND_FOUND.as_bytes() && self.is_bare_lost_and_found() => {}
                _ => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Whether something in it has a name.
    pub fn has(&self, name: &str) -> bool {
        fs::statat(self.root(), name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    fn is_bare_lost_and_found(&self) -> bool {
        let stat = fs::statat(self.root(), LOST_AND_FOUND, AtFlags::SYMLINK_NOFOLLOW);
        let is_directory = stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
        let opened = beneath(&self.0.root, OsStr::new(LOST_AND_FOUND), OFlags::DIRECTORY | OFlags::RDONLY);
        is_directory
            && match opened.and_then(|opened| is_empty(&opened)) {
                Ok(is_empty) => is_empty,
                // It is root's alone, as a rule.
                Err(errno) => is_privilege(errno),
            }
    }
}

/// Walks to a directory, and opens it.
fn walk(absolute: &Path, mut made: Option<&mut MadeDirectories>) -> Result<(OwnedFd, PathBuf), Blocked> {
    let names = absolute.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    let root = fs::open("/", OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let mut walk = Walk::new(&Arc::new(root), true, names)?;
    walk.go(&mut |parent, name, is_last| match &mut made {
        Some(made) => made.make(parent, name, is_last),
        None => Err(Errno::NOENT),
    })?;
    Ok((walk.opened()?, walk.path()))
}
