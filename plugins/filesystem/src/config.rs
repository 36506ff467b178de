//! What the operator writes, and which entries it chooses.

use std::path::Path;

use dozo_sdk::prelude::*;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Directories and files to back up.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Absolute paths of directories or files. Each must lie in a granted directory.
    #[schemars(length(min = 1))]
    pub(crate) paths: Vec<String>,
    /// If there are any, only files that match one of these patterns, or lie in a directory that does, are backed up;
    /// directories always are. A pattern without `/` matches names at any depth (`*.conf`), one that begins with `/` whole
    /// paths (`/srv/app/*.log`), one that begins with `**/` the end of paths. `*` and `?` stay within a name, `**` does not. A
    /// `/` at the end means directories alone (`cache/`).
    #[serde(default)]
    include: Vec<String>,
    /// What matches one of these patterns is left out, directories with all that is in them. The patterns are those of
    /// `include`; nothing brings back what one of them leaves out.
    #[serde(default)]
    exclude: Vec<String>,
    /// Take a path that is an empty directory as it is. Without it that is an error, because a file system that is not
    /// mounted looks so.
    #[serde(default)]
    pub(crate) allow_empty: bool,
    /// A file that changed in so many seconds before the previous run began is read again, whatever it looks like: what a
    /// program writes through a memory map changes no time until the kernel writes it out, half a minute later.
    #[serde(default = "settle_seconds")]
    pub(crate) settle_seconds: u32,
}

fn settle_seconds() -> u32 {
    60
}

impl Config {
    /// The patterns, compiled.
    pub(crate) fn selection(&self) -> Result<Selection> {
        self.check_paths()?;
        let include = Patterns::new("include", &self.include, &self.paths)?;
        Ok(Selection {
            include: (!self.include.is_empty()).then_some(include),
            exclude: Patterns::new("exclude", &self.exclude, &self.paths)?,
        })
    }

    /// Absolute, and none within another: an entry has one place.
    fn check_paths(&self) -> Result<()> {
        if self.paths.is_empty() {
            return Err(Error::Invalid("paths is empty: there is nothing to back up".into()));
        }
        if let Some(path) = self.paths.iter().find(|path| !path.starts_with('/')) {
            return Err(Error::Invalid(format!("paths: `{path}` is not absolute: write it from `/` on")));
        }
        for (number, one) in self.paths.iter().enumerate() {
            let within = |other: &&String| Path::new(one).starts_with(other);
            let others = self.paths.iter().enumerate().filter(|(other, _)| *other != number);
            if let Some(other) = others.map(|(_, path)| path).find(within) {
                return Err(Error::Invalid(format!("paths: `{one}` lies in `{other}` already: leave one of them out")));
            }
        }
        Ok(())
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
        let included = |include: &Patterns| include.matches(path, false) || include.matches_above(path);
        !self.exclude.matches(path, is_directory) && (is_directory || self.include.as_ref().is_none_or(included))
    }
}

impl Selection {
    pub(crate) fn tolerates(&self, _path: &str) -> bool {
        false
    }
}

/// Patterns for everything, and for directories alone.
struct Patterns {
    all: Globs,
    directories: Globs,
}

/// Globs for names, and for whole paths.
struct Globs {
    names: GlobSet,
    paths: GlobSet,
}

impl Patterns {
    fn new(key: &str, patterns: &[String], roots: &[String]) -> Result<Self> {
        for pattern in patterns {
            check_pattern(pattern, roots).map_err(|why| Error::Invalid(format!("{key}: `{pattern}` {why}")))?;
        }
        let (directories, all): (Vec<&String>, Vec<&String>) = patterns.iter().partition(|p| p.ends_with('/'));
        Ok(Patterns { all: Globs::new(key, &all)?, directories: Globs::new(key, &directories)? })
    }

    fn matches(&self, path: &str, is_directory: bool) -> bool {
        self.all.matches(path) || (is_directory && self.directories.matches(path))
    }

    /// Whether one of the directories above matches.
    fn matches_above(&self, path: &str) -> bool {
        path.match_indices('/').any(|(at, _)| self.matches(&path[..at], true))
    }
}

impl Globs {
    fn new(key: &str, patterns: &[&String]) -> Result<Self> {
        let bad =
            |what: &str, e: globset::Error| Error::Invalid(format!("{key}: `{what}` is not a pattern: {}", e.kind()));
        let (mut names, mut paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            // The paths of entries have no leading slash.
            let trimmed = pattern.trim_end_matches('/');
            let set = if trimmed.contains('/') { &mut paths } else { &mut names };
            let glob = GlobBuilder::new(trimmed.trim_start_matches('/')).literal_separator(true).build();
            set.add(glob.map_err(|e| bad(pattern, e))?);
        }
        let (names, paths) = (names.build(), paths.build());
        Ok(Globs { names: names.map_err(|e| bad("", e))?, paths: paths.map_err(|e| bad("", e))? })
    }

    fn matches(&self, path: &str) -> bool {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        self.names.is_match(name) || self.paths.is_match(path)
    }
}

/// A pattern that can match nothing is a mistake that nobody would see: a backup without what it was to leave out, or
/// without what it was to have.
fn check_pattern(pattern: &str, roots: &[String]) -> Result<(), &'static str> {
    let trimmed = pattern.trim_end_matches('/');
    if trimmed.is_empty() {
        return Err("matches nothing: leave it out");
    }
    if pattern.starts_with('!') {
        return Err("begins with `!`, which brings nothing back here: name what to leave out, and no more");
    }
    if trimmed.contains('/') && !trimmed.starts_with('/') && !trimmed.starts_with("**") {
        return Err("has a `/` inside and matches nothing: begin it with `/` for a whole path, or with `**/`");
    }
    if !trimmed.starts_with('/') {
        return Ok(());
    }
    let literal: Vec<&str> =
        trimmed[1..].split('/').take_while(|name| !name.contains(['*', '?', '[', '{', '\\'])).collect();
    let could = |root: &String| {
        let names = root.trim_matches('/').split('/').filter(|name| !name.is_empty());
        names.zip(&literal).all(|(name, wanted)| name == *wanted)
    };
    if roots.iter().any(could) { Ok(()) } else { Err("lies in none of the paths, and so matches nothing") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(paths: Vec<String>, include: Vec<String>, exclude: Vec<String>) -> Config {
        Config { paths, include, exclude, allow_empty: false, settle_seconds: 60 }
    }

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        let owned = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect();
        config(vec!["/srv".into()], owned(include), owned(exclude)).selection().unwrap()
    }

    #[test]
    fn patterns_without_a_slash_match_names() {
        let chosen = selection(&[], &["*.tmp", "cache/"]);
        assert!(!chosen.takes("srv/a/b.tmp", false) && !chosen.takes("srv/cache", true));
        assert!(chosen.takes("srv/a/b.tmp.txt", false) && chosen.takes("srv/caches", true));
        assert!(chosen.takes("srv/cache", false), "a file of that name is no directory");
    }

    #[test]
    fn what_lies_in_an_included_directory_is_included() {
        let chosen = selection(&["conf/", "/srv/app/*.txt"], &[]);
        assert!(chosen.takes("srv/x/conf/a/b", false) && chosen.takes("srv/app/a.txt", false));
        assert!(!chosen.takes("srv/x/conf", false) && !chosen.takes("srv/app/sub/a.txt", false));
    }

    #[test]
    fn what_can_match_nothing_is_refused() {
        let config = |paths: &[&str], exclude: &str| {
            self::config(paths.iter().map(ToString::to_string).collect(), vec![], vec![exclude.into()])
        };
        for wrong in ["", "/", "!keep", "x/cache", "./cache", "/cache", "/etc/*.bak"] {
            assert!(config(&["/srv", "/opt/app"], wrong).selection().is_err(), "{wrong}");
        }
        for right in ["/srv", "/opt/app/x/*", "/*/app", "/opt", "**/x/cache", "cache/", "*.tmp", "/srv/**/old"] {
            assert!(config(&["/srv", "/opt/app"], right).selection().is_ok(), "{right}");
        }
        assert!(config(&["/"], "/proc").selection().is_ok());
        for paths in [&["/srv", "/srv/app"][..], &["srv"], &["~/x"], &["/srv", "/srv"]] {
            assert!(config(paths, "*.tmp").selection().is_err(), "{paths:?}");
        }
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
        let config = config(vec!["/srv".into()], vec![], vec!["a[".into()]);
        assert!(config.selection().err().unwrap().message().contains("exclude: `a[`"));
        assert!(self::config(vec![], vec![], vec![]).selection().is_err());
    }
}
