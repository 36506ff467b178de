//! Where an entry goes: the directory that is to hold it, found or made, and its name there.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use dozo_job::port::{Conflict, path};
use dozo_job::{Error, Result};
use rustix::fs::{self, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::directories::Origin;
use super::follow::{Blocked, Walk, follow};
use super::stage::make_directory;
use super::{Directory, is_missing, name_bytes, relative};

/// What directories have that no entry describes: above the paths of a job these may be `/srv` and `/srv/app`.
const MODE_OF_MISSING_PARENTS: u32 = 0o755;

/// Where an entry will be.
pub(super) struct Place {
    pub(super) parent: Arc<OwnedFd>,
    pub(super) name: OsString,
}

impl Place {
    /// What has the name now, held by a descriptor: whatever becomes of the name, it is that.
    pub(super) fn held(&self) -> Result<(OwnedFd, Stat), Errno> {
        held(&self.parent, &self.name)
    }
}

/// What has a name in a directory, held by a descriptor.
pub(super) fn held(directory: &OwnedFd, name: &OsStr) -> Result<(OwnedFd, Stat), Errno> {
    let held = fs::openat(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fs::fstat(&held)?;
    Ok((held, stat))
}

impl Directory {
    /// The directory for an entry, made with all above it that is missing, and the entry's name.
    pub(super) fn place(&self, path: &str) -> Result<Place> {
        self.0.root_was_looked_at.call_once(|| self.open_root_to_owner());
        match self.parent_to_write(path) {
            Err(error) if is_missing(&error) => {
                self.make_parents(path)?;
                self.parent_to_write(path)
            }
            placed => placed,
        }
    }

    /// The directory that holds a path and the path's last name, as far as it is there.
    pub(super) fn parent_to_write(&self, path: &str) -> Result<Place> {
        // As a whole: `/a` has a parent and a name, and is no path. And before anything is made above it.
        path::check(path)?;
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let name = name_bytes(name)?;
        Ok(Place { parent: self.directory_to_write(parent)?, name })
    }

    /// A directory to work in. Where it was there before the restore, symlinks above what is restored are followed.
    pub(super) fn directory_to_write(&self, path: &str) -> Result<Arc<OwnedFd>> {
        if let Some((_, fd)) = self.last().as_ref().filter(|(last, _)| last == path) {
            return Ok(fd.clone());
        }
        let opened = self.open_relative(&relative(path)?, OFlags::DIRECTORY | OFlags::RDONLY);
        let directory = match opened {
            Ok(directory) => Arc::new(directory),
            // Not kept in mind: what is created behind a link may take the place of the link.
            Err(Errno::LOOP) if self.conflict()? != Conflict::Refuse => return self.through_links(path),
            Err(errno) => return Err(self.failed("open", path, errno)),
        };
        *self.last() = Some((path.to_string(), directory.clone()));
        Ok(directory)
    }

    /// A directory whose path has symlinks above the first directory that the restore puts back; below that, none is followed.
    fn through_links(&self, path: &str) -> Result<Arc<OwnedFd>> {
        let (above, below) = match self.0.met.top_of(path) {
            // Of the top itself the last name is no link either: it was made or found as a directory.
            Some(top) => top.rfind('/').map_or(("", path), |at| (&path[..at], &path[at + 1..])),
            None => (path, ""),
        };
        let names = if above.is_empty() { Vec::new() } else { names_of(above)? };
        let from = follow(&self.0.root, self.is_whole(), names.into_iter()).map_err(|why| self.blocked(above, why))?;
        if below.is_empty() {
            return Ok(from);
        }
        names_of(below)?.into_iter().try_fold(from, |from, name| {
            let opened = super::beneath(&from, &name, OFlags::DIRECTORY | OFlags::RDONLY);
            opened.map(Arc::new).map_err(|e| self.failed("open", path, e))
        })
    }

    fn blocked(&self, path: &str, why: Blocked) -> Error {
        why.refusal(&self.full(path)).unwrap_or_else(|| match why {
            Blocked::Kernel(errno) => self.failed("open", path, errno),
            _ => self.failed("open", path, Errno::XDEV),
        })
    }

    /// Whether nobody but root and this user can put another directory in the place of the one that holds a path, or of one
    /// above it.
    pub(super) fn is_kept(&self, path: &str) -> Result<bool> {
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        let names = if above.is_empty() { Vec::new() } else { names_of(above)? };
        let blocked = |why| self.blocked(above, why);
        let mut walk = Walk::new(&self.0.root, self.is_whole(), names.into_iter()).map_err(|e| blocked(e.into()))?;
        walk.go(&mut |_, _, _| Err(Errno::NOENT)).map_err(blocked)?;
        Ok(walk.is_kept())
    }

    fn is_whole(&self) -> bool {
        self.0.shown == std::path::Path::new("/")
    }

    fn make_parents(&self, path: &str) -> Result<()> {
        for (at, _) in path.match_indices('/') {
            let directory = &path[..at];
            let Place { parent, name } = self.parent_to_write(directory)?;
            match make_directory(&parent, &name, MODE_OF_MISSING_PARENTS) {
                // Once more, because the process's mask took from it.
                Ok(made) => {
                    let mode = Mode::from_raw_mode(MODE_OF_MISSING_PARENTS);
                    let stat = fs::fchmod(&made, mode).and_then(|()| fs::fstat(&made));
                    let stat = stat.map_err(|e| self.failed("set the mode of", directory, e))?;
                    self.0.met.know(directory, &stat, Origin::Made);
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.failed("create the directory", directory, errno)),
            }
        }
        Ok(())
    }
}

/// The names of a path, as they are.
fn names_of(path: &str) -> Result<Vec<OsString>> {
    let relative = relative(path)?.into_vec();
    Ok(relative.split(|byte| *byte == b'/').map(|name| OsString::from_vec(name.to_vec())).collect())
}
