//! Complaints about the configuration, with file, line, and the text itself under a marker.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::masked::masked;
use super::toml_words::in_words;

/// What is wrong with the configuration, and where.
#[derive(Debug)]
pub(crate) struct ConfigError {
    message: String,
    place: Option<Place>,
    hint: Option<String>,
}

/// A line of the configuration and what of it is meant.
#[derive(Debug)]
struct Place {
    file: PathBuf,
    line: usize,
    column: usize,
    text: String,
    width: usize,
}

impl ConfigError {
    /// Adds what to do.
    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into()).filter(|hint: &String| !hint.is_empty()).or(self.hint);
        self
    }

    /// What to do.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What is wrong, without the place.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// File and line, for machines.
    pub(crate) fn file_and_line(&self) -> Option<(&Path, usize)> {
        self.place.as_ref().map(|place| (place.file.as_path(), place.line))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let Some(Place { file, line, column, text, width }) = &self.place else { return Ok(()) };
        let margin = " ".repeat(line.to_string().len());
        let (skip, marker) = (" ".repeat(column - 1), "^".repeat((*width).max(1)));
        write!(f, "\n{margin}--> {}:{line}:{column}\n{margin} |\n", file.display())?;
        write!(f, "{line} | {text}\n{margin} | {skip}{marker}")
    }
}

impl std::error::Error for ConfigError {}

/// A complaint of the TOML parser, or of the shape of its tables.
pub(super) fn from_toml(file: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let written = error.span().and_then(|span| text.get(span.start..)?.lines().next()).unwrap_or_default();
    let (message, hint) = in_words(error.message().trim(), written);
    let error = ConfigError { message, place: error.span().and_then(|span| place(file, text, span)), hint: None };
    error.hinted(hint)
}

/// The text without the lines of a span; none if no TOML is left then, or the span is a table's name.
pub(super) fn without_lines(text: &str, span: Range<usize>) -> Option<String> {
    let begin = text.get(..span.start)?.rfind('\n').map_or(0, |at| at + 1);
    let end = text.get(span.end..)?.find('\n').map_or(text.len(), |at| span.end + at);
    let lines = text.get(begin..end)?;
    let blank: String = lines.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
    let left = format!("{}{blank}{}", &text[..begin], &text[end..]);
    (!lines.trim_start().starts_with('[') && DeTable::parse(&left).is_ok()).then_some(left)
}

/// A complaint about the value at a path of keys; about as much of the path as there is.
pub(super) fn fault(file: &Path, text: &str, keys: &[&str], message: String) -> ConfigError {
    let span = DeTable::parse(text).ok().and_then(|table| span_of(table.get_ref(), keys));
    ConfigError { message, place: span.and_then(|span| place(file, text, span)), hint: None }
}

/// The same, with the values at some paths of keys not shown.
pub(super) fn fault_hiding(
    file: &Path,
    text: &str,
    (keys, hidden): (&[&str], &[Vec<String>]),
    message: String,
) -> ConfigError {
    let table = DeTable::parse(text).ok();
    let span = |keys: &[&str]| table.as_ref().and_then(|table| span_of(table.get_ref(), keys));
    let mut shown = text.as_bytes().to_vec();
    for keys in hidden {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let bytes = span(&keys).and_then(|span| shown.get_mut(span));
        bytes.into_iter().flatten().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b'*');
    }
    // As many bytes, so that every span stays where it is.
    let shown = String::from_utf8(shown).unwrap_or_default();
    ConfigError { message, place: span(keys).and_then(|span| place(file, &shown, span)), hint: None }
}

/// A sentence that names what was probably meant.
pub(crate) fn did_you_mean<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let near = known.iter().map(|name| (strsim::jaro_winkler(wrong, name), name));
    let best = near.max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|(score, _)| *score > 0.8);
    match (best, known.as_slice()) {
        (Some((_, name)), _) => format!("did you mean `{name}`?"),
        (None, []) => String::new(),
        (None, names) => format!("known are `{}`", names.join("`, `")),
    }
}

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It is not there.
    Absent,
    /// `key = { … }`.
    Inline,
    /// `key.inner = …`.
    Dotted,
    /// `[outer.key]`.
    Header,
}

/// How the table at a path of keys is written.
pub(super) fn form(text: &str, keys: &[&str]) -> Form {
    let Ok(table) = DeTable::parse(text) else { return Form::Absent };
    let Some(key) = key_span(table.get_ref(), keys) else { return Form::Absent };
    // A quoted key ends with its quotation mark.
    match text.get(key.end..).unwrap_or_default().trim_start_matches(['"', '\'', ' ', '\t']).chars().next() {
        Some('=') => Form::Inline,
        Some('.') => Form::Dotted,
        _ => Form::Header,
    }
}

fn key_span(table: &DeTable<'_>, keys: &[&str]) -> Option<Range<usize>> {
    let (first, rest) = keys.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref().as_ref() == *first)?;
    match value.get_ref() {
        _ if rest.is_empty() => Some(key.span()),
        DeValue::Table(table) => key_span(table, rest),
        _ => None,
    }
}

/// The span of the key at the end of the path, or of the nearest that is there.
fn span_of(table: &DeTable<'_>, keys: &[&str]) -> Option<Range<usize>> {
    let (first, rest) = keys.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref().as_ref() == *first)?;
    let deeper = match value.get_ref() {
        DeValue::Table(table) => span_of(table, rest),
        DeValue::Array(items) => rest.first().and_then(|n| n.parse::<usize>().ok()).and_then(|n| {
            let item = items.get(n)?;
            match item.get_ref() {
                DeValue::Table(table) => span_of(table, &rest[1..]).or(Some(item.span())),
                _ => Some(item.span()),
            }
        }),
        // A value is meant, not its key: the marker goes under the value.
        _ if rest.is_empty() => Some(value.span()),
        _ => None,
    };
    deeper.or_else(|| Some(key.span()))
}

fn place(file: &Path, text: &str, span: Range<usize>) -> Option<Place> {
    let start = span.start.min(text.len());
    let before = text.get(..start)?;
    let line = before.matches('\n').count() + 1;
    let begin = before.rfind('\n').map_or(0, |at| at + 1);
    let line_text = text.get(begin..)?.lines().next().unwrap_or_default();
    let column = text.get(begin..start)?.chars().count() + 1;
    let end = span.end.min(begin + line_text.len()).max(start);
    let width = text.get(start..end)?.chars().count();
    Some(Place { file: file.to_path_buf(), line, column, text: masked(line_text), width })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[job.files]\nplugin = \"filesystem\"\n[job.files.config]\npaths = [\"/a\", \"relative\"]\n";

    #[test]
    fn a_complaint_points_at_the_value() {
        let shown =
            fault(Path::new("dozo.toml"), TEXT, &["job", "files", "config", "paths", "1"], "no".into()).to_string();
        assert!(shown.contains("dozo.toml:4:16") && shown.ends_with("^^^^^^^^^^"), "{shown}");
        let shown = fault(Path::new("dozo.toml"), TEXT, &["job", "files", "grant"], "no".into()).to_string();
        assert!(shown.contains("dozo.toml:1:6"), "the nearest that is there: {shown}");
    }

    #[test]
    fn values_are_hidden_in_the_line_that_is_shown() {
        let text = "[job.a.config]\nlogin = { user = \"ü\", pin = 1234, words = [\"x\", \"y\"] }\n";
        let keys = |keys: &[&str]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
        let login = ["job", "a", "config", "login"];
        let hidden = [keys(&[&login[..], &["pin"]].concat()), keys(&[&login[..], &["words", "1"]].concat())];
        let error = fault_hiding(Path::new("dozo.toml"), text, (&login, &hidden), "no".into()).to_string();
        assert!(error.contains("{ user = \"ü\", pin = ****, words = [\"x\", ***] }"), "{error}");
    }

    #[test]
    fn the_form_of_a_table_is_seen() {
        for (text, expected) in [
            ("[job.a]\nplugin = \"x\"", Form::Absent),
            ("[job.a]\ngrant = { read = [] }", Form::Inline),
            ("job.a = { grant = { read = [] } }", Form::Inline),
            ("[job.a]\ngrant.read = []", Form::Dotted),
            ("[job.a]\n\"grant\" . read = []", Form::Dotted),
            ("[job.a]\n[job.a.grant]\nread = []", Form::Header),
            ("[job]\n[ job.a.\"grant\" ]\nread = []", Form::Header),
        ] {
            assert_eq!(form(text, &["job", "a", "grant"]), expected, "{text}");
        }
    }

    #[test]
    fn what_was_meant_is_guessed() {
        assert_eq!(did_you_mean("exlude", ["include", "exclude"].into_iter()), "did you mean `exclude`?");
        assert_eq!(did_you_mean("zzz", ["a", "b"].into_iter()), "known are `a`, `b`");
    }
}
