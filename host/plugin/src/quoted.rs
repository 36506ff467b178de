//! Text in a line of TOML that an operator copies.

use std::fmt::Write as _;

/// A basic string (TOML 1.0, "String").
pub(crate) fn quoted(text: &str) -> String {
    let mut line = String::with_capacity(text.len() + 2);
    line.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            c if c.is_control() => drop(write!(line, "\\u{:04X}", u32::from(c))),
            c => line.push(c),
        }
    }
    line.push('"');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_is_what_was_meant() {
        assert_eq!(quoted("/srv/a \"b\" \\ c"), r#""/srv/a \"b\" \\ c""#);
        assert_eq!(quoted("a\u{1b}\n\u{301}é\u{200b}"), "\"a\\u001B\\u000A\u{301}é\u{200b}\"");
    }
}
