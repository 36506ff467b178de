//! What of the chosen entries a restore needs, once its source has said so.

use std::collections::HashSet;

use dozo_repository::{Error, Result, path};

use crate::limits::NEEDED_PREFIXES;

/// The entries at and under these paths.
pub(crate) struct Needed(HashSet<String>);

impl Needed {
    /// # Errors
    /// [`Invalid`](dozo_repository::Kind::Invalid) if there are none or too many, or one that is no path.
    pub(crate) fn new(prefixes: Vec<String>) -> Result<Self> {
        if prefixes.is_empty() {
            return Err(Error::invalid("a restore that needs no path at all is none"));
        }
        if prefixes.len() > NEEDED_PREFIXES {
            let what = format!("{} paths to narrow a restore to; at most {NEEDED_PREFIXES}", prefixes.len());
            return Err(Error::invalid(what).hinted("name directories, which stand for all that is below them"));
        }
        prefixes.iter().filter(|prefix| !prefix.is_empty()).try_for_each(|prefix| path::check(prefix))?;
        Ok(Needed(prefixes.into_iter().collect()))
    }

    /// Whether an entry is needed.
    pub(crate) fn takes(&self, path: &str) -> bool {
        above(path).any(|above| self.0.contains(above))
    }

    /// Strikes out of `unmatched` what an entry lies at or under.
    pub(crate) fn note<'a>(&'a self, path: &str, unmatched: &mut HashSet<&'a str>) {
        if !unmatched.is_empty() {
            above(path).for_each(|above| {
                unmatched.remove(above);
            });
        }
    }

    /// All of its paths.
    pub(crate) fn prefixes(&self) -> HashSet<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

/// A path, all that it lies under, and the root.
fn above(path: &str) -> impl Iterator<Item = &str> {
    let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
    parents.chain([path, ""])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(prefixes: &[&str]) -> Result<Needed> {
        Needed::new(prefixes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_path_brings_what_is_below_it() {
        let some = needed(&["base", "wal/1/0001"]).unwrap();
        for path in ["base", "base/a", "base/a/b", "wal/1/0001"] {
            assert!(some.takes(path), "{path}");
        }
        for path in ["", "bas", "base2", "wal", "wal/1", "wal/1/00012", "other/base"] {
            assert!(!some.takes(path), "{path}");
        }
        assert!(needed(&[""]).unwrap().takes("anything"));
    }

    #[test]
    fn what_brings_nothing_is_known() {
        let some = needed(&["base", "base/a", "nosuch"]).unwrap();
        let mut unmatched = some.prefixes();
        ["base/a/b", "other"].iter().for_each(|path| some.note(path, &mut unmatched));
        assert_eq!(unmatched, HashSet::from(["nosuch"]));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for prefixes in [&[][..], &["/base"], &["a", "b/"], &["a/../b"]] {
            assert!(needed(prefixes).is_err(), "{prefixes:?}");
        }
        assert!(Needed::new(vec![String::new(); NEEDED_PREFIXES + 1]).is_err());
    }
}
