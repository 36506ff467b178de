//! `dozo restore`: a snapshot, or some of it, into a directory or a target of the configuration.

mod plan;
mod show;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use dozo_job::port::{Conflict, Moment, RestoreRequest};
use dozo_job::{Error, LeftOut, Progress, RestoreJob, Room, Selection, packs_to_restore};
use dozo_plugin::{Directory, MadeDirectories, Planner, Plugin, Rooms};
use dozo_repository::format::snapshot::Status;
use dozo_repository::{Found, View};

use crate::args::{FromArgs, Global, PART_HELP};
use crate::command::snapshots::window;
use crate::context::{Context, SystemClock};
use crate::covering::{Choice, choose};
use crate::exit::Exit;
use crate::named;
use crate::prepare::Prepared;
use crate::rollback::Back;
use crate::store_args::ReadArgs;
use crate::target::{Manner, Target};
use crate::thaw::ThawArgs;
use crate::ui::{progress, words};
use crate::zones::Zones;
use plan::Tally;
use show::show;

/// Before the name of a directory in the options that a plugin gets.
const MAP: &str = "map:";

/// `dozo restore`
#[derive(Args)]
pub(crate) struct RestoreArgs {
    #[arg(help = PART_HELP, value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
    /// Paths that the snapshot has, or patterns as in `exclude` [default: everything]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<String>,
    /// The directory to restore into; this grants writing there, and nowhere else. Or the name of one of the job's targets,
    /// `[job.JOB.target.NAME]`; `./NAME` is a directory
    #[arg(long, value_name = "DIR | TARGET")]
    pub(crate) to: PathBuf,
    /// Recover to a moment, where the source can: `latest`, a time, a position in the source's log (`16/B374D848`), or else a
    /// name. `time:…`, `position:…` and `name:…` say which is meant. Times: "2026-11-23 02:00:00 +09:00", `…
    /// America/New_York`, `… UTC`, "5 minutes ago", "yesterday 14:00", `14:00` (today), `now`; without a zone, that of the job, as in
    /// `JOB@TIME`. Here what a time leaves out is its beginning: `02:00` is 02:00:00, and nothing that was done later comes
    /// back. Of a JOB, the newest snapshot that covers the moment is taken
    #[arg(long, value_name = "MOMENT")]
    pub(crate) at: Option<String>,
    /// Another directory to restore into, which the plugin knows under this name: for PostgreSQL a tablespace. It is made if
    /// it is missing; this grants writing there
    #[arg(long, value_name = "NAME=DIR", value_parser = pair)]
    pub(crate) map: Vec<(String, String)>,
    /// With `--repository`, and where the snapshot's plugin is not inside dozo: its component, the very one that made the
    /// snapshot
    #[arg(long, value_name = "FILE", requires = "repository")]
    pub(crate) plugin: Option<PathBuf>,
    /// An option of the plugin's own
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) option: Vec<(String, String)>,
    /// What to do with what is there already
    #[arg(long, value_enum, default_value_t = ConflictArg::Refuse)]
    pub(crate) conflict: ConflictArg,
    /// Show what would be created, replaced, changed, left and deleted, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Also delete what lies in restored directories and is not in the snapshot, once all else is restored. Shows what that
    /// is and does nothing as long as `--yes` is not there, too
    #[arg(long)]
    pub(crate) delete: bool,
    /// Do what `--delete` shows
    #[arg(long, requires = "delete")]
    pub(crate) yes: bool,
    /// Restore owners by number. By default by name, where this machine has the name
    #[arg(long)]
    pub(crate) numeric_ids: bool,
    /// Do not look first whether the target has room for all of it: for file systems that compress
    #[arg(long)]
    pub(crate) no_space_check: bool,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    #[command(flatten)]
    pub(crate) thaw: ThawArgs,
    #[command(flatten)]
    pub(crate) from: FromArgs,
}

impl RestoreArgs {
    /// Whether nothing is to be written.
    fn is_plan(&self) -> bool {
        self.dry_run || (self.delete && !self.yes)
    }

    /// What has a plan done that these options only show.
    fn confirmation(&self) -> &'static str {
        match (self.dry_run, self.delete && !self.yes) {
            (false, _) => "with `--yes`",
            (true, false) => "without `--dry-run`",
            (true, true) => "with `--yes`, and without `--dry-run`,",
        }
    }

    /// Whether the options go together, as far as they alone tell.
    fn check(&self) -> Result<(), Error> {
        if self.delete && self.conflict != ConflictArg::Replace {
            return Err(Error::invalid(
                "`--delete` makes directories what they were, which takes `--conflict replace`",
            )
            .hinted("`--conflict replace --delete` shows what would be done; `--yes` does it"));
        }
        Ok(())
    }
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
    args.check()?;
    let context = Context::to_read(global, &args.read)?;
    let opened = context.open_to_read(&args.from, &args.read, true).await?;
    let keys = opened.keys()?;
    let back = Back::begin(&context, &opened.repository);
    let lease = context.read_lease(&opened.repository).await?;
    let view = lease.view().await?;
    back.tell(&view).await?;
    // What could be wrong with the target is known before anybody waits for hours.
    let tally = Arc::new(Tally::new(args.confirmation()));
    let planner = args.is_plan().then(|| tally.planner(global.json, &args.to));
    let ready = match prepare(&context, args, &view, planner).await {
        Ok(ready) => readable(&context, args, &view, &ready).await.map(|()| ready),
        Err(error) => Err(error),
    };
    let ready = match ready {
        Ok(ready) => ready,
        Err(error) => {
            context.released(lease).await;
            return Err(error);
        }
    };
    let Ready { found: (id, snapshot), at, plugin, selection, target, prepared, made } = ready;
    let zone = Zones::of(&context, &view)?.zone(&snapshot).clone();
    let directories = &prepared.permit.grants.directories;
    let is_looked_for = !args.no_space_check && matches!(target, Target::Directory { .. });
    let room = is_looked_for.then(|| Arc::new(Rooms::of(directories)) as Arc<dyn Room>);
    let options = options(args, directories);
    let source = plugin.source(prepared.permit)?;
    let (paths, conflict) = (selection.typed(), conflict(args.conflict));
    let request = RestoreRequest { target: target.for_plugin(prepared.config), paths, at, conflict, options };
    let is_plan = args.is_plan();
    let job = RestoreJob { snapshot: id, selection, keys, request, room, is_plan };
    let progress = Arc::new(Progress::default());
    let shown = progress::Shown::begin(format!("restore {}", snapshot.job.name), progress::of_restore(&progress));
    let report = dozo_job::restore(job, &view, &source, &SystemClock, progress).await;
    drop(shown);
    context.released(lease).await;
    let mut restored = report.map_err(|e| e.context(format!("nothing was restored into {target}")))?;
    // What reaches a server is not seen here.
    restored.has_written |= matches!(target, Target::Named { .. });
    // Of one that failed, directories that were made and are empty are removed again.
    if restored.error.is_none() && !is_plan {
        made.keep();
    }
    show(global, restored, (&target, &zone), is_plan.then_some(&*tally))
}

/// A restore before its first byte.
struct Ready<'a> {
    found: Found,
    at: Moment,
    /// The plugin that made the snapshot.
    plugin: Plugin,
    /// What of it.
    selection: Selection,
    target: Target<'a>,
    /// What it gets and what it may do there.
    prepared: Prepared,
    /// The directories that were made for it.
    made: MadeDirectories,
}

async fn prepare<'a>(
    context: &'a Context,
    args: &'a RestoreArgs,
    view: &View,
    planner: Option<Planner>,
) -> anyhow::Result<Ready<'a>> {
    let reserved = args.option.iter().find(|(name, _)| name.starts_with(MAP));
    if let Some((name, directory)) = reserved {
        let why = format!("the option `{name}` is what `--map` tells the plugin");
        let name = name.trim_start_matches(MAP);
        return Err(Error::invalid(why)
            .hinted(format!("`--map {}` also grants writing there", words::quoted(&format!("{name}={directory}"))))
            .into());
    }
    let (named, inside) = named::split(&args.snapshot);
    let Choice { found, plugin, at } =
        choose(context, view, (named, args.at.as_deref()), args.plugin.as_deref()).await?;
    let target = Target::of(&context.loaded, &found.1.job.name, &args.to, &args.map)?;
    if let (Target::Named { name, .. }, Some(path)) = (&target, inside) {
        let why = format!("`SNAPSHOT:PATH` restores into a directory, and `{name}` is a target of the configuration");
        return Err(Error::invalid(why)
            .hinted(format!("`{} {}`, or `--to ./{name}` for a directory", words::quoted(named), words::quoted(path)))
            .into());
    }
    may_be_planned(args, &target, &found)?;
    let reader = view.reader(found.0, found.1.clone());
    let selection = Selection::find(&reader, &args.paths, inside).await;
    let selection = selection.map_err(|error| of_a_part(error, &found))?;
    // One that cannot be read, or that no entry describes, is as any that is made.
    let stands_for = match selection.inside() {
        "" => None,
        inside => reader.get(inside).await.ok().flatten().map(|stored| stored.entry),
    };
    let is_restored = selection.is_whole_directory() && args.map.is_empty();
    if args.delete && is_restored {
        not_into_the_root(args, (named, inside.unwrap_or_default()))?;
    }
    let left_out = args.delete.then(|| LeftOut::of(&found.1)).transpose()?;
    let delete = left_out.map(|it| Arc::new(it.within(selection.inside()).choosing(selection.path())));
    let (conflict, by_number) = (conflict(args.conflict), args.numeric_ids);
    let manner = Manner { conflict, by_number, delete, is_restored, planner, stands_for };
    let (prepared, made) = target.prepare(context, &plugin, &manner).await?;
    Ok(Ready { found, at, plugin, selection, target, prepared, made })
}

/// Whether `--dry-run` and `--delete` can be had of this target and this snapshot.
fn may_be_planned(args: &RestoreArgs, target: &Target<'_>, (_, snapshot): &Found) -> Result<(), Error> {
    if (args.is_plan() || args.delete) && matches!(target, Target::Named { .. }) {
        return Err(Error::unsupported(format!(
            "`--dry-run` and `--delete` are for directories, and {target} is a server"
        ))
        .hinted("leave them out, or restore to a directory"));
    }
    if args.delete && snapshot.status == Status::Partial {
        return Err(Error::invalid("`--delete` would delete what could not be read when this snapshot was made")
            .hinted("restore a complete snapshot, or leave out `--delete`"));
    }
    Ok(())
}

/// What recovers to any moment is restored whole, so no path of it is offered that its plugin would refuse next.
fn of_a_part(error: Error, (id, snapshot): &Found) -> Error {
    if window(snapshot).is_none() {
        return error;
    }
    let (plugin, id) = (&snapshot.plugin.name, id.short());
    error.hinted(format!(
        "leave the paths out: {plugin} restores whole; `dozo ls -r {id}` shows what it has, `dozo cat` one file"
    ))
}

/// Nobody means the content of one directory to be all that the machine has.
fn not_into_the_root(args: &RestoreArgs, (named, path): (&str, &str)) -> Result<(), Error> {
    if args.to.canonicalize().is_ok_and(|to| to == Path::new("/")) {
        let why = format!("`--delete` of `{named}:{path}` into / would delete everything on this machine but that");
        let hint =
            format!("`{named} {path} --to /` puts it back where it was; or name the directory that it belongs in");
        return Err(Error::invalid(why).hinted(hint));
    }
    Ok(())
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
    Ready { found: (id, snapshot), selection, .. }: &Ready<'_>,
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
