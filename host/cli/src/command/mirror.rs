//! `dozo mirror`: what a mirror lacks is copied there, ciphertext to ciphertext.

use std::sync::Arc;

use dozo_job::health::Upkeep;
use dozo_job::{Clock, Error, Kind};
use dozo_repository::{
    Depth, MirrorCounters, MirrorReport, MirrorStart, NO_REPOSITORY, Purpose, Repository, Store, StorePlace,
    VerifyCounters, mirror as copy_to, verify,
};

use crate::args::{FromArgs, Global, MirrorArgs};
use crate::config::{MirrorTable, Secrecy, mirror_store};
use crate::context::{Context, SystemClock};
use crate::exit::Exit;
use crate::outcomes::Task;
use crate::ui::{self, progress, words};
use crate::upkeep::{Ended, Watch};

pub(crate) async fn mirror(global: &Global, args: &MirrorArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    if args.from.from.is_some() {
        let from = context.repository_at(&args.from).await?;
        if args.create {
            context.loaded.make_store_directory(&context.loaded.repository_store(), args.parents)?;
        }
        let done = one(&context, global, args, (None, &from, context.store())).await?;
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
        let store =
            made.and_then(|()| context.loaded.open_mirror(table).map_err(|error| unmade(&context, table, error)));
        let done = one(&context, global, args, (Some(&table.name), repository, store)).await;
        watch.ended(&what, started, done.as_ref());
        if done.as_ref().is_ok_and(|ended| ended.trouble.is_none()) {
            healed(&context, &table.name).await;
        }
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
    (mirror, from, to): (Option<&str>, &Repository, anyhow::Result<Store>),
) -> anyhow::Result<Ended> {
    let name = mirror.unwrap_or("the repository");
    let start = if args.create { MirrorStart::Create } else { MirrorStart::Expect };
    let counters = Arc::new(MirrorCounters::default());
    let (to, request) = (to?, context.lease_request(Purpose::Mirror, &args.lease)?);
    let shown = progress::Shown::begin(format!("mirror to {name}"), progress::of_mirroring(&counters));
    let report = copy_to(from, &to, start, request, &counters).await;
    drop(shown);
    let report = report?;
    context.forget_leases();
    let hint = hint(&report, Place::of(mirror), Place::of(args.from.from.as_deref()));
    if global.json {
        ui::json(&json(name, &report))?;
    } else {
        print(name, &report, &hint);
    }
    Ok(ended(&report, &hint))
}

/// The error of a mirror that cannot be opened: one that is not there was maybe never made.
pub(crate) fn unmade(context: &Context, table: &MirrorTable, error: anyhow::Error) -> anyhow::Error {
    let config = context.loaded.store_config(&mirror_store(table), Secrecy::Pretend).ok();
    let gone = match config.map(|config| config.place) {
        Some(StorePlace::Directory(directory)) => !directory.exists(),
        _ => false,
    };
    match error.downcast::<Error>() {
        Ok(error) if error.kind() == Kind::Invalid && (gone || error.to_string().starts_with(NO_REPOSITORY)) => {
            let name = words::quoted(&table.name);
            let hint =
                format!("is it mounted, and in the right place? `dozo mirror {name} --create` makes a new one there");
            error.hinted(hint).into()
        }
        Ok(error) => error.into(),
        Err(error) => error,
    }
}

/// What a verification found damaged in a mirror is put right where nothing of it is left: what is recorded there, and what
/// shows without reading content.
async fn healed(context: &Context, name: &str) {
    let verified = Upkeep::Verify(Some(name.into()));
    if !context.outcomes().has_damage(Task::Upkeep(&verified)) {
        return;
    }
    let is_clean = async {
        let view = context.repository_at(&FromArgs { from: Some(name.into()) }).await?.view().await?;
        Ok::<_, anyhow::Error>(verify(&view, Depth::Structure, &VerifyCounters::default()).await?.is_clean())
    };
    let healed = match is_clean.await {
        Ok(true) => context.outcomes().heal(Task::Upkeep(&verified)),
        // It stays an alert until it is known.
        Ok(false) | Err(_) => Ok(()),
    };
    if let Err(error) = healed {
        context.not_remembered(&error);
    }
}

/// The commands for one side.
struct Place {
    verify: String,
    repair: String,
}

impl Place {
    /// A mirror, or the repository.
    fn of(mirror: Option<&str>) -> Self {
        let name = || mirror.map(str::to_string);
        Place { verify: Upkeep::Verify(name()).command(), repair: Upkeep::Repair(name()).command() }
    }
}

/// What to do when the copy is not whole: on the side that is damaged.
fn hint(report: &MirrorReport, to: Place, from: Place) -> String {
    let here = report.damaged_there < report.problems.len() as u64 || report.problems.is_empty();
    let there = (report.damaged_there > 0).then_some(to);
    let sides: Vec<String> = here
        .then_some(from)
        .into_iter()
        .chain(there)
        .map(|side| format!("`{}` says what is damaged, `{}` what can be done about it", side.verify, side.repair))
        .collect();
    format!("{}; then mirror again", sides.join("; "))
}

/// What people hear of it.
fn ended(report: &MirrorReport, hint: &str) -> Ended {
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
    Ended::badly(exit, message, objects.chain(snapshots), hint)
}

fn print(name: &str, report: &MirrorReport, hint: &str) {
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
    ui::result(format!("{name}: {copied} ({bytes}) copied, {already} were there; {snapshots}{left}"));
    if !report.is_whole() {
        ui::note(format!("hint: {hint}"));
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
