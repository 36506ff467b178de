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
