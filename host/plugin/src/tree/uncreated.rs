//! Entries that a restore did not put back, by name: what is missing must be known whatever the plugin makes of the errors that it
//! was given.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dozo_job::port::path;
use dozo_job::{Error, Result};

use super::{Access, Directory};

/// Entries that are kept in mind by name; the others are counted.
const NAMED_MAX: usize = 1_000;

#[derive(Default)]
pub(super) struct Uncreated(Mutex<State>);

#[derive(Default)]
struct State {
    named: BTreeMap<String, Error>,
    /// Beyond those. One of them that is created later after all stays counted.
    more: u64,
}

impl Uncreated {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Directory {
    /// Entries that could not be created and were not created later: path and reason of the first, in order of path, and how many
    /// there are in all.
    pub(crate) fn uncreated(&self) -> (Vec<(String, Error)>, u64) {
        let state = self.0.uncreated.state();
        let named: Vec<_> = state.named.iter().map(|(path, error)| (path.clone(), error.clone())).collect();
        let count = named.len() as u64 + state.more;
        (named, count)
    }

    /// The same of several directories together.
    pub(crate) fn uncreated_of_all(directories: &[Directory]) -> (Vec<(String, Error)>, u64) {
        let (mut all, mut total) = (Vec::new(), 0);
        for (named, count) in directories.iter().map(Directory::uncreated) {
            all.extend(named.into_iter().map(|(path, error)| (path::shown(&path), error)));
            total += count;
        }
        (all, total)
    }

    /// Keeps in mind whether an entry was created.
    pub(super) fn created<T>(&self, path: &str, result: Result<T>) -> Result<T> {
        let mut state = self.0.uncreated.state();
        match &result {
            Ok(_) if state.named.is_empty() => {}
            Ok(_) => drop(state.named.remove(path)),
            // To look whether something may be written is no restore.
            Err(_) if self.0.access == Access::Read => {}
            Err(error) if state.named.len() < NAMED_MAX || state.named.contains_key(path) => {
                state.named.insert(path.into(), error.clone());
            }
            Err(_) => state.more += 1,
        }
        result
    }
}
