//! What somebody else wrote, for a terminal or a log: names, notes, reasons, what servers and plugins say.

use std::borrow::Cow;

/// The text with what a terminal would obey written out: control characters (`\u{1b}`), and those that turn the direction of
/// writing, by which a line shows other than what it says. Lines and tabs stay.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_obeyed(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

fn is_obeyed(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && c != '\n' && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_written_out() {
        for (text, expected) in [
            ("plain, ü, 土蔵\n\tnext", "plain, ü, 土蔵\n\tnext"),
            ("\u{1b}[2J\u{7}", "\\u{1b}[2J\\u{7}"),
            ("over\rwritten", "over\\rwritten"),
            ("c1 \u{9b}31m, del \u{7f}", "c1 \\u{9b}31m, del \\u{7f}"),
            ("invoice\u{202e}fdp.exe", "invoice\\u{202e}fdp.exe"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }
}
