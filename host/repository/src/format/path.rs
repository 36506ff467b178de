//! Paths of entries: escaped, canonical, ordered. FORMAT.md section 9.1.

use std::cmp::Ordering;

use crate::error::{Error, Result};
use crate::limits::PATH_BYTES_MAX;

/// A name (one segment of a path) from the source's bytes.
///
/// ```
/// use dozo_repository::path::{escape, unescape};
/// assert_eq!(escape(b"100% \xff"), "100%25 %FF");
/// assert_eq!(escape(b".."), "%2E%2E");
/// assert_eq!(unescape("100%25 %FF").unwrap(), b"100% \xff");
/// ```
pub fn escape(name: &[u8]) -> String {
    if name == b"." || name == b".." {
        return "%2E".repeat(name.len());
    }
    let mut out = String::with_capacity(name.len());
    for piece in name.utf8_chunks() {
        for c in piece.valid().chars() {
            if plain(c) { out.push(c) } else { push_escaped(&mut out, c as u8) }
        }
        for &byte in piece.invalid() {
            push_escaped(&mut out, byte);
        }
    }
    out
}

/// The source's bytes of one escaped name. Refuses what [`escape`] would not have written.
pub fn unescape(name: &str) -> Result<Vec<u8>> {
    let bad = || Error::invalid(format!("`{}` is not a canonical name", shown(name)));
    let mut out = Vec::with_capacity(name.len());
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().ok_or_else(bad)?, bytes.next().ok_or_else(bad)?];
            let mut value = [0];
            hex::decode_to_slice(digits, &mut value).map_err(|_| bad())?;
            out.push(value[0]);
        } else {
            out.push(byte);
        }
    }
    if out.is_empty() || escape(&out) != name { Err(bad()) } else { Ok(out) }
}

/// Whether a whole path is canonical: what is stored under it will come back under it, and nowhere else.
///
/// # Errors
/// [`Invalid`](crate::error::Kind::Invalid): empty, absolute, too long, an empty name, `.` or `..`, a byte that had to
/// be escaped, or an escape that had not.
pub fn check(path: &str) -> Result<()> {
    let refuse = |why: &str| Err(Error::invalid(format!("the path `{}` {why}", shown(path))));
    if path.len() > PATH_BYTES_MAX {
        return refuse(&format!("is longer than {PATH_BYTES_MAX} bytes"));
    }
    if path.starts_with('/') {
        return refuse("is absolute");
    }
    for name in path.split('/') {
        if name.is_empty() {
            return refuse("has an empty name");
        }
        if name == "." || name == ".." {
            return refuse("has a `.` or `..`");
        }
        // Most names hold nothing that is ever escaped.
        if name.bytes().any(|b| b == b'%' || b < 0x20 || b == 0x7f) && unescape(name).is_err() {
            return refuse("is not escaped as the format wants it");
        }
    }
    Ok(())
}

/// The order of a manifest: `/` comes before all else, so that a directory is followed by all that is below it.
pub fn compare(a: &str, b: &str) -> Ordering {
    let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
    match a.bytes().zip(b.bytes()).find(|(x, y)| x != y) {
        Some((x, y)) => rank(x).cmp(&rank(y)),
        None => a.len().cmp(&b.len()),
    }
}

/// Whether `path` is `prefix` or lies below it; everything lies below the empty prefix.
pub fn is_under(path: &str, prefix: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => prefix.is_empty() || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

/// A path as it may stand in a message: control characters escaped, and not endless.
pub fn shown(path: &str) -> String {
    let mut out: String = path.chars().take(200).flat_map(char::escape_debug).collect();
    if path.chars().nth(200).is_some() {
        out.push('…');
    }
    out
}

fn plain(c: char) -> bool {
    !matches!(c, '%' | '/' | '\0'..='\x1f' | '\x7f')
}

fn push_escaped(out: &mut String, byte: u8) {
    use std::fmt::Write;
    write!(out, "%{byte:02X}").expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::any;
    use proptest::prelude::*;

    #[test]
    fn forged_paths_are_refused() {
        for path in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "a/../b",
            "a/..",
            "./a",
            "a//b",
            "a/",
            "/a",
            "a\0b",
            "a\nb",
            "a%2fb",
            "a%2Fb/..",
            "%2e%2e",
            "%41",
            "a%",
            "a%2",
            "a%GG",
            "%",
            "a\x7f",
        ] {
            assert!(check(path).is_err(), "{path:?}");
        }
        assert!(check(&"a".repeat(PATH_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn escaped_names_that_mean_themselves_are_kept() {
        for path in ["a", "a/b", "…/ü", "%2E%2E/x", "%2E", "a%2Fb", "a%00b", "100%25", "%FF%FE", "a b", "...", "-"] {
            assert!(check(path).is_ok(), "{path:?}");
        }
    }

    #[test]
    fn a_directory_is_followed_by_what_is_below_it() {
        let mut paths = ["a-b", "a/x", "a", "b", "a/x/y", "a/x-", "a!"];
        paths.sort_by(|a, b| compare(a, b));
        assert_eq!(paths, ["a", "a/x", "a/x/y", "a/x-", "a!", "a-b", "b"]);
    }

    #[test]
    fn any_names_survive_and_keep_their_order() {
        any::hold((any::names(), any::names()), |(one, other)| {
            let (a, b) = (any::joined(&one), any::joined(&other));
            for (path, names) in [(&a, &one), (&b, &other)] {
                prop_assert!(check(path).is_ok());
                let back: Vec<Vec<u8>> = path.split('/').map(|name| unescape(name).unwrap()).collect();
                prop_assert_eq!(&back, names);
            }
            // Names are ordered as they are stored, one after the other, and what is above comes first.
            let stored = |names: &[Vec<u8>]| names.iter().map(|name| escape(name)).collect::<Vec<_>>();
            prop_assert_eq!(compare(&a, &b), stored(&one).cmp(&stored(&other)));
            prop_assert_eq!(is_under(&a, &b), one.starts_with(&other));
            Ok(())
        });
    }

    #[test]
    fn any_text_is_refused_or_canonical() {
        let near = "[a%/.0-9A-F\\x00-\\x20\\x7fé]{0,12}";
        let changed = (any::path(), any::changes()).prop_map(|(path, changes)| {
            let mut bytes = path.into_bytes();
            changes.iter().for_each(|change| change.apply(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        });
        any::hold(prop_oneof![near, changed, ".*"], |path| {
            let names: Result<Vec<Vec<u8>>> = path.split('/').map(unescape).collect();
            match &names {
                Ok(names) => prop_assert_eq!(&any::joined(names), &path),
                Err(_) => prop_assert!(check(&path).is_err()),
            }
            prop_assert_eq!(check(&path).is_ok(), names.is_ok());
            Ok(())
        });
    }
}
