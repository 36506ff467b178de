//! References to characters in the XML that servers answer with: the five that XML knows by name, and those by number.

/// The longest that can be one: `&#x10FFFF;`, with zeros before it a little more.
const REFERENCE_BYTES_MAX: usize = 16;

/// The text with its references resolved, once: what they stand for is not read again. A control character is written out, as
/// it is wherever somebody else's text is shown; what is no reference stays as it is.
pub(super) fn resolved(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match reference(rest) {
            Some((c, length)) => {
                if c.is_control() && !c.is_whitespace() {
                    out.extend(c.escape_default())
                } else {
                    out.push(c)
                }
                rest = &rest[length..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The character of the reference with which a text begins, and how long that is.
fn reference(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(REFERENCE_BYTES_MAX).position(|b| b == b';')?;
    let name = &text[1..end];
    let c = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => char::from_u32(number(name.strip_prefix('#')?)?)?,
    };
    Some((c, end + 1))
}

/// `39`, `x27`: digits alone, without a sign.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix(['x', 'X']) {
        Some(hex) => (hex, 16),
        None => (text, 10),
    };
    let number = u32::from_str_radix(digits, radix).ok()?;
    digits.bytes().all(|b| b.is_ascii_alphanumeric()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_once() {
        for (text, expected) in [
            ("the server&#39;s time", "the server's time"),
            ("&lt;a&gt; &amp; &quot;b&quot; &apos;c&apos; &#x27;d&#X27;", "<a> & \"b\" 'c' 'd'"),
            ("&amp;lt;", "&lt;"),
            ("&#252;&#x571F;", "ü土"),
            ("&#27;[2J &#x9b;1m&#0;", "\\u{1b}[2J \\u{9b}1m\\u{0}"),
            ("a&#10;b", "a\nb"),
            (
                "a & b; &unknown; &; &#; &#x; &#+9; &#xD800; &#99999999999;",
                "a & b; &unknown; &; &#; &#x; &#+9; &#xD800; &#99999999999;",
            ),
            ("&0000000000000000000000000000000amp;&", "&0000000000000000000000000000000amp;&"),
            ("&é土é土é土;", "&é土é土é土;"),
        ] {
            assert_eq!(resolved(text), expected);
        }
    }
}
