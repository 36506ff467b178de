//! Patterns as operators type them: those of `exclude` in the filesystem plugin, so that one pattern means one thing. A `*`, a `?`
//! and a `[…]` stay within a name, `**` between two `/` is any directories; what has no `/` inside matches at any depth. A
//! pattern that matches a directory brings all that is below it.

use std::borrow::Cow;

use super::braces::alternatives;

/// Longest pattern: four times what a path can have.
const PATTERN_BYTES_MAX: usize = 4 * crate::limits::PATH_BYTES_MAX;

/// What separates a pattern from a name.
const SPECIAL: [char; 5] = ['*', '?', '[', '{', '\\'];

/// A pattern, ready to be matched.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Vec<Glob>);

/// One pattern without braces.
#[derive(Clone, Debug)]
struct Glob {
    /// Whether it matches directories alone.
    directories: bool,
    parts: Vec<Part>,
}

/// What stands between two `/`.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    /// `**`: any directories, also none.
    Deep,
    Name(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Star,
    Any,
    Char(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// How much of a path a pattern matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matched {
    /// The entry itself.
    Whole,
    /// A directory that it lies in.
    Above,
}

/// Whether a text has what makes it a pattern.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(SPECIAL)
}

impl Pattern {
    /// Reads a pattern, or says why it is none.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("it has more than {PATTERN_BYTES_MAX} bytes"));
        }
        let globs = alternatives(text)?.iter().map(|alternative| Glob::read(alternative)).collect::<Result<_, _>>()?;
        Ok(Pattern(globs))
    }

    /// How much of a path it matches, if it does.
    pub(crate) fn matched(&self, path: &str, is_directory: bool) -> Option<Matched> {
        let path = units(path);
        let matched = self.0.iter().filter_map(|glob| glob.matched(&path, is_directory));
        // An entry that one alternative names is named, whatever the others bring.
        matched.min_by_key(|matched| *matched == Matched::Above)
    }

    /// The names that all paths begin with that it matches.
    pub(super) fn root(&self) -> Vec<String> {
        let mut roots = self.0.iter().map(Glob::root);
        let first = roots.next().unwrap_or_default();
        roots.fold(first, |root, other| common(root, &other))
    }
}

/// What two paths begin with.
pub(super) fn common(mut one: Vec<String>, other: &[String]) -> Vec<String> {
    let same = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    one.truncate(same);
    one
}

impl Glob {
    fn read(text: &str) -> Result<Self, String> {
        let directories = text.ends_with('/');
        let inner = text.trim_matches('/');
        if inner.is_empty() {
            return Err("it names nothing".into());
        }
        let mut parts = Vec::new();
        if !text.trim_end_matches('/').contains('/') {
            parts.push(Part::Deep);
        }
        for name in tokens(&units(&escaped(inner)))? {
            let is_deep = name.len() > 1 && name.iter().all(|token| *token == Token::Star);
            match (is_deep, parts.last()) {
                (true, Some(Part::Deep)) => {}
                (true, _) => parts.push(Part::Deep),
                (false, _) if name.is_empty() => return Err("it has an empty name between two `/`".into()),
                (false, _) => parts.push(Part::Name(name)),
            }
        }
        // At the end it is whatever lies in the directory before it.
        if parts.last() == Some(&Part::Deep) {
            parts.push(Part::Name(vec![Token::Star]));
        }
        Ok(Glob { directories, parts })
    }

    fn matched(&self, path: &str, is_directory: bool) -> Option<Matched> {
        // Of a path, its names and where each begins: the place behind the last is one behind its end.
        let end = path.len() + 1;
        let name = |at: usize| path.get(at..).map(|rest| rest.split('/').next().unwrap_or(rest));
        let step = |part: usize, at: usize| match &self.parts[part] {
            Part::Name(tokens) => name(at).filter(|name| name_matches(tokens, name)).map(|name| at + name.len() + 1),
            Part::Deep => None,
        };
        let skip = |at: usize| name(at).map(|name| at + name.len() + 1);
        let is_deep = |part: usize| self.parts[part] == Part::Deep;
        let done = |at: usize| at < end || is_directory || !self.directories;
        let at = wild(self.parts.len(), is_deep, step, skip, done)?;
        Some(if at >= end { Matched::Whole } else { Matched::Above })
    }

    fn root(&self) -> Vec<String> {
        let literal = |part: &Part| match part {
            Part::Deep => None,
            Part::Name(tokens) => tokens
                .iter()
                .map(|token| match token {
                    Token::Char(c) => Some(written(*c)),
                    _ => None,
                })
                .collect::<Option<String>>(),
        };
        self.parts.iter().map_while(literal).collect()
    }
}

/// Whether tokens match the whole of a name.
fn name_matches(tokens: &[Token], name: &str) -> bool {
    let char_at = |at: usize| name.get(at..).and_then(|rest| rest.chars().next());
    let step = |token: usize, at: usize| char_at(at).filter(|c| tokens[token].takes(*c)).map(|c| at + c.len_utf8());
    let skip = |at: usize| char_at(at).map(|c| at + c.len_utf8());
    wild(tokens.len(), |token| tokens[token] == Token::Star, step, skip, |at| at == name.len()).is_some()
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Token::Star | Token::Any => true,
            Token::Char(wanted) => *wanted == c,
            Token::Class { negated, ranges } => {
                *negated != ranges.iter().any(|(low, high)| (*low..=*high).contains(&c))
            }
        }
    }
}

/// Matches a sequence of tokens, of which some are stars; returns the place behind what they match, where `done` takes it.
/// `step` is the place behind what a token that is no star matches at a place, `skip` that behind whatever is there.
///
/// Each token but a star matches one thing, so only the last star ever has to take more: no pattern takes longer than its
/// length times that of what it is compared with.
fn wild(
    tokens: usize,
    is_star: impl Fn(usize) -> bool,
    step: impl Fn(usize, usize) -> Option<usize>,
    skip: impl Fn(usize) -> Option<usize>,
    done: impl Fn(usize) -> bool,
) -> Option<usize> {
    let (mut token, mut at) = (0, 0);
    // The token behind the last star, and up to where that star takes all.
    let mut star = None;
    loop {
        if token < tokens && is_star(token) {
            token += 1;
            star = Some((token, at));
        } else if token == tokens && done(at) {
            return Some(at);
        } else if let Some(next) = (token < tokens).then(|| step(token, at)).flatten() {
            (token, at) = (token + 1, next);
        } else {
            let (behind, taken) = star?;
            let next = skip(taken)?;
            (token, at) = (behind, next);
            star = Some((behind, next));
        }
    }
}

/// A text whose `%` may be that of a name or that of an escape, as paths are stored: what begins no escape is the character.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let digits = text.get(at + 1..at + 3).unwrap_or_default();
        let is_escape = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
        match c {
            '%' if is_escape => out.push('%'),
            '%' | '\0'..='\x1f' | '\x7f' => out.push_str(&format!("%{:02X}", c as u8)),
            c => out.push(c),
        }
    }
    out
}

/// Where bytes that are no characters stand among these: no name has such.
const BYTES: u32 = 0x10_FF00;

/// An escaped text with each escape as one character, so that a `?` takes it whole.
fn units(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        let byte = behind.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let unit = byte.and_then(|byte| char::from_u32(BYTES + u32::from(byte)));
        out.push(unit.unwrap_or('%'));
        rest = unit.map_or(behind, |_| &behind[2..]);
    }
    (out + rest).into()
}

/// A unit as paths are stored.
fn written(unit: char) -> String {
    match (unit as u32).checked_sub(BYTES).and_then(|byte| u8::try_from(byte).ok()) {
        Some(byte) => format!("%{byte:02X}"),
        None => unit.to_string(),
    }
}

/// The tokens of each name.
fn tokens(text: &str) -> Result<Vec<Vec<Token>>, String> {
    let mut chars = text.chars().peekable();
    let (mut names, mut name) = (Vec::new(), Vec::new());
    while let Some(c) = chars.next() {
        match c {
            '/' => names.push(std::mem::take(&mut name)),
            '*' => name.push(Token::Star),
            '?' => name.push(Token::Any),
            '[' => name.push(class(&mut chars)?),
            '\\' => name.push(Token::Char(chars.next().ok_or(r"it ends with a `\`")?)),
            c => name.push(Token::Char(c)),
        }
    }
    names.push(name);
    Ok(names)
}

/// A class, of which the `[` was read.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, String> {
    let open = || "it has a `[` that no `]` ends".to_string();
    let negated = chars.next_if(|c| matches!(c, '!' | '^')).is_some();
    let mut ranges = Vec::new();
    let member = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| match chars.next() {
        None | Some('/') => Err(open()),
        Some('\\') => chars.next().ok_or_else(open),
        Some(c) => Ok(c),
    };
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Ok(Token::Class { negated, ranges });
        }
        let low = member(chars)?;
        let mut ahead = chars.clone();
        let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']');
        let high = if is_range {
            chars.next();
            member(chars)?
        } else {
            low
        };
        if high < low {
            return Err(format!("it has the range `{low}-{high}`, which is empty"));
        }
        ranges.push((low, high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(pattern: &str, path: &str) -> Option<Matched> {
        Pattern::read(pattern).unwrap().matched(path, false)
    }

    #[test]
    fn a_pattern_matches_as_in_exclude() {
        for (pattern, path) in [
            ("*.csv", "a.csv"),
            ("*.csv", "srv/data/a.csv"),
            ("/srv/*/x", "srv/a/x"),
            ("srv/*/x", "srv/a/x"),
            ("**/x", "x"),
            ("/srv/**/x", "srv/x"),
            ("/srv/**/x", "srv/a/b/x"),
            ("?", "ü"),
            ("[äö].txt", "ö.txt"),
            ("[!a-c]x", "dx"),
            (r"\[draft\]*", "[draft] 1"),
            ("*.{jpg,png}", "a/b.png"),
            ("100%*", "100%25"),
            ("100%25*", "100%25 sure"),
            ("a?b", "a%FFb"),
        ] {
            assert_eq!(matched(pattern, path), Some(Matched::Whole), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("*.csv", "a.csv2"),
            ("/*.csv", "srv/a.csv"),
            ("/srv/*", "srv"),
            ("a?b", "ab"),
            ("a?b", "a/b"),
            ("[!a-c]x", "ax"),
            ("*25", "a%25"),
            ("x/", "x"),
        ] {
            assert_eq!(matched(pattern, path), None, "{pattern} {path}");
        }
    }

    #[test]
    fn what_lies_below_a_match_is_brought() {
        for (pattern, path) in
            [("cache*", "srv/cache1/a/b"), ("/srv/*/x", "srv/a/x/deep"), ("c/", "a/c/d"), ("**", "a/b")]
        {
            assert_eq!(matched(pattern, path), Some(Matched::Above), "{pattern} {path}");
        }
        assert_eq!(Pattern::read("c*/").unwrap().matched("a/c1", true), Some(Matched::Whole));
        assert_eq!(matched("{a,a/b}", "a/b"), Some(Matched::Whole));
    }

    #[test]
    fn what_is_no_pattern_is_said() {
        for bad in ["a[", "[z-a]", "a\\", "{a", "a}", "{a}", "/", "a//*", &"*".repeat(PATTERN_BYTES_MAX + 1)] {
            assert!(Pattern::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_root_is_what_all_matches_begin_with() {
        let root = |pattern: &str| Pattern::read(pattern).unwrap().root().join("/");
        assert_eq!(root("/srv/a/*.txt"), "srv/a");
        assert_eq!(root("*.txt"), "");
        assert_eq!(root("/srv/{a,b}/x*"), "srv");
        assert_eq!(root("/srv/100%/*"), "srv/100%25");
    }
}
