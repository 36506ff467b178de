//! What stands in a pattern without braces: names, `/` between them, and in the names `*`, `?`, `[…]` and `\`.

use std::iter::Peekable;
use std::str::Chars;

use super::name::{Token, Unit};

/// How a `%` in a pattern is meant. Operators copy names from a shell, which shows them as they are, and from what the
/// host prints, where a file `100%` is `100%25`: both are to match.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// As a `%`.
    AsItIs,
    /// As the beginning of an escape, each that there is.
    AsPrinted,
}

/// The tokens of each name; none where `pattern` cannot be read so.
pub(super) fn names(pattern: &str, reading: Reading) -> Result<Option<Vec<Vec<Token>>>, String> {
    let mut reader = Reader { chars: pattern.chars().peekable(), escapes: false };
    let mut names = vec![vec![]];
    while let Some(c) = reader.chars.next() {
        let tokens = match c {
            '/' => {
                names.push(vec![]);
                continue;
            }
            '%' if reading == Reading::AsPrinted => match reader.escapes() {
                Some(units) => units.into_iter().map(Token::Unit).collect(),
                None => return Ok(None),
            },
            '*' => vec![Token::Star],
            '?' => vec![Token::Any],
            '[' => vec![reader.class()?],
            '\\' => vec![Token::Unit(Unit::Char(reader.escaped()?))],
            c => vec![Token::Unit(Unit::Char(c))],
        };
        if let Some(name) = names.last_mut() {
            name.extend(tokens);
        }
    }
    Ok((reading == Reading::AsItIs || reader.escapes).then_some(names))
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    /// Whether there were any.
    escapes: bool,
}

impl Reader<'_> {
    /// The character behind a `\`.
    fn escaped(&mut self) -> Result<char, String> {
        match self.chars.next() {
            None => Err(r"ends with a `\`: write `\\` for the character".into()),
            Some('/') => Err(r"has a `\/`: a `/` needs no `\`, and no name has one".into()),
            Some(c) => Ok(c),
        }
    }

    /// The units of as many escapes as follow each other, of which the first `%` was read. None if names in paths are not
    /// written so, or no file is named so.
    fn escapes(&mut self) -> Option<Vec<Unit>> {
        let mut text = String::from('%');
        loop {
            text.extend([self.chars.next()?, self.chars.next()?]);
            match self.chars.next_if_eq(&'%') {
                Some(c) => text.push(c),
                None => break,
            }
        }
        let bytes = dozo_sdk::unescape(&text).ok()?;
        if dozo_sdk::escape(&bytes) != text || bytes.iter().any(|byte| matches!(byte, b'.' | b'/' | 0)) {
            return None;
        }
        self.escapes = true;
        let unit = |byte: u8| if byte.is_ascii() { Unit::Char(byte.into()) } else { Unit::Byte(byte) };
        Some(bytes.into_iter().map(unit).collect())
    }

    /// A class, of which the `[` was read.
    fn class(&mut self) -> Result<Token, String> {
        let negated = self.chars.next_if(|c| matches!(c, '!' | '^')).is_some();
        let mut ranges = vec![];
        loop {
            if !ranges.is_empty() && self.chars.next_if_eq(&']').is_some() {
                return Ok(Token::Class { negated, ranges });
            }
            let low = self.member()?;
            if low == '[' && self.chars.peek() == Some(&':') {
                return Err("has a `[:`, and classes have no names here: write what is in it, such as `[a-z]`".into());
            }
            let high = if self.is_range() { self.upper()? } else { low };
            if high < low {
                return Err(format!("has the range `{low}-{high}`, which is empty: write it the other way round"));
            }
            ranges.push((low, high));
        }
    }

    /// Whether a `-` follows that is not the last in its class.
    fn is_range(&self) -> bool {
        let mut ahead = self.chars.clone();
        ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']')
    }

    fn upper(&mut self) -> Result<char, String> {
        self.chars.next();
        self.member()
    }

    fn member(&mut self) -> Result<char, String> {
        match self.chars.next() {
            None => Err(r"has a `[` that no `]` ends: write `\[` for the character".into()),
            Some('/') => Err("has a `/` in `[…]`, and no name has one: leave it out".into()),
            Some('\\') => self.escaped(),
            Some(c) => Ok(c),
        }
    }
}
