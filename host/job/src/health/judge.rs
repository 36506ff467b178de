//! The judgement of the repository and of the work on it.

use dozo_repository::format::record::Outcome;
use jiff::{SignedDuration, Timestamp};

use super::of_job::of_job;
use super::{Facts, Finding, Last, RoomFacts, Upkeep, UpkeepFacts};
use crate::limits::{STORE_FULL_BYTES, STORE_FULL_PART};
use crate::words;

/// What a person should do something about, the jobs in their order first. Nothing else decides whether all is well.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let jobs = facts.jobs.iter().filter(|job| !job.retired).flat_map(|job| of_job(job, facts.now));
    let upkeep = facts.upkeep.iter().filter_map(|work| of_upkeep(work, facts.now));
    let repository = rolled_back(&facts.rolled_back).into_iter().chain(unread(&facts.unread));
    let repository = repository.chain(damage(facts.damaged_packs)).chain(upkeep);
    jobs.chain(repository).chain(facts.unseen.iter().map(unseen)).chain(facts.room.and_then(of_room)).collect()
}

fn rolled_back(lost: &[String]) -> Option<Finding> {
    let message = format!("the store shows less than it did: {}", first(lost)?);
    let advice = "an old copy was put back, or snapshots were deleted: `dozo snapshots` shows what is there, `dozo repair` brings \
                  back what a mirror has; if it was done on purpose, `dozo check --accept-rollback`";
    Some(about_repository("rolled-back", message, advice, true, None))
}

fn unread(objects: &[String]) -> Option<Finding> {
    let objects_are = words::counted(objects.len() as u64, "object is", "objects are");
    let message = format!("{objects_are} damaged or missing: {}", first(objects)?);
    let advice = "`dozo verify` lists what that touches, `dozo repair` says what can be done about each";
    Some(about_repository("unread", message, advice, true, None))
}

/// The first of several, and how many more there are.
fn first(several: &[String]) -> Option<String> {
    let first = several.first()?;
    Some(match several.len() - 1 {
        0 => first.clone(),
        more => format!("{first}; and {more} more"),
    })
}

fn unseen((mirror, why): &(String, String)) -> Finding {
    let message = format!("the mirror `{mirror}` counts for nothing: {why}");
    about_repository("copies", message, "`dozo check` says whether it can be used", false, None)
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
    let of = |mirror: &Option<String>| mirror.as_ref().map_or(String::new(), |name| format!(" of `{name}`"));
    let (what, kind) = match &work.what {
        Upkeep::Verify(mirror) => (format!("verification{}", of(mirror)), "verify"),
        Upkeep::Mirror(name) => (format!("mirroring to `{name}`"), "mirror"),
        Upkeep::Prune => ("prune".to_string(), "prune"),
        Upkeep::Repair(mirror) => (format!("repair{}", of(mirror)), "repair"),
    };
    let command = work.what.command();
    match &work.last {
        Some(last) if last.healed => return None,
        Some(Last { outcome: Outcome::Failed | Outcome::Partial, at, why, damage, .. }) => {
            let became = if *damage { "found damage" } else { "failed" };
            let message = format!("the last {what} {became}, {} ago{}", ago(now, *at), because(why.as_ref()));
            let advice = if *damage { after_damage(&work.what) } else { format!("`{command}`") };
            return Some(about_repository(kind, message, &advice, *damage, Some(*at)));
        }
        _ => {}
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

/// What to do where work was done and found damage.
fn after_damage(what: &Upkeep) -> String {
    let command = what.command();
    match what {
        Upkeep::Verify(place) => format!("`{}`, then `{command}`", Upkeep::Repair(place.clone()).command()),
        Upkeep::Mirror(_) | Upkeep::Repair(_) => format!("`{command}` names it, and says of each what would help"),
        Upkeep::Prune => "`dozo verify` names it, `dozo repair` says what can be done".into(),
    }
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
    Finding { job: None, host: None, kind, message, advice: advice.into(), damage, at, zone: None }
}

pub(super) fn because(why: Option<&String>) -> String {
    why.map_or(String::new(), |why| format!(": {why}"))
}

pub(super) fn ago(now: Timestamp, then: Timestamp) -> String {
    span(now.duration_since(then))
}

/// `3 days`, `5 h`, `12 min`: as exact as a decision needs. What is still to come is now.
pub(super) fn span(time: SignedDuration) -> String {
    let seconds = u64::try_from(time.as_secs()).unwrap_or(0);
    match seconds {
        0..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
