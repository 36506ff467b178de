//! What the parser of TOML and serde say, in words that need no Rust.

use super::place::did_you_mean;
use super::store_url::KNOWN;

/// How jiff begins to complain about a time.
const NO_DURATION: &str = "failed to parse input in the \"friendly\" duration format";
const TIME: &str = "a time such as `\"30s\"`, `\"5m\"`, `\"24h\"` or `\"14d\"`";

/// A message and a hint, for a message of the parser and the text that it is about, up to the end of its line.
pub(super) fn in_words(message: &str, written: &str) -> (String, String) {
    let same = || (message.to_string(), String::new());
    if let Some(field) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return match field {
            "url" => ("`url` is missing: where the repository is".into(), KNOWN.into()),
            "repository" => {
                let hint = "write `[repository]`, and below it `url = \"file:///DIRECTORY\"`; where there is no repository \
                            yet, `dozo init` makes it then";
                ("the table `[repository]` is missing".into(), hint.into())
            }
            field => (format!("`{field}` is missing here"), String::new()),
        };
    }
    if message.starts_with(NO_DURATION) {
        return (format!("{} is no time", first_value(written)), TIME.into());
    }
    match message.split_once(", expected ") {
        // serde lists what it expected: a short list says more as a hint, a long one says nothing.
        Some((what, expected)) if what.starts_with("unknown field") => {
            let field = what.trim_start_matches("unknown field ").trim_matches('`').to_string();
            let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
            (format!("`{field}` is not a key that dozo knows here"), did_you_mean(&field, known.into_iter()))
        }
        Some((what, expected)) if what.starts_with("unknown variant") => {
            let word = what.trim_start_matches("unknown variant ").trim_matches('`').to_string();
            let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
            (format!("`{word}` is none of the words that may stand here"), did_you_mean(&word, known.into_iter()))
        }
        Some((what, expected)) if what.starts_with("invalid type: ") => {
            let found = what.trim_start_matches("invalid type: ");
            (format!("this is {}, where {} is meant", of_kind(found), of_kind(expected)), String::new())
        }
        Some((what, expected)) if what.starts_with("invalid value: ") && !is_choice(expected) => {
            let found = of_kind(what.trim_start_matches("invalid value: "));
            (format!("{found} is out of place, where {} is meant", of_kind(expected)), String::new())
        }
        _ if begins_like_text(written) => {
            let word: String = written.chars().take_while(|c| !" ,]}#".contains(*c)).collect();
            let said =
                if message.starts_with("invalid ") { format!("`{word}` is no value") } else { message.to_string() };
            (said, format!("if a text is meant, it stands in quotes: `\"{word}\"`"))
        }
        _ => same(),
    }
}

/// A value as it is written, without what follows.
fn first_value(written: &str) -> String {
    let end = match written.strip_prefix('"').and_then(|text| text.find('"')) {
        Some(end) => end + 2,
        None => written.find([' ', ',', ']', '}', '#']).unwrap_or(written.len()),
    };
    format!("`{}`", &written[..end])
}

/// Whether serde says what may stand there by name.
fn is_choice(expected: &str) -> bool {
    expected.contains('`')
}

/// What begins with a letter and is none of TOML's words.
fn begins_like_text(written: &str) -> bool {
    let word: String = written.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    written.starts_with(|c: char| c.is_ascii_alphabetic()) && !["true", "false", "inf", "nan"].contains(&word.as_str())
}

/// serde's word for a kind of value, with the value that it found.
fn of_kind(word: &str) -> String {
    let (kind, value) = word.split_once([' ']).unwrap_or((word, ""));
    match (kind, word) {
        ("string", _) => format!("the text {value}"),
        ("integer" | "floating", _) => format!("the number {}", value.trim_start_matches("point ")),
        ("boolean", _) if !value.is_empty() => format!("the word {value}"),
        ("map", _) => "a table".into(),
        ("sequence", _) => "a list".into(),
        (_, "a string" | "a borrowed string" | "path string") => "a text in quotes".into(),
        (_, "a boolean") => "`true` or `false`".into(),
        (_, "a sequence" | "an array") => "a list".into(),
        (_, "a map") => "a table".into(),
        (_, "a signed duration string" | "a span duration string") => TIME.into(),
        (_, "parsable string") => "a size such as `\"256MiB\"` or `\"10GB\"`".into(),
        ("u8" | "u16" | "u32" | "u64" | "usize" | "nonzero", _) => "a whole number from 0 up, without quotes,".into(),
        ("i8" | "i16" | "i32" | "i64", _) => "a whole number, without quotes,".into(),
        ("struct" | "internally", _) => "a table".into(),
        _ => word.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;
    use super::super::place::from_toml;

    fn said(text: &str) -> String {
        let error = toml::from_str::<Config>(text).err().unwrap_or_else(|| panic!("`{text}` is right"));
        let error = from_toml(Path::new("dozo.toml"), text, &error);
        format!("{error}\nhint: {}", error.hint().unwrap_or_default())
    }

    #[test]
    fn what_is_wrong_is_said_without_words_of_rust() {
        let job = "[repository]\nurl = \"file:///r\"\n[job.a]\n";
        for (text, words) in [
            ("[job.a]\nplugin = \"x\"".to_string(), "`[repository]` is missing"),
            ("[repository]\nkey = \"k\"".into(), "`url` is missing"),
            (format!("{job}plugin = filesystem"), "stands in quotes: `\"filesystem\"`"),
            (format!("{job}plugin = postgres\n"), "stands in quotes: `\"postgres\"`"),
            (format!("{job}plugin = 7"), "this is the number `7`, where a text in quotes is meant"),
            (format!("{job}plugin = \"x\"\nretention = 7"), "this is the number `7`, where a table is meant"),
            (
                format!("{job}plugin = \"x\"\nretention = {{ daily = \"7\" }}"),
                "this is the text \"7\", where a whole number from 0 up, without quotes, is meant",
            ),
            (format!("{job}plugin = \"x\"\nlimits = {{ wall = 30 }}"), "`\"30s\"`"),
            (format!("{job}plugin = \"x\"\nlimits = {{ wall = \"30x\" }}"), "`\"30x\"` is no time\n"),
            (format!("{job}plugin = \"x\"\nexpect_every = \"bla\""), "`\"24h\"`"),
            (format!("{job}plugin = \"x\"\nretention = {{ within = 30 }}"), "the number `30`, where a time such as"),
            (format!("{job}plugin = \"x\"\nretention = {{ within = \"30x\" }}"), "`\"14d\"`"),
            (format!("{job}plugin = \"x\"\nretention = {{ daily = -1 }}"), "the number `-1` is out of place"),
            (format!("{job}plugin = \"x\"\nlimits = {{ memory = \"256 Megs\" }}"), "a size such as `\"256MiB\"`"),
            (format!("{job}plugin = \"x\"\ntags = \"x\""), "where a list is meant"),
            (format!("{job}plugn = \"x\""), "did you mean `plugin`?"),
        ] {
            let said = said(&text);
            assert!(said.contains(words), "{text}:\n{said}");
            let rust = ["u32", "struct ", "sequence", "missing field", "invalid", "span ", "friendly", "parsable"];
            assert!(rust.iter().all(|word| !said.contains(word)), "{text}:\n{said}");
        }
    }
}
