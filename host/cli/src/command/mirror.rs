//! `dozo mirror`: what a mirror lacks is copied there, ciphertext to ciphertext.

use std::sync::Arc;

use dozo_job::Clock;
use dozo_job::health::Upkeep;
use dozo_repository::{MirrorCounters, MirrorReport, MirrorStart, Purpose, Repository, Store, mirror as copy_to};

use crate::args::{Global, MirrorArgs};
use crate::config::mirror_store;
use crate::context::{Context, SystemClock};
use crate::exit::Exit;
use crate::ui::{self, progress, words};
use crate::upkeep::{Ended, Watch};

/// What to do when the copy is not whole.
const DAMAGED_HINT: &str = "`dozo verify` and `dozo repair` on the side that is damaged, then mirror again";

pub(crate) async fn mirror(global: &Global, args: &MirrorArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    if args.from.from.is_some() {
        let from = context.repository_at(&args.from).await?;
        if args.create {
            context.loaded.make_store_directory(&context.loaded.repository_store(), args.parents)?;
        }
        let done = one(&context, global, args, ("the repository", &from, context.store())).await?;
        return Ok(done.exit);
    }
    let mirrors = context.loaded.mirrors(&args.mirrors)?;
    let (mut watch, mut exit) = (Watch::begin(&context), Exit::Done);
    let repository = context.repository().await;
    for table in mirrors {
        let (what, started) = (Upkeep::Mirror(table.name.clone()), SystemClock.now());
        let repository = match &repository {
            Ok(repository) => repository,
            Err(error) => {
                watch.ended(&what, started, Err(error));
                continue;
            }
        };
        let made = match args.create {
            true => context.loaded.make_store_directory(&mirror_store(table), args.parents),
            false => Ok(()),
        };
        let store = made.and_then(|()| context.loaded.open_mirror(table));
        let done = one(&context, global, args, (&table.name, repository, store)).await;
        watch.ended(&what, started, done.as_ref());
        // One that cannot be reached keeps nothing from the others.
        exit = exit.worst(done.map(|ended| ended.exit).unwrap_or_else(|error| {
            let error = error.context(format!("mirror to {}", table.name));
            ui::errors::tell(global, &error);
            Exit::of(&error)
        }));
    }
    watch.finish(global).await?;
    repository.map(|_| exit)
}

async fn one(
    context: &Context,
    global: &Global,
    args: &MirrorArgs,
    (name, from, to): (&str, &Repository, anyhow::Result<Store>),
) -> anyhow::Result<Ended> {
    let start = if args.create { MirrorStart::Create } else { MirrorStart::Expect };
    let counters = Arc::new(MirrorCounters::default());
    let (to, request) = (to?, context.lease_request(Purpose::Mirror, &args.lease)?);
    let shown = progress::Shown::begin(format!("mirror to {name}"), progress::of_mirroring(&counters));
    let report = copy_to(from, &to, start, request, &counters).await;
    drop(shown);
    let report = report?;
    context.forget_leases();
    if global.json {
        ui::json(&json(name, &report))?;
    } else {
        print(name, &report);
    }
    Ok(ended(&report))
}

/// What people hear of it.
fn ended(report: &MirrorReport) -> Ended {
    let exit = match (report.problems.is_empty(), report.held_back.is_empty()) {
        (true, true) => return Ended::well(Exit::Done),
        (false, _) => Exit::Damaged,
        (true, false) => Exit::Partial,
    };
    let (problems, held_back) = (report.problems.len() as u64, report.held_back.len() as u64);
    let message = format!(
        "{} damaged, {} not copied",
        words::counted(problems, "object is", "objects are"),
        words::counted(held_back, "snapshot is", "snapshots are"),
    );
    let objects = report.problems.iter().map(|problem| format!("{}: {}", problem.object, problem.why.chain()));
    let snapshots = report.held_back.iter().map(|(snapshot, why)| format!("{}: {why}", snapshot.short()));
    Ended::badly(exit, message, objects.chain(snapshots), DAMAGED_HINT)
}

fn print(name: &str, report: &MirrorReport) {
    for problem in &report.problems {
        ui::line(format!("damaged: {}: {}", problem.object, problem.why.chain()));
    }
    for (snapshot, why) in &report.held_back {
        ui::line(format!("held back: {}: {why}", snapshot.short()));
    }
    let copied = words::counted(report.copied, "object", "objects");
    let snapshots = words::counted(report.snapshots, "snapshot", "snapshots");
    let bytes = words::bytes(report.bytes);
    let left = match report.leftovers {
        0 => String::new(),
        files => format!("; {} removed", words::counted(files, "left-over file", "left-over files")),
    };
    let already = words::count(report.already);
    ui::line(format!("{name}: {copied} ({bytes}) copied, {already} were there; {snapshots}{left}"));
    if !report.is_whole() {
        ui::note(format!("hint: {DAMAGED_HINT}"));
    }
}

fn json(name: &str, report: &MirrorReport) -> serde_json::Value {
    let problems: Vec<_> = report.problems.iter().map(|p| serde_json::json!([p.object, p.why.chain()])).collect();
    serde_json::json!({
        "schema": "dozo/mirror-report/1",
        "mirror": name,
        "copied": report.copied,
        "bytes": report.bytes,
        "already": report.already,
        "snapshots": report.snapshots,
        "held_back": report.held_back,
        "problems": problems,
        "leftovers": report.leftovers,
    })
}
