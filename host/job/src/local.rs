//! Times in texts that sources and other parts wrote: RFC 3339 in UTC, to any fraction. People read one form, in one zone.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::words;

/// `2026-12-01T01:11:37Z` without what may stand below the second.
const SHORTEST: usize = 20;
/// The same to the nanosecond.
const LONGEST: usize = 30;

/// The text with such times as `2026-12-01 10:11:37 +09:00`. What stands between backticks was typed, or is to be: it stays; so do
/// times that are a part of a name.
pub fn local<'a>(text: &'a str, zone: &TimeZone) -> Cow<'a, str> {
    if !text.contains("Z") || text.len() < SHORTEST {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest, mut quoted, mut before) = (String::with_capacity(text.len()), text, false, None);
    while let Some(c) = rest.chars().next() {
        quoted ^= c == '`';
        let time = if quoted || before.is_some_and(is_of_a_name) { None } else { time(rest) };
        let length = match time {
            Some((at, length)) => {
                out.push_str(&words::time(at, zone));
                length
            }
            None => {
                out.push(c);
                c.len_utf8()
            }
        };
        before = rest[..length].chars().next_back();
        rest = &rest[length..];
    }
    Cow::Owned(out)
}

/// The time with which a text begins, and how long it is.
fn time(text: &str) -> Option<(Timestamp, usize)> {
    let bytes = text.as_bytes();
    let is_begun = bytes.len() >= SHORTEST && bytes[0].is_ascii_digit() && bytes[4] == b'-' && bytes[10] == b'T';
    if !is_begun {
        return None;
    }
    let length = 1 + bytes.iter().take(LONGEST).position(|b| *b == b'Z')?;
    let is_over = text[length..].chars().next().is_none_or(|c| !is_of_a_name(c));
    let at = text[..length].parse().ok().filter(|_| length >= SHORTEST && is_over)?;
    Some((at, length))
}

fn is_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || "-_/@%+=".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_zone_and_names_stay() {
        let tokyo = TimeZone::get("Asia/Tokyo").unwrap();
        for (text, expected) in [
            ("until 2026-12-01T01:11:37.490215014Z.", "until 2026-12-01 10:11:37 +09:00."),
            ("(2026-12-01T01:11:37Z, ü)", "(2026-12-01 10:11:37 +09:00, ü)"),
            ("2026-12-01T01:11:37Z", "2026-12-01 10:11:37 +09:00"),
            ("a/2026-12-01T01:11:37Z", "a/2026-12-01T01:11:37Z"),
            ("2026-12-01T01:11:37Z-1f", "2026-12-01T01:11:37Z-1f"),
            ("type `--at 2026-12-01T01:11:37Z`", "type `--at 2026-12-01T01:11:37Z`"),
            ("2026-13-01T01:11:37Z, ZZZZ, 2026-12-0é", "2026-13-01T01:11:37Z, ZZZZ, 2026-12-0é"),
        ] {
            assert_eq!(local(text, &tokyo), expected);
        }
    }
}
