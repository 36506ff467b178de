//! Names as the contract wants them in paths.

use std::fmt::Write;

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
