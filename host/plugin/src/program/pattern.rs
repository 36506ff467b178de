//! A granted command line: an absolute path and words with stars; and whether a call, or what a plugin says that it needs,
//! fits into it.

use std::path::{Component, Path, PathBuf};

use dozo_job::{Error, Result};

/// The last word of a command line that any more arguments may follow.
const ANY_MORE: &str = "**";

/// A command line with stars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    program: PathBuf,
    arguments: Vec<String>,
    /// Whether `**` stood at the end.
    more: bool,
}

/// How well a call fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Whole,
    /// The program is the same, and so many arguments fit before one that does not, or is missing.
    Until(usize),
    OtherProgram,
}

impl Pattern {
    /// Reads a command line in shell quoting. Nothing is expanded.
    pub(crate) fn parse(command: &str) -> Result<Self> {
        let refused = |why: &str| Error::invalid(format!("the command line `{command}` {why}"));
        let words = shlex::split(command).ok_or_else(|| refused("has a quote or a `\\` that nothing follows"))?;
        let mut words = words.into_iter();
        let program = words.next().ok_or_else(|| refused("names no program"))?;
        if program.contains('*') || !is_plain(Path::new(&program)) {
            return Err(refused("does not begin with a program's absolute path without `..` and `*`"));
        }
        let mut arguments: Vec<String> = words.collect();
        let more = arguments.last().is_some_and(|last| last == ANY_MORE);
        arguments.truncate(arguments.len() - usize::from(more));
        if arguments.iter().any(|argument| argument == ANY_MORE) {
            return Err(refused("has a `**` that is not its last word"));
        }
        Ok(Pattern { program: program.into(), arguments, more })
    }

    /// Its path.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Whether a call fits, and up to where.
    pub(crate) fn fits(&self, program: &Path, arguments: &[String]) -> Fit {
        if self.program != program {
            return Fit::OtherProgram;
        }
        let pairs = self.arguments.iter().zip(arguments);
        let fitting = pairs.take_while(|(pattern, argument)| matches(pattern, argument)).count();
        let as_many = arguments.len() == fitting || (self.more && arguments.len() > fitting);
        if fitting == self.arguments.len() && as_many { Fit::Whole } else { Fit::Until(fitting) }
    }

    /// Whether every call that fits into the other fits into this.
    ///
    /// A star of the other stands for any text, which only a star of this takes: so it is enough to look at it as at one more
    /// letter, of which no pattern has any.
    pub(crate) fn covers(&self, other: &Pattern) -> bool {
        self.fits(&other.program, &other.arguments) == Fit::Whole && (self.more || !other.more)
    }
}

/// Whether a path says by itself where it leads.
fn is_plain(path: &Path) -> bool {
    let plain = |component| matches!(component, Component::RootDir | Component::Normal(_));
    path.is_absolute() && path.components().all(plain) && path.file_name().is_some()
}

/// Whether a text fits a word with stars. A star at the word's beginning does not make it an option: what should be a name
/// must not turn into `--output=/etc/passwd`.
fn matches(pattern: &str, text: &str) -> bool {
    if pattern.starts_with('*') && text.starts_with('-') {
        return false;
    }
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(grant: &str, call: &str) -> Fit {
        let words = shlex::split(call).unwrap();
        Pattern::parse(grant).unwrap().fits(Path::new(&words[0]), &words[1..])
    }

    #[test]
    fn arguments_fit_word_by_word() {
        for (grant, call, expected) in [
            ("/bin/x", "/bin/x", Fit::Whole),
            ("/bin/x", "//bin/x", Fit::Whole),
            ("/bin/x", "/bin/y", Fit::OtherProgram),
            ("/bin/x", "/bin/x/../x", Fit::OtherProgram),
            ("/bin/x", "/bin/x -v", Fit::Until(0)),
            ("/bin/x -a -b", "/bin/x -a", Fit::Until(1)),
            ("/bin/x -a -b", "/bin/x -b -a", Fit::Until(0)),
            ("/bin/x --db=*", "/bin/x --db=", Fit::Whole),
            ("/bin/x --db=*", "/bin/x --db=a b", Fit::Until(1)),
            ("/bin/x --db=*", "/bin/x '--db=a b'", Fit::Whole),
            ("/bin/x --db=*.sql", "/bin/x --db=.sql", Fit::Whole),
            ("/bin/x a*b*c", "/bin/x a-b-b-c", Fit::Whole),
            ("/bin/x a*b", "/bin/x ab-", Fit::Until(0)),
            ("/bin/x ab*ba", "/bin/x aba", Fit::Until(0)),
            ("/bin/x 'a b' **", "/bin/x 'a b' --any -thing", Fit::Whole),
            ("/bin/x a **", "/bin/x", Fit::Until(0)),
            ("/bin/x a **", "/bin/x a", Fit::Whole),
            ("/bin/x *", "/bin/x name", Fit::Whole),
            ("/bin/x *", "/bin/x ''", Fit::Whole),
        ] {
            assert_eq!(fits(grant, call), expected, "{call} in {grant}");
        }
    }

    #[test]
    fn a_star_at_the_beginning_is_no_option() {
        assert_eq!(fits("/bin/x *", "/bin/x --output=/etc/passwd"), Fit::Until(0));
        assert_eq!(fits("/bin/x *.sql", "/bin/x -f/etc/x.sql"), Fit::Until(0));
        assert_eq!(fits("/bin/x -*", "/bin/x --output=/etc/passwd"), Fit::Whole);
    }

    #[test]
    fn a_need_is_covered_by_what_is_as_wide() {
        for (grant, need, expected) in [
            ("/bin/x -f *", "/bin/x -f *", true),
            ("/bin/x -f *", "/bin/x -f name", true),
            ("/bin/x -f name", "/bin/x -f *", false),
            ("/bin/x --a=*", "/bin/x --a=b*c", true),
            ("/bin/x --a=b*", "/bin/x --a=*", false),
            ("/bin/x a*a", "/bin/x a", false),
            ("/bin/x **", "/bin/x -f * **", true),
            ("/bin/x *", "/bin/x **", false),
            ("/bin/x a **", "/bin/x **", false),
            ("/bin/x **", "/bin/y", false),
        ] {
            let (grant, need) = (Pattern::parse(grant).unwrap(), Pattern::parse(need).unwrap());
            assert_eq!(grant.covers(&need), expected, "{need:?} in {grant:?}");
        }
    }

    #[test]
    fn what_is_no_command_line_is_refused_with_its_text() {
        for command in ["", "x -a", "./x", "/bin/../x", "/bin/* a", "/", "/bin/x 'a", "/bin/x ** a", "/bin/x \\"] {
            let error = Pattern::parse(command).unwrap_err();
            assert_eq!(error.kind(), dozo_job::Kind::Invalid);
            assert!(error.to_string().contains(&format!("`{command}`")), "{error}");
        }
    }
}
