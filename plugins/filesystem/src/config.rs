//! What the operator writes, and which entries it chooses.

use dozo_sdk::prelude::*;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Directories and files to back up.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Absolute paths of directories or files. Each must lie in a granted directory.
    #[schemars(length(min = 1))]
    pub(crate) paths: Vec<String>,
    /// If there are any, only files that match one of these patterns are backed up (directories always are). A pattern
    /// without `/` matches names at any depth, one with `/` whole absolute paths; `**` crosses directories.
    #[serde(default)]
    include: Vec<String>,
    /// What matches one of these patterns is left out, directories with all that is in them.
    #[serde(default)]
    exclude: Vec<String>,
}

impl Config {
    /// The patterns, compiled.
    pub(crate) fn selection(&self) -> Result<Selection> {
        if self.paths.is_empty() {
            return Err(Error::Invalid("paths is empty: there is nothing to back up".into()));
        }
        let include = Patterns::new("include", &self.include)?;
        Ok(Selection {
            include: (!self.include.is_empty()).then_some(include),
            exclude: Patterns::new("exclude", &self.exclude)?,
        })
    }
}

/// Which entries to back up.
pub(crate) struct Selection {
    include: Option<Patterns>,
    exclude: Patterns,
}

impl Selection {
    /// Whether an entry is backed up; `path` is its path in the snapshot. What is excluded is excluded with all below.
    pub(crate) fn takes(&self, path: &str, is_directory: bool) -> bool {
        !self.exclude.matches(path)
            && (is_directory || self.include.as_ref().is_none_or(|include| include.matches(path)))
    }
}

/// Patterns for names, and for whole paths.
struct Patterns {
    names: GlobSet,
    paths: GlobSet,
}

impl Patterns {
    fn new(key: &str, patterns: &[String]) -> Result<Self> {
        let bad =
            |what: &str, e: globset::Error| Error::Invalid(format!("{key}: `{what}` is not a pattern: {}", e.kind()));
        let (mut names, mut paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            // The paths of entries have no leading slash; `cache/` means the directory as `cache` does.
            let trimmed = pattern.trim_end_matches('/');
            let set = if trimmed.contains('/') { &mut paths } else { &mut names };
            let glob = GlobBuilder::new(trimmed.trim_start_matches('/')).literal_separator(true).build();
            set.add(glob.map_err(|e| bad(pattern, e))?);
        }
        let (names, paths) = (names.build(), paths.build());
        Ok(Patterns { names: names.map_err(|e| bad("", e))?, paths: paths.map_err(|e| bad("", e))? })
    }

    fn matches(&self, path: &str) -> bool {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        self.names.is_match(name) || self.paths.is_match(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        let owned = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect();
        Config { paths: vec!["/srv".into()], include: owned(include), exclude: owned(exclude) }.selection().unwrap()
    }

    #[test]
    fn patterns_without_a_slash_match_names() {
        let chosen = selection(&[], &["*.tmp", "cache/"]);
        assert!(!chosen.takes("srv/a/b.tmp", false) && !chosen.takes("srv/cache", true));
        assert!(chosen.takes("srv/a/b.tmp.txt", false) && chosen.takes("srv/caches", true));
    }

    #[test]
    fn patterns_with_a_slash_match_paths() {
        let chosen = selection(&[], &["/srv/logs/*.log", "/srv/**/old"]);
        assert!(!chosen.takes("srv/logs/a.log", false) && !chosen.takes("srv/x/y/old", true));
        assert!(chosen.takes("srv/logs/sub/a.log", false) && chosen.takes("srv/a.log", false));
    }

    #[test]
    fn include_chooses_files_and_lets_directories_through() {
        let chosen = selection(&["*.conf"], &["secret*"]);
        assert!(chosen.takes("etc/a.conf", false) && chosen.takes("etc/dir", true));
        assert!(!chosen.takes("etc/a.txt", false) && !chosen.takes("etc/secret.conf", false));
    }

    #[test]
    fn a_pattern_that_is_none_is_refused() {
        let config = Config { paths: vec!["/srv".into()], include: vec![], exclude: vec!["a[".into()] };
        assert!(config.selection().err().unwrap().message().contains("exclude: `a[`"));
        assert!(Config { paths: vec![], include: vec![], exclude: vec![] }.selection().is_err());
    }
}
