//! `dozo restore`: a snapshot, or some of it, into a directory or a target of the configuration.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use dozo_job::port::{Conflict, Moment, RestoreRequest};
use dozo_job::{Error, Progress, RestoreJob, RestoreReport, Room, Selection, packs_to_restore};
use dozo_plugin::{Directory, Plugin, Rooms};
use dozo_repository::View;

use crate::args::{FromArgs, Global, IdentityArgs, SNAPSHOT_HELP};
use crate::command::verify::released;
use crate::context::{Context, Found, SystemClock};
use crate::covering::{Choice, choose};
use crate::exit::Exit;
use crate::prepare::Prepared;
use crate::rollback::Back;
use crate::target::Target;
use crate::thaw::ThawArgs;
use crate::ui::{self, progress, words};

/// Before the name of a directory in the options that a plugin gets.
const MAP: &str = "map:";

/// `dozo restore`
#[derive(Args)]
pub(crate) struct RestoreArgs {
    #[arg(help = SNAPSHOT_HELP, value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
    /// Paths or globs [default: everything]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<String>,
    /// The directory to restore into; this grants writing there, and nowhere else. Or the name of one of the job's targets,
    /// `[job.JOB.target.NAME]`; `./NAME` is a directory
    #[arg(long, value_name = "DIR | TARGET")]
    pub(crate) to: PathBuf,
    /// Recover to a moment, where the source can: `latest`, a time (of the job's time zone unless it says another; what it
    /// leaves out is taken as its beginning), a position in the source's log (`16/B374D848`), or else a name. `time:…`,
    /// `position:…` and `name:…` say which is meant. Of a JOB, the newest snapshot that covers the moment is taken
    #[arg(long, value_name = "MOMENT")]
    pub(crate) at: Option<String>,
    /// Another directory to restore into, which the plugin knows under this name: for PostgreSQL a tablespace. It is made if
    /// it is missing; this grants writing there
    #[arg(long, value_name = "NAME=DIR", value_parser = pair)]
    pub(crate) map: Vec<(String, String)>,
    /// An option of the plugin's own
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) option: Vec<(String, String)>,
    /// What to do with what is there already
    #[arg(long, value_enum, default_value_t = ConflictArg::Refuse)]
    pub(crate) conflict: ConflictArg,
    /// Do not look first whether the target has room for all of it: for file systems that compress
    #[arg(long)]
    pub(crate) no_space_check: bool,
    #[command(flatten)]
    pub(crate) identity: IdentityArgs,
    #[command(flatten)]
    pub(crate) thaw: ThawArgs,
    #[command(flatten)]
    pub(crate) from: FromArgs,
}

/// `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("there is no `=` behind a name".into()),
    }
}

/// What to do with what is there already.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConflictArg {
    /// Restore only into a directory that is empty
    Refuse,
    /// Leave what is there, restore what is missing
    Skip,
    /// Put the restored in its place
    Replace,
}

pub(crate) async fn restore(global: &Global, args: &RestoreArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let selection = Selection::new(&args.paths)?;
    let repository = context.repository_at(&args.from).await?;
    let keys = context.read_keys(&repository, &args.identity).await?;
    let back = Back::begin(&context, &repository);
    let lease = context.read_lease(&repository).await?;
    let view = lease.view().await?;
    back.tell(&view).await?;
    // What could be wrong with the target is known before anybody waits for hours.
    let ready = match prepare(&context, args, &view).await {
        Ok(ready) => readable(&context, args, &view, &selection, &ready.found).await.map(|()| ready),
        Err(error) => Err(error),
    };
    let ready = match ready {
        Ok(ready) => ready,
        Err(error) => {
            released(lease).await;
            return Err(error);
        }
    };
    let Ready { found: (id, snapshot), at, plugin, target, prepared } = ready;
    let directories = &prepared.permit.grants.directories;
    let is_looked_for = !args.no_space_check && matches!(target, Target::Directory { .. });
    let room = is_looked_for.then(|| Arc::new(Rooms::of(directories)) as Arc<dyn Room>);
    let options = options(args, directories);
    let source = plugin.source(prepared.permit)?;
    let (config, paths, conflict) = (prepared.config, args.paths.clone(), conflict(args.conflict));
    let request = RestoreRequest { config, paths, at, conflict, options };
    let job = RestoreJob { snapshot: id, selection, keys: &keys, request, room };
    let progress = Arc::new(Progress::default());
    let shown = progress::Shown::begin(format!("restore {}", snapshot.job.name), progress::of_restore(&progress));
    let report = dozo_job::restore(job, &view, &source, &SystemClock, progress).await;
    drop(shown);
    released(lease).await;
    let report = report.map_err(|e| e.context(format!("the restore into {target} is not complete")))?;
    if global.json {
        ui::json(&report)?
    } else {
        print(&report, &target)
    }
    Ok(if report.entries_differing > 0 { Exit::Partial } else { Exit::Done })
}

/// A restore before its first byte.
struct Ready<'a> {
    found: Found,
    at: Moment,
    /// The plugin that made the snapshot.
    plugin: Plugin,
    target: Target<'a>,
    /// What it gets and what it may do there.
    prepared: Prepared,
}

async fn prepare<'a>(context: &'a Context, args: &'a RestoreArgs, view: &View) -> anyhow::Result<Ready<'a>> {
    let reserved = args.option.iter().find(|(name, _)| name.starts_with(MAP));
    if let Some((name, directory)) = reserved {
        let why = format!("the option `{name}` is what `--map` tells the plugin");
        let name = name.trim_start_matches(MAP);
        return Err(Error::invalid(why).hinted(format!("`--map {name}={directory}` also grants writing there")).into());
    }
    let Choice { found, plugin, at } = choose(context, view, (&args.snapshot, args.at.as_deref())).await?;
    let target = Target::of(&context.loaded, &found.1.job.name, &args.to, &args.map)?;
    let prepared = target.prepare(context, &plugin, conflict(args.conflict)).await?;
    Ok(Ready { found, at, plugin, target, prepared })
}

/// What the plugin is told: the operator's options, and the directories of names, as it sees them.
fn options(args: &RestoreArgs, directories: &[Directory]) -> Vec<(String, String)> {
    let maps = args.map.iter().zip(directories.iter().skip(1));
    let maps = maps.map(|((name, _), directory)| (format!("{MAP}{name}"), directory.shown()));
    args.option.iter().cloned().chain(maps).collect()
}

/// Returns when all that is restored can be read.
async fn readable(
    context: &Context,
    args: &RestoreArgs,
    view: &View,
    selection: &Selection,
    (id, snapshot): &Found,
) -> anyhow::Result<()> {
    if !view.may_lie_cold() {
        return Ok(());
    }
    let packs = packs_to_restore(&view.reader(*id, snapshot.clone()), selection).await?;
    context.thaw(view, &packs, (&args.thaw, &args.from)).await
}

fn conflict(arg: ConflictArg) -> Conflict {
    match arg {
        ConflictArg::Refuse => Conflict::Refuse,
        ConflictArg::Skip => Conflict::Skip,
        ConflictArg::Replace => Conflict::Replace,
    }
}

fn print(report: &RestoreReport, to: &Target<'_>) {
    let took = words::duration(report.ended.duration_since(report.started));
    let (entries, bytes) = (words::counted(report.entries, "entry", "entries"), words::bytes(report.bytes));
    let (job, id) = (&report.job, report.snapshot.short());
    let at = if report.at == Moment::Latest { String::new() } else { format!(", recovered to {}", report.at) };
    ui::line(format!("{job}: snapshot {id} of {} restored into {to} in {took}{at}", words::time(report.taken)));
    ui::line(format!("  {entries}, {bytes}; every chunk was checked"));
    if report.entries_left > 0 {
        let left = words::counted(report.entries_left, "entry", "entries");
        ui::line(format!("  {left} left as found, because something was there already; content was not compared"));
    }
    for note in &report.notes {
        ui::note(format!("  note: {note}"));
    }
    if report.entries_differing > 0 {
        ui::note("hint: `--conflict replace` puts what the snapshot has in their place");
    }
}
