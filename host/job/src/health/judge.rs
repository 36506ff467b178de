//! The judgement itself.

use dozo_repository::format::record::Outcome;
use jiff::{SignedDuration, Timestamp};

use super::{Facts, Finding, JobFacts, Last, RoomFacts, Upkeep, UpkeepFacts, overdue_after};
use crate::limits::{GAP_SHOWN, STORE_FULL_BYTES, STORE_FULL_PART};
use crate::words;

/// What a person should do something about, the jobs in their order first.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let jobs = facts.jobs.iter().filter(|job| !job.retired).flat_map(|job| of_job(job, facts.now));
    let upkeep = facts.upkeep.iter().filter_map(|work| of_upkeep(work, facts.now));
    jobs.chain(damage(facts.damaged_packs)).chain(upkeep).chain(facts.room.and_then(of_room)).collect()
}

fn of_job(job: &JobFacts, now: Timestamp) -> Vec<Finding> {
    let found = |kind, message: String, advice: &str, at| Finding {
        job: Some(job.job.clone()),
        host: job.host.clone(),
        kind,
        message,
        advice: advice.into(),
        damage: false,
        at,
    };
    let name = &job.job;
    let mut findings = Vec::new();
    let newest = job.complete.last();
    match (&job.last_run, job.interrupted) {
        (_, Some(begun)) => {
            let message = format!("the run that began {} ago did not come to its end", ago(now, begun));
            let advice = format!("was it killed, or the machine switched off? `dozo run {name}`");
            findings.push(found("interrupted", message, &advice, Some(begun)));
        }
        (None, _) if job.running.is_some() => {}
        (None, _) if newest.is_none() && !job.newest_is_partial => {
            findings.push(found("never-run", "it has never run".into(), &format!("`dozo run {name}`"), None));
            return findings;
        }
        (Some(Last { outcome: Outcome::Failed, at, why, .. }), _) => {
            let message = format!("the last run failed, {} ago{}", ago(now, *at), because(why.as_ref()));
            findings.push(found("failed", message, &format!("`dozo check {name}`, then `dozo run {name}`"), Some(*at)));
        }
        _ if job.newest_is_partial => {
            let message = "the newest snapshot lacks something".into();
            findings.push(found("partial", message, &format!("`dozo run {name}` names what cannot be read"), None));
        }
        _ => {}
    }
    match newest {
        None if job.running.is_some() && job.last_run.is_none() => {}
        None => {
            let message = "there is no complete snapshot".into();
            findings.push(found("no-complete-snapshot", message, &format!("`dozo run {name}`"), None));
        }
        Some(newest) => findings.extend(overdue(job, now, newest.at).map(|message| {
            let advice = "is it still scheduled? `expect_every` in its table says how old a snapshot may be";
            found("overdue", message, advice, Some(newest.at))
        })),
    }
    let fresh = job.gap.filter(|gap| now.duration_since(gap.until) < GAP_SHOWN);
    findings.extend(fresh.map(|gap| {
        let message = format!("moments between {} and {} cannot be recovered", gap.after, gap.until);
        found("recovery-gap", message, "the notes of the run after it say why", Some(gap.until))
    }));
    if let Some((copies, stores)) = job.copies
        && copies < stores
    {
        let message = format!("the newest complete snapshot is whole on {copies} of {stores} stores");
        findings.push(found("copies", message, "`dozo mirror`", None));
    }
    findings
}

/// Whether the newest complete snapshot is too old.
fn overdue(job: &JobFacts, now: Timestamp, newest: Timestamp) -> Option<String> {
    let age = now.duration_since(newest);
    let most = job.expect_every.unwrap_or_else(|| overdue_after(&job.complete));
    let by =
        if job.expect_every.is_some() { "one is expected every" } else { "by its history there should be one after" };
    (age > most).then(|| format!("the newest complete snapshot is {} old, {by} {}", span(age), span(most)))
}

fn damage(packs: u64) -> Option<Finding> {
    (packs > 0).then(|| {
        let known = words::counted(packs, "pack is", "packs are");
        let message = format!("{known} recorded as damaged");
        let advice = "`dozo verify` lists what that touches, runs store again what the source still has, `dozo repair` clears up";
        about_repository("damage", message, advice, true, None)
    })
}

fn of_upkeep(work: &UpkeepFacts, now: Timestamp) -> Option<Finding> {
    let at = |mirror: &Option<String>, option| {
        mirror.as_ref().map_or([String::new(), String::new()], |name| {
            [format!(" of `{name}`"), format!(" {option} {}", words::quoted(name))]
        })
    };
    let (what, kind, command) = match &work.what {
        Upkeep::Verify(mirror) => {
            let [of, option] = at(mirror, "--from");
            (format!("verification{of}"), "verify", format!("dozo verify{option}"))
        }
        Upkeep::Mirror(name) => {
            (format!("mirroring to `{name}`"), "mirror", format!("dozo mirror {}", words::quoted(name)))
        }
        Upkeep::Prune => ("prune".to_string(), "prune", "dozo prune --yes".to_string()),
        Upkeep::Repair(mirror) => {
            let [of, option] = at(mirror, "--at");
            (format!("repair{of}"), "repair", format!("dozo repair{option}"))
        }
    };
    if let Some(Last { outcome: Outcome::Failed | Outcome::Partial, at, why, .. }) = &work.last {
        let message = format!("the last {what} failed, {} ago{}", ago(now, *at), because(why.as_ref()));
        return Some(about_repository(kind, message, &format!("`{command}`"), false, Some(*at)));
    }
    let (most, due) = (work.expect_every?, work.due_since?);
    let well = work.last.as_ref().and_then(|last| last.well);
    if now.duration_since(due) <= most {
        return None;
    }
    let message = match well {
        None => format!("this host has never done the {what}"),
        Some(well) => format!("the last {what} on this host is {} ago", ago(now, well)),
    };
    Some(about_repository(kind, message, &format!("is it still scheduled? `{command}`"), false, well))
}

fn of_room(room: RoomFacts) -> Option<Finding> {
    let least = room.stored_lately.max(STORE_FULL_BYTES.min(room.total / STORE_FULL_PART));
    (room.free < least).then(|| {
        let (free, total) = (words::bytes(room.free), words::bytes(room.total));
        let lately = words::bytes(room.stored_lately);
        let message =
            format!("the store is nearly full: {free} of {total} are free, and the last 7 days took {lately}");
        about_repository("room", message, "make room there; `dozo prune` shows what would go, and when", false, None)
    })
}

fn about_repository(kind: &'static str, message: String, advice: &str, damage: bool, at: Option<Timestamp>) -> Finding {
    Finding { job: None, host: None, kind, message, advice: advice.into(), damage, at }
}

fn because(why: Option<&String>) -> String {
    why.map_or(String::new(), |why| format!(": {why}"))
}

fn ago(now: Timestamp, then: Timestamp) -> String {
    span(now.duration_since(then))
}

/// `3 days`, `5 h`, `12 min`: as exact as a decision needs. What is still to come is now.
fn span(time: SignedDuration) -> String {
    let seconds = u64::try_from(time.as_secs()).unwrap_or(0);
    match seconds {
        0..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
