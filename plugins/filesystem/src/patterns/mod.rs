//! Lists of patterns as `.gitignore` has them: in order, the last that matches counts, and `!` takes back what one before it
//! matched.
//!
//! Entries are many and patterns few, so patterns are made ready once: those without wildcards are looked up, whatever their
//! number, and the others are tried from the last on.

mod braces;
mod glob;
mod name;
mod read;
mod useful;
mod wild;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use dozo_sdk::{Error, Result};

use glob::{Glob, Literal};

/// Longest pattern: four times what a path can have.
const PATTERN_BYTES_MAX: usize = 16 << 10;

/// What a list of patterns is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Include,
    Exclude,
    Tolerate,
}

impl Key {
    fn word(self) -> &'static str {
        match self {
            Key::Include => "include",
            Key::Exclude => "exclude",
            Key::Tolerate => "tolerate",
        }
    }
}

/// A list of patterns, ready to be matched.
#[derive(Debug)]
pub(crate) struct Patterns {
    /// Of each pattern, whether it began with `!`.
    takes_back: Vec<bool>,
    names: HashMap<String, Last>,
    paths: HashMap<String, Last>,
    /// The others, with the numbers of their patterns.
    globs: Vec<(usize, Glob)>,
}

/// The last pattern that is a certain literal.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    any: Option<usize>,
    directory: Option<usize>,
}

/// A pattern with what it stands for.
struct Rule<'a> {
    text: &'a str,
    takes_back: bool,
    globs: Vec<Glob>,
}

impl Patterns {
    /// Reads patterns for entries in `roots`, which are paths of entries themselves.
    ///
    /// # Errors
    /// [`Error::Invalid`], with the key and the pattern, if one is none or can be of no use.
    pub(crate) fn new(key: Key, patterns: &[String], roots: &[String]) -> Result<Self> {
        let refuse = |pattern: &str, why: String| Error::Invalid(format!("{}: `{pattern}` {why}", key.word()));
        let rules = patterns.iter().map(|pattern| Rule::read(pattern).map_err(|why| refuse(pattern, why)));
        let rules = rules.collect::<Result<Vec<_>>>()?;
        useful::check(key, &rules, roots).map_err(|(pattern, why)| refuse(pattern, why))?;
        Ok(Patterns::ready(rules))
    }

    fn ready(rules: Vec<Rule>) -> Self {
        let takes_back = rules.iter().map(|rule| rule.takes_back).collect();
        let mut ready = Patterns { takes_back, names: HashMap::new(), paths: HashMap::new(), globs: vec![] };
        for (number, rule) in rules.into_iter().enumerate() {
            for glob in rule.globs {
                match glob.literal() {
                    Literal::Name(name) => ready.names.entry(name).or_default().add(number, glob.directories),
                    Literal::Path(path) => ready.paths.entry(path).or_default().add(number, glob.directories),
                    Literal::None => ready.globs.push((number, glob)),
                }
            }
        }
        ready
    }

    /// Whether the last pattern that matches an entry takes it, or takes it back. None if none matches.
    pub(crate) fn verdict(&self, path: &str, is_directory: bool) -> Option<bool> {
        let name = name(path);
        let literal = |known: &HashMap<String, Last>, literal: &str| {
            (!known.is_empty()).then(|| known.get(literal)).flatten().and_then(|last| last.number(is_directory))
        };
        let mut last = literal(&self.names, name).max(literal(&self.paths, path));
        for (number, glob) in self.globs.iter().rev() {
            if last >= Some(*number) {
                break;
            }
            if (is_directory || !glob.directories) && glob.matches(path, name) {
                last = Some(*number);
                break;
            }
        }
        last.map(|number| !self.takes_back[number])
    }

    /// The same; if none matches, the innermost directory above that one matches decides.
    pub(crate) fn verdict_from_above(&self, path: &str, is_directory: bool) -> Option<bool> {
        self.verdict(path, is_directory)
            .or_else(|| path.rmatch_indices('/').find_map(|(at, _)| self.verdict(&path[..at], true)))
    }
}

impl Last {
    fn add(&mut self, number: usize, directories: bool) {
        self.directory = Some(number);
        if !directories {
            self.any = Some(number);
        }
    }

    fn number(self, is_directory: bool) -> Option<usize> {
        if is_directory { self.directory } else { self.any }
    }
}

impl<'a> Rule<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("has more than {PATTERN_BYTES_MAX} bytes: write several patterns"));
        }
        if text.contains('\0') {
            return Err("has a NUL, which no name has".into());
        }
        if text.starts_with('#') {
            return Err(r"begins with `#`: a comment stands outside of the quotes, and a name is written `\#…`".into());
        }
        let (takes_back, pattern) = match text.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, text),
        };
        let mut globs = vec![];
        for alternative in braces::alternatives(pattern)? {
            globs.extend(Glob::read(&alternative)?);
        }
        Ok(Rule { text, takes_back, globs })
    }
}

fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
