//! File systems that take two names for one: those that do not tell `File` from `file`, or that write names in another way. What the
//! snapshot has as two entries would become one there, without a word.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dozo_job::port::{Entry, path};
use dozo_job::{Error, Result};
use rustix::fs::{self, AtFlags, FileType, Stat};

use super::Directory;
use super::links::{Identity, identity};
use super::place::Place;

/// What a restore knows of names that are one.
#[derive(Default)]
pub(super) struct Folds(Mutex<State>);

#[derive(Default)]
struct State {
    /// By the path of a directory.
    directories: HashMap<String, Names>,
    /// Entries that would have become one with another; nothing comes below them either.
    refused: BTreeSet<String>,
}

/// The names of a directory.
#[derive(Default)]
struct Names {
    /// Whether it takes two for one, once that was looked at.
    folds: Option<bool>,
    /// What the restore put there, if it does.
    seen: HashMap<Identity, OsString>,
}

impl Folds {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A directory is done.
    pub(super) fn done(&self, path: &str) {
        self.state().directories.remove(path);
    }
}

impl Directory {
    /// That the place of an entry is not the one of another that this restore put there.
    pub(super) fn is_no_twin(&self, place: &Place, entry: &Entry) -> Result<()> {
        let mut state = self.0.folds.state();
        let above = entry.path.match_indices('/').map(|(at, _)| &entry.path[..at]);
        let is_below = !state.refused.is_empty() && above.into_iter().any(|above| state.refused.contains(above));
        let known = state.directories.get(parent_of(&entry.path)).filter(|names| !names.seen.is_empty());
        let other = known.and_then(|names| {
            let there = look(place, &place.name).filter(is_alone)?;
            names.seen.get(&identity(&there)).filter(|name| **name != place.name).cloned()
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
        Ok(())
    }

    /// Remembers what was put in a place, where names fold.
    pub(super) fn saw(&self, place: &Place, entry: &Entry) {
        let mut state = self.0.folds.state();
        let names = state.directories.entry(parent_of(&entry.path).to_string()).or_default();
        if names.folds == Some(false) {
            return;
        }
        let Some(there) = look(place, &place.name).filter(is_alone) else { return };
        if names.folds.is_none() {
            let Some(swapped) = swapped(&place.name) else { return };
            names.folds = Some(look(place, &swapped).is_some_and(|other| identity(&other) == identity(&there)));
        }
        if names.folds == Some(true) {
            names.seen.insert(identity(&there), place.name.clone());
        }
    }
}

fn look(place: &Place, name: &OsStr) -> Option<Stat> {
    fs::statat(&*place.parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()
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
