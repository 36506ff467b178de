//! One pattern without braces and without `!`.

use super::name::{NamePattern, Token};
use super::read::{self, Reading};
use super::wild::wild;

/// What it matches, of which kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    /// Whether it matches directories alone.
    pub(super) directories: bool,
    /// The last is a name, always.
    pub(super) parts: Vec<Part>,
}

/// What stands between two `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// `**`: any directories, also none.
    Deep,
    Name(NamePattern),
}

impl Glob {
    /// The ways to read a pattern: one, or two where a `%` in it can be meant in two ways.
    pub(super) fn read(pattern: &str) -> Result<Vec<Self>, String> {
        let directories = pattern.ends_with('/');
        let trimmed = pattern.strip_suffix('/').unwrap_or(pattern);
        if trimmed.is_empty() {
            return Err("matches nothing: leave it out".into());
        }
        if trimmed.contains('/') && !trimmed.starts_with('/') && !trimmed.starts_with("**/") {
            return Err(
                "has a `/` inside and matches nothing: begin it with `/` for a whole path, or with `**/`".into()
            );
        }
        // A name alone is the same as a name behind `**/`, and the paths of entries begin with no `/`.
        let anchored = match trimmed.strip_prefix('/') {
            Some(path) => path.to_string(),
            None => format!("**/{trimmed}"),
        };
        let mut globs = vec![];
        for reading in [Reading::AsItIs, Reading::AsPrinted] {
            if let Some(names) = read::names(&anchored, reading)? {
                globs.push(Glob { directories, parts: parts(names)? });
            }
        }
        Ok(globs)
    }

    /// Whether it matches a path that ends with `name`, whatever its kind.
    pub(super) fn matches(&self, path: &str, name: &str) -> bool {
        let Some((Part::Name(last), above)) = self.parts.split_last() else { return false };
        last.matches(name)
            && match above {
                [Part::Deep] => true,
                above => lead(above, path[..path.len() - name.len()].trim_end_matches('/')),
            }
    }

    /// The one path that it matches, or the one name at any depth.
    pub(super) fn literal(&self) -> Literal {
        if let [Part::Deep, Part::Name(name)] = self.parts.as_slice() {
            return name.literal().map_or(Literal::None, |name| Literal::Name(name.into()));
        }
        literal(&self.parts).map_or(Literal::None, Literal::Path)
    }
}

/// What a pattern without wildcards matches.
pub(super) enum Literal {
    Name(String),
    Path(String),
    None,
}

/// The one path that these match.
pub(super) fn literal(parts: &[Part]) -> Option<String> {
    let name = |part: &Part| match part {
        Part::Deep => None,
        Part::Name(name) => name.literal().map(str::to_string),
    };
    Some(parts.iter().map(name).collect::<Option<Vec<_>>>()?.join("/"))
}

/// Whether parts match the whole of a directory's path.
fn lead(parts: &[Part], directory: &str) -> bool {
    // Behind the last name lies the place behind the `/` that is not there.
    let end = if directory.is_empty() { 0 } else { directory.len() + 1 };
    let name = |at: usize| directory.get(at..).filter(|_| at < end).map(|rest| rest.split('/').next().unwrap_or(rest));
    let step = |part: usize, at: usize| match &parts[part] {
        Part::Name(pattern) => name(at).filter(|name| pattern.matches(name)).map(|name| at + name.len() + 1),
        Part::Deep => None,
    };
    wild(parts.len(), end, |part| parts[part] == Part::Deep, step, |at| name(at).map(|name| at + name.len() + 1))
}

fn parts(names: Vec<Vec<Token>>) -> Result<Vec<Part>, String> {
    let mut parts: Vec<Part> = vec![];
    for tokens in names {
        if tokens.is_empty() {
            return Err("has a `//`, and no name is empty: write one `/`".into());
        }
        let is_deep = tokens.len() > 1 && tokens.iter().all(|token| *token == Token::Star);
        if !is_deep {
            let name = NamePattern::new(tokens);
            if name.literal().is_some_and(|name| name == "." || name == "..") {
                return Err("has a `.` or `..`, which no path in a snapshot has: write the path without".into());
            }
            parts.push(Part::Name(name));
        } else if parts.last() != Some(&Part::Deep) {
            parts.push(Part::Deep);
        }
    }
    // At the end it is whatever lies in the directory before it.
    if parts.last() == Some(&Part::Deep) {
        parts.push(Part::Name(NamePattern::new(vec![Token::Star])));
    }
    Ok(parts)
}
