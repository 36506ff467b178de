//! `dozo verify`: does the repository hold what it says it holds?

use std::sync::Arc;

use dozo_job::Clock;
use dozo_repository::format::snapshot::Named;
use dozo_repository::{
    Depth, Error, Findings, ObjectId, Problem, ReadLease, Sample, Scope, VerifyCounters, View, packs_to_read,
    verify_scope,
};
use jiff::Timestamp;

use crate::args::{Global, VerifyArgs};
use crate::context::{Context, SystemClock, find_snapshot, snapshots_of};
use crate::exit::Exit;
use crate::rollback::{Back, exit_of};
use crate::ui::{self, progress, words};

pub(crate) async fn verify(global: &Global, args: &VerifyArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let sample = args.read_data.as_deref().map(sample).transpose()?;
    let repository = context.repository_at(&args.from).await?;
    let keys = match sample {
        Some(_) => Some(context.read_keys(&repository, &args.identity).await?),
        None => None,
    };
    let back = Back::begin(&context, &repository);
    let lease = context.read_lease(&repository).await?;
    let view = lease.view().await?;
    let behind = match &args.from.from {
        None => exit_of(&back.alert(&view).await?),
        Some(_) => {
            back.tell(&view).await?;
            Exit::Done
        }
    };
    let depth = match (sample, &keys) {
        (Some(sample), Some(keys)) => Depth::Data(sample, keys),
        _ if args.scrub => Depth::Scrub(Sample::All),
        _ => Depth::Structure,
    };
    let chosen = chosen(&context, &view, &args.snapshots)?;
    let scope = if args.snapshots.is_empty() { Scope::All } else { Scope::Snapshots(&chosen) };
    let readable = async {
        let packs = packs_to_read(&view, depth, scope).await?;
        context.thaw(&view, &packs, (&args.thaw, &args.from)).await
    };
    if let Err(error) = readable.await {
        released(lease).await;
        return Err(error);
    }
    let started = SystemClock.now();
    let counters = Arc::new(VerifyCounters::default());
    let shown = progress::Shown::begin("verify".into(), progress::of_verification(&counters));
    let findings = verify_scope(&view, depth, scope, &counters).await;
    drop(shown);
    if let Ok(findings) = &findings
        && let Err(error) = leave(&context, &view, findings, started).await
    {
        ui::note(format!("note: what was found could not be recorded: {}", error.chain()));
    }
    released(lease).await;
    let findings = findings?;
    if global.json {
        ui::json(&json(&findings))?
    } else {
        print(&findings, args)
    }
    Ok(behind.worst(if findings.is_clean() { Exit::Done } else { Exit::Damaged }))
}

/// Damage, so that the next run stores again what the source still has; and the record that it was looked.
async fn leave(context: &Context, view: &View, findings: &Findings, started: Timestamp) -> Result<(), Error> {
    let now = SystemClock.now();
    view.record_damage(findings, &context.host(), now).await?;
    let host = Named { uid: view.repository().host(), name: context.host() };
    view.repository().put_verification(&findings.record(host, started, now)).await.map(drop)
}

/// All snapshots of a job, or the one whose id begins so.
fn chosen(context: &Context, view: &View, wanted: &[String]) -> anyhow::Result<Vec<ObjectId>> {
    let mut chosen = Vec::new();
    for name in wanted {
        let of_job = if name.contains('@') { Vec::new() } else { snapshots_of(view, name)? };
        match of_job.is_empty() {
            true => chosen.push(find_snapshot(context, view, name)?.0),
            false => chosen.extend(of_job.into_iter().map(|(id, _)| id)),
        }
    }
    Ok(chosen)
}

/// A lease that could not be released ends by itself: worth a note, not a failure.
pub(crate) async fn released(lease: ReadLease) {
    if let Err(error) = lease.release().await {
        ui::note(format!("note: {}", error.chain()));
    }
}

/// `100`, `10`, `10%`.
fn sample(text: &str) -> anyhow::Result<Sample> {
    let percent = text.trim_end_matches('%').parse::<u8>().ok().filter(|n| (1..=100).contains(n));
    let percent = percent.ok_or_else(|| Error::invalid(format!("`--read-data={text}`: 1% to 100%")))?;
    if percent == 100 {
        return Ok(Sample::All);
    }
    let seed = getrandom::u64().map_err(|e| Error::internal(format!("ask the system for random numbers: {e}")))?;
    Ok(Sample::Percent(percent, seed))
}

fn print(findings: &Findings, args: &VerifyArgs) {
    findings.problems.iter().for_each(tell);
    for problem in &findings.superseded {
        ui::line(format!("superseded: {}: {}", problem.object, problem.why.chain()));
    }
    for (snapshot, path, why) in &findings.damaged {
        ui::line(format!("damaged: {} /{path}: {why}", snapshot.short()));
    }
    if findings.damaged_count > findings.damaged.len() as u64 {
        ui::line(format!("damaged: {} entries in all", words::count(findings.damaged_count)));
    }
    let snapshots = words::counted(findings.snapshots, "snapshot", "snapshots");
    let entries = words::counted(findings.entries, "entry", "entries");
    let packs = words::counted(findings.packs, "pack", "packs");
    let depth = match (&args.read_data, args.scrub) {
        (Some(_), _) => format!(
            "{} packs ({}) decrypted, every chunk compared with its id",
            words::count(findings.packs_read),
            words::bytes(findings.bytes_read)
        ),
        (None, true) => format!(
            "{} packs ({}) compared with their digests",
            words::count(findings.packs_read),
            words::bytes(findings.bytes_read)
        ),
        (None, false) => "content not read: `--scrub` or `--read-data` do".to_string(),
    };
    let verdict = if findings.is_clean() { "whole" } else { "DAMAGED" };
    ui::line(format!("{verdict}: {snapshots}, {entries}, {packs}; {depth}"));
    if !findings.is_clean() {
        ui::note(
            "hint: entries that are not named still restore; the next run stores again what it finds at the source",
        );
    } else if !findings.superseded.is_empty() {
        ui::note("hint: no snapshot needs what is superseded: `dozo repair` removes it");
    }
}

fn tell(problem: &Problem) {
    ui::line(format!("damaged: {}: {}", problem.object, problem.why.chain()));
    if let Some(hint) = problem.why.hint() {
        ui::line(format!("  {hint}"));
    }
}

fn json(findings: &Findings) -> serde_json::Value {
    let told = |problems: &[Problem]| -> Vec<serde_json::Value> {
        problems.iter().map(|p| serde_json::json!([p.object, p.why.chain(), p.why.hint()])).collect()
    };
    let (problems, superseded) = (told(&findings.problems), told(&findings.superseded));
    serde_json::json!({
        "schema": "dozo/verification/1",
        "clean": findings.is_clean(),
        "snapshots": findings.snapshots,
        "entries": findings.entries,
        "packs": findings.packs,
        "packs_read": findings.packs_read,
        "bytes_read": findings.bytes_read,
        "problems": problems,
        "superseded": superseded,
        "whole": findings.whole,
        "damaged": findings.damaged,
        "damaged_count": findings.damaged_count,
    })
}
