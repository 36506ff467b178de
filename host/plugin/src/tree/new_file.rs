//! A file on its way into a granted directory: nobody sees half of it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};

use dozo_job::port::{Conflict, Content, Entry};
use dozo_job::{Error, Result};
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::Directory;
use super::place::Place;
use super::subject::{Subject, proc_is_there, proc_path};
use super::write::{unlink, with_temporary_name};

/// A file's mode before its own is set: nobody else may look into half a file.
const MODE_OF_HALF_A_FILE: u32 = 0o600;
/// From this length on a file is written without a name; below, the time it saves is worth more.
const UNNAMED_BYTES_MIN: u64 = 1 << 20;
/// Zeros become a hole where they fill such a block.
const BLOCK_BYTES: usize = 4_096;

/// A file in the making: without a name if it takes a while, so that nothing is left of it whatever happens, else under a
/// temporary one. Dropped before it is closed, it is gone.
pub(crate) struct NewFile {
    directory: Directory,
    place: Place,
    entry: Entry,
    conflict: Conflict,
    /// None as long as it has no name.
    temporary: Option<OsString>,
    file: File,
    written: u64,
    closed: bool,
    /// What is written goes nowhere: it is only planned, or there is no place for it.
    is_nowhere: bool,
}

impl NewFile {
    /// A file that a restore would make, or would have made if there were a place for it.
    pub(super) fn nowhere(directory: Directory, entry: Entry, conflict: Conflict) -> Result<Self> {
        let place = Place { parent: directory.0.root.clone(), name: OsString::new() };
        let nowhere = File::options().write(true).open("/dev/null").map_err(|e| Error::io("open /dev/null", e))?;
        let (temporary, written, closed) = (None, 0, false);
        Ok(NewFile { directory, place, entry, conflict, temporary, file: nowhere, written, closed, is_nowhere: true })
    }

    pub(super) fn begin(directory: Directory, place: Place, entry: Entry, conflict: Conflict) -> Result<Self> {
        let large = entry.size.is_none_or(|bytes| bytes >= UNNAMED_BYTES_MIN);
        let unnamed = if large { open_unnamed(&place.parent) } else { None };
        let (opened, temporary) = match unnamed {
            Some(opened) => (opened, None),
            None => {
                let (opened, temporary) =
                    open_temporary(&place.parent).map_err(|e| directory.failed("create", &entry.path, e))?;
                (opened, Some(temporary))
            }
        };
        let file = File::from(opened);
        let (written, closed) = (0, false);
        Ok(NewFile { directory, place, entry, conflict, temporary, file, written, closed, is_nowhere: false })
    }

    /// Writes a content to its end.
    pub(super) fn fill(&mut self, mut content: Content, buffer: &mut [u8]) -> Result<()> {
        let failed = |e| Error::io("read the content", e);
        loop {
            if self.is_sparse() {
                let hole = content.skip_hole().map_err(failed)?;
                self.skip(hole)?;
            }
            match content.read(buffer).map_err(failed)? {
                0 => return Ok(()),
                read => self.write(&buffer[..read])?,
            }
        }
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        if !self.is_sparse() {
            return self.write_all(bytes);
        }
        while !bytes.is_empty() {
            let (length, zeros) = run(self.written, bytes);
            let (now, later) = bytes.split_at(length);
            if zeros { self.skip(length as u64) } else { self.write_all(now) }?;
            bytes = later;
        }
        Ok(())
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(|e| self.failed(e))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Leaves a hole.
    fn skip(&mut self, bytes: u64) -> Result<()> {
        if bytes > 0 && self.is_nowhere {
            self.written += bytes;
        } else if bytes > 0 {
            self.written += bytes;
            self.file.seek(SeekFrom::Start(self.written)).map_err(|e| self.failed(e))?;
        }
        Ok(())
    }

    fn is_sparse(&self) -> bool {
        self.entry.posix.as_ref().is_some_and(|posix| posix.sparse)
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::io(format!("write {}", self.directory.full(&self.entry.path)), error)
    }

    /// Gives the file its metadata and its name; returns its length.
    pub(crate) fn close(self) -> Result<u64> {
        let (directory, path) = (self.directory.clone(), self.entry.path.clone());
        directory.created(&path, self.name())
    }

    fn name(mut self) -> Result<u64> {
        if self.is_nowhere {
            return Ok(self.written);
        }
        if self.is_sparse() {
            // A hole at the end was passed over.
            self.file.set_len(self.written).map_err(|e| self.failed(e))?;
        }
        if self.conflict == Conflict::Skip && self.directory.is_left(&self.place, &self.entry)? {
            return Ok(0);
        }
        self.directory.apply(Subject::Open(self.file.as_fd()), &self.entry)?;
        let temporary = match self.temporary.take() {
            Some(temporary) => temporary,
            None => self.link()?,
        };
        let temporary = self.temporary.insert(temporary);
        self.directory.rename((&self.place.parent, temporary), &self.place, &self.entry, self.conflict)?;
        self.closed = true;
        if self.entry.posix.as_ref().is_some_and(|posix| posix.links > 1) {
            let stat = fs::fstat(&self.file).map_err(|e| self.failed(e.into()))?;
            self.directory.0.holders.remember(&self.entry, &stat);
        }
        Ok(self.written)
    }

    /// Gives a file without a name a temporary one.
    fn link(&self) -> Result<OsString> {
        let fd = proc_path(self.file.as_fd());
        let link = |name: &OsStr| fs::linkat(fs::CWD, &fd, &*self.place.parent, name, AtFlags::SYMLINK_FOLLOW);
        let named = with_temporary_name(link).map_err(|e| self.directory.failed("name", &self.entry.path, e))?;
        Ok(named.1)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.as_ref().filter(|_| !self.closed) {
            let _ = unlink(&self.place.parent, temporary);
        }
    }
}

/// A new file under a temporary name.
pub(super) fn open_temporary(parent: &OwnedFd) -> Result<(OwnedFd, OsString), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    with_temporary_name(|name| fs::openat(parent, name, flags, Mode::from_raw_mode(MODE_OF_HALF_A_FILE)))
}

/// A new file without a name, where the file system can have one and `/proc` is there to name it later.
fn open_unnamed(parent: &OwnedFd) -> Option<OwnedFd> {
    if !proc_is_there() {
        return None;
    }
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let opened = fs::openat(parent, ".", flags, Mode::from_raw_mode(MODE_OF_HALF_A_FILE)).ok()?;
    Some(opened)
}

/// How many of these bytes, the first of which has this place in its file, are all zeros, or all to be written: in blocks.
fn run(at: u64, bytes: &[u8]) -> (usize, bool) {
    let first = BLOCK_BYTES - (at % BLOCK_BYTES as u64) as usize;
    let is_zero = |block: &[u8]| block.iter().all(|byte| *byte == 0);
    let mut end = first.min(bytes.len());
    let zeros = is_zero(&bytes[..end]);
    while end < bytes.len() {
        let next = (end + BLOCK_BYTES).min(bytes.len());
        if is_zero(&bytes[end..next]) != zeros {
            break;
        }
        end = next;
    }
    (end, zeros)
}
