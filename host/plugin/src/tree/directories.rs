//! Directories of a restore: made so that they can be worked in, and given what their entries say once all below them is there.
//! One that was there already and whose owner may not write to it is opened for as long as it takes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dozo_job::port::{Conflict, Entry, EntryKind, path};
use dozo_job::{Error, Result};
use rustix::fs::{self, Access as May, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::Directory;
use super::links::{Identity, identity};
use super::place::Place;
use super::plan::Action;
use super::stage::make_directory;
use super::subject::Subject;
use super::write::unlink;

/// What a directory has before its own mode is set.
const MODE_UNTIL_SET: u32 = 0o700;
/// Directories that what was chosen lies below; beyond, symlinks are followed nowhere.
const TOPS_MAX: usize = 10_000;

/// What a restore knows of the directories that it met.
#[derive(Default)]
pub(super) struct Met(Mutex<State>);

#[derive(Default)]
struct State {
    /// The first directories on each way that are entries of the restore.
    tops: BTreeSet<String>,
    /// Directories that were there before, and whose metadata is left as it was.
    kept: HashSet<String>,
    /// Directories that were there before, and whose metadata is set at the end.
    taken: HashSet<String>,
    /// Directories that were opened for writing, and the modes that they had.
    widened: HashMap<String, (Identity, Mode)>,
    /// Which directories were made, or found: others may put another in the place of one.
    known: HashMap<String, (Identity, Origin)>,
}

/// Whose work a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// This restore made it.
    Made,
    /// It was there.
    Found,
}

/// What an entry is to a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It was chosen.
    Chosen,
    /// A directory above what was chosen: made as it was where it is missing, else left alone.
    Above,
}

impl Met {
    /// Remembers which directory it is that has a path.
    pub(super) fn know(&self, path: &str, stat: &Stat, origin: Origin) {
        self.state().known.insert(path.to_string(), (identity(stat), origin));
    }

    pub(super) fn forget(&self, path: &str) {
        self.state().known.remove(path);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The top that a path is, or lies below.
    pub(super) fn top_of(&self, path: &str) -> Option<String> {
        let state = self.state();
        // Any of the paths above it; there are few of either.
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.map(|end| &path[..end]).find(|above| state.tops.contains(*above)).map(str::to_string)
    }

    /// Above what was chosen there may be links, as above the paths of a job.
    pub(super) fn meet(&self, path: &str, role: Role) {
        if role == Role::Chosen && self.top_of(path).is_none() {
            let mut state = self.state();
            if state.tops.len() < TOPS_MAX {
                state.tops.insert(path.to_string());
            }
        }
    }
}

impl Directory {
    pub(super) fn create_directory_at(
        &self,
        place: &Place,
        entry: &Entry,
        (conflict, role): (Conflict, Role),
    ) -> Result<u64> {
        let make = || {
            let made = make_directory(&place.parent, &place.name, MODE_UNTIL_SET)?;
            self.0.met.know(&entry.path, &fs::fstat(&made)?, Origin::Made);
            Ok(())
        };
        let failed = |e| self.failed("create the directory", &entry.path, e);
        match make() {
            Ok(()) => {
                self.0.met.meet(&entry.path, role);
                return Ok(0);
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let (held, stat) = place.held().map_err(failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                self.0.met.meet(&entry.path, role);
                self.keep_or_take(&held, entry, &stat, (conflict, role));
                Ok(0)
            }
            // What was chosen lies behind it; it is followed, or refused, when something is created there.
            FileType::Symlink if role == Role::Above => {
                self.0.met.state().kept.insert(entry.path.clone());
                self.note("symlinks stand where the snapshot has directories, and were followed", &entry.path);
                Ok(0)
            }
            there if conflict == Conflict::Replace && role == Role::Chosen => {
                unlink(&place.parent, &place.name).and_then(|()| make()).map_err(failed)?;
                self.0.met.meet(&entry.path, role);
                self.note(replaced(there), &entry.path);
                Ok(0)
            }
            _ => Err(failed(Errno::EXIST)),
        }
    }

    /// A directory in a directory's place: its metadata is left or set later, and it is made possible to work in it.
    fn keep_or_take(&self, held: &OwnedFd, entry: &Entry, stat: &Stat, (conflict, role): (Conflict, Role)) {
        self.0.met.know(&entry.path, stat, Origin::Found);
        if conflict == Conflict::Skip || role == Role::Above {
            self.0.left.fetch_add(u64::from(role == Role::Chosen), Ordering::Relaxed);
            self.0.met.state().kept.insert(entry.path.clone());
        } else {
            self.0.met.state().taken.insert(entry.path.clone());
        }
        self.open_to_owner(held, &entry.path, stat);
    }

    /// Lets its owner work in a directory, until it is given its own mode, or that which it had.
    fn open_to_owner(&self, held: &OwnedFd, path: &str, stat: &Stat) {
        if !is_closed(held, ".".as_ref()) {
            return;
        }
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        // Who may not will be told where something is to be created in it.
        if Subject::Held(held.as_fd()).chmod(mode | Mode::RWXU).is_ok() {
            self.0.met.state().widened.insert(path.to_string(), (identity(stat), mode));
        }
    }

    /// The same for the directory itself that was granted.
    pub(super) fn open_root_to_owner(&self) {
        let root = Subject::Open(self.0.root.as_fd());
        let Some(stat) = root.stat().ok().filter(|_| is_closed(self.root(), ".".as_ref())) else { return };
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        if root.chmod(mode | Mode::RWXU).is_ok() {
            self.0.met.state().widened.insert(String::new(), (identity(&stat), mode));
        }
    }

    /// The same for a directory and those above it, once they are restored: they have the modes of the snapshot by then.
    pub(super) fn open_way_to_owner(&self, path: &str) {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        // What lies above is the operator's.
        for directory in ends.map(|end| &path[..end]).filter(|directory| self.0.met.top_of(directory).is_some()) {
            // What cannot be looked at is told when something is done there.
            let Ok(place) = self.parent_to_write(directory) else { return };
            if let Ok((held, stat)) = place.held()
                && FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            {
                self.open_to_owner(&held, directory, &stat);
            }
        }
    }

    /// Sets owner, mode and time of a directory, once all that is in it is there.
    pub(crate) fn set_metadata(&self, entry: &Entry) -> Result<()> {
        self.created(&entry.path, self.set_metadata_of(entry))
    }

    fn set_metadata_of(&self, entry: &Entry) -> Result<()> {
        self.conflict()?;
        if entry.path.is_empty() {
            return self.apply_or_show(Subject::Open(self.root().as_fd()), entry);
        }
        path::check(&entry.path)?;
        if self.is_only_planned(&entry.path) {
            self.forget_put_back(&entry.path);
            return Ok(());
        }
        let widened = self.0.met.state().widened.remove(&entry.path);
        if self.0.met.state().kept.remove(&entry.path) {
            self.0.met.state().known.remove(&entry.path);
            widened.into_iter().for_each(|mode| self.give_back(&entry.path, mode));
            return Ok(());
        }
        let was_there = self.0.met.state().taken.remove(&entry.path);
        let place = self.parent_to_write(&entry.path)?;
        let opened = super::beneath(&place.parent, &place.name, OFlags::DIRECTORY | OFlags::RDONLY);
        let opened = opened.map_err(|e| self.failed("open", &entry.path, e))?;
        if self.origin(entry, &opened)? == Origin::Found {
            self.is_no_gift(entry, &opened)?;
        }
        if was_there {
            self.remove_leftovers(&entry.path, &opened);
        }
        self.0.folds.done(&entry.path);
        self.look_for_extra(&entry.path, &opened)?;
        self.apply_or_show(Subject::Open(opened.as_fd()), entry)
    }

    fn apply_or_show(&self, subject: Subject<'_>, entry: &Entry) -> Result<()> {
        if !self.is_planning() {
            return self.apply(subject, entry);
        }
        let changes = self.would_change(subject, entry)?;
        self.show(if changes { Action::Metadata } else { Action::Keep }, &entry.path);
        Ok(())
    }

    /// Gives a directory that was made to take the content of another what that had of owner, mode, attributes and time.
    pub(crate) fn become_what_it_stands_for(&self) {
        let Some(entry) = self.0.stands_for.as_ref().filter(|_| self.0.planner.is_none()) else { return };
        let _ = self.created("", self.apply(Subject::Open(self.root().as_fd()), entry));
    }

    /// Something else is left in a directory's place: it gets no metadata of that.
    pub(super) fn leave_metadata(&self, entry: &Entry) {
        if entry.kind == EntryKind::Directory {
            self.0.met.state().kept.insert(entry.path.clone());
        }
    }

    /// Gives directories the modes back that they had, if their own were not set meanwhile.
    pub(crate) fn give_back_modes(&self) {
        let widened = std::mem::take(&mut self.0.met.state().widened);
        let mut widened: Vec<_> = widened.into_iter().collect();
        // Those below first: the way to them may be closed afterwards.
        widened.sort_by(|(a, _), (b, _)| b.cmp(a));
        widened.into_iter().for_each(|(path, mode)| self.give_back(&path, mode));
    }

    /// Whose work a directory is. It must still be the one that was made, or found, before what is in it came.
    fn origin(&self, entry: &Entry, opened: &OwnedFd) -> Result<Origin> {
        let known = self.0.met.state().known.remove(&entry.path);
        let Some((known, origin)) = known else { return Ok(Origin::Found) };
        let stat = fs::fstat(opened).map_err(|e| self.failed("look at", &entry.path, e))?;
        if identity(&stat) == known {
            return Ok(origin);
        }
        let full = self.full(&entry.path);
        Err(Error::unavailable(format!(
            "set the owner of {full}: somebody put another directory in its place meanwhile"
        ))
        .hinted("restore again, while nobody else works there"))
    }

    /// That root does not give somebody what is in a directory of root's, or of a third user's, which they could put into the place
    /// of theirs: it, or a directory above it, lies where others may write.
    fn is_no_gift(&self, entry: &Entry, opened: &OwnedFd) -> Result<()> {
        let Some(posix) = entry.posix.as_ref().filter(|_| rustix::process::geteuid().is_root()) else { return Ok(()) };
        let stat = fs::fstat(opened).map_err(|e| self.failed("look at", &entry.path, e))?;
        let here = self.0.owners.here(posix);
        let is_theirs = stat.st_uid == here.user && here.user != 0;
        let is_to_be_roots = (here.user, here.group) == (0, 0) || stat.st_gid == here.group && here.user == 0;
        let is_widened = posix.mode & 0o077 & !stat.st_mode != 0;
        if is_theirs || (is_to_be_roots && !is_widened) || self.is_kept(&entry.path)? {
            return Ok(());
        }
        let (full, owner) = (self.full(&entry.path), stat.st_uid);
        Err(Error::not_granted(format!(
            "set the owner of {full}: it is there already, belongs to the user {owner}, and lies where others may write, who may \
             have put it there"
        ))
        .hinted(format!("look at what is in it; `chown {} {full}` gives it to whom it belonged", here.user)))
    }

    fn give_back(&self, path: &str, (known, mode): (Identity, Mode)) {
        let given = match path {
            "" => Ok(Subject::Open(self.root().as_fd()).chmod(mode)),
            _ => self.parent_to_write(path).map(|place| {
                let (held, stat) = place.held()?;
                if identity(&stat) == known { Subject::Held(held.as_fd()).chmod(mode) } else { Err(Errno::STALE) }
            }),
        };
        if !matches!(given, Ok(Ok(()))) {
            self.note(
                "directories were made writable for their owner, and could not be made again what they were",
                path,
            );
        }
    }

    /// Whether something could not be written to by this process if it were not opened for it.
    #[cfg(test)]
    pub(super) fn has_widened(&self) -> bool {
        !self.0.met.state().widened.is_empty()
    }
}

/// Whether this process may not work in a directory.
pub(super) fn is_closed(parent: impl AsFd, name: &OsStr) -> bool {
    let all = May::READ_OK | May::WRITE_OK | May::EXEC_OK;
    fs::accessat(parent, name, all, AtFlags::EACCESS) == Err(Errno::ACCESS)
}

/// What is said of something that a directory took the place of.
fn replaced(there: FileType) -> &'static str {
    match there {
        FileType::Symlink => {
            "symlinks were replaced by the directories that the snapshot has; what they lead to was left alone"
        }
        _ => "files were replaced by the directories that the snapshot has",
    }
}
