//! Paths of entries: escaped names joined by `/`.

/// A path below a prefix; either may be empty.
pub(crate) fn join(prefix: &str, path: &str) -> String {
    match (prefix, path) {
        ("", path) => path.to_string(),
        (prefix, "") => prefix.to_string(),
        (prefix, path) => format!("{prefix}/{path}"),
    }
}

/// The last name.
pub(crate) fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The names, by which paths are ordered.
pub(crate) fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
}
