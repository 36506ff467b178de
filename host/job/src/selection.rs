//! What the operator chose of a snapshot: everything, or paths and globs.

use std::collections::BTreeSet;

use dozo_repository::{Error, Result, path};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Chooses entries by path. A path that is chosen brings all that is below it.
#[derive(Clone, Debug)]
pub struct Selection {
    patterns: Vec<String>,
    globs: Option<GlobSet>,
}

/// Which patterns of a selection have chosen something.
#[derive(Default)]
pub(crate) struct Seen(BTreeSet<usize>);

impl Selection {
    /// Everything.
    pub fn all() -> Self {
        Selection { patterns: Vec::new(), globs: None }
    }

    /// The entries that match one of the patterns, and all below them. `*` and `?` stay within a name, `**` does not. A
    /// leading `/` is taken as the operator's way to write a file's path.
    ///
    /// # Errors
    /// [`Invalid`](dozo_repository::Kind::Invalid) if a pattern is not a glob.
    pub fn new(patterns: &[String]) -> Result<Self> {
        if patterns.is_empty() {
            return Ok(Selection::all());
        }
        let mut globs = GlobSetBuilder::new();
        for pattern in patterns {
            let trimmed = pattern.trim_start_matches('/').trim_end_matches('/');
            let bad = |e| Error::invalid(format!("`{pattern}` is not a path or a glob")).caused_by(e);
            for glob in [trimmed.to_string(), format!("{trimmed}/**")] {
                globs.add(GlobBuilder::new(&glob).literal_separator(true).build().map_err(bad)?);
            }
        }
        let globs = globs.build().map_err(|e| Error::invalid("the patterns are too many or too long").caused_by(e))?;
        Ok(Selection { patterns: patterns.to_vec(), globs: Some(globs) })
    }

    /// Whether this chooses everything.
    pub fn is_all(&self) -> bool {
        self.globs.is_none()
    }

    /// The patterns as they were written.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// Whether an entry is chosen.
    pub fn takes(&self, path: &str) -> bool {
        self.globs.as_ref().is_none_or(|globs| globs.is_match(path))
    }

    /// The patterns that chose nothing, by what [`Selection::note`] saw.
    pub(crate) fn unmatched<'a>(&'a self, seen: &'a Seen) -> impl Iterator<Item = &'a str> {
        let patterns = self.patterns.iter().enumerate();
        patterns.filter(|(number, _)| !seen.0.contains(number)).map(|(_, pattern)| pattern.as_str())
    }

    /// Notes which patterns choose an entry.
    pub(crate) fn note(&self, path: &str, seen: &mut Seen) {
        if let Some(globs) = self.globs.as_ref().filter(|_| seen.0.len() < self.patterns.len()) {
            // Each pattern made two globs.
            seen.0.extend(globs.matches(path).into_iter().map(|glob| glob / 2));
        }
    }

    /// The deepest directory that holds everything chosen, so that a manifest need not be read from the beginning.
    pub fn root(&self) -> String {
        let literal = |pattern: &String| -> Vec<String> {
            let names = pattern.trim_matches('/').split('/');
            names.take_while(|name| !name.contains(['*', '?', '[', '{', '\\'])).map(str::to_string).collect()
        };
        let mut roots = self.patterns.iter().map(literal);
        let Some(mut root) = roots.next() else { return String::new() };
        for other in roots {
            let common = root.iter().zip(&other).take_while(|(a, b)| a == b).count();
            root.truncate(common);
        }
        let root = root.join("/");
        if path::check(&root).is_ok() { root } else { String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(patterns: &[&str]) -> Selection {
        Selection::new(&patterns.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_chosen_directory_brings_what_is_below_it() {
        let chosen = selection(&["/srv/data", "etc/*.conf"]);
        for path in ["srv/data", "srv/data/a", "srv/data/a/b", "etc/x.conf", "etc/x.conf/y"] {
            assert!(chosen.takes(path), "{path}");
        }
        for path in ["srv", "srv/data2", "etc/sub/x.conf", "data", "etc"] {
            assert!(!chosen.takes(path), "{path}");
        }
        assert!(Selection::new(&["a[".to_string()]).is_err());
        assert!(selection(&[]).takes("anything"));
    }

    #[test]
    fn a_pattern_that_chose_nothing_is_known() {
        let chosen = selection(&["srv/data", "etc/*.conf", "nosuch"]);
        let mut seen = Seen::default();
        ["srv/data/a", "etc/x.conf", "etc/y.conf"].iter().for_each(|path| chosen.note(path, &mut seen));
        assert_eq!(chosen.unmatched(&seen).collect::<Vec<_>>(), ["nosuch"]);
    }

    #[test]
    fn the_root_holds_everything_chosen() {
        assert_eq!(selection(&[]).root(), "");
        assert_eq!(selection(&["/srv/data"]).root(), "srv/data");
        assert_eq!(selection(&["srv/a/x", "srv/b/*"]).root(), "srv");
        assert_eq!(selection(&["srv/a/*.txt"]).root(), "srv/a");
        assert_eq!(selection(&["srv", "etc"]).root(), "");
    }
}
