//! Text as Slack wants it: escaped, and never longer than it takes.
//! <https://docs.slack.dev/messaging/formatting-message-text>

/// Cuts to so many characters, the last an ellipsis where something was left out.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_string(),
        Some(_) => text.chars().take(characters.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Escapes what Slack reads as markup of its own, and cuts the result to so many characters without tearing an escape.
pub(crate) fn escape(text: &str, characters: usize) -> String {
    let mut out = String::new();
    let mut left = characters;
    for c in text.chars() {
        let escaped = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ => "",
        };
        let length = escaped.len().max(1);
        // The last place is the ellipsis's.
        if length >= left {
            out.push('…');
            break;
        }
        left -= length;
        match escaped {
            "" => out.push(c),
            escaped => out.push_str(escaped),
        }
    }
    out
}

/// Text in a block of its own, as it is: no name in it is called, no `*` makes anything bold.
pub(crate) fn verbatim(text: &str, characters: usize) -> String {
    format!("```{}```", escape(&text.replace('`', "'"), characters.saturating_sub(6)))
}

/// The same within a line.
pub(crate) fn code(text: &str, characters: usize) -> String {
    let line = text.replace('`', "'").replace(char::is_control, " ");
    format!("`{}`", escape(&line, characters.saturating_sub(2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped() {
        assert_eq!(escape("<!channel> a && b", 100), "&lt;!channel&gt; a &amp;&amp; b");
        assert_eq!(code("a`b\nc", 100), "`a'b c`");
        assert_eq!(verbatim("```<@U1>", 100), "```'''&lt;@U1&gt;```");
    }

    #[test]
    fn nothing_is_longer_than_it_may_be() {
        for length in 10..60 {
            let text = "é<&>x".repeat(20);
            for made in [cut(&text, length), escape(&text, length), verbatim(&text, length), code(&text, length)] {
                assert!(made.chars().count() <= length, "{made}");
                let torn = made.rsplit('&').next().unwrap();
                assert!(!made.contains('&') || torn.contains(';') || made == cut(&text, length), "{made}");
            }
        }
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
    }
}
