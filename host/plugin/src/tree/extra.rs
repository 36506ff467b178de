//! What lies in restored directories and is not in the snapshot: found when a directory is done, and deleted once all else is
//! restored. Nothing is deleted of a directory that was not restored whole, behind a symlink, or on another file system.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dozo_job::port::path;
use dozo_job::{Error, LeftOut, Result};
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::directories::is_closed;
use super::links::{Identity, identity};
use super::plan::Action;
use super::subject::Subject;
use super::{Directory, name_bytes};

/// Names that are remembered of directories which are not done: some 200 MB of them.
const NAMES_MAX: usize = 2_000_000;
/// Entries that one restore deletes, with all that lies in them.
const EXTRA_MAX: usize = 1_000_000;
/// Directories in each other, in what is deleted: each takes a descriptor meanwhile.
const DEPTH_MAX: usize = 500;
/// What the root of a file system has that nobody put there.
const LOST_AND_FOUND: &str = "lost+found";

pub(super) struct Extra {
    state: Mutex<State>,
    left_out: Arc<LeftOut>,
    /// Whether the granted directory itself is restored whole.
    is_root_restored: bool,
}

#[derive(Default)]
struct State {
    /// Names that the restore put back, or meant to, by the path of their directory.
    put_back: HashMap<String, HashSet<OsString>>,
    names: usize,
    /// What is to be deleted: a directory's path, and names in it.
    extra: Vec<Found>,
    count: usize,
}

/// What one directory has beyond the snapshot.
struct Found {
    path: String,
    /// Which directory it was when it was looked into.
    directory: Identity,
    names: Vec<OsString>,
}

impl Extra {
    pub(super) fn new(left_out: Arc<LeftOut>, is_root_restored: bool) -> Self {
        Extra { state: Mutex::default(), left_out, is_root_restored }
    }

    /// The names that the restore put back into a directory that is done.
    fn take_names(&self, path: &str) -> HashSet<OsString> {
        let mut state = self.state();
        let names = state.put_back.remove(path).unwrap_or_default();
        state.names -= names.len().min(state.names);
        names
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Directory {
    /// Remembers that the snapshot has an entry, whatever becomes of it.
    pub(super) fn put_back(&self, path: &str) -> Result<()> {
        let Some(extra) = &self.0.extra else { return Ok(()) };
        path::check(path)?;
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let name = name_bytes(name)?;
        let mut state = extra.state();
        state.names += 1;
        if state.names > NAMES_MAX {
            let why =
                format!("`--delete` remembers {NAMES_MAX} names of directories that are not restored yet, and no more");
            return Err(Error::unsupported(why).hinted("restore without `--delete`, or some paths at a time"));
        }
        match state.put_back.get_mut(parent) {
            Some(names) => drop(names.insert(name)),
            None => drop(state.put_back.insert(parent.to_string(), HashSet::from([name]))),
        }
        Ok(())
    }

    /// Forgets what was put back into a directory that has nothing else.
    pub(super) fn forget_put_back(&self, path: &str) {
        self.0.extra.iter().for_each(|extra| drop(extra.take_names(path)));
    }

    /// Looks for what a restored directory has beyond the snapshot.
    pub(super) fn look_for_extra(&self, path: &str, directory: &OwnedFd) -> Result<()> {
        let Some(extra) = &self.0.extra else { return Ok(()) };
        let mut missing = extra.take_names(path);
        if self.is_mounted_over(path, directory, &extra.left_out)? {
            return Ok(());
        }
        let mut names = Vec::new();
        for item in Dir::read_from(directory).map_err(|e| self.failed("list", path, e))? {
            let item = item.map_err(|e| self.failed("list", path, e))?;
            let name = OsStr::from_bytes(item.file_name().to_bytes());
            // The root of a file system has that of its own.
            let is_own = matches!(name.as_bytes(), b"." | b"..") || path.is_empty() && name == LOST_AND_FOUND;
            if !is_own && !missing.remove(name) {
                names.push(name.to_os_string());
            }
        }
        self.spare((path, directory), &mut names, &missing, &extra.left_out);
        names.sort_unstable();
        let mut state = extra.state();
        state.count += names.len();
        if state.count > EXTRA_MAX {
            let why = format!("more than {EXTRA_MAX} entries are not in the snapshot");
            return Err(Error::unsupported(why).hinted("is this the right directory? look with `--dry-run`"));
        }
        if !names.is_empty() {
            let stat = fs::fstat(directory).map_err(|e| self.failed("look at", path, e))?;
            state.extra.push(Found { path: path.to_string(), directory: identity(&stat), names });
        }
        Ok(())
    }

    /// Whether what the snapshot does not have is deleted, or shown, in the end.
    pub(crate) fn deletes(&self) -> bool {
        self.0.extra.is_some()
    }

    /// Deletes what was found, or shows it; only after all else is restored. Returns how many entries were deleted, not counting
    /// what lay in them. One that cannot be deleted counts as one that could not be restored.
    pub(crate) fn delete_extra(&self) -> u64 {
        let Some(extra) = &self.0.extra else { return 0 };
        if extra.is_root_restored && self.created("", self.look_for_extra("", &self.0.root)).is_err() {
            return 0;
        }
        let found = std::mem::take(&mut extra.state().extra);
        if !self.is_planning() {
            self.open_root_to_owner();
        }
        let deleted = found.iter().map(|found| self.delete_in(found)).sum();
        self.give_back_modes();
        deleted
    }

    /// Deletes, or shows, names in a directory.
    fn delete_in(&self, found: &Found) -> u64 {
        let path = found.path.as_str();
        let whole = |name: &OsString| {
            let below = path::escape(name.as_bytes());
            if path.is_empty() { below } else { format!("{path}/{below}") }
        };
        if self.is_planning() {
            found.names.iter().for_each(|name| self.show(Action::Delete, &whole(name)));
            return 0;
        }
        self.open_way_to_owner(path);
        let opened = self.directory_to_write(path).and_then(|opened| self.still(path, opened, found.directory));
        let Ok(directory) = self.created(path, opened) else { return 0 };
        let times = fs::fstat(&*directory).map(|stat| {
            let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
            Timestamps { last_access: time, last_modification: time }
        });
        let mut deleted = 0;
        for name in &found.names {
            let whole = whole(name);
            let removed = self.remove_all((path, &directory), name, 0).map_err(|e| self.failed("delete", &whole, e));
            deleted += u64::from(self.created(&whole, removed).unwrap_or(false));
        }
        if let Ok(times) = times {
            let _ = fs::futimens(&*directory, &times);
        }
        deleted
    }
}

impl Directory {
    /// That a directory is the one that was looked into: who can put another in its place would have that emptied.
    fn still(&self, path: &str, opened: Arc<OwnedFd>, known: Identity) -> Result<Arc<OwnedFd>> {
        let stat = fs::fstat(&*opened).map_err(|e| self.failed("look at", path, e))?;
        if identity(&stat) == known {
            return Ok(opened);
        }
        let full = self.full(path);
        Err(Error::unavailable(format!("delete in {full}: somebody put another directory in its place meanwhile"))
            .hinted("restore again, while nobody else works there"))
    }

    /// Deletes an entry with all that lies in it, on this file system alone, but for what the backup leaves out and what that lies
    /// in. Tells whether all of it is gone.
    fn remove_all(&self, (path, parent): (&str, &OwnedFd), name: &OsStr, depth: usize) -> Result<bool, Errno> {
        let stat = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return fs::unlinkat(parent, name, AtFlags::empty()).map(|()| true);
        }
        if depth == DEPTH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let held = open_here(parent, name, OFlags::PATH)?;
        if is_closed(&held, ".".as_ref()) {
            // Its owner may open it; who is none is told below.
            let wide = Mode::from_raw_mode(stat.st_mode & 0o7777) | Mode::RWXU;
            let _ = Subject::Held(held.as_fd()).chmod(wide);
        }
        let directory = open_here(parent, name, OFlags::RDONLY)?;
        let escaped = path::escape(name.as_bytes());
        let here = if path.is_empty() { escaped } else { format!("{path}/{escaped}") };
        let mut names = Vec::new();
        for item in Dir::read_from(&directory)? {
            let name = item?.file_name().to_bytes().to_vec();
            if !matches!(name.as_slice(), b"." | b"..") {
                names.push(OsString::from_vec(name));
            }
        }
        let mut is_gone = true;
        for name in &names {
            let left_out = self.0.extra.as_ref().map(|extra| &extra.left_out);
            let is_spared = left_out.is_some_and(|left_out| self.is_left_out((&here, &directory), name, left_out));
            is_gone &= !is_spared && self.remove_all((&here, &directory), name, depth + 1)?;
        }
        if is_gone { fs::unlinkat(parent, name, AtFlags::REMOVEDIR).map(|()| true) } else { Ok(false) }
    }
}

/// Opens a directory of this file system.
fn open_here(parent: &OwnedFd, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::openat2(parent, name, flags, Mode::empty(), resolve).map_err(|errno| match errno {
        Errno::XDEV => Errno::BUSY,
        errno => errno,
    })
}
