//! Which entries to back up, decided entry by entry.

use dozo_sdk::Kind;

use crate::patterns::Patterns;

/// What marks a directory whose content can be made again, by the Cache Directory Tagging Specification.
const CACHE_TAG: &str = "CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// What the operator chose, ready for millions of questions. Paths are those of entries in the snapshot.
#[derive(Debug)]
pub(crate) struct Selection {
    /// The configured paths.
    pub(crate) roots: Vec<String>,
    pub(crate) include: Option<Patterns>,
    pub(crate) exclude: Patterns,
    pub(crate) tolerate: Patterns,
    pub(crate) markers: Vec<Marker>,
    pub(crate) larger_than: Option<u64>,
    pub(crate) one_file_system: bool,
    pub(crate) special_file_systems: bool,
}

impl Selection {
    /// Whether an entry is backed up, if the directory is in which it lies. What stands in `paths` always is.
    pub(crate) fn takes(&self, path: &str, is_directory: bool) -> bool {
        let included = |include: &Patterns| include.verdict_from_above(path, is_directory) == Some(true);
        self.roots.iter().any(|root| root == path)
            || (self.exclude.verdict(path, is_directory) != Some(true)
                && (is_directory || self.include.as_ref().is_none_or(included)))
    }

    /// Whether a file is left out for its size.
    pub(crate) fn too_large(&self, size: Option<u64>) -> bool {
        self.larger_than.zip(size).is_some_and(|(most, size)| size > most)
    }

    /// Whether a snapshot without this is complete all the same: it, or a directory above it, is to be tolerated. What
    /// could not be read may be of any kind, so patterns for directories hold too.
    pub(crate) fn tolerates(&self, path: &str) -> bool {
        self.tolerate.verdict_from_above(path, true) == Some(true)
    }

    /// What to look for in each directory below the configured paths.
    pub(crate) fn markers(&self) -> &[Marker] {
        &self.markers
    }

    /// Whether to stay in the file system in which each path lies.
    pub(crate) fn one_file_system(&self) -> bool {
        self.one_file_system
    }

    /// Whether to go into file systems that the kernel makes up.
    pub(crate) fn special_file_systems(&self) -> bool {
        self.special_file_systems
    }
}

/// An entry that has what lies beside it left out. It stays itself, so that what is restored is marked as it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    name: String,
    signature: &'static [u8],
}

impl Marker {
    /// Whatever has a name of the source's.
    pub(crate) fn named(name: &str) -> Self {
        Marker { name: dozo_sdk::escape(name), signature: b"" }
    }

    pub(crate) fn cache_tag() -> Self {
        Marker { name: CACHE_TAG.into(), signature: CACHE_SIGNATURE }
    }

    /// Its name, as in paths.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How much of its content must be seen; nothing where it is enough that it is there.
    pub(crate) fn head_bytes(&self) -> u32 {
        self.signature.len() as u32
    }

    /// Whether an entry of its name is a marker, by its kind and by what its content begins with.
    pub(crate) fn is(&self, kind: &Kind, head: &[u8]) -> bool {
        self.signature.is_empty() || (*kind == Kind::File && head.starts_with(self.signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_known_by_the_content_of_its_tag() {
        let tag = Marker::cache_tag();
        assert_eq!((tag.name(), tag.head_bytes()), ("CACHEDIR.TAG", 43));
        let whole = [CACHE_SIGNATURE, b"\n# made by hand".as_slice()].concat();
        assert!(tag.is(&Kind::File, CACHE_SIGNATURE) && tag.is(&Kind::File, &whole));
        assert!(!tag.is(&Kind::File, &CACHE_SIGNATURE[..42]) && !tag.is(&Kind::File, b""));
        assert!(!tag.is(&Kind::Symlink("x".into()), CACHE_SIGNATURE));
    }

    #[test]
    fn a_marker_need_only_be_there() {
        let marker = Marker::named("100%");
        assert_eq!((marker.name(), marker.head_bytes()), ("100%25", 0));
        assert!(marker.is(&Kind::Directory, b"") && marker.is(&Kind::Symlink("x".into()), b""));
    }
}
