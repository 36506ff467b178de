//! Names as the contract wants them in paths.

use std::fmt::Write;

use crate::{Error, Result};

/// A name (one segment of an entry's path) from the source's bytes: `%`, `/`, control characters and bytes that are not
/// UTF-8 become `%` and two upper-case hex digits, and so do the dots of `.` and `..`.
///
/// ```
/// assert_eq!(dozo_sdk::escape("orders/2026"), "orders%2F2026");
/// assert_eq!(dozo_sdk::escape("100%"), "100%25");
/// assert_eq!(dozo_sdk::escape(b"\xff..".as_slice()), "%FF..");
/// assert_eq!(dozo_sdk::escape(".."), "%2E%2E");
/// ```
pub fn escape(name: impl AsRef<[u8]>) -> String {
    let name = name.as_ref();
    if name == b"." || name == b".." {
        return "%2E".repeat(name.len());
    }
    let mut out = String::with_capacity(name.len());
    let push = |out: &mut String, byte: u8| {
        let _ = write!(out, "%{byte:02X}");
    };
    for piece in name.utf8_chunks() {
        for c in piece.valid().chars() {
            if matches!(c, '%' | '/' | '\0'..='\x1f' | '\x7f') { push(&mut out, c as u8) } else { out.push(c) }
        }
        piece.invalid().iter().for_each(|byte| push(&mut out, *byte));
    }
    out
}

/// The source's bytes of one name, as [`escape`] took them.
///
/// ```
/// assert_eq!(dozo_sdk::unescape("orders%2F2026")?, b"orders/2026");
/// assert_eq!(dozo_sdk::unescape("%FF..")?, b"\xff..");
/// assert!(dozo_sdk::unescape("100%").is_err());
/// # Ok::<_, dozo_sdk::Error>(())
/// ```
///
/// # Errors
/// [`Error::Invalid`] if a `%` is not followed by two hex digits: no entry of a snapshot is named so.
pub fn unescape(name: &str) -> Result<Vec<u8>> {
    let wrong = || Error::Invalid(format!("`{name}` is not written as names in paths are"));
    let mut bytes = Vec::with_capacity(name.len());
    let mut pieces = name.split('%');
    bytes.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or_else(wrong)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Ok(bytes)
}

/// The path of an entry as one of files. Names that no file can have (with a `/`, `.`, `..`) become what they are escaped as; so
/// do those that look like one that did, or two entries could get the same file.
pub(crate) fn file_path(path: &str) -> String {
    let name = |name: &str| if is_written_out(name) { escape(name) } else { name.to_string() };
    path.split('/').map(name).collect::<Vec<_>>().join("/")
}

fn is_written_out(name: &str) -> bool {
    let Ok(mut meant) = unescape(name) else { return false };
    loop {
        if meant == b"." || meant == b".." || meant.contains(&b'/') || meant.contains(&0) {
            return true;
        }
        match std::str::from_utf8(&meant).ok().and_then(|text| unescape(text).ok()) {
            Some(inner) if inner != meant && escape(&inner).as_bytes() == meant => meant = inner,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_become_one_file() {
        for (name, file) in [
            (&b"plain"[..], "plain"),
            (b"100%", "100%"),
            (b"100%41", "100%41"),
            (b"a/b", "a%2Fb"),
            (b"a%2Fb", "a%252Fb"),
            (b"a%252Fb", "a%25252Fb"),
            (b"..", "%2E%2E"),
            (b"%2E%2E", "%252E%252E"),
            (b"%01", "%01"),
        ] {
            let path = file_path(&escape(name));
            assert_eq!(unescape(&path).unwrap(), file.as_bytes(), "{name:?}");
        }
        assert_eq!(file_path("deep/%2Fetc%2Fx/y"), "deep/%252Fetc%252Fx/y");
    }
}
