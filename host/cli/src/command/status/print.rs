//! Printing for people.

use dozo_job::health::Finding;
use dozo_repository::Usage;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::JobStatus;
use crate::ui::{self, words};

/// A row for each job.
pub(super) fn jobs<'a>(jobs: impl ExactSizeIterator<Item = &'a JobStatus>, now: Timestamp) {
    if jobs.len() == 0 {
        ui::note("no jobs, and no snapshots");
        return;
    }
    ui::line(format!(
        "{:20}  {:12}  {:>9}  {:>10}  {:26}  {:>11}  {:26}",
        "job", "host", "snapshots", "size", "last complete", "age", "newest verified"
    ));
    for job in jobs {
        let time = |time: Option<Timestamp>| time.map_or("never".to_string(), |time| words::time_in(time, &job.zone));
        let age = job.last_complete.map_or(String::new(), |last| words::age(now.duration_since(last)));
        let partial = match job.suspicious {
            0 if job.newest_is_partial => "  newer ones are partial".to_string(),
            0 => String::new(),
            newer => {
                format!("  {} suspicious: `dozo snapshots`", words::counted(newer, "newer one is", "newer ones are"))
            }
        };
        let future = if job.future > 0 { format!("  {} {}", job.future, words::FUTURE) } else { String::new() };
        let held = if job.held > 0 { format!("  {} held", job.held) } else { String::new() };
        let retired = if job.retired { "  retired" } else { "" };
        let running =
            job.running.map_or(String::new(), |since| format!("  running since {}", words::time_in(since, &job.zone)));
        let copies =
            job.copies.map_or(String::new(), |copies| format!("  {}", words::counted(copies.into(), "copy", "copies")));
        ui::line(
            format!(
                "{:20}  {:12}  {:>9}  {:>10}  {:26}  {age:>11}  {:26}{copies}{partial}{held}{future}{retired}{running}",
                job.job,
                job.host_shown,
                words::count(job.snapshots),
                words::bytes(job.bytes),
                time(job.last_complete),
                time(job.newest_verified),
            )
            .trim_end(),
        );
    }
}

/// One line: what it is about, what it is, and what to do.
pub(super) fn finding(finding: &Finding) {
    let about = match (&finding.host, &finding.job) {
        (Some(host), Some(job)) => format!("{host}/{job}: "),
        (None, Some(job)) => format!("{job}: "),
        (_, None) => String::new(),
    };
    let word = if finding.damage { "damaged" } else { "alert" };
    let message = words::plain(&finding.message);
    let zone = finding.zone.clone().unwrap_or_else(TimeZone::system);
    let at = finding.at.map(|at| words::time_in(at, &zone)).filter(|at| !message.contains(at));
    let at = at.map_or(String::new(), |at| format!(" ({at})"));
    ui::line(format!("{word}: {about}{message}{at}: {}", finding.advice));
}

/// What packs take.
pub(super) fn usage(usage: &Usage) {
    for (what, totals) in [("content", usage.data), ("catalog", usage.catalog)] {
        let (packs, bytes) = (words::counted(totals.packs, "pack", "packs"), words::bytes(totals.bytes));
        ui::line(format!("{what}: {packs}, {bytes}, of it {} dead", words::bytes(totals.dead_bytes)));
    }
}
