//! `dozo verify`: does the repository hold what it says it holds?

mod print;

use std::sync::Arc;

use dozo_job::Clock;
use dozo_job::health::Upkeep;
use dozo_repository::format::snapshot::Named;
use dozo_repository::{
    Depth, Error, Findings, ObjectId, Problem, Sample, Scope, VerifyCounters, View, packs_to_read, verify_scope,
};
use jiff::Timestamp;

use crate::args::{Global, VerifyArgs};
use crate::context::{Context, SystemClock, find_snapshot, snapshots_of};
use crate::exit::Exit;
use crate::rollback::{Back, exit_of};
use crate::ui::{self, progress, words};
use crate::upkeep::{Ended, Watch};

pub(crate) async fn verify(global: &Global, args: &VerifyArgs) -> anyhow::Result<Exit> {
    let context = Context::to_read(global, &args.read)?;
    let sample = args.read_data.as_deref().map(sample).transpose()?;
    let (mut watch, started) = (Watch::begin(&context), SystemClock.now());
    let done = look(global, &context, args, sample).await;
    // A name that is mistyped is for whoever typed it.
    if done.is_ok() || args.snapshots.is_empty() {
        watch.ended(&Upkeep::Verify(args.from.from.clone()), started, done.as_ref());
    }
    watch.finish(global).await?;
    done.map(|ended| ended.exit)
}

async fn look(global: &Global, context: &Context, args: &VerifyArgs, sample: Option<Sample>) -> anyhow::Result<Ended> {
    let opened = context.open_to_read(&args.from, &args.read, sample.is_some()).await?;
    let keys = if sample.is_some() { Some(opened.keys()?) } else { None };
    let back = Back::begin(context, &opened.repository);
    let lease = context.read_lease(&opened.repository).await?;
    let view = lease.view().await?;
    let behind = match &args.from.from {
        None => exit_of(&back.alert(&view).await?),
        Some(_) => {
            back.tell(&view).await?;
            Exit::Done
        }
    };
    let depth = match (sample, keys) {
        (Some(sample), Some(keys)) => Depth::Data(sample, keys),
        _ if args.scrub => Depth::Scrub(Sample::All),
        _ => Depth::Structure,
    };
    let chosen = match chosen(context, &view, &args.snapshots) {
        Ok(chosen) => chosen,
        Err(error) => {
            context.released(lease).await;
            return Err(error);
        }
    };
    let scope = if args.snapshots.is_empty() { Scope::All } else { Scope::Snapshots(&chosen) };
    let readable = async {
        let packs = packs_to_read(&view, depth, scope).await?;
        context.thaw(&view, &packs, (&args.thaw, &args.from)).await
    };
    if let Err(error) = readable.await {
        context.released(lease).await;
        return Err(error);
    }
    let started = SystemClock.now();
    let counters = Arc::new(VerifyCounters::default());
    let shown = progress::Shown::begin("verify".into(), progress::of_verification(&counters));
    let findings = verify_scope(&view, depth, scope, &counters).await;
    drop(shown);
    // Whoever is no host of it writes nothing there.
    if let Ok(findings) = &findings
        && opened.is_host
        && let Err(error) = leave(context, &view, findings, started).await
    {
        ui::note(format!("note: what was found could not be recorded: {}", error.chain()));
    }
    context.released(lease).await;
    let findings = findings?;
    if global.json {
        ui::json(&json(&findings))?
    } else {
        print::print(&findings, &view, args)
    }
    Ok(ended(&findings, &view, behind, args))
}

/// What people hear of it.
fn ended(findings: &Findings, view: &View, behind: Exit, args: &VerifyArgs) -> Ended {
    let url = view.repository().url();
    if behind != Exit::Done {
        let hint = "`dozo verify` prints what is missing; docs/GUIDE.md, When a store shows less than it did";
        let exit = behind.worst(if findings.is_clean() { Exit::Done } else { Exit::Damaged });
        return Ended::badly(exit, format!("{url} shows less than it did"), std::iter::empty(), hint);
    }
    if findings.is_clean() {
        // What was found before is damage until it is repaired, whatever was looked at this time.
        let all = args.snapshots.is_empty() && view.damage().next().is_none();
        return if all { Ended::well(Exit::Done) } else { Ended::in_part(Exit::Done) };
    }
    let (objects, entries) = (findings.problems.len() as u64, findings.damaged_count);
    let message = format!(
        "{} damaged or missing in {url}; {} of snapshots cannot be restored whole",
        words::counted(objects, "object is", "objects are"),
        words::counted(entries, "entry", "entries"),
    );
    let first = findings.problems.iter().map(|problem| format!("{}: {}", problem.object, problem.why.chain()));
    let hint = "`dozo run` stores again what the source still has, `dozo repair` brings back what a mirror has";
    Ended::badly(Exit::Damaged, message, first, hint)
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
