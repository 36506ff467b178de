//! What the operator writes.

use std::path::{Component, Path};

use bytesize::ByteSize;
use dozo_sdk::prelude::*;

use crate::patterns::{Key, Patterns};
use crate::selection::Marker;
pub(crate) use crate::selection::Selection;

/// Directories and files to back up.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Absolute paths of directories or files. Each must lie in a granted directory. What stands here is always backed up,
    /// whatever the other keys say of it: they are for what lies in these directories.
    #[schemars(length(min = 1))]
    pub(crate) paths: Vec<String>,
    /// If there are any, only files that match these patterns, or lie in a directory that does, are backed up; directories
    /// always are. `!` leaves out what a pattern before it chose. The patterns are those of `exclude`.
    #[serde(default)]
    pub(crate) include: Vec<String>,
    /// What matches these patterns is left out, directories with all that is in them. A pattern without `/` matches names at
    /// any depth (`*.tmp`), one that begins with `/` whole paths (`/srv/app/*.log`), one that begins with `**/` the end of
    /// paths. A `/` at the end means directories alone (`cache/`). `*`, `?` and `[a-z]` stay within a name, `**` between two
    /// `/` is any directories; `{a,b}` is one or the other, `\` takes the meaning from the character behind it. The last
    /// pattern that matches counts, and `!` before one takes back what those before it left out (`["*.log",
    /// "!audit.log"]`), but for what lies in a directory that is left out.
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    /// Names, such as `.nobackup`. Of a directory that holds an entry of one of these names, the directory and that entry are
    /// backed up, and all else that is in it is left out. A directory that stands in `paths` is not looked at for that.
    #[serde(default)]
    pub(crate) exclude_if_present: Vec<String>,
    /// The same for directories that programs marked as caches: those with a file `CACHEDIR.TAG` that begins with the
    /// signature of the Cache Directory Tagging Specification. The directory and its tag are backed up, all else is not.
    #[serde(default)]
    pub(crate) exclude_caches: bool,
    /// Files that are larger are left out, such as `"1GiB"`. By what the file system says of their size, holes included.
    #[serde(default)]
    pub(crate) exclude_larger_than: Option<String>,
    /// Stay in the file system in which each path lies. Where another one is mounted, the directory is backed up, and
    /// nothing that is in it.
    #[serde(default)]
    pub(crate) one_file_system: bool,
    /// Also go into file systems that the kernel makes up (proc, sysfs, cgroup and their like) where one is mounted below a
    /// path. Without it the directory is backed up, nothing that is in it, and a note says so. What stands in `paths` itself
    /// is always gone into.
    #[serde(default)]
    pub(crate) special_file_systems: bool,
    /// What cannot be read and matches these patterns, or lies in a directory that does, is noted and does not make the
    /// snapshot partial: files that only their owner may read, mounts that nobody but their user may look into. What can be
    /// read is backed up all the same. The patterns are those of `exclude`.
    #[serde(default)]
    pub(crate) tolerate: Vec<String>,
    /// Take a path that is an empty directory, or has nothing in it but `lost+found`, as it is. Without it that is an error, because a file system that is not
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
    /// What is chosen, checked and ready.
    pub(crate) fn selection(&self) -> Result<Selection> {
        self.check_paths()?;
        let roots: Vec<String> = self.paths.iter().map(|path| entry_path(path)).collect();
        let include = Patterns::new(Key::Include, &self.include, &roots)?;
        Ok(Selection {
            include: (!self.include.is_empty()).then_some(include),
            exclude: Patterns::new(Key::Exclude, &self.exclude, &roots)?,
            tolerate: Patterns::new(Key::Tolerate, &self.tolerate, &roots)?,
            markers: self.markers()?,
            larger_than: self.larger_than()?,
            one_file_system: self.one_file_system,
            special_file_systems: self.special_file_systems,
            roots,
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

    fn markers(&self) -> Result<Vec<Marker>> {
        let mut markers = vec![];
        for name in &self.exclude_if_present {
            check_name(name).map_err(|why| Error::Invalid(format!("exclude_if_present: `{name}` {why}")))?;
            markers.push(Marker::named(name));
        }
        markers.extend(self.exclude_caches.then(Marker::cache_tag));
        Ok(markers)
    }

    fn larger_than(&self) -> Result<Option<u64>> {
        let Some(size) = &self.exclude_larger_than else { return Ok(None) };
        match size.parse::<ByteSize>() {
            Ok(ByteSize(0)) => Err(Error::Invalid(format!(
                "exclude_larger_than: `{size}` would leave out every file that is not empty: write more, such as \"1GiB\""
            ))),
            Ok(ByteSize(bytes)) => Ok(Some(bytes)),
            Err(_) => Err(Error::Invalid(format!(
                "exclude_larger_than: `{size}` is not a size: write a number and a unit, such as \"1GiB\""
            ))),
        }
    }
}

/// A name that no entry can have would mark nothing.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name == "." || name == ".." || name.contains('\0') {
        return Err("is no name of a file: leave it out");
    }
    if name.contains('/') {
        return Err("has a `/`, and is to be the name of what lies in a directory: write the name alone");
    }
    if name.contains(['*', '?']) {
        return Err("is taken as a name and not as a pattern: write each name");
    }
    Ok(())
}

/// The path of the entry that a configured path becomes.
fn entry_path(path: &str) -> String {
    let names = Path::new(path).components().filter_map(|component| match component {
        Component::Normal(name) => Some(dozo_sdk::escape(name.as_encoded_bytes())),
        _ => None,
    });
    names.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(crate) fn config(paths: &[String], include: &[String], exclude: &[String]) -> Config {
        let lists = json!({ "paths": paths, "include": include, "exclude": exclude });
        serde_json::from_value(lists).unwrap()
    }

    fn read(json: Value) -> Result<Selection> {
        serde_json::from_value::<Config>(json).unwrap().selection()
    }

    fn refused(json: Value) -> String {
        read(json).unwrap_err().message().to_string()
    }

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        read(json!({ "paths": ["/srv"], "include": include, "exclude": exclude })).unwrap()
    }

    #[test]
    fn what_is_excluded_is_left_out() {
        let chosen = selection(&[], &["*.tmp", "cache/", "!keep.tmp"]);
        assert!(!chosen.takes("srv/a/b.tmp", false) && !chosen.takes("srv/cache", true));
        assert!(chosen.takes("srv/a/keep.tmp", false) && chosen.takes("srv/cache", false));
    }

    #[test]
    fn include_chooses_files_and_lets_directories_through() {
        let chosen = selection(&["*.conf", "/srv/docs/", "!*.bak"], &["secret*"]);
        assert!(chosen.takes("srv/a.conf", false) && chosen.takes("srv/dir", true));
        assert!(chosen.takes("srv/docs/a/b", false) && !chosen.takes("srv/docs/a/b.bak", false));
        assert!(!chosen.takes("srv/a.txt", false) && !chosen.takes("srv/secret.conf", false));
    }

    #[test]
    fn what_stands_in_paths_is_taken() {
        let chosen = json!({ "paths": ["/a.tmp", "/srv//cache/", "/100%"], "include": ["*.b"], "exclude": ["*.tmp", "cache", "1*"] });
        let chosen = read(chosen).unwrap();
        assert!(chosen.takes("a.tmp", false) && chosen.takes("srv/cache", true) && chosen.takes("100%25", true));
        assert!(!chosen.takes("srv/cache/a.tmp", false) && !chosen.takes("srv/cache/cache", true));
        let chosen = read(json!({ "paths": ["/"], "exclude": ["/proc/*"] })).unwrap();
        assert!(chosen.takes("proc", true) && !chosen.takes("proc/1", true));
    }

    #[test]
    fn paths_are_absolute_and_apart() {
        for paths in [json!(["/srv", "/srv/app"]), json!(["srv"]), json!(["~/x"]), json!(["/srv", "/srv"]), json!([])] {
            assert!(refused(json!({ "paths": paths })).starts_with("paths"), "{paths}");
        }
    }

    #[test]
    fn what_is_tolerated_may_lie_in_a_directory_that_is() {
        let chosen = read(json!({ "paths": ["/srv"], "tolerate": ["*.sock", "private/", "!key"] })).unwrap();
        for (path, tolerated) in [
            ("srv/a.sock", true),
            ("srv/private", true),
            ("srv/private/x/y", true),
            ("srv/private/key", false),
            ("srv/a", false),
        ] {
            assert_eq!(chosen.tolerates(path), tolerated, "{path}");
        }
        assert!(!read(json!({ "paths": ["/srv"] })).unwrap().tolerates("srv/a"));
        assert!(read(json!({ "paths": ["/srv"], "tolerate": ["/srv"] })).unwrap().tolerates("srv/a"));
    }

    #[test]
    fn sizes_are_written_as_elsewhere() {
        let read = |size: &str| read(json!({ "paths": ["/srv"], "exclude_larger_than": size }));
        for (size, bytes) in [("1GiB", 1 << 30), ("1 GiB", 1 << 30), ("10MB", 10_000_000), ("1.5KiB", 1536), ("7", 7)] {
            let chosen = read(size).unwrap();
            assert!(!chosen.too_large(Some(bytes)) && chosen.too_large(Some(bytes + 1)), "{size}");
            assert!(!chosen.too_large(None));
        }
        for wrong in ["", "much", "-1", "1 stone", "0", "0GiB"] {
            let message = read(wrong).unwrap_err().message().to_string();
            assert!(message.starts_with(&format!("exclude_larger_than: `{wrong}` ")), "{message}");
        }
        assert!(!selection(&[], &[]).too_large(Some(u64::MAX)));
    }

    #[test]
    fn markers_are_names() {
        let chosen = json!({ "paths": ["/srv"], "exclude_if_present": [".nobackup", "100%"], "exclude_caches": true });
        let chosen = read(chosen).unwrap();
        let names: Vec<_> = chosen.markers().iter().map(Marker::name).collect();
        assert_eq!(names, [".nobackup", "100%25", "CACHEDIR.TAG"]);
        assert!(selection(&[], &[]).markers().is_empty());
        for wrong in ["", ".", "..", "a/b", "*.nobackup", "?"] {
            let message = refused(json!({ "paths": ["/srv"], "exclude_if_present": [wrong] }));
            assert!(message.starts_with(&format!("exclude_if_present: `{wrong}` ")), "{message}");
        }
    }

    #[test]
    fn one_file_system_is_asked_for() {
        assert!(!selection(&[], &[]).one_file_system() && !selection(&[], &[]).special_file_systems());
        assert!(read(json!({ "paths": ["/srv"], "special_file_systems": true })).unwrap().special_file_systems());
        assert!(read(json!({ "paths": ["/srv"], "one_file_system": true })).unwrap().one_file_system());
    }
}
