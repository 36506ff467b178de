//! The judgement of one job.

use dozo_repository::format::record::Outcome;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::judge::{ago, because, span};
use super::{Ahead, Behind, Finding, JobFacts, Last, Suspicion, overdue_after};
use crate::limits::GAP_SHOWN;
use crate::words;

/// Makes the findings of one job.
struct Of<'a>(&'a JobFacts);

impl Of<'_> {
    fn found(&self, kind: &'static str, message: String, advice: &str, at: Option<Timestamp>) -> Finding {
        let job = self.0;
        Finding {
            job: Some(job.job.clone()),
            host: job.host.clone(),
            kind,
            message,
            advice: advice.into(),
            damage: false,
            at,
            zone: job.zone.clone(),
        }
    }

    fn time(&self, at: Timestamp) -> String {
        words::time(at, self.0.zone.as_ref().unwrap_or(&TimeZone::UTC))
    }
}

/// What a person should do something about, of one job.
pub(super) fn of_job(job: &JobFacts, now: Timestamp) -> Vec<Finding> {
    if is_untried(job) {
        let advice = format!("`dozo run {}`", words::quoted(&job.job));
        return vec![Of(job).found("never-run", "it has never run".into(), &advice, None)];
    }
    let snapshots = ahead(job).into_iter().chain(behind(job)).chain(suspicious(job)).chain(age(job, now));
    last_run(job, now).into_iter().chain(snapshots).chain(recovery_gap(job, now)).chain(copies(job)).collect()
}

/// Whether there is nothing yet that could be judged.
fn is_untried(job: &JobFacts) -> bool {
    let is_known = job.last_run.is_some() || job.interrupted.is_some() || job.running.is_some();
    let has_snapshots = !job.complete.is_empty() || job.newest_is_partial || job.ahead.is_some();
    !is_known && !has_snapshots && job.suspicion.is_none()
}

/// What became of the last run, or of the snapshot that it made.
fn last_run(job: &JobFacts, now: Timestamp) -> Option<Finding> {
    let (of, run) = (Of(job), format!("dozo run {}", words::quoted(&job.job)));
    match (&job.last_run, job.interrupted) {
        (_, Some(begun)) => {
            let message = format!("the run that began {} ago did not come to its end", ago(now, begun));
            let advice = format!("was it interrupted or killed, or the machine switched off? `{run}`");
            Some(of.found("interrupted", message, &advice, Some(begun)))
        }
        (Some(Last { outcome: Outcome::Failed, at, why, .. }), _) => {
            let message = format!("the last run failed, {} ago{}", ago(now, *at), because(why.as_ref()));
            let advice = format!("`dozo check {}`, then `{run}`", words::quoted(&job.job));
            Some(of.found("failed", message, &advice, Some(*at)))
        }
        _ if job.newest_is_partial => {
            let advice = format!("`{run}` names what cannot be read");
            Some(of.found("partial", "the newest snapshot lacks something".into(), &advice, None))
        }
        _ => None,
    }
}

/// A snapshot that nobody takes for the newest, because of two clocks one is wrong.
fn ahead(job: &JobFacts) -> Option<Finding> {
    let Ahead { snapshot, at } = job.ahead?;
    let of = Of(job);
    let message = format!("the last snapshot, {} of {}, is {}", snapshot.short(), of.time(at), words::FUTURE);
    let run = words::quoted(&job.job);
    let advice = format!(
        "it is not taken for the newest: set the clock of its host, or of this one (NTP), then `dozo run {run}`"
    );
    Some(of.found("future", message, &advice, None))
}

/// The clock was set back since: lists and rules that go by time take the snapshots in another order than they were made.
fn behind(job: &JobFacts) -> Option<Finding> {
    let Behind { snapshot, at, earlier } = job.behind?;
    let (of, id, run) = (Of(job), snapshot.short(), words::quoted(&job.job));
    let message = format!(
        "the last snapshot, {id} of {}, bears an earlier time than one before ({})",
        of.time(at),
        of.time(earlier)
    );
    let advice =
        format!("is the clock of its host right (NTP)? Then `dozo run {run}`: the next one is the newest by time, too");
    Some(of.found("clock-set-back", message, &advice, None))
}

fn suspicious(job: &JobFacts) -> Option<Finding> {
    let Suspicion { count, newest, why } = job.suspicion.as_ref()?;
    let snapshots = words::counted(*count, "newest snapshot is", "newest snapshots are");
    let message = format!("the {snapshots} suspicious, much smaller than the last good one{}", because(why.as_ref()));
    let advice = format!(
        "is the whole source there, every file system mounted? Then `dozo run {}`; if so little is right, `dozo accept {}`",
        words::quoted(&job.job),
        newest.short()
    );
    Some(Of(job).found("suspicious", message, &advice, None))
}

/// How old the newest complete snapshot is, if there is one.
fn age(job: &JobFacts, now: Timestamp) -> Option<Finding> {
    match job.complete.last() {
        None if job.running.is_some() && job.last_run.is_none() => None,
        None => {
            let (message, advice) = ("there is no complete snapshot".into(), words::quoted(&job.job));
            Some(Of(job).found("no-complete-snapshot", message, &format!("`dozo run {advice}`"), None))
        }
        Some(newest) => overdue(job, now, newest.at).map(|message| {
            let advice = "is it still scheduled? `expect_every` in its table says how old a snapshot may be";
            Of(job).found("overdue", message, advice, Some(newest.at))
        }),
    }
}

fn recovery_gap(job: &JobFacts, now: Timestamp) -> Option<Finding> {
    let gap = job.gap.filter(|gap| now.duration_since(gap.until) < GAP_SHOWN)?;
    let of = Of(job);
    let message = format!("moments between {} and {} cannot be recovered", of.time(gap.after), of.time(gap.until));
    Some(of.found("recovery-gap", message, "the notes of the run after it say why", Some(gap.until)))
}

fn copies(job: &JobFacts) -> Option<Finding> {
    let (copies, stores) = job.copies.filter(|(copies, stores)| copies < stores)?;
    let message = format!("the newest complete snapshot is whole on {copies} of {stores} stores");
    Some(Of(job).found("copies", message, "`dozo mirror`", None))
}

/// Whether the newest complete snapshot is too old.
fn overdue(job: &JobFacts, now: Timestamp, newest: Timestamp) -> Option<String> {
    let age = now.duration_since(newest);
    let most = job.expect_every.unwrap_or_else(|| overdue_after(&job.complete));
    let by =
        if job.expect_every.is_some() { "one is expected every" } else { "by its history there should be one after" };
    (age > most).then(|| format!("the newest complete snapshot is {} old, {by} {}", span(age), span(most)))
}
