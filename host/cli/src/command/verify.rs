//! `dozo verify`: does the repository hold what it says it holds?

mod print;

use std::sync::Arc;

use dozo_job::Clock;
use dozo_job::health::Upkeep;
use dozo_repository::format::record::VerificationRecord;
use dozo_repository::format::snapshot::Named;
use dozo_repository::{
    Depth, Error, Findings, ObjectId, Problem, Sample, Scope, VerifyCounters, View, packs_to_read, verify_scope,
};
use jiff::Timestamp;

use crate::args::{Global, VerifyArgs};
use crate::context::{Context, SystemClock, find_snapshot, random, snapshots_of};
use crate::exit::Exit;
use crate::rollback::{Back, exit_of};
use crate::ui::{self, progress, words};
use crate::upkeep::{Ended, Watch};

/// Of the newest verifications so many are looked through for the last sample.
const RECORDS_READ: usize = 100;

pub(crate) async fn verify(global: &Global, args: &VerifyArgs) -> anyhow::Result<Exit> {
    let context = Context::to_read(global, &args.read)?;
    let percent = args.read_data.as_deref().map(percent).transpose()?;
    let (mut watch, started) = (Watch::begin(&context), SystemClock.now());
    let done = look(global, (&context, &mut watch), args, percent).await;
    // Of some snapshots it is for whoever asked for them, also that they cannot be looked at.
    if done.is_ok() || args.snapshots.is_empty() {
        watch.ended(&Upkeep::Verify(args.from.from.clone()), started, done.as_ref());
    }
    watch.finish(global).await?;
    done.map(|ended| ended.exit)
}

async fn look(
    global: &Global,
    (context, watch): (&Context, &mut Watch<'_>),
    args: &VerifyArgs,
    percent: Option<u8>,
) -> anyhow::Result<Ended> {
    if let Some(mirror) = &args.from.from {
        watch.typed(context.loaded.mirror(mirror))?;
    }
    let opened = context.open_for_content(watch, &args.from, &args.read, percent.is_some()).await?;
    let keys = if percent.is_some() { Some(opened.keys()?) } else { None };
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
    let depth = match (percent, keys) {
        (Some(percent), Some(keys)) => Depth::Data(sample(&view, percent).await?, keys),
        _ if args.scrub => Depth::Scrub(Sample::All),
        _ => Depth::Structure,
    };
    let chosen = match watch.typed(chosen(context, &view, &args.snapshots)) {
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
    if let Err(error) = thawed(watch, readable.await) {
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

/// What lies in cold storage is to be asked for: whoever typed this did not.
fn thawed(watch: &mut Watch<'_>, readable: anyhow::Result<()>) -> anyhow::Result<()> {
    match readable {
        Err(error) if Exit::of(&error) == Exit::Usage => watch.typed(Err(error)),
        readable => readable,
    }
}

/// What people hear of it.
fn ended(findings: &Findings, view: &View, behind: Exit, args: &VerifyArgs) -> Ended {
    let (url, is_clean) = (view.repository().url(), findings.is_clean());
    if behind != Exit::Done {
        let hint = "`dozo verify` prints what is missing; docs/GUIDE.md, When a store shows less than it did";
        let exit = behind.worst(if is_clean { Exit::Done } else { Exit::Damaged });
        let message = format!("{url} shows less than it did");
        return Ended { damage: !is_clean, ..Ended::badly(exit, message, std::iter::empty(), hint) };
    }
    if is_clean {
        // What was found damaged before, was not read this time and is needed would be among the problems.
        let all = args.snapshots.is_empty();
        return if all { Ended::well(Exit::Done) } else { Ended::in_part(Exit::Done) };
    }
    let (objects, entries) = (findings.problems.len() as u64, findings.damaged_count);
    let message = format!(
        "{} damaged or missing in {url}; {} of snapshots cannot be restored whole",
        words::counted(objects, "object is", "objects are"),
        words::counted(entries, "entry", "entries"),
    );
    let first = findings.problems.iter().map(|problem| format!("{}: {}", problem.object, problem.why.chain()));
    let repair = view.repository().repair_command();
    let hint = match args.from.from {
        None => format!("`dozo run` stores again what the source still has, `{repair}` brings back what a mirror has"),
        Some(_) => format!("`{repair}` brings back what the repository has, or another mirror"),
    };
    Ended::badly(Exit::Damaged, message, first, &hint)
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
fn percent(text: &str) -> anyhow::Result<u8> {
    let percent = text.trim_end_matches('%').parse::<u8>().ok().filter(|n| (1..=100).contains(n));
    Ok(percent.ok_or_else(|| Error::invalid(format!("`--read-data={text}`: 1% to 100%")))?)
}

/// Of a sample, the packs behind those that the last one read: in turn all are read. Where nobody left word of one, it begins
/// anywhere.
async fn sample(view: &View, percent: u8) -> anyhow::Result<Sample> {
    if percent == 100 {
        return Ok(Sample::All);
    }
    let records = view.repository().newest_records::<VerificationRecord>(RECORDS_READ).await?;
    let last = records.parsed.into_iter().find_map(|record| record.value.read_to);
    Ok(Sample::Percent(percent, last.map_or_else(|| random().map(ObjectId), Ok)?))
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
