//! Creating: below the directory, each file whole or not at all, and never over what the rule for conflicts protects.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};

use dozo_job::port::{Conflict, Content, Entry, EntryKind};
use dozo_job::{Error, Result};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::directories::Role;
use super::free_name::name_free;
use super::place::{Place, held};
use super::plan::Action;
use super::stage::Stage;
use super::subject::Subject;
use super::{Directory, NewFile, errno_of, is_privilege, links, metadata};

/// How temporary names begin; the numbers of the process and of the file come behind.
pub(super) const TEMPORARY: &str = ".dozo-";

const OTHER_NAMES: &str = "are names of a file that has one more, which the snapshot does not have: who writes to that, writes to these; \
                           the same restore once more makes them a file of their own";

/// Numbers the temporary names of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Directory {
    /// Creates an entry, with content if it is a file, and the directories above it that are missing. Returns the bytes
    /// of content that were written.
    pub(crate) fn create(&self, entry: &Entry, role: Role, content: Option<Content>, buffer: &mut [u8]) -> Result<u64> {
        self.created(&entry.path, self.create_entry(entry, role, content, buffer))
    }

    fn create_entry(&self, entry: &Entry, role: Role, content: Option<Content>, buffer: &mut [u8]) -> Result<u64> {
        let conflict = self.conflict()?;
        if entry.path.is_empty() {
            return self.create_root(entry);
        }
        self.put_back(&entry.path)?;
        if self.0.planner.is_some() {
            return self.plan(entry, role, content);
        }
        let place = match self.place(&entry.path) {
            Err(error) if conflict == Conflict::Skip && is_in_the_way(&error) => {
                return Ok(self.left_with_what_is_above(entry));
            }
            placed => placed?,
        };
        let _turn = self.is_no_twin(&place, entry)?;
        let saw = Place { parent: place.parent.clone(), name: place.name.clone() };
        let bytes = self.create_at(place, entry, (conflict, role), content, buffer)?;
        self.saw(&saw, entry);
        Ok(bytes)
    }

    /// Creates an entry in its place.
    fn create_at(
        &self,
        place: Place,
        entry: &Entry,
        (conflict, role): (Conflict, Role),
        content: Option<Content>,
        buffer: &mut [u8],
    ) -> Result<u64> {
        if entry.kind == EntryKind::Directory && role == Role::Above {
            return self.create_directory_at(&place, entry, (conflict, role));
        }
        if conflict == Conflict::Skip && self.is_left(&place, entry)? {
            return Ok(0);
        }
        match &entry.kind {
            EntryKind::File => self.create_file_at(place, entry, content, buffer),
            EntryKind::Directory => self.create_directory_at(&place, entry, (conflict, role)),
            EntryKind::Symlink(target) => {
                let target = metadata::target_bytes(target)?;
                let make = |at: &OwnedFd, name: &OsStr| fs::symlinkat(OsStr::from_bytes(&target), at, name);
                self.create_named(&place, entry, conflict, make)
            }
            EntryKind::Fifo => self.make_node(&place, entry, conflict, (FileType::Fifo, 0)),
            EntryKind::Socket => self.make_node(&place, entry, conflict, (FileType::Socket, 0)),
            EntryKind::CharDevice(major, minor) => {
                let device = fs::makedev(*major, *minor);
                self.make_node(&place, entry, conflict, (FileType::CharacterDevice, device))
            }
            EntryKind::BlockDevice(major, minor) => {
                let device = fs::makedev(*major, *minor);
                self.make_node(&place, entry, conflict, (FileType::BlockDevice, device))
            }
            EntryKind::Hardlink(target) => {
                if self.create_link(&place, entry, target, conflict)? {
                    return Ok(0);
                }
                if content.is_none() {
                    let (full, target) = (self.full(&entry.path), dozo_job::port::path::shown(target));
                    return Err(Error::unsupported(format!("create {full}: it cannot be made a name of `{target}`")));
                }
                self.note("other names of files that could not be linked are files of their own", &entry.path);
                let alone = Entry { kind: EntryKind::File, size: None, ..entry.clone() };
                self.create_file_at(place, &alone, content, buffer)
            }
        }
    }

    /// Something else stands where the snapshot has a directory above an entry, and is to be left: so there is no place for
    /// the entry.
    fn left_with_what_is_above(&self, entry: &Entry) -> u64 {
        self.leave_metadata(entry);
        self.0.left.fetch_add(1, Ordering::Relaxed);
        self.0.differing.fetch_add(1, Ordering::Relaxed);
        self.note("not restored, because something else is in the place of a directory above", &entry.path);
        0
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
        self.put_back(&entry.path)?;
        if self.0.planner.is_some() {
            return self.plan_file(entry, conflict);
        }
        match self.place(&entry.path) {
            Err(error) if conflict == Conflict::Skip && is_in_the_way(&error) => {
                self.left_with_what_is_above(&entry);
                NewFile::nowhere(self.clone(), entry, conflict)
            }
            place => NewFile::begin(self.clone(), place?, entry, conflict),
        }
    }

    /// Removes a file or an empty directory.
    pub(crate) fn remove(&self, path: &str) -> Result<()> {
        if self.conflict()? != Conflict::Replace {
            let full = self.full(path);
            return Err(Error::not_granted(format!("remove {full}: only a restore with `--conflict replace` removes")));
        }
        let Place { parent, name } = self.parent_to_write(path)?;
        if self.0.planner.is_some() {
            self.show(Action::Delete, path);
            return Ok(());
        }
        unlink(&parent, &name).map_err(|e| self.failed("remove", path, e))?;
        self.0.met.forget(path);
        Ok(())
    }

    fn create_root(&self, entry: &Entry) -> Result<u64> {
        match entry.kind {
            EntryKind::Directory => Ok(0),
            _ => Err(Error::invalid(format!("create {}: it is a directory", self.full("")))),
        }
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
                if !both {
                    self.leave_metadata(entry);
                }
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

    fn make_node(
        &self,
        place: &Place,
        entry: &Entry,
        conflict: Conflict,
        (kind, device): (FileType, u64),
    ) -> Result<u64> {
        let make = |at: &OwnedFd, name: &OsStr| fs::mknodat(at, name, kind, Mode::from_raw_mode(0o600), device);
        let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        match self.create_named(place, entry, conflict, make) {
            Err(_) if is_device && !self.may_make_devices(place) => {
                self.note("devices were not created, because this user may not", &entry.path);
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

    /// Makes something under a temporary name, with its metadata, and gives it its own. Where it is there already it gets the
    /// metadata alone: what is made anew belongs to whoever makes it.
    fn create_named(
        &self,
        place: &Place,
        entry: &Entry,
        conflict: Conflict,
        make: impl Fn(&OwnedFd, &OsStr) -> Result<(), Errno>,
    ) -> Result<u64> {
        if conflict == Conflict::Replace
            && let Ok((there, stat)) = place.held()
            && metadata::is_one_of(&there, &stat, entry)?
            && self.may_be_kept(Subject::Held(there.as_fd()), (place, &stat), entry)?
        {
            self.apply(Subject::Held(there.as_fd()), entry)?;
            self.0.holders.remember(entry, &stat);
            return Ok(0);
        }
        let failed = |e| self.failed("create", &entry.path, e);
        let stage = Stage::beside(place).map_err(failed)?;
        let at = stage.directory();
        let ((), temporary) = with_temporary_name(|name| make(at, name)).map_err(failed)?;
        let named = self.name_made((at, &temporary), place, entry, conflict);
        if named.is_err() {
            let _ = unlink(at, &temporary);
        }
        named.map(|()| 0)
    }

    /// Gives what was made its metadata and its name.
    fn name_made(
        &self,
        (at, temporary): (&OwnedFd, &OsStr),
        place: &Place,
        entry: &Entry,
        conflict: Conflict,
    ) -> Result<()> {
        let (made, stat) = held(at, temporary).map_err(|e| self.failed("look at", &entry.path, e))?;
        self.apply(Subject::Held(made.as_fd()), entry)?;
        self.rename((at, temporary), place, entry, conflict)?;
        self.0.holders.remember(entry, &stat);
        Ok(())
    }

    /// Makes another name of what was created for `target`; tells whether it could. Not where something else lies there.
    fn create_link(&self, place: &Place, entry: &Entry, target: &str, conflict: Conflict) -> Result<bool> {
        let Some((holder, links)) = self.0.holders.take_name(target) else { return Ok(false) };
        // What is not there any more, or not to be reached, gets no other name.
        let Ok(Place { parent, name }) = self.parent_to_write(target) else { return Ok(false) };
        let is_holder = |directory: &OwnedFd, name: &OsStr| {
            let stat = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
            stat.is_ok_and(|stat| links::identity(&stat) == holder)
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
        let named = if is_linked {
            self.rename((&place.parent, &temporary), place, entry, conflict).map(|()| true)
        } else {
            Ok(false)
        };
        if !matches!(named, Ok(true)) {
            let _ = unlink(&place.parent, &temporary);
        } else if fs::statat(&*place.parent, &place.name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|it| has_more(&it, links))
        {
            // It was kept before this name was missed: somebody had given the file another instead.
            self.note(OTHER_NAMES, &entry.path);
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
            if has_no_other_names(&stat, entry)
                && self.may_be_kept(Subject::Open(there.as_fd()), (&place, &stat), entry)?
                && content.is_in(&there).map_err(|e| Error::io("read the content", e))?
            {
                self.note("files that had their content already, which was compared, were not written", &entry.path);
                self.apply(Subject::Open(there.as_fd()), entry)?;
                self.0.holders.remember(entry, &stat);
                return Ok(stat.st_size as u64);
            }
            content.draw_on(there);
        }
        let mut file = NewFile::begin(self.clone(), place, entry.clone(), conflict)?;
        file.fill(content, buffer)?;
        file.close()
    }

    /// Gives what was made its name.
    pub(super) fn rename(
        &self,
        (at, temporary): (&OwnedFd, &OsStr),
        Place { parent, name }: &Place,
        entry: &Entry,
        conflict: Conflict,
    ) -> Result<()> {
        let failed = |e| self.failed("create", &entry.path, e);
        let parent = &**parent;
        if conflict != Conflict::Replace {
            return name_free((at, temporary), (parent, name)).map_err(|errno| match errno {
                Errno::OPNOTSUPP => self.unnamed(entry),
                _ => failed(errno),
            });
        }
        match fs::renameat(at, temporary, parent, name) {
            // An empty directory gives way to a file; one with something in it does not.
            Err(Errno::ISDIR) => {
                fs::unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(failed)?;
                fs::renameat(at, temporary, parent, name).map_err(failed)
            }
            renamed => renamed.map_err(failed),
        }
    }
}

impl Directory {
    fn unnamed(&self, entry: &Entry) -> Error {
        let full = self.full(&entry.path);
        Error::unsupported(format!("create {full}: this file system cannot tell whether something is there already"))
            .hinted("`--conflict replace` does not ask; or restore into a directory that only this user may write to")
    }
}

/// The regular file that is there, if one is and can be read.
pub(super) fn regular(place: &Place) -> Option<(File, Stat)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = fs::openat(&*place.parent, &place.name, flags, Mode::empty()).ok()?;
    let stat = fs::fstat(&opened).ok()?;
    is_regular(&stat).then(|| (opened.into(), stat))
}

/// Whether a file has no more names than its entry: one that has would be changed under those, too.
pub(super) fn has_no_other_names(stat: &Stat, entry: &Entry) -> bool {
    !has_more(stat, entry.posix.as_ref().map_or(1, |posix| posix.links.max(1)))
}

#[allow(clippy::unnecessary_cast, reason = "its type differs from machine to machine")]
fn has_more(stat: &Stat, names: u32) -> bool {
    stat.st_nlink as u64 > u64::from(names)
}

fn is_regular(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Whether an error says that something on the way to a path is no directory.
pub(super) fn is_in_the_way(error: &Error) -> bool {
    error.kind() == dozo_job::Kind::NotGranted || errno_of(error) == Some(Errno::NOTDIR)
}

/// A name that no other process and no other file of this one has.
fn temporary_name() -> OsString {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{TEMPORARY}{}-{number}", std::process::id()).into()
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
