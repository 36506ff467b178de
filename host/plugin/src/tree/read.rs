//! Listing and reading.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, PoisonError};

use dozo_job::port::{Entry, EntryKind, path};
use dozo_job::{Error, Kind, Result};
use rustix::fs::{self, AtFlags, Dir, FileType, OFlags, Stat};
use rustix::io::Errno;

use super::metadata;
use super::{Directory, is_missing, is_vanished};

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
            Err(error) if is_missing(&error) => return Ok(None),
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
                .and_then(|stat| Ok((metadata::entry(child.clone(), &stat, &*directory, name)?, stat.st_nlink)));
            match looked {
                Ok((entry, links)) => {
                    if entry.kind == EntryKind::File && links > 1 {
                        self.note("files with several names (hard links) are stored as files of their own", &child);
                    }
                    entries.push(entry);
                }
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
        Ok(FileContent { directory: self.clone(), path: path.to_string(), listed: self.look(path), file: None })
    }

    /// What a file is now; nothing if that cannot be told, which whoever reads it will hear.
    fn look(&self, path: &str) -> Option<Looks> {
        let (parent, name) = self.parent(path).ok()?;
        fs::statat(&*parent, &name, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| looks(&stat))
    }

    /// Notes what a snapshot of this version does not hold of a file.
    fn note_beyond(&self, path: &str, file: &File, stat: &Stat) {
        let mut names = [0; 1024];
        // What SELinux puts on every file, the system that it is restored to puts there anew.
        let known = |names: &[u8]| names.split(|b| *b == 0).all(|name| name.is_empty() || name == b"security.selinux");
        match fs::flistxattr(file, &mut names) {
            Ok(length) if known(&names[..length]) => {}
            Err(Errno::OPNOTSUPP) => {}
            _ => self.note("extended attributes (ACLs, capabilities) are not backed up", path),
        }
        if stat.st_blocks * 512 + 4096 < stat.st_size {
            self.note("files with holes are backed up, and restored, without them", path);
        }
    }

    fn open_regular(&self, path: &str) -> Result<(File, Looks)> {
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
        let (file, looks) = (File::from(opened), looks(&stat));
        self.note_beyond(path, &file, &stat);
        Ok((file, looks))
    }
}

/// What tells one state of a file from another: inode, length, change time.
type Looks = (u64, i64, i64, i64);

#[allow(clippy::unnecessary_cast, reason = "their types differ from machine to machine")]
fn looks(stat: &Stat) -> Looks {
    (stat.st_ino, stat.st_size, stat.st_ctime as i64, stat.st_ctime_nsec as i64)
}

/// The content of a granted file.
pub(crate) struct FileContent {
    directory: Directory,
    path: String,
    /// What it was when the source asked for it, right after it was listed.
    listed: Option<Looks>,
    /// Open, with what it was then.
    file: Option<(File, Looks)>,
}

impl FileContent {
    /// Opens it. Another file in its place has other metadata than what was listed: whoever asked must look again.
    fn open(&self) -> Result<(File, Looks)> {
        let (file, looks) = self.directory.open_regular(&self.path)?;
        if self.listed.is_some_and(|listed| listed.0 != looks.0) {
            let full = self.directory.full(&self.path);
            return Err(Error::unavailable(format!("read {full}: another file took its place")));
        }
        Ok((file, looks))
    }
}

impl Read for FileContent {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let (file, looks) = match &mut self.file {
            Some(open) => open,
            None => {
                let open = self.open()?;
                self.file.insert(open)
            }
        };
        let failed = |e| Error::io(format!("read {}", self.directory.full(&self.path)), e);
        let read = file.read(buffer).map_err(failed)?;
        if read == 0 && !buffer.is_empty() {
            let now = fs::fstat(&*file).map_err(|e| failed(e.into()))?;
            if self::looks(&now) != *looks {
                self.directory.note("written to while they were read: a torn copy may be stored", &self.path);
            }
        }
        Ok(read)
    }
}
