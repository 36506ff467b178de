//! What a restore would do, shown entry by entry: the plugin does as in any restore, and nothing is written.

use std::os::fd::AsFd;
use std::sync::Arc;

use dozo_job::port::{Conflict, Content, Entry, EntryKind, path};
use dozo_job::{Error, Result};
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::directories::Role;
use super::place::Place;
use super::subject::Subject;
use super::write::{is_in_the_way, regular};
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
        let size = entry.size.unwrap_or(0);
        let action = match self.there(&entry.path, conflict)? {
            There::Nothing => Action::Create,
            There::LeftAbove => Action::Leave,
            // Its own metadata comes with `set_metadata`.
            There::Something(_, stat) if is_directory(&stat) && entry.kind == EntryKind::Directory => return Ok(0),
            There::Something(..) if role == Role::Above => return Ok(0),
            There::Something(place, _) => self.of_what_is_there(&place, entry, content, conflict)?,
        };
        self.show(action, &entry.path);
        Ok(size)
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

    /// The same of a directory's own metadata.
    pub(super) fn plan_metadata(&self, entry: &Entry) -> Result<()> {
        let There::Something(place, stat) = self.there(&entry.path, self.conflict()?)? else { return Ok(()) };
        if self.conflict()? != Conflict::Replace || !is_directory(&stat) {
            return Ok(());
        }
        let opened = super::beneath(&place.parent, &place.name, OFlags::DIRECTORY | OFlags::RDONLY);
        let opened = opened.map_err(|e| self.failed("open", &entry.path, e))?;
        self.look_for_extra(&entry.path, &opened)?;
        let changes = self.would_change(Subject::Open(opened.as_fd()), entry)?;
        self.show(if changes { Action::Metadata } else { Action::Keep }, &entry.path);
        Ok(())
    }

    fn there(&self, path: &str, conflict: Conflict) -> Result<There> {
        if path.is_empty() {
            let place = Place { parent: self.0.root.clone(), name: ".".into() };
            let stat = fs::fstat(&*self.0.root).map_err(|e| self.failed("look at", path, e))?;
            return Ok(There::Something(place, stat));
        }
        let place = match self.parent_to_write(path) {
            Ok(place) => place,
            Err(error) if is_in_the_way(&error) && conflict == Conflict::Skip => return Ok(There::LeftAbove),
            // A directory takes the place of what is in the way.
            Err(error) if is_missing(&error) || is_in_the_way(&error) => return Ok(There::Nothing),
            Err(error) => return Err(error),
        };
        match fs::statat(&*place.parent, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(There::Something(place, stat)),
            Err(Errno::NOENT) => Ok(There::Nothing),
            Err(errno) => Err(self.failed("look at", path, errno)),
        }
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
        let is_there = conflict == Conflict::Replace
            && match (&entry.kind, content) {
                (EntryKind::File, Some(mut content)) => match regular(place) {
                    Some((there, _)) => content.is_in(&there).map_err(|e| Error::io("read the content", e))?,
                    None => false,
                },
                (EntryKind::File, None) => {
                    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size == 0
                }
                (EntryKind::Hardlink(target), _) => self.is_name_of(&stat, target),
                _ => metadata::is_the_same(place, &stat, entry)?,
            };
        if !is_there {
            return self.of_something_else(place, entry, &stat, conflict);
        }
        let is_link = matches!(entry.kind, EntryKind::Hardlink(_));
        let changes = !is_link && self.would_change(Subject::Name(place.parent.as_fd(), &place.name), entry)?;
        Ok(if changes { Action::Metadata } else { Action::Keep })
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
