//! What a restore would do, shown entry by entry: the plugin does as in any restore, and nothing is written.

use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dozo_job::port::{Conflict, Content, Entry, EntryKind, path};
use dozo_job::{Error, Result};
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::directories::Role;
use super::links::HOLDERS_MAX;
use super::place::Place;
use super::subject::Subject;
use super::write::{has_no_other_names, is_in_the_way, regular};
use super::{Directory, NewFile, is_missing, metadata};

/// What becomes of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing is there.
    Create,
    /// Something else is there, and gives way.
    Replace,
    /// It is there; owner, mode, time or attributes change.
    Metadata,
    /// Something is there, and is left.
    Leave,
    /// It is there as the snapshot has it.
    Keep,
    /// It is not in the snapshot.
    Delete,
}

/// What a restore would do with an entry.
pub struct Planned<'a> {
    /// What.
    pub action: Action,
    /// The path in the directory, as it is shown and typed.
    pub path: &'a str,
}

/// Who is shown what a restore would do, while it is found out. Called by several threads.
pub type Planner = Arc<dyn Fn(Planned<'_>) + Send + Sync>;

/// What a plan knows of what it said, because what comes behind depends on it.
#[derive(Default)]
pub(super) struct Foreseen(Mutex<State>);

#[derive(Default)]
struct State {
    /// The first directories on each way that would be made: below them nothing is there.
    made: HashSet<String>,
    /// What would become of files that other names may still come of.
    holders: HashMap<String, Action>,
}

impl Foreseen {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, path: &str) {
        if !self.makes_above(path) {
            self.state().made.insert(path.to_string());
        }
    }

    /// Whether a directory above a path would be made.
    fn makes_above(&self, path: &str) -> bool {
        let state = self.state();
        path.match_indices('/').any(|(at, _)| state.made.contains(&path[..at]))
    }

    /// Whether a directory would be made.
    fn makes(&self, path: &str) -> bool {
        self.state().made.contains(path) || self.makes_above(path)
    }

    fn remember(&self, entry: &Entry, action: Action) {
        let has_names = entry.posix.as_ref().is_some_and(|posix| posix.links > 1);
        let is_holder = !matches!(entry.kind, EntryKind::Directory | EntryKind::Hardlink(_));
        let mut state = self.state();
        // What is left is not looked at, so no other name may become one of it.
        if has_names && is_holder && action != Action::Leave && state.holders.len() < HOLDERS_MAX {
            state.holders.insert(entry.path.clone(), action);
        }
    }

    fn fate(&self, holder: &str) -> Option<Action> {
        self.state().holders.get(holder).copied()
    }
}

impl Directory {
    pub(crate) fn is_planning(&self) -> bool {
        self.0.planner.is_some()
    }

    pub(super) fn show(&self, action: Action, path: &str) {
        if let Some(planner) = &self.0.planner {
            planner(Planned { action, path: &path::shown(path) });
        }
    }

    /// Shows what would become of an entry.
    pub(super) fn plan(&self, entry: &Entry, role: Role, content: Option<Content>) -> Result<u64> {
        let conflict = self.conflict()?;
        let there = self.there(&entry.path, conflict)?;
        let action = match (&entry.kind, there) {
            (EntryKind::Directory, there) => self.of_directory(&there, entry, (conflict, role))?,
            (_, There::Nothing) => Some(Action::Create),
            (_, There::LeftAbove) => Some(Action::Leave),
            (_, There::Something(place, _)) => Some(self.of_what_is_there(&place, entry, content, conflict)?),
        };
        if let Some(action) = action {
            self.0.foreseen.remember(entry, action);
            self.show(action, &entry.path);
        }
        Ok(entry.size.unwrap_or(0))
    }

    /// The same of a file whose bytes the plugin makes: whether they are there already is not known.
    pub(super) fn plan_file(&self, entry: Entry, conflict: Conflict) -> Result<NewFile> {
        let action = match self.there(&entry.path, conflict)? {
            There::Nothing => Action::Create,
            There::LeftAbove => Action::Leave,
            There::Something(place, stat) => self.of_something_else(&place, &entry, &stat, conflict)?,
        };
        self.show(action, &entry.path);
        NewFile::nowhere(self.clone(), entry, conflict)
    }

    /// What would become of a directory, as [`create_directory_at`](Directory::create_directory_at) does it. None of one that is
    /// there: its own metadata comes last.
    fn of_directory(&self, there: &There, entry: &Entry, (conflict, role): (Conflict, Role)) -> Result<Option<Action>> {
        let there = match there {
            There::Nothing => None,
            There::LeftAbove => {
                self.leave_metadata(entry);
                return Ok(Some(Action::Leave));
            }
            There::Something(_, stat) => Some(FileType::from_raw_mode(stat.st_mode)),
        };
        match there {
            None => self.0.foreseen.make(&entry.path),
            Some(FileType::Directory) => {
                self.0.met.meet(&entry.path, role);
                if conflict == Conflict::Skip || role == Role::Above {
                    self.leave_metadata(entry);
                }
                return Ok(None);
            }
            Some(FileType::Symlink) if role == Role::Above => {
                self.leave_metadata(entry);
                return Ok(None);
            }
            Some(_) if conflict == Conflict::Skip && role == Role::Chosen => {
                self.leave_metadata(entry);
                return Ok(Some(Action::Leave));
            }
            Some(_) if conflict == Conflict::Replace && role == Role::Chosen => self.0.foreseen.make(&entry.path),
            Some(_) => return Err(self.failed("create the directory", &entry.path, Errno::EXIST)),
        }
        Ok(Some(if there.is_some() { Action::Replace } else { Action::Create }))
    }

    fn there(&self, path: &str, conflict: Conflict) -> Result<There> {
        if self.0.foreseen.makes_above(path) {
            return Ok(There::Nothing);
        }
        let place = match self.parent_to_write(path) {
            Err(error) if is_in_the_way(&error) && conflict == Conflict::Skip => return Ok(There::LeftAbove),
            Err(error) if is_missing(&error) && !self.is_blocked(path) => return Ok(There::Nothing),
            placed => placed?,
        };
        match fs::statat(&*place.parent, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(There::Something(place, stat)),
            Err(Errno::NOENT) => Ok(There::Nothing),
            Err(errno) => Err(self.failed("look at", path, errno)),
        }
    }

    /// Whether the directories above a path cannot be made, because something else is in the place of one.
    fn is_blocked(&self, path: &str) -> bool {
        let above = path.match_indices('/').filter_map(|(at, _)| self.parent_to_write(&path[..at]).ok());
        let mut there =
            above.filter_map(|place| fs::statat(&*place.parent, &place.name, AtFlags::SYMLINK_NOFOLLOW).ok());
        there.next_back().is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory)
    }

    fn of_what_is_there(
        &self,
        place: &Place,
        entry: &Entry,
        content: Option<Content>,
        conflict: Conflict,
    ) -> Result<Action> {
        let stat = fs::statat(&*place.parent, &place.name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.map_err(|e| self.failed("look at", &entry.path, e))?;
        if conflict != Conflict::Replace {
            return self.of_something_else(place, entry, &stat, conflict);
        }
        let is_there = match (&entry.kind, content) {
            (EntryKind::Hardlink(target), content) => match self.0.foreseen.fate(target) {
                // Another name of a file that stays has what that gets.
                Some(kept) if kept != Action::Create && kept != Action::Replace => {
                    return match self.is_name_of(&stat, target) {
                        true => Ok(kept),
                        false => self.of_something_else(place, entry, &stat, conflict),
                    };
                }
                Some(_) => false,
                None => self.has_content(place, entry, content)?,
            },
            (EntryKind::File, Some(content)) => self.has_content(place, entry, Some(content))?,
            (EntryKind::File, None) => {
                FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size == 0
            }
            _ => metadata::is_the_same(place, &stat, entry)?,
        };
        if !is_there {
            return self.of_something_else(place, entry, &stat, conflict);
        }
        let subject = Subject::Name(place.parent.as_fd(), &place.name);
        let changes = self.would_change(subject, entry)?;
        let subject = Subject::Name(place.parent.as_fd(), &place.name);
        Ok(match changes {
            false => Action::Keep,
            true if self.may_be_kept(subject, (place, &stat), entry)? => Action::Metadata,
            true => Action::Replace,
        })
    }

    /// Whether a file has the content already, and no other names than those that the snapshot knows: such a one is left.
    fn has_content(&self, place: &Place, entry: &Entry, content: Option<Content>) -> Result<bool> {
        let Some(mut content) = content else { return Ok(false) };
        match regular(place) {
            Some((there, stat)) if has_no_other_names(&stat, entry) => {
                content.is_in(&there).map_err(|e| Error::io("read the content", e))
            }
            _ => Ok(false),
        }
    }

    fn of_something_else(&self, place: &Place, entry: &Entry, stat: &Stat, conflict: Conflict) -> Result<Action> {
        match conflict {
            Conflict::Refuse => Err(self.failed("create", &entry.path, Errno::EXIST)),
            Conflict::Skip => Ok(Action::Leave),
            Conflict::Replace if is_directory(stat) && !is_empty(place) => {
                Err(self.failed("create", &entry.path, Errno::NOTEMPTY))
            }
            Conflict::Replace => Ok(Action::Replace),
        }
    }

    /// Whether a directory would only be made: then it has no metadata yet, and nothing in it.
    pub(super) fn is_only_planned(&self, path: &str) -> bool {
        self.is_planning() && self.0.foreseen.makes(path)
    }

    /// Whether a file is the one at the path of another entry.
    fn is_name_of(&self, stat: &Stat, target: &str) -> bool {
        let other = self.parent_to_write(target).ok();
        let other = other.and_then(|place| fs::statat(&*place.parent, &place.name, AtFlags::SYMLINK_NOFOLLOW).ok());
        other.is_some_and(|other| super::links::identity(&other) == super::links::identity(stat))
    }
}

/// What is at an entry's place.
enum There {
    Nothing,
    /// Something that is left stands in the place of a directory above.
    LeftAbove,
    Something(Place, Stat),
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn is_empty(place: &Place) -> bool {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = fs::openat(&*place.parent, &place.name, flags, Mode::empty());
    let listed = opened.and_then(Dir::read_from);
    listed.is_ok_and(|mut names| {
        names.all(|name| name.is_ok_and(|name| matches!(name.file_name().to_bytes(), b"." | b"..")))
    })
}
