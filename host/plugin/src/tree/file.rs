//! The content of a granted file: opened when it is read, holes passed over, and held against what it was.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::{MutexGuard, PoisonError};

use dozo_job::port::{ReadContent, path};
use dozo_job::{Error, Kind, Result, words};
use rustix::fs::{self, FileType, OFlags, Stat};
use rustix::io::Errno;

use super::Directory;
use super::metadata::version;

/// Shorter holes are read: a cut in the content costs more than their zeros.
const HOLE_BYTES_MIN: u64 = 1 << 20;
/// What a file may give beyond the size that it says: those that the kernel makes say that they are empty, and some have no
/// end. All but these give less.
const UNTOLD_BYTES: u64 = 32 << 20;
/// A file with less than this beyond its blocks has no hole; its last block is seldom full.
const PAGE_BYTES: i64 = 4_096;

/// What becomes of a file that is written to while it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unrest {
    /// An error at its end; at its beginning, if it is of another version already. It is to be looked at again.
    Refused { version: Option<String> },
    /// It is taken as it was read, and noted.
    Noted,
}

impl Directory {
    /// A file's content; it is opened when it is first read.
    pub(crate) fn open_file(&self, path: &str, unrest: Unrest) -> Result<FileContent> {
        path::check(path)?;
        Ok(FileContent { directory: self.clone(), path: path.to_string(), unrest, opened: None, torn: false })
    }

    /// A file that is being read, as the operator knows it.
    pub(crate) fn being_read(&self) -> Option<String> {
        self.files_read().first().map(|path| self.full(path))
    }

    fn files_read(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.being_read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_regular(&self, path: &str, wanted: Option<&str>) -> Result<Opened> {
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
        if wanted.is_some_and(|wanted| wanted != version(&stat)) {
            let full = self.full(path);
            return Err(Error::unavailable(format!("read {full}: it is not the file any more that was listed")));
        }
        let sparse = stat.st_blocks * 512 + PAGE_BYTES < stat.st_size;
        Ok(Opened {
            file: opened.into(),
            looks: looks(&stat),
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            at: 0,
            data_until: if sparse { 0 } else { u64::MAX },
        })
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
    unrest: Unrest,
    opened: Option<Opened>,
    /// It was written to, and that was noted.
    torn: bool,
}

struct Opened {
    file: File,
    /// What it was when it was opened.
    looks: Looks,
    /// How long it was then.
    size: u64,
    at: u64,
    /// Up to here there is no hole that would be passed over.
    data_until: u64,
}

impl FileContent {
    /// The file, opened.
    fn opened(&mut self) -> Result<&mut Opened> {
        if self.opened.is_none() {
            let wanted = match &self.unrest {
                Unrest::Refused { version } => version.as_deref(),
                Unrest::Noted => None,
            };
            // Before: to open it may take for ever, too.
            self.directory.files_read().insert(self.path.clone());
            self.opened = Some(self.directory.open_regular(&self.path, wanted)?);
        }
        self.opened.as_mut().ok_or_else(|| Error::internal("a file that was just opened is gone"))
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::io(format!("read {}", self.directory.full(&self.path)), error)
    }

    /// How many bytes may be read next. Nothing is read for ever: of a file that grows, there is what it had when it was
    /// opened, and one that does not say how long it is has to end.
    fn allowed(&mut self) -> Result<u64> {
        let Opened { at, size, .. } = *self.opened()?;
        let Some(beyond) = at.checked_sub(size) else { return Ok(size - at) };
        if self.is_changed()? {
            return self.look_back().map(|()| 0);
        }
        match UNTOLD_BYTES.saturating_sub(beyond) {
            0 => {
                let (full, size, beyond) = (self.directory.full(&self.path), words::bytes(size), words::bytes(beyond));
                Err(Error::unsupported(format!(
                    "read {full}: it says that it has {size}, and does not end {beyond} behind that"
                )))
            }
            left => Ok(left),
        }
    }

    /// Whether it is another file by now, or has other content.
    fn is_changed(&self) -> Result<bool> {
        let Some(opened) = &self.opened else { return Ok(false) };
        let now = fs::fstat(&opened.file).map_err(|e| self.failed(e.into()))?;
        Ok(looks(&now) != opened.looks)
    }

    /// At its end: whether it is still what it was.
    fn look_back(&mut self) -> Result<()> {
        if !self.is_changed()? {
            return Ok(());
        }
        match self.unrest {
            Unrest::Refused { .. } => {
                let full = self.directory.full(&self.path);
                Err(Error::unavailable(format!("read {full}: it was written to while it was read")))
            }
            Unrest::Noted => {
                if !std::mem::replace(&mut self.torn, true) {
                    self.directory.note("written to while they were read: a torn copy may be stored", &self.path);
                }
                Ok(())
            }
        }
    }
}

impl Drop for FileContent {
    fn drop(&mut self) {
        self.directory.files_read().remove(&self.path);
    }
}

impl Opened {
    /// Passes over a hole here, or learns how far it is to the next.
    fn skip_hole(&mut self) -> std::io::Result<u64> {
        if self.at < self.data_until {
            return Ok(0);
        }
        let length = self.file.metadata()?.len().min(self.size);
        if self.at >= length {
            return Ok(0);
        }
        let data = match fs::seek(&self.file, fs::SeekFrom::Data(self.at)) {
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => length,
            Err(_) => return self.read_all(),
            Ok(data) => data.min(length),
        };
        let hole = data.saturating_sub(self.at);
        if hole >= HOLE_BYTES_MIN {
            self.at = self.file.seek(SeekFrom::Start(data))?;
            return Ok(hole);
        }
        self.data_until = match fs::seek(&self.file, fs::SeekFrom::Hole(data)) {
            Ok(next) => next.max(self.at + 1),
            Err(_) => return self.read_all(),
        };
        self.file.seek(SeekFrom::Start(self.at))?;
        Ok(0)
    }

    /// A file system that does not tell of holes: their zeros are read.
    fn read_all(&mut self) -> std::io::Result<u64> {
        self.data_until = u64::MAX;
        self.file.seek(SeekFrom::Start(self.at))?;
        Ok(0)
    }

    /// Reads, not beyond where a hole may begin.
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = match self.data_until.saturating_sub(self.at) {
            // Whoever does not ask for holes gets their zeros.
            0 => buffer.len(),
            most => usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len()),
        };
        let read = self.file.read(&mut buffer[..most])?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Read for FileContent {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let allowed = usize::try_from(self.allowed()?).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.opened()?.read(&mut buffer[..allowed]);
        let read = read.map_err(|error| self.failed(error))?;
        if read == 0 && !buffer.is_empty() {
            self.look_back()?;
        }
        Ok(read)
    }
}

impl ReadContent for FileContent {
    fn skip_hole(&mut self) -> std::io::Result<u64> {
        let skipped = self.opened()?.skip_hole();
        skipped.map_err(|error| self.failed(error).into())
    }

    fn is_torn(&self) -> bool {
        self.torn
    }
}
