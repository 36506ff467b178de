//! Creating: below the directory, each file whole or not at all, and never over what the rule for conflicts protects.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use dozo_job::port::{Conflict, Content, Entry, EntryKind};
use dozo_job::{Error, Result};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::{Directory, is_privilege, metadata};

/// What a directory has before its own mode is set, and what those keep that no entry describes.
const MODE_UNTIL_SET: u32 = 0o700;
const MODE_OF_MISSING_PARENTS: u32 = 0o755;
/// A file's mode before its own is set: nobody else may look into half a file.
const MODE_OF_HALF_A_FILE: u32 = 0o600;

/// From this length on a file is written without a name; below, the time it saves is worth more.
const UNNAMED_BYTES_MIN: u64 = 1 << 20;

/// Numbers the temporary names of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Directory {
    /// Creates an entry, with content if it is a file, and the directories above it that are missing. Returns the bytes
    /// of content that were written.
    pub(crate) fn create(&self, entry: &Entry, content: Option<Content>, buffer: &mut [u8]) -> Result<u64> {
        let conflict = self.conflict()?;
        if entry.path.is_empty() {
            return self.create_root(entry);
        }
        let place = self.place(&entry.path)?;
        if conflict == Conflict::Skip && self.is_taken_by_other(&place, entry)? {
            self.0.left.fetch_add(1, Ordering::Relaxed);
            return Ok(0);
        }
        match &entry.kind {
            EntryKind::File => self.create_file_at(place, entry, content, buffer),
            EntryKind::Directory => self.create_directory_at(&place, entry, conflict),
            EntryKind::Symlink(target) => {
                let target = metadata::target_bytes(target)?;
                let make = |name: &OsStr| fs::symlinkat(OsStr::from_bytes(&target), &*place.parent, name);
                self.create_named(&place, entry, conflict, make)
            }
            EntryKind::Fifo => self.make_node(&place, entry, conflict, FileType::Fifo, 0),
            EntryKind::Socket => self.make_node(&place, entry, conflict, FileType::Socket, 0),
            EntryKind::CharDevice(major, minor) => {
                self.make_node(&place, entry, conflict, FileType::CharacterDevice, fs::makedev(*major, *minor))
            }
            EntryKind::BlockDevice(major, minor) => {
                self.make_node(&place, entry, conflict, FileType::BlockDevice, fs::makedev(*major, *minor))
            }
            EntryKind::Hardlink(_) => Err(Error::unsupported(format!(
                "create {}: hard links are not restored by this version",
                self.full(&entry.path)
            ))),
        }
    }

    /// Begins a file whose bytes the plugin makes.
    pub(crate) fn create_file(&self, entry: Entry) -> Result<NewFile> {
        let conflict = self.conflict()?;
        if !matches!(entry.kind, EntryKind::File) {
            return Err(Error::invalid(format!("create {}: it is not a file", self.full(&entry.path))));
        }
        NewFile::begin(self.clone(), self.place(&entry.path)?, entry, conflict)
    }

    /// Sets owner, mode and time of a directory, once all that is in it is there.
    pub(crate) fn set_metadata(&self, entry: &Entry) -> Result<()> {
        self.conflict()?;
        if entry.path.is_empty() {
            return self.apply_to_file(self.root(), entry);
        }
        if self.kept().remove(&entry.path) {
            return Ok(());
        }
        let opened = self.open_beneath(&entry.path, OFlags::DIRECTORY | OFlags::RDONLY)?;
        self.apply_to_file(&opened, entry)
    }

    /// Removes a file or an empty directory.
    pub(crate) fn remove(&self, path: &str) -> Result<()> {
        if self.conflict()? != Conflict::Replace {
            let full = self.full(path);
            return Err(Error::not_granted(format!("remove {full}: only a restore with `--conflict replace` removes")));
        }
        let (parent, name) = self.parent(path)?;
        unlink(&parent, &name).map_err(|e| self.failed("remove", path, e))
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create_root(&self, entry: &Entry) -> Result<u64> {
        match entry.kind {
            EntryKind::Directory => Ok(0),
            _ => Err(Error::invalid(format!("create {}: it is a directory", self.full("")))),
        }
    }

    /// The directory for an entry, made with all above it that is missing, and the entry's name.
    fn place(&self, path: &str) -> Result<Place> {
        match self.parent(path) {
            Ok((parent, name)) => Ok(Place { parent, name }),
            Err(error) if error.kind() == dozo_job::Kind::Unavailable => {
                self.make_parents(path)?;
                let (parent, name) = self.parent(path)?;
                Ok(Place { parent, name })
            }
            Err(error) => Err(error),
        }
    }

    fn make_parents(&self, path: &str) -> Result<()> {
        for (at, _) in path.match_indices('/') {
            let directory = &path[..at];
            let (parent, name) = self.parent(directory)?;
            match fs::mkdirat(&*parent, &name, Mode::from_raw_mode(MODE_OF_MISSING_PARENTS)) {
                // Once more, because the process's mask took from it: these may be `/srv` and `/srv/app`.
                Ok(()) => {
                    let mode = Mode::from_raw_mode(MODE_OF_MISSING_PARENTS);
                    fs::chmodat(&*parent, &name, mode, AtFlags::empty())
                        .map_err(|e| self.failed("set the mode of", directory, e))?;
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.failed("create the directory", directory, errno)),
            }
        }
        Ok(())
    }

    /// Whether something is there that `Skip` leaves alone. A directory in a directory's place is not: its entries may
    /// still be missing.
    fn is_taken_by_other(&self, place: &Place, entry: &Entry) -> Result<bool> {
        match fs::statat(&*place.parent, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                let both =
                    entry.kind == EntryKind::Directory && FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                Ok(!both)
            }
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.failed("look at", &entry.path, errno)),
        }
    }

    fn create_directory_at(&self, place: &Place, entry: &Entry, conflict: Conflict) -> Result<u64> {
        let make = || fs::mkdirat(&*place.parent, &place.name, Mode::from_raw_mode(MODE_UNTIL_SET));
        let failed = |e| self.failed("create the directory", &entry.path, e);
        match make() {
            Ok(()) => return Ok(0),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let stat = fs::statat(&*place.parent, &place.name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory if conflict == Conflict::Skip => {
                self.0.left.fetch_add(1, Ordering::Relaxed);
                self.kept().insert(entry.path.clone());
                Ok(0)
            }
            FileType::Directory => Ok(0),
            _ if conflict == Conflict::Replace => {
                unlink(&place.parent, &place.name).and_then(|()| make()).map_err(failed)?;
                Ok(0)
            }
            _ => Err(failed(Errno::EXIST)),
        }
    }

    fn make_node(&self, place: &Place, entry: &Entry, conflict: Conflict, kind: FileType, device: u64) -> Result<u64> {
        let make = |name: &OsStr| fs::mknodat(&*place.parent, name, kind, Mode::from_raw_mode(0o600), device);
        match self.create_named(place, entry, conflict, make) {
            Err(_)
                if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice)
                    && !self.may_make_devices(place) =>
            {
                self.note("devices were not created, because that takes root", &entry.path);
                Ok(0)
            }
            made => made,
        }
    }

    /// Tries with a device that means nothing (0, 0), which the kernel lets everybody make who may make others.
    fn may_make_devices(&self, place: &Place) -> bool {
        let name = temporary_name();
        let made = fs::mknodat(&*place.parent, &name, FileType::CharacterDevice, Mode::empty(), fs::makedev(1, 3));
        let _ = unlink(&place.parent, &name);
        !made.is_err_and(is_privilege)
    }

    /// Makes something under a temporary name, with its metadata, and gives it its own.
    fn create_named(
        &self,
        place: &Place,
        entry: &Entry,
        conflict: Conflict,
        make: impl Fn(&OsStr) -> Result<(), Errno>,
    ) -> Result<u64> {
        let temporary = temporary_name();
        make(&temporary).map_err(|e| self.failed("create", &entry.path, e))?;
        let named = self
            .apply_to_name(&*place.parent, &temporary, entry)
            .and_then(|()| self.rename(place, &temporary, entry, conflict));
        if named.is_err() {
            let _ = unlink(&place.parent, &temporary);
        }
        named.map(|()| 0)
    }

    fn create_file_at(&self, place: Place, entry: &Entry, content: Option<Content>, buffer: &mut [u8]) -> Result<u64> {
        let conflict = self.conflict()?;
        let mut file = NewFile::begin(self.clone(), place, entry.clone(), conflict)?;
        if let Some(mut content) = content {
            loop {
                let read = content.read(buffer).map_err(|e| Error::io("read the content", e))?;
                if read == 0 {
                    break;
                }
                file.write(&buffer[..read])?;
            }
        }
        file.close()
    }

    fn rename(&self, place: &Place, temporary: &OsStr, entry: &Entry, conflict: Conflict) -> Result<()> {
        let failed = |e| self.failed("create", &entry.path, e);
        let (parent, name) = (&*place.parent, &place.name);
        if conflict != Conflict::Replace {
            return fs::renameat_with(parent, temporary, parent, name, RenameFlags::NOREPLACE).map_err(failed);
        }
        match fs::renameat(parent, temporary, parent, name) {
            // An empty directory gives way to a file; one with something in it does not.
            Err(Errno::ISDIR) => {
                fs::unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(failed)?;
                fs::renameat(parent, temporary, parent, name).map_err(failed)
            }
            renamed => renamed.map_err(failed),
        }
    }
}

/// Where an entry will be.
struct Place {
    parent: Arc<OwnedFd>,
    name: OsString,
}

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
}

impl NewFile {
    fn begin(directory: Directory, place: Place, entry: Entry, conflict: Conflict) -> Result<Self> {
        let large = entry.size.is_none_or(|bytes| bytes >= UNNAMED_BYTES_MIN);
        let unnamed = if large { open_unnamed(&place.parent) } else { None };
        let (opened, temporary) = match unnamed {
            Some(opened) => (opened, None),
            None => {
                let temporary = temporary_name();
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let opened = fs::openat(&*place.parent, &temporary, flags, Mode::from_raw_mode(MODE_OF_HALF_A_FILE))
                    .map_err(|e| directory.failed("create", &entry.path, e))?;
                (opened, Some(temporary))
            }
        };
        let file = File::from(opened);
        Ok(NewFile { directory, place, entry, conflict, temporary, file, written: 0, closed: false })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let failed = |e| Error::io(format!("write {}", self.directory.full(&self.entry.path)), e);
        self.file.write_all(bytes).map_err(failed)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Gives the file its metadata and its name; returns its length.
    pub(crate) fn close(mut self) -> Result<u64> {
        self.directory.apply_to_file(self.file.as_fd(), &self.entry)?;
        let temporary = match self.temporary.take() {
            Some(temporary) => temporary,
            None => self.link()?,
        };
        let temporary = self.temporary.insert(temporary);
        self.directory.rename(&self.place, temporary, &self.entry, self.conflict)?;
        self.closed = true;
        Ok(self.written)
    }

    /// Gives a file without a name a temporary one.
    fn link(&self) -> Result<OsString> {
        let (temporary, fd) = (temporary_name(), format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        fs::linkat(fs::CWD, fd, &*self.place.parent, &temporary, AtFlags::SYMLINK_FOLLOW)
            .map_err(|e| self.directory.failed("name", &self.entry.path, e))?;
        Ok(temporary)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.as_ref().filter(|_| !self.closed) {
            let _ = unlink(&self.place.parent, temporary);
        }
    }
}

/// A new file without a name, where the file system can have one and `/proc` is there to name it later.
fn open_unnamed(parent: &OwnedFd) -> Option<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let opened = fs::openat(parent, ".", flags, Mode::from_raw_mode(MODE_OF_HALF_A_FILE)).ok()?;
    std::path::Path::new("/proc/self/fd").exists().then_some(opened)
}

/// A name that no other process and no other file of this one has.
fn temporary_name() -> OsString {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!(".dozo-{}-{number}", std::process::id()).into()
}

fn unlink(parent: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => fs::unlinkat(parent, name, AtFlags::REMOVEDIR),
        unlinked => unlinked,
    }
}
