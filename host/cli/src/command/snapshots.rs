//! `dozo snapshots`: what there is.

use std::collections::{BTreeMap, BTreeSet};

use dozo_job::Clock;
use dozo_repository::format::snapshot::{Snapshot, Status};
use dozo_repository::{Error, Found, JobUid, ObjectId, View};
use jiff::Timestamp;

use crate::args::{Global, SnapshotsArgs};
use crate::context::{Context, SystemClock};
use crate::exit::Exit;
use crate::host_names::HostNames;
use crate::named::job_hint;
use crate::rollback::Back;
use crate::suspicion;
use crate::ui::{self, words};
use crate::zones::Zones;

pub(crate) async fn snapshots(global: &Global, args: &SnapshotsArgs) -> anyhow::Result<Exit> {
    let context = Context::to_read(global, &args.read)?;
    let repository = context.open_to_read(&args.from, &args.read, false).await?.repository;
    let back = Back::begin(&context, &repository);
    let view = repository.view().await?;
    back.tell(&view).await?;
    let chosen = view.snapshots().iter().filter(|(_, s)| args.job.as_ref().is_none_or(|job| s.job.name == *job));
    let chosen: Vec<&Found> = chosen.collect();
    let (held, unread) = dozo_job::tidy::held(&view).await?;
    let now = SystemClock.now();
    if let Some(job) =
        args.job.as_ref().filter(|job| chosen.is_empty() && !context.loaded.config.job.contains_key(*job))
    {
        return Err(Error::invalid(format!(
            "there is no job `{job}`, neither in the configuration nor in the repository"
        ))
        .hinted(job_hint(&view, job))
        .into());
    }
    if global.json {
        for found @ (id, snapshot) in &chosen {
            let future = view.is_ahead(found, now);
            ui::json(&serde_json::json!({
                "schema": "dozo/snapshots/1", "id": id, "future": future, "snapshot": snapshot.as_ref(),
                "suspicious": view.is_suspicious(found), "accepted": view.accepted(id), "held": held.contains(id),
            }))?;
        }
    } else {
        let zones = Zones::of(&context, &view)?;
        print((&view, &zones), &chosen, &held, now);
        tell_suspicions(&view, &chosen);
    }
    unread.iter().for_each(|problem| ui::note(format!("damaged: a hold may be missing: {problem}")));
    let exit = if unread.is_empty() { Exit::Done } else { Exit::Damaged };
    Ok(exit.worst(problems(&view)))
}

fn print((view, zones): (&View, &Zones), snapshots: &[&Found], held: &BTreeSet<ObjectId>, now: Timestamp) {
    if snapshots.is_empty() {
        ui::note("no snapshots");
        return;
    }
    ui::line(format!(
        "{:8}  {:26}  {:20}  {:12}  {:>9}  {:>10}  {:>10}",
        "id", "time", "job", "host", "entries", "size", "new"
    ));
    let hosts = HostNames::of(view);
    for found @ (id, snapshot) in snapshots {
        let line = format!(
            "{:8}  {:26}  {:20}  {:12}  {:>9}  {:>10}  {:>10}  {}",
            id.short(),
            zones.taken(snapshot),
            snapshot.job.name,
            hosts.shown(&snapshot.host),
            words::count(snapshot.manifest.totals.entries),
            words::bytes(snapshot.manifest.totals.bytes),
            words::bytes(snapshot.stored.bytes_stored),
            marks(view, found, held, now).join(", "),
        );
        ui::line(line.trim_end());
        if let Some((from, until)) = window(snapshot) {
            let zone = zones.zone(snapshot);
            let (from, until) = (words::time_in(from, zone), words::time_in(until, zone));
            ui::line(format!("{:8}  recovers to {from} … {until}", ""));
        }
    }
}

/// What stands behind a snapshot: what is not as it should be first, then what people said of it.
fn marks(view: &View, found: &Found, held: &BTreeSet<ObjectId>, now: Timestamp) -> Vec<String> {
    let (id, snapshot) = found;
    let marks = [
        (view.is_suspicious(found), "suspicious"),
        (snapshot.status == Status::Partial, "partial"),
        (view.is_ahead(found, now), words::FUTURE),
        (view.accepted(id).is_some(), "accepted"),
        (held.contains(id), "held"),
    ];
    let marks = marks.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word.to_string());
    marks.chain(snapshot.tags.iter().map(|tag| format!("#{}", words::plain(tag)))).collect()
}

/// Why the newest snapshots of jobs are suspicious, and what to do.
fn tell_suspicions(view: &View, snapshots: &[&Found]) {
    let mut newest: BTreeMap<JobUid, &Found> = BTreeMap::new();
    for found in snapshots {
        let slot = newest.entry(found.1.job.uid).or_insert(found);
        if found.1.sequence >= slot.1.sequence {
            *slot = found;
        }
    }
    for found @ (id, snapshot) in newest.into_values() {
        let reasons = view.suspicion(found);
        for reason in reasons {
            let job = &snapshot.job.name;
            ui::note(format!("suspicious: {} of `{job}`: {}", id.short(), words::plain(reason)));
        }
        if !reasons.is_empty() {
            ui::note(format!("hint: {}", suspicion::hint(id)));
        }
    }
}

/// To which times a snapshot can be recovered, if its plugin says so.
pub(crate) fn window(snapshot: &Snapshot) -> Option<(Timestamp, Timestamp)> {
    let time = |name: &str| snapshot.attributes.iter().find(|(known, _)| known == name)?.1.parse().ok();
    time("recovers-from").zip(time("recovers-until"))
}

/// A listing that could not read everything must not look whole.
pub(crate) fn problems(view: &View) -> Exit {
    for problem in view.problems() {
        ui::note(format!("damaged: {}: {}", problem.object, problem.why.chain()));
    }
    let (known, verify) = (view.damage().count() as u64, view.repository().verify_command());
    if known > 0 {
        let packs = words::counted(known, "pack", "packs");
        ui::note(format!("note: damage of {packs} is known; `{verify}` tells what that touches"));
    }
    if view.problems().is_empty() {
        return Exit::Done;
    }
    ui::note(format!("hint: `{verify}` lists every entry that this touches"));
    Exit::Damaged
}
