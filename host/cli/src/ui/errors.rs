//! Errors on the terminal: `error:`, `caused by:`, `hint:`.

use dozo_job::{Failure, Kind};
use jiff::tz::TimeZone;

use crate::args::Global;
use crate::config::ConfigError;

/// Tells an error to people, and with `--json` to programs too: a log of standard output alone must not hide it, nor must
/// a cron job whose mail is standard error.
pub(crate) fn tell(global: &Global, error: &anyhow::Error) {
    print(error);
    if global.json {
        print_json(error);
    }
}

/// Prints an error with its causes and the hint that is nearest to the top.
pub(crate) fn print(error: &anyhow::Error) {
    super::note(format!("error: {error}"));
    for cause in error.chain().skip(1) {
        super::note(format!("caused by: {}", indented(&cause.to_string())));
    }
    if let Some(hint) = error.chain().find_map(hint_of) {
        super::note(format!("hint: {hint}"));
    }
}

/// Prints causes and hint of a failure whose sentence was printed.
pub(crate) fn print_rest(failure: &Failure) {
    for cause in &failure.causes {
        super::note(format!("caused by: {}", indented(cause)));
    }
    if let Some(hint) = &failure.hint {
        super::note(format!("hint: {hint}"));
    }
}

/// An error as reports and events have it. The text of the configuration stays here: there may be a secret in it that
/// should not be.
pub(crate) fn failure(error: &anyhow::Error) -> Failure {
    let kind = error.chain().find_map(|cause| match cause.downcast_ref::<dozo_job::Error>() {
        Some(error) => Some(error.kind()),
        None => cause.is::<ConfigError>().then_some(Kind::Invalid),
    });
    let mut messages = error.chain().map(plain);
    let failure = Failure {
        kind: kind.unwrap_or(Kind::Internal),
        message: messages.next().unwrap_or_default(),
        causes: messages.collect(),
        hint: error.chain().find_map(hint_of).map(str::to_string),
    };
    super::commands().failure(failure).in_zone(&TimeZone::system())
}

/// What an error says, without the place in the configuration.
fn plain(cause: &(dyn std::error::Error + 'static)) -> String {
    match cause.downcast_ref::<ConfigError>() {
        Some(error) => error.message().to_string(),
        None => cause.to_string(),
    }
}

/// Prints an error as JSON, for `--json`.
fn print_json(error: &anyhow::Error) {
    let Failure { message, causes, hint, .. } = failure(error);
    let place = error.chain().find_map(|cause| cause.downcast_ref::<ConfigError>()?.file_and_line());
    let value = serde_json::json!({
        "schema": "dozo/error/1",
        "message": message,
        "causes": causes,
        "hint": hint,
        "file": place.map(|(file, _)| file.display().to_string()),
        "line": place.map(|(_, line)| line),
    });
    // A value of JSON is one.
    let _ = super::json(&value);
}

fn hint_of<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a str> {
    if let Some(error) = cause.downcast_ref::<ConfigError>() {
        return error.hint();
    }
    cause.downcast_ref::<dozo_job::Error>().and_then(dozo_job::Error::hint)
}

/// Further lines stand under the first.
fn indented(text: &str) -> String {
    text.replace('\n', "\n    ")
}
