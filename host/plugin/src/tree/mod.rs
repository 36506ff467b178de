//! A granted directory of the host's file system. Every path is resolved below the directory by the kernel
//! (`openat2` with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`), so that neither `..` nor a symlink, nor a directory that
//! is swapped for one while it is walked, leads out of it. Blocks; called on threads for that.

mod ahead;
mod apply;
mod directories;
mod extra;
mod file;
mod fold;
mod follow;
mod free_name;
mod keep;
mod leftovers;
mod links;
mod metadata;
mod new_file;
mod owners;
mod place;
mod plan;
mod read;
mod room;
mod spared;
mod special;
mod stage;
mod subject;
mod target;
mod trust;
mod uncreated;
mod write;
mod xattrs;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};

use dozo_job::port::{Conflict, Entry, path};
use dozo_job::{Error, LeftOut, Result};
use rustix::fs::{self, FlockOperation, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::quoted::quoted;

pub(crate) use directories::Role;
pub(crate) use file::{FileContent, Unrest};
pub(crate) use metadata::Found;
pub(crate) use new_file::NewFile;
pub use plan::{Action, Planned, Planner};
pub use room::Rooms;
pub use target::{MadeDirectories, Reached};

/// Bytes of a path that are opened in one call: Linux takes 4,096.
const PATH_BYTES_AT_ONCE: usize = 4_000;

/// What may be done in a granted directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Listing and reading.
    Read,
    /// Also creating, with this rule for what is there already.
    Write(Conflict),
}

/// A directory that the operator granted.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

struct Inner {
    root: Arc<OwnedFd>,
    shown: PathBuf,
    access: Access,
    /// The directory that was used last: most calls in a row are about entries of one.
    last: Mutex<Option<(String, Arc<OwnedFd>)>>,
    ahead: Arc<ahead::Ahead>,
    notes: Mutex<BTreeMap<&'static str, Note>>,
    owners: owners::Owners,
    holders: links::Holders,
    uncreated: uncreated::Uncreated,
    met: directories::Met,
    folds: fold::Folds,
    /// Who is shown what a restore would do. Then nothing is written.
    planner: Option<Planner>,
    foreseen: plan::Foreseen,
    /// What a restore that is to delete knows of what it put back.
    extra: Option<extra::Extra>,
    /// The directory of the snapshot whose content goes straight into this one, which was made for it.
    stands_for: Option<Entry>,
    /// It was looked whether this process may work in the directory itself.
    root_was_looked_at: Once,
    /// Files that are open to be read: what a call that is stopped was at.
    being_read: Mutex<BTreeSet<String>>,
    /// A time with a fraction of a second was set, and looked at for what the file system made of it.
    time_was_looked_at: AtomicBool,
    /// Entries that were left as they were, and those of them that are not what the snapshot has.
    left: AtomicU64,
    differing: AtomicU64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.ahead.end();
    }
}

/// Something that happened to many entries, told once.
struct Note {
    count: u64,
    first: String,
}

impl Directory {
    /// Opens a directory for granting.
    ///
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid) if it is not there or not a directory, [`Denied`](dozo_job::Kind::Denied) without permission.
    pub fn open(directory: &Path, access: Access) -> Result<Self> {
        Directory::open_as(directory, directory, access)
    }

    /// The same for a directory that the plugin sees at another path: what was restored, in the place of what was there.
    ///
    /// # Errors
    /// As [`open`](Directory::open).
    pub fn open_as(directory: &Path, shown: &Path, access: Access) -> Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let root = fs::open(directory, flags, Mode::empty()).map_err(|e| unopened(directory, access, e))?;
        Ok(Directory::of(root, shown, access))
    }

    /// A directory that is open.
    fn of(root: OwnedFd, shown: &Path, access: Access) -> Self {
        Directory(Arc::new(Inner {
            root: Arc::new(root),
            shown: shown.to_path_buf(),
            access,
            last: Mutex::default(),
            ahead: Arc::default(),
            notes: Mutex::default(),
            owners: owners::Owners::default(),
            holders: links::Holders::default(),
            uncreated: uncreated::Uncreated::default(),
            met: directories::Met::default(),
            folds: fold::Folds::default(),
            planner: None,
            foreseen: plan::Foreseen::default(),
            extra: None,
            stands_for: None,
            root_was_looked_at: Once::new(),
            being_read: Mutex::default(),
            time_was_looked_at: AtomicBool::new(false),
            left: AtomicU64::new(0),
            differing: AtomicU64::new(0),
        }))
    }

    /// Takes owners of entries by their numbers, whatever the names are on this machine.
    #[must_use]
    pub fn by_number(mut self) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.owners.are_numbers = true;
        }
        self
    }

    /// Writes nothing, and shows what a restore would do.
    #[must_use]
    pub fn planning(mut self, planner: Planner) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.planner = Some(planner);
        }
        self
    }

    /// Deletes, at the end of a restore that is complete, what lies in restored directories and is not in the snapshot, though it would
    /// be if it had been there. With `is_restored`, this directory is one of them: it takes the whole content of one that the
    /// snapshot has.
    #[must_use]
    pub fn deleting(mut self, left_out: Arc<LeftOut>, is_restored: bool) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.extra = Some(extra::Extra::new(left_out, is_restored));
        }
        self
    }

    /// Becomes, at the end of a restore, what a directory of the snapshot was: one that only its owner could look into does not
    /// come back open to all because its content was restored under another name.
    #[must_use]
    pub fn standing_for(mut self, entry: Entry) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.stands_for = Some(Entry { path: String::new(), ..entry });
        }
        self
    }

    /// Says that a restore is at work here, until the directory is let go of: alone, where it was empty.
    ///
    /// # Errors
    /// [`Busy`](dozo_job::Kind::Busy) if another one is. Where the file system has no locks, nobody is.
    pub fn claim(&self) -> Result<()> {
        let alone = self.0.access == Access::Write(Conflict::Refuse);
        let lock = if alone { FlockOperation::NonBlockingLockExclusive } else { FlockOperation::NonBlockingLockShared };
        match fs::flock(&self.0.root, lock) {
            Err(Errno::WOULDBLOCK) => Err(Error::busy(format!("another restore is at work in {}", self.shown()))
                .hinted("wait until it is done, or end it")),
            _ => Ok(()),
        }
    }

    /// The path that the operator wrote.
    pub fn shown(&self) -> String {
        self.0.shown.display().to_string()
    }

    /// Makes all that was written durable.
    pub(crate) fn sync(&self) -> Result<()> {
        if self.0.access == Access::Read || self.0.planner.is_some() {
            return Ok(());
        }
        fs::syncfs(&self.0.root).map_err(|e| self.failed("sync", "", e))
    }

    /// What happened to entries without being an error.
    pub(crate) fn take_notes(&self) -> Vec<String> {
        let mut notes = self.0.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let told = std::mem::take(&mut *notes).into_iter();
        told.map(|(what, note)| match note.count {
            1 => format!("{what}: `{}`", note.first),
            count => format!("{what}: {count} entries, the first is `{}`", note.first),
        })
        .collect()
    }

    /// Entries that were left as they were, because something was there already.
    pub(crate) fn entries_left(&self) -> u64 {
        self.0.left.load(Ordering::Relaxed)
    }

    /// Of these, entries that are not what the snapshot has: of another kind, length or time.
    pub(crate) fn entries_differing(&self) -> u64 {
        self.0.differing.load(Ordering::Relaxed)
    }

    fn note(&self, what: &'static str, entry: &str) {
        // What is backed up has the name by which the operator knows it, as in every other note of a run; and the directory
        // itself has no other.
        let is_full = self.0.access == Access::Read || entry.is_empty();
        let first = || if is_full { self.full(entry) } else { path::shown(entry) };
        let mut notes = self.0.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.entry(what).or_insert_with(|| Note { count: 0, first: first() }).count += 1;
    }

    /// A directory below this one, opened for reading or for working in it.
    fn subdirectory(&self, path: &str) -> Result<Arc<OwnedFd>> {
        if let Some((_, fd)) = self.last().as_ref().filter(|(last, _)| last == path) {
            return Ok(fd.clone());
        }
        let fd = Arc::new(self.open_beneath(path, OFlags::DIRECTORY | OFlags::RDONLY)?);
        *self.last() = Some((path.to_string(), fd.clone()));
        Ok(fd)
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<(String, Arc<OwnedFd>)>> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a path below this directory, following no symlink on the way or at its end.
    fn open_beneath(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
        self.open_relative(&relative(path)?, flags).map_err(|e| self.failed("open", path, e))
    }

    fn open_relative(&self, relative: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        let (mut rest, mut from) = (relative.as_bytes(), None::<OwnedFd>);
        // A path may be longer than the kernel takes at once.
        while rest.len() > PATH_BYTES_AT_ONCE
            && let Some(end) = rest[..PATH_BYTES_AT_ONCE].iter().rposition(|byte| *byte == b'/')
        {
            let (step, behind) = (OsStr::from_bytes(&rest[..end]), &rest[end + 1..]);
            let flags = OFlags::DIRECTORY | OFlags::PATH;
            from = Some(beneath(from.as_ref().unwrap_or(&self.0.root), step, flags)?);
            rest = behind;
        }
        beneath(from.as_ref().unwrap_or(&self.0.root), OsStr::from_bytes(rest), flags)
    }

    /// The directory that holds a path, and the path's last name.
    fn parent(&self, path: &str) -> Result<(Arc<OwnedFd>, OsString)> {
        // As a whole: `/a` has a parent and a name, and is no path. And before anything is made above it.
        path::check(path)?;
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let name = name_bytes(name)?;
        Ok((self.subdirectory(parent)?, name))
    }

    /// What the kernel said about a path, in words that fit: a symlink on the way out is not a missing file.
    fn failed(&self, what: &str, path: &str, errno: Errno) -> Error {
        let full = self.full(path);
        match errno {
            Errno::LOOP => Error::not_granted(format!("{what} {full}: a symlink is there, or in the way to it")),
            Errno::XDEV => {
                Error::not_granted(format!("{what} {full}: a symlink or `..` leads out of the granted directory"))
            }
            Errno::NOENT | Errno::STALE => Error::unavailable(format!("{what} {full}: it is not there (any more)"))
                .caused_by(std::io::Error::from(errno)),
            Errno::NOTDIR => Error::unavailable(format!("{what} {full}: it, or what it lies in, is no directory"))
                .caused_by(std::io::Error::from(errno)),
            Errno::BUSY => Error::invalid(format!("{what} {full}: a file system is mounted there"))
                .hinted("unmount it, or restore to another directory"),
            Errno::EXIST => Error::invalid(format!("{what} {full}: something is there already")).hinted(
                // Also who replaces leaves what cannot be told to be of the snapshot.
                match self.0.access {
                    Access::Write(Conflict::Replace) => "look what it is, and move it out of the way",
                    _ => "`--conflict skip` leaves what is there, `--conflict replace` puts the restored in its place",
                },
            ),
            Errno::NAMETOOLONG => {
                Error::unsupported(format!("{what} {full}: its name is too long for this file system"))
            }
            Errno::NOTEMPTY => Error::invalid(format!("{what} {full}: a directory with something in it is there")),
            Errno::AGAIN => Error::unavailable(format!("{what} {full}: it is being renamed all the time")),
            _ => Error::io(format!("{what} {full}"), errno.into()),
        }
    }

    fn full(&self, path: &str) -> String {
        match path {
            "" => self.shown(),
            _ => format!("{}/{}", self.0.shown.display().to_string().trim_end_matches('/'), path::shown(path)),
        }
    }

    /// The path that an entry has from the root of the machine on, where that can be one of a snapshot.
    fn whole(&self, below: &str) -> String {
        let above = self.0.shown.to_str().map(|shown| shown.trim_matches('/')).filter(|above| !above.is_empty());
        let whole = above.map(|above| format!("{above}/{below}"));
        whole.filter(|whole| path::check(whole).is_ok()).unwrap_or_else(|| below.to_string())
    }

    fn root(&self) -> impl AsFd + '_ {
        &*self.0.root
    }

    /// The rule for what is there already, or why nothing may be created here.
    fn conflict(&self) -> Result<Conflict> {
        match self.0.access {
            Access::Write(conflict) => Ok(conflict),
            Access::Read => {
                let shown = self.shown();
                Err(Error::not_granted(format!("{shown} is granted for reading only"))
                    .hinted(format!("a restore writes where `--to` points; else grant `write = [{}]`", quoted(&shown))))
            }
        }
    }
}

/// Why a granted directory cannot be opened. One that is to be read and is not there is a source that is away, as one is
/// that has nothing in it.
fn unopened(directory: &Path, access: Access, errno: Errno) -> Error {
    let shown = directory.display();
    match (errno, access) {
        (Errno::NOTDIR, _) => {
            let above = directory.parent().unwrap_or(directory).display();
            Error::invalid(format!("{shown} is granted, and is not a directory"))
                .hinted(format!("directories are granted: the one that it is in is {above}"))
        }
        (Errno::NOENT, Access::Read) => {
            Error::unavailable(format!("{shown} is not there: is its file system mounted?"))
                .hinted("a directory that is gone for good is taken out of the job's `grant` and configuration")
        }
        _ => Error::io(format!("open the granted directory {shown}"), errno.into()),
    }
}

/// Finds an absolute path of the file system among granted directories: the innermost that holds it, the canonical path
/// in that, and the canonical path of its entries.
///
/// # Errors
/// [`Invalid`](dozo_job::Kind::Invalid) if it is not absolute, [`NotGranted`](dozo_job::Kind::NotGranted) with the line to
/// add if no granted directory holds it.
pub(crate) fn locate(granted: &[Directory], path: &str) -> Result<(Directory, String, String)> {
    let wanted = Path::new(path);
    let plain = wanted.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    if !wanted.is_absolute() || !plain {
        return Err(Error::invalid(format!("`{}` is not an absolute path without `..`", path::shown(path))));
    }
    let holding = granted.iter().filter(|directory| wanted.starts_with(&directory.0.shown));
    let Some(directory) = holding.max_by_key(|directory| directory.0.shown.components().count()) else {
        let shown = path::shown(path);
        return Err(Error::not_granted(format!("`{shown}` is in no granted directory"))
            .hinted(format!("grant = {{ read = [{}] }}", quoted(&directory_of(wanted)))));
    };
    let relative = wanted.strip_prefix(&directory.0.shown).unwrap_or(wanted);
    Ok((directory.clone(), escaped(relative), escaped(wanted)))
}

/// Opens a path below a directory. While somebody renames on the way (EAGAIN) the kernel asks to try again.
fn beneath(directory: &OwnedFd, path: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // Without `O_NOFOLLOW`, with which a symlink in a directory's place would be told as "not a directory".
    let flags = flags | OFlags::CLOEXEC;
    let mut opened = Err(Errno::AGAIN);
    for _ in 0..64 {
        opened = fs::openat2(directory, path, flags, Mode::empty(), resolve);
        if opened.as_ref().is_err_and(|e| *e != Errno::AGAIN) || opened.is_ok() {
            break;
        }
    }
    opened
}

/// What is to be granted for a path: directories are.
fn directory_of(path: &Path) -> String {
    let directory = if path.is_file() { path.parent().unwrap_or(path) } else { path };
    directory.display().to_string()
}

/// The canonical form of a path's names.
fn escaped(path: &Path) -> String {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(path::escape(name.as_encoded_bytes())),
        _ => None,
    });
    names.collect::<Vec<_>>().join("/")
}

/// The source's bytes of a canonical relative path; `.` for the directory itself.
fn relative(path: &str) -> Result<OsString> {
    if path.is_empty() {
        return Ok(".".into());
    }
    path::check(path)?;
    if !path.contains('%') {
        return Ok(path.into());
    }
    let mut bytes = Vec::with_capacity(path.len());
    for name in path.split('/') {
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name_bytes(name)?.as_encoded_bytes());
    }
    Ok(OsString::from_vec(bytes))
}

/// The source's bytes of one escaped name. A name that holds what no file name can is refused: it came from a source
/// that is not a file system.
fn name_bytes(name: &str) -> Result<OsString> {
    path::check(name)?;
    let bytes = path::unescape(name)?;
    if bytes.contains(&b'/') || bytes.contains(&0) || bytes == b"." || bytes == b".." {
        return Err(Error::unsupported(format!("`{}` cannot be the name of a file", path::shown(name))));
    }
    Ok(OsString::from_vec(bytes))
}

/// Whether the kernel says that an entry is not there any more, rather than that it cannot be read. Nothing else does: a
/// disk that fails or a server that is gone must not look like a file that somebody deleted.
fn is_vanished(errno: Errno) -> bool {
    errno == Errno::NOENT
}

/// Whether it was this that kept a path from being opened: it, or a directory above it, is not there.
fn is_missing(error: &Error) -> bool {
    matches!(errno_of(error), Some(Errno::NOENT | Errno::NOTDIR))
}

/// What the kernel said.
fn errno_of(error: &Error) -> Option<Errno> {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.and_then(std::io::Error::raw_os_error).map(Errno::from_raw_os_error)
}

/// Whether it is the lack of privilege that forbids something.
fn is_privilege(errno: Errno) -> bool {
    matches!(errno, Errno::PERM | Errno::ACCESS)
}

#[cfg(test)]
mod tests;
