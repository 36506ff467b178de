//! A pattern for one name: what may stand between two `/`.
//!
//! Names are matched as they stand in paths, escaped, so that nothing is copied for an entry. What counts is what the name
//! is made of all the same: an escape is one unit, and never matched in part.

use super::wild::wild;

/// What a name is made of: characters, and bytes that are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Char(char),
    Byte(u8),
}

/// What a pattern for a name is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Any units, also none.
    Star,
    /// Any one.
    Any,
    /// This one.
    Unit(Unit),
    /// One of these, or none of them.
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// Most patterns are a name, or `*.ending`, and are decided by what they begin and end with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamePattern {
    /// What names begin with, and end with behind that; escaped.
    head: String,
    tail: String,
    /// What lies between; empty for a literal name.
    middle: Vec<Token>,
}

impl NamePattern {
    pub(super) fn new(mut tokens: Vec<Token>) -> Self {
        tokens.dedup_by(|a, b| *a == Token::Star && *b == Token::Star);
        let is_unit = |token: &Token| matches!(token, Token::Unit(_));
        let head = tokens.iter().take_while(|token| is_unit(token)).count();
        let rest = tokens.split_off(head);
        let tail = rest.len() - rest.iter().rev().take_while(|token| is_unit(token)).count();
        let (middle, tail) = rest.split_at(tail);
        NamePattern { head: written(&tokens), tail: written(tail), middle: middle.to_vec() }
    }

    /// The one name, escaped, that this matches.
    pub(super) fn literal(&self) -> Option<&str> {
        self.middle.is_empty().then_some(self.head.as_str())
    }

    /// As a pattern, for messages.
    pub(super) fn shown(&self) -> String {
        let middle = self.middle.iter().map(|token| match token {
            Token::Star => "*".to_string(),
            Token::Any => "?".to_string(),
            Token::Unit(_) => written(std::slice::from_ref(token)),
            Token::Class { .. } => "[…]".to_string(),
        });
        format!("{}{}{}", self.head, middle.collect::<String>(), self.tail)
    }

    /// Whether it matches a name, which is written as in the paths of entries.
    pub(super) fn matches(&self, name: &str) -> bool {
        let Some(between) = between(name, &self.head, &self.tail) else { return false };
        match self.middle.as_slice() {
            [] => between.is_empty(),
            // `*25` does not match `a%25`, whose last unit is a `%`.
            _ if ends_within_an_escape(between) => false,
            [Token::Star] => true,
            middle => matches(middle, between),
        }
    }
}

/// What lies between the two. Byte by byte, from where names differ most: most names fail at the first, for less than it
/// costs to call what compares memory.
fn between<'a>(name: &'a str, head: &str, tail: &str) -> Option<&'a str> {
    let ends = name.bytes().rev().zip(tail.bytes().rev()).all(|(a, b)| a == b);
    if !ends || !name.bytes().zip(head.bytes()).all(|(a, b)| a == b) {
        return None;
    }
    name.get(head.len()..name.len().checked_sub(tail.len())?)
}

fn matches(tokens: &[Token], name: &str) -> bool {
    let is_star = |token: usize| tokens[token] == Token::Star;
    let step =
        |token: usize, at: usize| unit(name, at).filter(|(unit, _)| tokens[token].takes(*unit)).map(|(_, next)| next);
    let skip = |at: usize| unit(name, at).map(|(_, next)| next);
    wild(tokens.len(), name.len(), is_star, step, skip)
}

impl Token {
    fn takes(&self, unit: Unit) -> bool {
        match self {
            Token::Star | Token::Any => true,
            Token::Unit(wanted) => *wanted == unit,
            Token::Class { negated, ranges } => {
                let within = |c: char| ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                *negated != matches!(unit, Unit::Char(c) if within(c))
            }
        }
    }
}

/// The unit at a place of an escaped name, and the place behind it.
fn unit(name: &str, at: usize) -> Option<(Unit, usize)> {
    let rest = name.get(at..)?;
    let c = rest.chars().next()?;
    let escaped = |digits: &str| {
        let both = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        u8::from_str_radix(digits, 16).ok().filter(|_| both)
    };
    match (c, rest.get(1..3).filter(|_| c == '%').and_then(escaped)) {
        (_, Some(byte)) if byte.is_ascii() => Some((Unit::Char(byte.into()), at + 3)),
        (_, Some(byte)) => Some((Unit::Byte(byte), at + 3)),
        (c, None) => Some((Unit::Char(c), at + c.len_utf8())),
    }
}

/// Units as they stand in an escaped name.
fn written(tokens: &[Token]) -> String {
    let mut out = String::new();
    for token in tokens {
        match token {
            // Alone it would be taken for the name `.`.
            Token::Unit(Unit::Char('.')) => out.push('.'),
            Token::Unit(Unit::Char(c)) => out.push_str(&dozo_sdk::escape(c.encode_utf8(&mut [0; 4]).as_bytes())),
            Token::Unit(Unit::Byte(byte)) => out.push_str(&dozo_sdk::escape([*byte])),
            Token::Star | Token::Any | Token::Class { .. } => {}
        }
    }
    out
}

/// Every `%` begins an escape of three bytes.
fn ends_within_an_escape(name: &str) -> bool {
    name.bytes().rev().take(2).any(|byte| byte == b'%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_characters_and_bytes() {
        let name = dozo_sdk::escape(b"a\xff%\n\xc3\xa9".as_slice());
        let mut units = vec![];
        let mut at = 0;
        while let Some((unit, next)) = unit(&name, at) {
            units.push(unit);
            at = next;
        }
        assert_eq!(units, [Unit::Char('a'), Unit::Byte(0xff), Unit::Char('%'), Unit::Char('\n'), Unit::Char('é')]);
        assert_eq!(written(&units.into_iter().map(Token::Unit).collect::<Vec<_>>()), name);
    }

    #[test]
    fn what_is_not_escaped_as_it_should_be_is_read_as_it_is() {
        for name in ["%", "%4", "%é", "%é5", "%+1"] {
            assert_eq!(unit(name, 0), Some((Unit::Char('%'), 1)), "{name}");
        }
    }
}
