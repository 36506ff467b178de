//! What is posted: Block Kit, and the same as plain text for notifications and for servers that know no blocks. Pure.
//! <https://docs.slack.dev/reference/block-kit/blocks>

use dozo_sdk::prelude::*;
use dozo_sdk::words;
use serde_json::{Value, json};

use crate::text::{code, cut, escape, verbatim};

/// Slack's bounds, in characters.
const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3_000;
const FIELD_MAX: usize = 2_000;
/// The plain text, where it is all that there is.
const TEXT_MAX: usize = 3_000;
/// A path, a note, a reason: more of it is in the report.
const LINE_MAX: usize = 250;
/// Entries and notes that are named: who wants all has the report.
const LINES_MAX: usize = 5;

/// The message for an event, but for where it goes.
pub(crate) fn of(event: &Event) -> Value {
    let mut blocks = vec![json!({"type": "header", "text": plain(&header(event), HEADER_MAX)})];
    blocks.push(match &event.report.error {
        Some(_) => fields(event),
        None => section(escape(&event.summary, SECTION_MAX)),
    });
    blocks.extend(event.report.error.as_ref().map(|error| section(why(error))));
    if event.report.error.is_none() && event.report.snapshot.is_some() {
        blocks.push(fields(event));
    }
    blocks.extend(suspicious(event).map(section));
    blocks.extend(omitted(event).map(section));
    blocks.extend(notes(event).map(section));
    blocks.extend(next(event).map(section));
    blocks.extend(origin(event).map(|text| json!({"type": "context", "elements": [markdown(text)]})));
    json!({"text": fallback(event), "blocks": blocks})
}

/// Job, host and what happened: what a phone shows.
fn header(event: &Event) -> String {
    let (job, host) = (&event.job, &event.host);
    match &event.kind {
        EventKind::Failure => format!("❌ {job} on {host}: backup failed"),
        EventKind::Partial => format!("⚠️ {job} on {host}: backed up in part"),
        EventKind::Suspicious => format!("⚠️ {job} on {host}: the backup is suspicious"),
        EventKind::Success => format!("✅ {job} on {host}: backed up"),
        EventKind::Recovered if job.is_empty() => format!("✅ {host}: well again"),
        EventKind::Recovered => format!("✅ {job} on {host}: backed up again"),
        EventKind::RecoveryGap => format!("⚠️ {job} on {host}: some moments cannot be recovered"),
        EventKind::Damage => format!("❌ {host}: backups are damaged"),
        EventKind::Verify => format!("❌ {host}: the verification failed"),
        EventKind::Mirror => format!("❌ {host}: a mirror is not complete"),
        EventKind::Prune => format!("⚠️ {host}: the prune failed"),
        EventKind::Repair => format!("❌ {host}: the repair is not complete"),
        EventKind::Test => format!("🔔 {host}: a test"),
        EventKind::Other(word) if job.is_empty() => format!("{host}: {word}"),
        EventKind::Other(word) => format!("{job} on {host}: {word}"),
    }
}

fn plain(text: &str, characters: usize) -> Value {
    json!({"type": "plain_text", "text": cut(text, characters), "emoji": false})
}

fn markdown(text: impl Into<String>) -> Value {
    let text: String = text.into();
    json!({"type": "mrkdwn", "text": text, "verbatim": true})
}

fn section(text: impl Into<String>) -> Value {
    json!({"type": "section", "text": markdown(text)})
}

/// Job, host, when, how long and, if there is a snapshot, how much.
fn fields(event: &Event) -> Value {
    let report = &event.report;
    // What is about the repository as a whole has no job.
    let job = (!event.job.is_empty()).then(|| ("Job", event.job.clone()));
    let mut named: Vec<(&str, String)> = job.into_iter().chain([("Host", event.host.clone())]).collect();
    named.extend((!report.started.is_empty()).then(|| ("Started", moment(&report.started))));
    // What could not be begun took no time.
    let took = report.plugin.as_ref().and_then(|_| report.took());
    named.extend(took.map(|took| ("Took", words::duration(took))));
    if report.snapshot.is_some() {
        named.push(("Entries", words::count(report.entries)));
        named.push(("Size", words::bytes(report.bytes)));
        named.push(("New", words::bytes(report.bytes_new)));
        named.push(("Stored", words::bytes(report.bytes_stored)));
    }
    let fields = named.iter().map(|(name, value)| markdown(format!("*{name}*\n{}", escape(value, FIELD_MAX - 20))));
    json!({"type": "section", "fields": fields.collect::<Vec<_>>()})
}

/// `2026-11-23 02:00:00 UTC`.
fn moment(time: &str) -> String {
    let seconds = time.trim_end_matches('Z').split('.').next().unwrap_or_default();
    format!("{} UTC", seconds.replace('T', " "))
}

/// The error, its causes, and what the host says about mending it.
fn why(error: &dozo_sdk::Failure) -> String {
    let hint = error.hint.as_ref().map(|hint| format!("\n*Hint*: {}", escape(hint, SECTION_MAX / 4)));
    let lines = [std::slice::from_ref(&error.message), &error.causes].concat().join("\ncaused by: ");
    let rest = SECTION_MAX - hint.as_ref().map_or(0, |hint| hint.chars().count()) - 20;
    format!("*Why* ({})\n{}{}", escape(&error.kind, 15), verbatim(&lines, rest - 40), hint.unwrap_or_default())
}

/// In what it is smaller than the last good one, the first few.
fn suspicious(event: &Event) -> Option<String> {
    let reasons = &event.report.suspicious;
    let shown: String =
        reasons.iter().take(LINES_MAX).map(|reason| format!("\n• {}", escape(reason, LINE_MAX))).collect();
    let more = match reasons.len().saturating_sub(LINES_MAX) {
        0 => String::new(),
        more => format!("\n… and {more} more"),
    };
    (!reasons.is_empty()).then(|| format!("*Much smaller than before*{shown}{more}"))
}

/// What is missing from the snapshot, the first few.
fn omitted(event: &Event) -> Option<String> {
    let report = &event.report;
    if report.omitted_count == 0 {
        return None;
    }
    let name = |(path, why): &(String, String)| {
        format!("\n• {} {}", code(&format!("/{path}"), LINE_MAX), escape(why, LINE_MAX))
    };
    let shown: String = report.omitted.iter().take(LINES_MAX).map(name).collect();
    let named = report.omitted.len().min(LINES_MAX) as u64;
    let more = match report.omitted_count.saturating_sub(named) {
        0 => String::new(),
        more => format!("\n… and {} more", words::count(more)),
    };
    let count = words::count(report.omitted_count);
    let noun = if report.omitted_count == 1 { "entry" } else { "entries" };
    Some(format!("*Not backed up*: {count} {noun}{shown}{more}"))
}

fn notes(event: &Event) -> Option<String> {
    let notes = &event.report.notes;
    let shown: String = notes.iter().take(LINES_MAX).map(|note| format!("\n• {}", escape(note, LINE_MAX))).collect();
    let more = match notes.len().saturating_sub(LINES_MAX) {
        0 => String::new(),
        more => format!("\n… and {more} more"),
    };
    (!notes.is_empty()).then(|| format!("*To be known*{shown}{more}"))
}

/// What to type, and where.
fn next(event: &Event) -> Option<String> {
    let command = event.next_command()?;
    Some(format!("*What to do*, on {}\n{}", escape(&event.host, LINE_MAX), verbatim(&command, LINE_MAX)))
}

/// Which plugin and which snapshot.
fn origin(event: &Event) -> Option<String> {
    let plugin = event.report.plugin.as_ref().map(|plugin| format!("plugin {} {}", plugin.name, plugin.version));
    let snapshot = event.report.snapshot.as_ref().map(|id| format!("snapshot {}", id.get(..8).unwrap_or(id)));
    let parts: Vec<String> = [plugin, snapshot].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| escape(&parts.join(" · "), LINE_MAX))
}

/// The same in plain lines.
fn fallback(event: &Event) -> String {
    let hint = event.report.error.as_ref().and_then(|error| error.hint.as_ref()).map(|hint| format!("hint: {hint}"));
    let next = event.next_command().map(|command| format!("on {}: {command}", event.host));
    let lines: Vec<String> = [Some(event.summary.clone()), hint, next].into_iter().flatten().collect();
    escape(&lines.join("\n"), TEXT_MAX)
}

#[cfg(test)]
mod tests;
