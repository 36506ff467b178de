//! What is reported of a run, or of other work on the repository: the kind of event, and one line for people. Pure.

use dozo_repository::format::record::Outcome;
use jiff::Timestamp;
use serde::Serialize;

use super::next::{after_run, after_upkeep};
use crate::commands::Commands;
use crate::health::Upkeep;
use crate::limits::SUMMARY_REASON_CHARS;
use crate::port::{Event, EventKind};
use crate::report::{Failure, Report};
use crate::words;

/// The event of a run. `before` is what became of the job's run before, if anybody knows: a complete snapshot after one that
/// was not is a recovery.
pub fn event_of_run(report: &Report, before: Option<Outcome>, commands: &Commands) -> Event {
    let kind = match (report.outcome, before) {
        (Outcome::Failed, _) => EventKind::Failure,
        // Also of one that is partial: that is named in it, and this is worse.
        _ if !report.suspicious.is_empty() => EventKind::Suspicious,
        (Outcome::Partial, _) => EventKind::Partial,
        (Outcome::Complete, _) if report.recovery_gap.is_some() => EventKind::RecoveryGap,
        (Outcome::Complete, Some(Outcome::Failed | Outcome::Partial)) => EventKind::Recovered,
        (Outcome::Complete, _) => EventKind::Success,
    };
    let next = after_run(kind, &report.job, report.error.as_ref().map(|error| error.kind));
    let report = Report { next: next.map(|next| commands.line(&next)), ..report.clone() };
    Event {
        kind,
        job: report.job.clone(),
        host: report.host.clone(),
        summary: format!("{}: {} {}", report.host, report.job, what_happened(&report, kind)),
        report: json(&report),
    }
}

/// The event of a job that could not be begun (a plugin that does not load, a repository that cannot be opened), or whose end was
/// not all that it should be: what, in a few words. Its report has no more than the error.
pub fn event_of_no_run(
    (job, what): (&str, &str),
    host: &str,
    at: Timestamp,
    error: &Failure,
    commands: &Commands,
) -> Event {
    let next = after_run(EventKind::Failure, job, Some(error.kind));
    let report = NoRun {
        schema: Report::SCHEMA,
        job: job.into(),
        host: host.into(),
        outcome: Some(Outcome::Failed),
        started: at,
        ended: at,
        next: next.map(|next| commands.line(&next)),
        error: Some(error),
    };
    Event {
        kind: EventKind::Failure,
        job: job.into(),
        host: host.into(),
        summary: format!("{host}: {job} {what}: {}", reason(error)),
        report: json(&report),
    }
}

/// The event of other work on the repository than a run: what became of it, in a few words, and why. It is about no job.
pub fn event_of_upkeep(
    kind: EventKind,
    host: &str,
    (started, ended): (Timestamp, Timestamp),
    (work, what): (&Upkeep, &str),
    error: Option<&Failure>,
    commands: &Commands,
) -> Event {
    let outcome = if error.is_some() { Outcome::Failed } else { Outcome::Complete };
    let report = NoRun {
        schema: Report::SCHEMA,
        job: String::new(),
        host: host.into(),
        outcome: Some(outcome),
        started,
        ended,
        next: after_upkeep(kind, work).map(|next| commands.line(&next)),
        error,
    };
    let why = error.map_or(String::new(), |error| format!(": {}", reason(error)));
    Event {
        kind,
        job: String::new(),
        host: host.into(),
        summary: format!("{host}: {what}{why}"),
        report: json(&report),
    }
}

/// The event of no run at all: the operator tries whether telling works.
pub fn event_of_test(host: &str, at: Timestamp) -> Event {
    let report = NoRun {
        schema: Report::SCHEMA,
        job: String::new(),
        host: host.into(),
        outcome: None,
        started: at,
        ended: at,
        next: None,
        error: None,
    };
    Event {
        kind: EventKind::Test,
        job: String::new(),
        host: host.into(),
        summary: format!("{host}: this is a test of dozo's; nothing happened"),
        report: json(&report),
    }
}

/// The report where there was no run: the same schema, without what a run would have.
#[derive(Serialize)]
struct NoRun<'a> {
    schema: &'static str,
    job: String,
    host: String,
    outcome: Option<Outcome>,
    started: Timestamp,
    ended: Timestamp,
    next: Option<String>,
    error: Option<&'a Failure>,
}

fn what_happened(report: &Report, kind: EventKind) -> String {
    let took = words::duration(report.ended.duration_since(report.started));
    let entries = words::counted(report.entries, "entry", "entries");
    let much = format!("{entries}, {}, {} new, in {took}", words::bytes(report.bytes), words::bytes(report.bytes_new));
    match (&report.error, kind) {
        (Some(error), EventKind::Failure) => format!("failed after {took}: {}", reason(error)),
        (None, EventKind::Failure) => format!("failed after {took}"),
        (_, EventKind::Suspicious) => format!("is backed up, but is much smaller than before: {}", drops(report)),
        (_, EventKind::Partial) => format!("is backed up in part, {}: {much}", missing(report)),
        (_, EventKind::Recovered) => format!("is backed up again: {much}"),
        (_, EventKind::RecoveryGap) => match report.recovery_gap {
            Some(gap) => {
                let zone = words::zone(&report.timezone);
                let (after, until) = (words::time(gap.after, &zone), words::time(gap.until, &zone));
                format!("cannot be recovered to moments between {after} and {until}: {much}")
            }
            None => format!("cannot be recovered to some moments: {much}"),
        },
        _ => format!("is backed up: {much}"),
    }
}

/// In what it is smaller, the first.
fn drops(report: &Report) -> String {
    let first = report.suspicious.first().map(|reason| one_line(reason)).unwrap_or_default();
    match report.suspicious.len().saturating_sub(1) {
        0 => first,
        more => format!("{first}; and {more} more"),
    }
}

/// How much is missing, and what first.
fn missing(report: &Report) -> String {
    let count = words::counted(report.omitted_count, "entry is", "entries are");
    match report.omitted.first() {
        Some((path, why)) => format!("{count} missing (/{})", one_line(&format!("{path}: {why}"))),
        None => format!("{count} missing"),
    }
}

/// The error and its causes.
fn reason(error: &Failure) -> String {
    one_line(&error.one_line())
}

/// Bounded, and without line breaks.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(SUMMARY_REASON_CHARS) {
        None => line,
        Some((end, _)) => format!("{}…", &line[..end]),
    }
}

/// A report has strings and numbers alone: it always is JSON. People are told even if it were not.
fn json(report: &impl Serialize) -> String {
    serde_json::to_string(report).unwrap_or_else(|_| "{}".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{PluginStamp, Usage};
    use dozo_repository::{Error, ObjectId};

    fn report(outcome: Outcome) -> Report {
        Report {
            schema: Report::SCHEMA,
            job: "attachments".into(),
            host: "web-1".into(),
            plugin: PluginStamp { name: "filesystem".into(), version: "0.1.0".into(), digest: ObjectId([0; 32]) },
            outcome,
            started: Timestamp::UNIX_EPOCH,
            ended: "1970-01-01T00:05:10Z".parse().unwrap(),
            snapshot: None,
            previous: None,
            entries: 60_138,
            entries_kept: 0,
            bytes: 3 << 29,
            bytes_read: 0,
            bytes_new: 10 << 20,
            bytes_stored: 0,
            omitted: vec![],
            omitted_count: 0,
            answers: Vec::new(),
            suspicious: vec![],
            notes: vec![],
            recovery_gap: None,
            timezone: "Asia/Tokyo".into(),
            next: None,
            error: None,
            usage: Usage::default(),
        }
    }

    #[test]
    fn a_complete_run_after_one_that_was_not_is_a_recovery() {
        let kind = |outcome, before| event_of_run(&report(outcome), before, &Commands::default()).kind;
        for before in [None, Some(Outcome::Complete)] {
            assert_eq!(kind(Outcome::Complete, before), EventKind::Success);
        }
        for before in [Outcome::Failed, Outcome::Partial] {
            assert_eq!(kind(Outcome::Complete, Some(before)), EventKind::Recovered);
        }
        for before in [None, Some(Outcome::Complete), Some(Outcome::Partial), Some(Outcome::Failed)] {
            assert_eq!(kind(Outcome::Partial, before), EventKind::Partial);
            assert_eq!(kind(Outcome::Failed, before), EventKind::Failure);
        }
    }

    #[test]
    fn a_gap_is_told_also_where_it_is_a_recovery() {
        let gap = crate::Gap { after: Timestamp::UNIX_EPOCH, until: "1970-01-01T00:10:00Z".parse().unwrap() };
        let report = Report { recovery_gap: Some(gap), ..report(Outcome::Complete) };
        let event = event_of_run(&report, Some(Outcome::Failed), &Commands::default());
        assert_eq!(event.kind, EventKind::RecoveryGap);
        let moments = "moments between 1970-01-01 09:00:00 +09:00 and 1970-01-01 09:10:00 +09:00";
        assert!(event.summary.contains(moments), "{event:?}");
        let partial = Report { outcome: Outcome::Partial, ..report };
        assert_eq!(event_of_run(&partial, None, &Commands::default()).kind, EventKind::Partial);
    }

    #[test]
    fn other_work_is_about_no_job() {
        let failure = Failure::from(&Error::unavailable("reach the store").hinted("is it up?"));
        let times = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let commands = Commands::with(Some("/etc/d.toml".as_ref()));
        let work = (&Upkeep::Prune, "the prune failed");
        let event = event_of_upkeep(EventKind::Prune, "web-1", times, work, Some(&failure), &commands);
        assert_eq!((event.job.as_str(), event.summary.as_str()), ("", "web-1: the prune failed: reach the store"));
        let report: serde_json::Value = serde_json::from_str(&event.report).unwrap();
        assert_eq!((&report["outcome"], &report["error"]["hint"]), (&"failed".into(), &"is it up?".into()));
        assert_eq!(report["next"], "dozo --config /etc/d.toml prune");
    }

    #[test]
    fn one_line_says_host_job_what_why_and_how_much() {
        let summary = |report: &Report, before| event_of_run(report, before, &Commands::default()).summary;
        let complete = report(Outcome::Complete);
        let much = "60,138 entries, 1.5 GiB, 10.0 MiB new, in 5 min 10 s";
        assert_eq!(summary(&complete, None), format!("web-1: attachments is backed up: {much}"));
        assert_eq!(summary(&complete, Some(Outcome::Failed)), format!("web-1: attachments is backed up again: {much}"));
        let partial = Report {
            omitted: vec![("srv/a.pdf".into(), "permission\ndenied".into())],
            omitted_count: 7,
            ..report(Outcome::Partial)
        };
        let missing = "7 entries are missing (/srv/a.pdf: permission denied)";
        assert_eq!(summary(&partial, None), format!("web-1: attachments is backed up in part, {missing}: {much}"));
        let suspicious = Report { suspicious: vec!["3 entries, where it has 2,003".into()], ..partial };
        let what = "is backed up, but is much smaller than before: 3 entries, where it has 2,003";
        assert_eq!(summary(&suspicious, None), format!("web-1: attachments {what}"));
        assert_eq!(event_of_run(&suspicious, None, &Commands::default()).kind, EventKind::Suspicious);
        let error = Error::denied("wrong password").context("the plugin postgres failed");
        let failed = Report { error: Some(Failure::from(&error)), ..report(Outcome::Failed) };
        let why = "the plugin postgres failed: wrong password";
        assert_eq!(summary(&failed, None), format!("web-1: attachments failed after 5 min 10 s: {why}"));
        let long = Error::internal("é".repeat(10_000));
        let long = event_of_no_run(
            ("a", "did not run"),
            "h",
            Timestamp::UNIX_EPOCH,
            &Failure::from(&long),
            &Commands::default(),
        )
        .summary;
        assert!(long.chars().count() < SUMMARY_REASON_CHARS + 50, "{long}");
    }

    #[test]
    fn a_job_that_did_not_run_has_a_report_of_its_own() {
        let failure = Failure::from(&Error::unavailable("open the repository").hinted("is it mounted?"));
        let event =
            event_of_no_run(("db", "did not run"), "web-1", Timestamp::UNIX_EPOCH, &failure, &Commands::default());
        assert_eq!(event.kind, EventKind::Failure);
        assert_eq!(event.summary, "web-1: db did not run: open the repository");
        let report: serde_json::Value = serde_json::from_str(&event.report).unwrap();
        assert_eq!(report["schema"], "dozo/report/1");
        assert_eq!(report["outcome"], "failed");
        assert_eq!(report["error"]["hint"], "is it mounted?");
        assert_eq!(report.get("entries"), None);
        let test = event_of_test("web-1", Timestamp::UNIX_EPOCH);
        let report: serde_json::Value = serde_json::from_str(&test.report).unwrap();
        assert_eq!((report["outcome"].is_null(), report["error"].is_null()), (true, true));
    }
}
