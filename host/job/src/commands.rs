//! Commands that a message names, so that they can be typed: with the configuration that this process was started with. Messages
//! are written with `dozo COMMAND`; here alone the rest is put in.

use std::borrow::Cow;
use std::path::Path;

use crate::report::Failure;
use crate::words;

/// Commands that have no use for a configuration, or take it for something else.
const WITHOUT: [&str; 3] = ["--config", "--repository ", "dozo plugin test"];

/// How commands are typed on this host.
#[derive(Clone, Debug, Default)]
pub struct Commands {
    /// `dozo --config FILE`, where a file was named.
    dozo: Option<String>,
}

impl Commands {
    /// Of a process that was started with `--config`. Whoever reads a message is in another directory.
    pub fn with(config: Option<&Path>) -> Self {
        let absolute = config.map(|file| std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf()));
        Commands { dozo: absolute.map(|file| format!("dozo --config {}", words::quoted(&file.display().to_string()))) }
    }

    /// A command line: `dozo check && dozo run db`.
    pub fn line(&self, line: &str) -> String {
        match &self.dozo {
            Some(dozo) if !WITHOUT.iter().any(|word| line.contains(word)) => {
                let parts = line.split(" && ").map(|part| match part.strip_prefix("dozo ") {
                    Some(rest) => format!("{dozo} {rest}"),
                    None => part.into(),
                });
                parts.collect::<Vec<_>>().join(" && ")
            }
            _ => line.into(),
        }
    }

    /// A text for people, in which commands stand between backticks.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.dozo.is_none() || !text.contains("`dozo ") {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len() + 64);
        for (number, part) in text.split('`').enumerate() {
            if number > 0 {
                out.push('`');
            }
            if number % 2 == 1 { out.push_str(&self.line(part)) } else { out.push_str(part) }
        }
        Cow::Owned(out)
    }

    /// The same of all that a failure says.
    pub fn failure(&self, failure: Failure) -> Failure {
        let text = |text: String| self.text(&text).into_owned();
        Failure {
            kind: failure.kind,
            message: text(failure.message),
            causes: failure.causes.into_iter().map(text).collect(),
            hint: failure.hint.map(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_the_configuration_that_was_named() {
        let named = Commands::with(Some(Path::new("/etc/my dozo.toml")));
        let dozo = "dozo --config '/etc/my dozo.toml'";
        assert_eq!(named.line("dozo check && dozo run db"), format!("{dozo} check && {dozo} run db"));
        let text = "`dozo verify`, or `restore` with `--yes`: `dozo repair --at nas`";
        assert_eq!(named.text(text), format!("`{dozo} verify`, or `restore` with `--yes`: `{dozo} repair --at nas`"));
        assert_eq!(named.text(&named.text(text)), named.text(text), "once");
        for as_it_is in [
            "`dozo snapshots --repository URL --identity FILE`",
            "`dozo plugin test FILE`",
            "`dozo` alone, and dozo run",
            "an odd ` and dozo run",
        ] {
            assert_eq!(named.text(as_it_is), as_it_is);
        }
        assert_eq!(Commands::default().text(text), text);
        let relative = Commands::with(Some(Path::new("dozo.toml"))).line("dozo run");
        assert!(relative.starts_with("dozo --config /") && relative.ends_with("/dozo.toml run"), "{relative}");
    }
}
