//! Listing.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use dozo_job::limits::PATH_BYTES_MAX;
use dozo_job::port::path;
use dozo_job::{Error, Result};
use rustix::fs::{self, Dir, OFlags};
use rustix::io::Errno;

use super::ahead::{Listed, Page};
use super::links::identity;
use super::{Directory, Found, is_missing, is_vanished};

/// Names of one directory that are sorted at once: about 100 MB of them. Beyond, a listing could not be paged in order.
pub(super) const NAMES_MAX: usize = 2_000_000;

/// The names of one directory, escaped and as they are, sorted.
pub(super) type Names = Vec<(String, OsString)>;

impl Directory {
    /// What file system this is: the kernel's id of it and its type. Of a directory that is shown at another place it is that
    /// place's: each snapshot of a file system has an id of its own.
    pub(crate) fn identity(&self) -> Result<String> {
        let there = fs::statvfs(&self.0.shown);
        let stat = there.or_else(|_| fs::fstatvfs(self.root())).map_err(|e| self.failed("look at", "", e))?;
        Ok(format!("{:016x}", stat.f_fsid))
    }

    /// The entry of a path, or none if nothing is there.
    pub(crate) fn get(&self, path: &str) -> Result<Option<Found>> {
        if path.is_empty() {
            let found = self.found(String::new(), self.root(), ".".as_ref());
            let found = found.map_err(|e| self.failed("look at", path, e))?;
            self.tell(&found);
            return Ok(Some(found));
        }
        let (parent, name) = match self.parent(path) {
            Err(error) if is_missing(&error) => return Ok(None),
            found => found?,
        };
        match self.found(path.to_string(), &*parent, &name) {
            Ok(found) => {
                self.tell(&found);
                Ok(Some(found))
            }
            Err(errno) if is_vanished(errno) => Ok(None),
            Err(errno) => Err(self.failed("look at", path, errno)),
        }
    }

    /// A page of a directory. `names` are those of the directory, if they were read before.
    pub(super) fn list(&self, page: &Page, names: Option<Arc<Names>>) -> Result<Listed> {
        let (path, max) = (&page.path, page.max);
        let directory = self.open_beneath(path, OFlags::DIRECTORY | OFlags::RDONLY)?;
        let stat = fs::fstat(&directory).map_err(|e| self.failed("look at", path, e))?;
        let names = names.map_or_else(|| self.names(path, &directory).map(Arc::new), Ok)?;
        let start = page.after.as_ref().map_or(0, |after| names.partition_point(|(escaped, _)| escaped <= after));
        let (mut found, mut vanished) = (Vec::with_capacity(max.min(names.len() - start)), Vec::new());
        for (escaped, name) in &names[start..] {
            if found.len() == max {
                break;
            }
            let child = join(path, escaped);
            if child.len() > PATH_BYTES_MAX {
                let shown = self.full(path);
                return Err(Error::unsupported(format!(
                    "{shown}: the paths in it are longer than {PATH_BYTES_MAX} bytes"
                )));
            }
            match self.found(child, &directory, name) {
                Ok(child) => found.push(child),
                // Whoever removed it between listing and looking has the say; if it was renamed, nobody may have it now.
                Err(errno) if is_vanished(errno) => vanished.push(join(path, escaped)),
                Err(errno) => return Err(self.failed("look at", &join(path, escaped), errno)),
            }
        }
        let more = found.len() == max;
        Ok(Listed { found, vanished, names: more.then_some(names), device: identity(&stat).0 })
    }

    /// All names of a directory, sorted. An error while reading is an error, never a short list.
    fn names(&self, path: &str, directory: impl std::os::fd::AsFd) -> Result<Names> {
        let failed = |e: Errno| self.failed("list", path, e);
        let mut names = Vec::new();
        for item in Dir::read_from(directory).map_err(failed)? {
            let item = item.map_err(failed)?;
            let name = item.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if names.len() == NAMES_MAX {
                let full = self.full(path);
                return Err(Error::unsupported(format!("{full} has more than {NAMES_MAX} entries")));
            }
            names.push((path::escape(name), OsString::from_vec(name.to_vec())));
        }
        names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(names)
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_string() } else { format!("{path}/{name}") }
}
