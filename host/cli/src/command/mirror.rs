//! `dozo mirror`: what a mirror lacks is copied there, ciphertext to ciphertext.

use std::sync::Arc;

use dozo_repository::{MirrorCounters, MirrorReport, MirrorStart, Purpose, Repository, Store, mirror as mirror_store};

use crate::args::{Global, MirrorArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::ui::{self, progress, words};

pub(crate) async fn mirror(global: &Global, args: &MirrorArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    if args.from.from.is_some() {
        let from = context.repository_at(&args.from).await?;
        return one(&context, global, args, ("the repository", &from, context.store())).await;
    }
    let mirrors = context.loaded.mirrors(&args.mirrors)?;
    let repository = context.repository().await?;
    let mut exit = Exit::Done;
    for table in mirrors {
        let store = context.loaded.open_mirror(table);
        // One that cannot be reached keeps nothing from the others.
        let done = one(&context, global, args, (&table.name, &repository, store)).await;
        exit = exit.worst(done.unwrap_or_else(|error| {
            let error = error.context(format!("mirror to {}", table.name));
            ui::errors::tell(global, &error);
            Exit::of(&error)
        }));
    }
    Ok(exit)
}

async fn one(
    context: &Context,
    global: &Global,
    args: &MirrorArgs,
    (name, from, to): (&str, &Repository, anyhow::Result<Store>),
) -> anyhow::Result<Exit> {
    let start = if args.create { MirrorStart::Create } else { MirrorStart::Expect };
    let counters = Arc::new(MirrorCounters::default());
    let (to, request) = (to?, context.lease_request(Purpose::Mirror)?);
    let shown = progress::Shown::begin(format!("mirror to {name}"), progress::of_mirroring(&counters));
    let report = mirror_store(from, &to, start, request, &counters).await;
    drop(shown);
    let report = report?;
    if global.json {
        ui::json(&json(name, &report))?;
    } else {
        print(name, &report);
    }
    Ok(match (report.problems.is_empty(), report.held_back.is_empty()) {
        (false, _) => Exit::Damaged,
        (true, false) => Exit::Partial,
        (true, true) => Exit::Done,
    })
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
    ui::line(format!("{name}: {copied} ({bytes}) copied, {} were there; {snapshots}", words::count(report.already)));
    if !report.is_whole() {
        ui::note("hint: `dozo verify` and `dozo repair` on the side that is damaged, then mirror again");
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
    })
}
