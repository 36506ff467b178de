//! Errors on the terminal: `error:`, `caused by:`, `hint:`.

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

/// Prints an error as JSON, for `--json`.
fn print_json(error: &anyhow::Error) {
    let plain = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref::<ConfigError>() {
        Some(error) => error.message().to_string(),
        None => cause.to_string(),
    };
    let mut messages = error.chain().map(plain);
    let message = messages.next().unwrap_or_default();
    let causes: Vec<String> = messages.collect();
    let place = error.chain().find_map(|cause| cause.downcast_ref::<ConfigError>()?.file_and_line());
    let value = serde_json::json!({
        "schema": "dozo/error/1",
        "message": message,
        "causes": causes,
        "hint": error.chain().find_map(hint_of),
        "file": place.map(|(file, _)| file.display().to_string()),
        "line": place.map(|(_, line)| line),
    });
    super::line(value);
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
