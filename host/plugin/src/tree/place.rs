//! Where an entry goes: the directory that is to hold it, found or made, and its name there.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use dozo_job::port::{Conflict, path};
use dozo_job::{Error, Result};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;

use super::follow::{Blocked, follow};
use super::subject::Subject;
use super::{Directory, is_missing, name_bytes, relative};

/// What directories have that no entry describes: above the paths of a job these may be `/srv` and `/srv/app`.
const MODE_OF_MISSING_PARENTS: u32 = 0o755;

/// Where an entry will be.
pub(super) struct Place {
    pub(super) parent: Arc<OwnedFd>,
    pub(super) name: OsString,
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
        let is_whole = self.0.shown == std::path::Path::new("/");
        let from = follow(&self.0.root, is_whole, names.into_iter()).map_err(|why| self.blocked(above, why))?;
        if below.is_empty() {
            return Ok(from);
        }
        names_of(below)?.into_iter().try_fold(from, |from, name| {
            let opened = super::beneath(&from, &name, OFlags::DIRECTORY | OFlags::RDONLY);
            opened.map(Arc::new).map_err(|e| self.failed("open", path, e))
        })
    }

    fn blocked(&self, path: &str, why: Blocked) -> Error {
        let full = self.full(path);
        match why {
            Blocked::Kernel(errno) => self.failed("open", path, errno),
            Blocked::LeadsOut => self.failed("open", path, Errno::XDEV),
            Blocked::Foreign(owner) => {
                let why = format!(
                    "open {full}: a symlink of the user {owner} is in the way, who may have made it to lead astray"
                );
                Error::not_granted(why).hinted("restore to the directory that it leads to, or remove it")
            }
        }
    }

    fn make_parents(&self, path: &str) -> Result<()> {
        for (at, _) in path.match_indices('/') {
            let directory = &path[..at];
            let Place { parent, name } = self.parent_to_write(directory)?;
            match fs::mkdirat(&*parent, &name, Mode::from_raw_mode(MODE_OF_MISSING_PARENTS)) {
                // Once more, because the process's mask took from it.
                Ok(()) => {
                    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let failed = |e| self.failed("set the mode of", directory, e);
                    let made = fs::openat(&*parent, &name, flags, Mode::empty()).map_err(failed)?;
                    let mode = Mode::from_raw_mode(MODE_OF_MISSING_PARENTS);
                    Subject::Open(std::os::fd::AsFd::as_fd(&made)).chmod(mode).map_err(failed)?;
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
