//! File systems that take two names for one: those that do not tell `File` from `file`, or that write names in another way. What the
//! snapshot has as two entries would become one there, without a word.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use dozo_job::port::{Entry, path};
use dozo_job::{Error, Result};
use rustix::fs::{self, AtFlags, Dir, FileType, Stat};

use super::Directory;
use super::links::{Identity, identity};
use super::place::Place;

/// What a restore knows of names that are one.
#[derive(Default)]
pub(super) struct Folds {
    state: Mutex<State>,
    /// An entry was created.
    done: Condvar,
}

#[derive(Default)]
struct State {
    /// By the path of a directory.
    directories: HashMap<String, Names>,
    /// Entries that would have become one with another; nothing comes below them either.
    refused: BTreeSet<String>,
    /// Paths that are being created, in small letters: several threads are at work, and two names that may be one take turns.
    at_work: HashSet<String>,
}

/// An entry that is being created where names may fold.
pub(super) struct Turn<'a> {
    folds: &'a Folds,
    path: String,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.folds.state().at_work.remove(&self.path);
        self.folds.done.notify_all();
    }
}

/// The names of a directory.
#[derive(Default)]
struct Names {
    /// Whether it takes two for one, once that was looked at.
    folds: Option<bool>,
    /// What the restore put there, if it does.
    seen: HashMap<Identity, OsString>,
    /// The same by its name in small letters.
    small: HashMap<String, OsString>,
}

impl Folds {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other entry is being created whose name may be the same as that of this one.
    fn turn(&self, path: &str) -> Option<Turn<'_>> {
        let mut state = self.state();
        if state.directories.get(parent_of(path)).is_some_and(|names| names.folds == Some(false)) {
            return None;
        }
        let path = path.to_lowercase();
        while !state.at_work.insert(path.clone()) {
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        Some(Turn { folds: self, path })
    }

    /// A directory is done.
    pub(super) fn done(&self, path: &str) {
        self.state().directories.remove(path);
    }
}

impl Directory {
    /// That the place of an entry is not the one of another that this restore put there, nor becomes it as long as what is
    /// returned is held.
    pub(super) fn is_no_twin(&self, place: &Place, entry: &Entry) -> Result<Option<Turn<'_>>> {
        let turn = self.0.folds.turn(&entry.path);
        let mut state = self.0.folds.state();
        let above = entry.path.match_indices('/').map(|(at, _)| &entry.path[..at]);
        let is_below = !state.refused.is_empty() && above.into_iter().any(|above| state.refused.contains(above));
        let known = state.directories.get(parent_of(&entry.path)).filter(|names| !names.seen.is_empty());
        let other = known.and_then(|names| {
            let there = look(place, &place.name).filter(is_alone)?;
            let small = names.small.get(&small(&place.name));
            names.seen.get(&identity(&there)).or(small).filter(|name| **name != place.name).cloned()
        });
        if let Some(other) = other {
            state.refused.insert(entry.path.clone());
            let (full, other) = (self.full(&entry.path), path::shown(&path::escape(other.as_bytes())));
            return Err(Error::unsupported(format!(
                "create {full}: this file system takes it and `{other}` for one name"
            ))
            .hinted("restore it alone to another directory, or all to a file system that tells them apart"));
        }
        if is_below {
            let full = self.full(&entry.path);
            return Err(Error::unsupported(format!(
                "create {full}: the directory that it lies in could not be created"
            )));
        }
        Ok(turn)
    }

    /// Remembers what was put in a place, where names fold.
    pub(super) fn saw(&self, place: &Place, entry: &Entry) {
        let mut state = self.0.folds.state();
        let names = state.directories.entry(parent_of(&entry.path).to_string()).or_default();
        let swapped = swapped(&place.name);
        if names.folds == Some(false) || (names.folds.is_none() && swapped.is_none()) {
            return;
        }
        let Some(there) = look(place, &place.name).filter(is_alone) else { return };
        if let Some(swapped) = swapped.filter(|_| names.folds.is_none()) {
            // Some servers and FUSE give each name a number of its own; but they list one name alone.
            let is_one = |other: Stat| identity(&other) == identity(&there) || !lists(place, &swapped);
            names.folds = Some(look(place, &swapped).is_some_and(is_one));
        }
        if names.folds == Some(true) {
            names.small.insert(small(&place.name), place.name.clone());
            names.seen.insert(identity(&there), place.name.clone());
        }
    }
}

fn look(place: &Place, name: &OsStr) -> Option<Stat> {
    fs::statat(&*place.parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()
}

/// Whether a directory lists a name. One that cannot be listed may.
fn lists(place: &Place, name: &OsStr) -> bool {
    Dir::read_from(&*place.parent).map_or(true, |mut items| {
        items.any(|item| item.map_or(true, |item| item.file_name().to_bytes() == name.as_bytes()))
    })
}

/// A name in small letters.
fn small(name: &OsStr) -> String {
    name.to_string_lossy().to_lowercase()
}

/// Whether it has one name, as far as it says: what has several is one under all of them.
fn is_alone(stat: &Stat) -> bool {
    stat.st_nlink == 1 || FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// A name with its letters in the other case. None if it has none.
fn swapped(name: &OsStr) -> Option<OsString> {
    let swap =
        |byte: &u8| if byte.is_ascii_lowercase() { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
    let swapped: Vec<u8> = name.as_bytes().iter().map(swap).collect();
    (swapped != name.as_bytes()).then(|| OsString::from_vec(swapped))
}

fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use dozo_job::Kind;
    use dozo_job::port::{Conflict, EntryKind, Plain};

    use super::super::{Access, Role};
    use super::*;

    fn tree() -> (tempfile::TempDir, Directory) {
        let dir = tempfile::tempdir().unwrap();
        let tree = Directory::open(dir.path(), Access::Write(Conflict::Replace)).unwrap();
        (dir, tree)
    }

    fn create(tree: &Directory, path: &str, kind: EntryKind) -> Result<u64> {
        let entry = Entry { kind, ..Entry::file(path) };
        tree.create(&entry, Role::Chosen, Some(Box::new(Plain(&b"x"[..]))), &mut [0; 16])
    }

    #[test]
    fn names_that_a_file_system_tells_apart_are_two() {
        let (dir, tree) = tree();
        for path in ["File", "file", "FILE"] {
            create(&tree, path, EntryKind::File).unwrap();
        }
        std::fs::hard_link(dir.path().join("file"), dir.path().join("fILE")).unwrap();
        create(&tree, "fILE", EntryKind::File).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4);
    }

    /// As a file system that does not tell `D` from `d` looks to who restored `D`, and restores `d`.
    #[test]
    fn names_that_are_one_are_an_error_that_names_both() {
        let (dir, tree) = tree();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        let stat = fs::stat(dir.path().join("d")).unwrap();
        let names =
            Names { folds: Some(true), seen: HashMap::from([(identity(&stat), "D".into())]), ..Names::default() };
        tree.0.folds.state().directories.insert(String::new(), names);
        let error = create(&tree, "d", EntryKind::Directory).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains("/d: this file system takes it and `D` for one name"), "{error}");
        assert!(create(&tree, "d/x", EntryKind::File).is_err() && !dir.path().join("d/x").exists());
        create(&tree, "e", EntryKind::File).unwrap();
    }

    #[test]
    fn names_that_may_be_one_take_turns() {
        let folds = Folds::default();
        let first = folds.turn("a/Name");
        assert!(folds.turn("a/other").is_some() && folds.turn("b/name").is_some());
        std::thread::scope(|scope| {
            let (sender, done) = mpsc::channel();
            let folds = &folds;
            scope.spawn(move || {
                drop(folds.turn("a/name"));
                sender.send(()).unwrap();
            });
            assert!(done.recv_timeout(Duration::from_millis(50)).is_err(), "it waits");
            drop(first);
            done.recv().unwrap();
        });
    }
}
