//! Creating: below the directory, each file whole or not at all, and never over what the rule for conflicts protects.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use dozo_job::port::{Conflict, Content, Entry, EntryKind};
use dozo_job::{Error, Result};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use super::{Directory, NewFile, is_missing, is_privilege, links, metadata};

/// What a directory has before its own mode is set, and what those keep that no entry describes.
const MODE_UNTIL_SET: u32 = 0o700;
const MODE_OF_MISSING_PARENTS: u32 = 0o755;

/// Numbers the temporary names of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Directory {
    /// Creates an entry, with content if it is a file, and the directories above it that are missing. Returns the bytes
    /// of content that were written.
    pub(crate) fn create(&self, entry: &Entry, content: Option<Content>, buffer: &mut [u8]) -> Result<u64> {
        self.created(&entry.path, self.create_entry(entry, content, buffer))
    }

    fn create_entry(&self, entry: &Entry, content: Option<Content>, buffer: &mut [u8]) -> Result<u64> {
        let conflict = self.conflict()?;
        if entry.path.is_empty() {
            return self.create_root(entry);
        }
        let place = self.place(&entry.path)?;
        if conflict == Conflict::Skip && self.is_left(&place, entry)? {
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
            EntryKind::Hardlink(target) => {
                if self.create_link(&place, entry, target, conflict)? {
                    return Ok(0);
                }
                self.note("other names of files that could not be linked are files of their own", &entry.path);
                let alone = Entry { kind: EntryKind::File, size: None, ..entry.clone() };
                self.create_file_at(place, &alone, content, buffer)
            }
        }
    }

    /// Begins a file whose bytes the plugin makes.
    pub(crate) fn create_file(&self, entry: Entry) -> Result<NewFile> {
        let path = entry.path.clone();
        // What began well is created when it is closed.
        self.begin_file(entry).or_else(|error| self.created(&path, Err(error)))
    }

    fn begin_file(&self, entry: Entry) -> Result<NewFile> {
        let conflict = self.conflict()?;
        if !matches!(entry.kind, EntryKind::File) {
            return Err(Error::invalid(format!("create {}: it is not a file", self.full(&entry.path))));
        }
        NewFile::begin(self.clone(), self.place(&entry.path)?, entry, conflict)
    }

    /// Sets owner, mode and time of a directory, once all that is in it is there.
    pub(crate) fn set_metadata(&self, entry: &Entry) -> Result<()> {
        self.created(&entry.path, self.set_metadata_of(entry))
    }

    fn set_metadata_of(&self, entry: &Entry) -> Result<()> {
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
            Err(error) if is_missing(&error) => {
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
                    metadata::chmod_itself(&*parent, &name, mode)
                        .map_err(|e| self.failed("set the mode of", directory, e))?;
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.failed("create the directory", directory, errno)),
            }
        }
        Ok(())
    }

    /// Whether something is there that `Skip` leaves alone; then it is counted. A directory in a directory's place is not: its
    /// entries may still be missing.
    pub(super) fn is_left(&self, place: &Place, entry: &Entry) -> Result<bool> {
        match fs::statat(&*place.parent, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                let there = FileType::from_raw_mode(stat.st_mode);
                let both = entry.kind == EntryKind::Directory && there == FileType::Directory;
                // Its content is not looked at, so no other name may become one of it.
                self.0.left.fetch_add(u64::from(!both), Ordering::Relaxed);
                if !both && !metadata::looks_like(&stat, there, entry) {
                    self.0.differing.fetch_add(1, Ordering::Relaxed);
                    self.note("left as found, though the snapshot has something else", &entry.path);
                }
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
        let make = |name: &OsStr| {
            fs::mknodat(&*place.parent, name, FileType::CharacterDevice, Mode::empty(), fs::makedev(1, 3))
        };
        match with_temporary_name(make) {
            Ok(((), name)) => {
                let _ = unlink(&place.parent, &name);
                true
            }
            Err(errno) => !is_privilege(errno),
        }
    }

    /// Makes something under a temporary name, with its metadata, and gives it its own.
    fn create_named(
        &self,
        place: &Place,
        entry: &Entry,
        conflict: Conflict,
        make: impl Fn(&OsStr) -> Result<(), Errno>,
    ) -> Result<u64> {
        let ((), temporary) = with_temporary_name(make).map_err(|e| self.failed("create", &entry.path, e))?;
        let named = self
            .apply_to_name(&*place.parent, &temporary, entry)
            .and_then(|()| self.rename(place, &temporary, entry, conflict));
        if named.is_err() {
            let _ = unlink(&place.parent, &temporary);
        }
        named.map(|()| 0)
    }

    /// Makes another name of what was created for `target`; tells whether it could. Not where something else lies there.
    fn create_link(&self, place: &Place, entry: &Entry, target: &str, conflict: Conflict) -> Result<bool> {
        let Some(holder) = self.0.holders.take_name(target) else { return Ok(false) };
        // What is not there any more, or not to be reached, gets no other name.
        let Ok((parent, name)) = self.parent(target) else { return Ok(false) };
        let is_holder = |directory: &OwnedFd, name: &OsStr| {
            let stat = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
            stat.is_ok_and(|stat| links::identity(&stat) == holder && is_regular(&stat))
        };
        // Both, because numbers of files that are gone come again.
        if conflict == Conflict::Replace && is_holder(&parent, &name) && is_holder(&place.parent, &place.name) {
            return Ok(true);
        }
        let link = |temporary: &OsStr| fs::linkat(&*parent, &name, &*place.parent, temporary, AtFlags::empty());
        let temporary = match with_temporary_name(link) {
            Ok(((), temporary)) => temporary,
            // Too many names, another file system below, or a file that this user may not link.
            Err(Errno::MLINK | Errno::XDEV | Errno::PERM | Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(self.failed("link", &entry.path, errno)),
        };
        let is_linked = is_holder(&place.parent, &temporary);
        let named = if is_linked { self.rename(place, &temporary, entry, conflict).map(|()| true) } else { Ok(false) };
        if !matches!(named, Ok(true)) {
            let _ = unlink(&place.parent, &temporary);
        }
        named
    }

    fn create_file_at(&self, place: Place, entry: &Entry, content: Option<Content>, buffer: &mut [u8]) -> Result<u64> {
        let conflict = self.conflict()?;
        let Some(mut content) = content else {
            return NewFile::begin(self.clone(), place, entry.clone(), conflict)?.close();
        };
        if conflict == Conflict::Replace
            && let Some((there, stat)) = regular(&place)
        {
            let names = entry.posix.as_ref().map_or(1, |posix| u64::from(posix.links.max(1)));
            if stat.st_nlink <= names && content.is_in(&there).map_err(|e| Error::io("read the content", e))? {
                self.note("files that had their content already, which was compared, were not written", &entry.path);
                self.apply_to_file(&there, entry)?;
                self.0.holders.remember(entry, &stat);
                return Ok(stat.st_size as u64);
            }
            content.draw_on(there);
        }
        let mut file = NewFile::begin(self.clone(), place, entry.clone(), conflict)?;
        file.fill(content, buffer)?;
        file.close()
    }

    pub(super) fn rename(&self, place: &Place, temporary: &OsStr, entry: &Entry, conflict: Conflict) -> Result<()> {
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
pub(super) struct Place {
    pub(super) parent: Arc<OwnedFd>,
    pub(super) name: OsString,
}

/// The regular file that is there, if one is and can be read.
fn regular(place: &Place) -> Option<(File, Stat)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = fs::openat(&*place.parent, &place.name, flags, Mode::empty()).ok()?;
    let stat = fs::fstat(&opened).ok()?;
    is_regular(&stat).then(|| (opened.into(), stat))
}

fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// A name that no other process and no other file of this one has.
fn temporary_name() -> OsString {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!(".dozo-{}-{number}", std::process::id()).into()
}

/// Makes something under a temporary name. One that a killed process of the same number left is passed over: in containers
/// numbers come again.
pub(super) fn with_temporary_name<T>(make: impl Fn(&OsStr) -> Result<T, Errno>) -> Result<(T, OsString), Errno> {
    loop {
        let name = temporary_name();
        match make(&name) {
            Err(Errno::EXIST) => {}
            made => return Ok((made?, name)),
        }
    }
}

pub(super) fn unlink(parent: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => fs::unlinkat(parent, name, AtFlags::REMOVEDIR),
        unlinked => unlinked,
    }
}
