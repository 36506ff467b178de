//! Listing and reading.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, PoisonError};

use dozo_job::port::{Entry, path};
use dozo_job::{Error, Kind, Result};
use rustix::fs::{self, AtFlags, Dir, FileType, OFlags};
use rustix::io::Errno;

use super::metadata;
use super::{Directory, is_vanished};

/// Names of one directory that are sorted at once: about 100 MB of them. Beyond, a listing could not be paged in order.
const NAMES_MAX: usize = 2_000_000;

/// The names of one directory, escaped and as they are, sorted.
pub(super) type Names = Vec<(String, OsString)>;

impl Directory {
    /// What file system this is: the kernel's id of it and its type.
    pub(crate) fn identity(&self) -> Result<String> {
        let stat = fs::fstatvfs(self.root()).map_err(|e| self.failed("look at", "", e))?;
        Ok(format!("{:016x}", stat.f_fsid))
    }

    /// The entry of a path, or none if nothing is there.
    pub(crate) fn get(&self, path: &str) -> Result<Option<Entry>> {
        if path.is_empty() {
            let stat = fs::fstat(self.root()).map_err(|e| self.failed("look at", path, e))?;
            let entry = metadata::entry(String::new(), &stat, self.root(), ".".as_ref());
            return entry.map(Some).map_err(|e| self.failed("look at", path, e));
        }
        let (parent, name) = match self.parent(path) {
            Err(error) if error.kind() == Kind::Unavailable => return Ok(None),
            found => found?,
        };
        let looked = fs::statat(&*parent, &name, AtFlags::SYMLINK_NOFOLLOW)
            .and_then(|stat| metadata::entry(path.to_string(), &stat, &*parent, &name));
        match looked {
            Ok(entry) => Ok(Some(entry)),
            Err(errno) if is_vanished(errno) => Ok(None),
            Err(errno) => Err(self.failed("look at", path, errno)),
        }
    }

    /// At most `max` entries of the directory `path`, in order of their escaped names, after the name `after`.
    pub(crate) fn children(&self, path: &str, after: Option<&str>, max: usize) -> Result<Vec<Entry>> {
        let directory = self.subdirectory(path)?;
        let names = self.listing(path, &directory, after.is_some())?;
        let start = after.map_or(0, |after| names.partition_point(|(escaped, _)| escaped.as_str() <= after));
        let mut entries = Vec::with_capacity(max.min(names.len() - start));
        for (escaped, name) in &names[start..] {
            if entries.len() == max {
                break;
            }
            let child = if path.is_empty() { escaped.clone() } else { format!("{path}/{escaped}") };
            let looked = fs::statat(&*directory, name, AtFlags::SYMLINK_NOFOLLOW)
                .and_then(|stat| metadata::entry(child.clone(), &stat, &*directory, name));
            match looked {
                Ok(entry) => entries.push(entry),
                // Whoever removed it between listing and looking has the say.
                Err(errno) if is_vanished(errno) => {}
                Err(errno) => return Err(self.failed("look at", &child, errno)),
            }
        }
        Ok(entries)
    }

    /// The names of a directory. Later pages look at the listing of the first, as long as no other directory came between.
    fn listing(&self, path: &str, directory: impl std::os::fd::AsFd, later: bool) -> Result<Arc<Names>> {
        let mut listed = self.0.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, names)) = listed.as_ref().filter(|(of, _)| later && of == path) {
            return Ok(names.clone());
        }
        let names = Arc::new(self.names(path, directory)?);
        *listed = Some((path.to_string(), names.clone()));
        Ok(names)
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

    /// A file's content; it is opened when it is first read.
    pub(crate) fn open_file(&self, path: &str) -> Result<FileContent> {
        path::check(path)?;
        Ok(FileContent { directory: self.clone(), path: path.to_string(), file: None })
    }

    fn open_regular(&self, path: &str) -> Result<File> {
        // Not to wait for a writer, should a pipe have taken the file's place.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        // Reading leaves the access time alone where the kernel lets us: only for the owner, and for root.
        let opened = self
            .open_beneath(path, flags | OFlags::NOATIME)
            .or_else(|error| if error.kind() == Kind::Denied { self.open_beneath(path, flags) } else { Err(error) })?;
        let stat = fs::fstat(&opened).map_err(|e| self.failed("look at", path, e))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            let full = self.full(path);
            return Err(Error::unavailable(format!("read {full}: it is not a regular file any more")));
        }
        Ok(File::from(opened))
    }
}

/// The content of a granted file.
pub(crate) struct FileContent {
    directory: Directory,
    path: String,
    file: Option<File>,
}

impl Read for FileContent {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(self.directory.open_regular(&self.path)?),
        };
        file.read(buffer).map_err(|e| Error::io(format!("read {}", self.directory.full(&self.path)), e).into())
    }
}
