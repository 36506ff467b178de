//! Interruptions: the store is gone from the n-th call on. The plugin must say so, whatever n is: what it does not hand on
//! nobody learns.

use dozo_job::{Error, Result};
use dozo_plugin::died;

use super::restore::Way;
use crate::faults::{Faulty, Plan, points};
use crate::outcome::{Ended, Outcome};
use crate::trial::{Calls, TRAP, Trial};

pub(crate) async fn backup(trial: &Trial) -> Outcome {
    let (_, Calls(calls)) = trial.first()?;
    let mut tried = 0;
    for point in points(*calls) {
        let (job, source) = (format!("interrupted-{point}"), trial.faulty(Plan::FailFrom(point))?);
        let report = trial.try_run(&job, &source).await?;
        if source.calls() < point {
            continue; // The source is smaller than it was: nothing was interrupted.
        }
        tried += 1;
        handed_on(&source, "backup", point)?;
        if trial.stage.snapshots(&job).await? > 0 {
            let why = format!("a backup that was interrupted at call {point} left a snapshot");
            return Err(Ended::failed(why, "end with the error of the host: `?`"));
        }
        if let Some(note) = report.notes.iter().find(|note| note.contains("could not clean up")) {
            return Err(Ended::failed(note.clone(), "`abandoned` must work after any failure"));
        }
        let after = trial.run(&job, &trial.source()?).await?;
        trial.is_like_first(&after, &format!("the backup after an interruption at call {point}")).await?;
    }
    Ok(vec![format!("interrupted at {tried} of {calls} calls")])
}

pub(crate) async fn restore(trial: &Trial) -> Outcome {
    let mut notes = Vec::new();
    if let Some(Calls(calls)) = trial.directory_calls.get() {
        let mut tried = 0;
        for point in points(*calls) {
            let directory = trial.stage.directory(&format!("interrupted-{point}"))?;
            tried += u64::from(restore_until(trial, Way::Directory(&directory), point).await?);
        }
        notes.push(format!("into a directory: interrupted at {tried} of {calls} calls"));
    }
    if let (Some(Calls(calls)), Some(service)) = (trial.service_calls.get(), &trial.config.service) {
        let mut tried = 0;
        for point in points(*calls) {
            tried += u64::from(restore_until(trial, Way::Service(service), point).await?);
        }
        notes.push(format!("to a service: interrupted at {tried} of {calls} calls"));
    }
    if notes.is_empty() { Err(Ended::skipped("it did not restore anything before")) } else { Ok(notes) }
}

/// Restores until the host refuses; false if that was never reached.
async fn restore_until(trial: &Trial, way: Way<'_>, point: u64) -> Outcome<bool> {
    let (first, _) = trial.first()?;
    let (source, target) = way.prepare(trial, Plan::FailFrom(point))?;
    let restored = trial.stage.restore(first, &source, target).await;
    if source.calls() < point {
        return Ok(false);
    }
    handed_on(&source, "restore", point)?;
    if restored.is_ok() {
        let why = format!("a restore that was interrupted at call {point} went through");
        return Err(Ended::failed(why, "end with the error of the host: `?`"));
    }
    Ok(true)
}

/// The plugin must have said that it failed, without a trap.
fn handed_on(source: &Faulty, what: &str, point: u64) -> Outcome<()> {
    let said: Option<Result<(), Error>> = source.said();
    match said {
        Some(Err(error)) if died(&error.to_string()) => {
            let why = format!("a {what} that was interrupted at call {point} died: {}", error.chain());
            Err(Ended::failed(why, TRAP))
        }
        Some(Err(_)) => Ok(()),
        Some(Ok(())) => Err(Ended::failed(
            format!("it says that the {what} is done, though the host refused call {point} and all after it"),
            "hand every error of the host on with `?`; what cannot be read at the source is `omit`ted",
        )),
        None => Err(Ended::failed(format!("the {what} did not begin"), "see the cases above")),
    }
}
