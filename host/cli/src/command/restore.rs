//! `dozo restore`: a snapshot, or some of it, into a directory or a target of the configuration.

use std::sync::Arc;

use dozo_job::port::{Conflict, Moment, RestoreRequest};
use dozo_job::{Error, Progress, RestoreJob, RestoreReport, Room, Selection, packs_to_restore};
use dozo_plugin::{Plugin, PluginKind};
use dozo_repository::format::snapshot::Snapshot;
use dozo_repository::{ObjectId, View};

use crate::args::{ConflictArg, Global, RestoreArgs};
use crate::command::verify::released;
use crate::context::{Context, SystemClock, find_snapshot};
use crate::exit::Exit;
use crate::prepare::Prepared;
use crate::rollback::Back;
use crate::target::Target;
use crate::ui::{self, progress, words};

pub(crate) async fn restore(global: &Global, args: &RestoreArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let selection = Selection::new(&args.paths)?;
    let repository = context.repository_at(&args.from).await?;
    let keys = context.read_keys(&repository, &args.identity).await?;
    let back = Back::begin(&context, &repository);
    let lease = context.read_lease(&repository).await?;
    let view = lease.view().await?;
    back.tell(&view).await?;
    let (id, snapshot) = find_snapshot(&view, &args.snapshot)?;
    let name = snapshot.job.name.clone();
    let (target, conflict) = (Target::of(&context.loaded, &name, &args.to), conflict(args.conflict));
    // What could be wrong with the target is known before anybody waits for hours.
    let ready = match prepare(&context, &target, &snapshot, conflict).await {
        Ok(ready) => readable(&context, args, &view, &selection, (id, &snapshot)).await.map(|()| ready),
        Err(error) => Err(error),
    };
    let (plugin, prepared) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            released(lease).await;
            return Err(error);
        }
    };
    let directory = prepared.permit.grants.directories.first().cloned();
    let directory = directory.filter(|_| !args.no_space_check && matches!(target, Target::Directory { .. }));
    let room = directory.as_ref().map(|directory| directory as &dyn Room);
    let source = plugin.source(prepared.permit)?;
    let request = RestoreRequest {
        config: prepared.config,
        paths: args.paths.clone(),
        at: Moment::Latest,
        conflict,
        options: Vec::new(),
    };
    let job = RestoreJob { snapshot: id, selection, keys: &keys, request, room };
    let progress = Arc::new(Progress::default());
    let shown = progress::Shown::begin(format!("restore {name}"), progress::of_restore(&progress));
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

/// Returns when all that is restored can be read.
async fn readable(
    context: &Context,
    args: &RestoreArgs,
    view: &View,
    selection: &Selection,
    (id, snapshot): (ObjectId, &Arc<Snapshot>),
) -> anyhow::Result<()> {
    if !view.may_lie_cold() {
        return Ok(());
    }
    let packs = packs_to_restore(&view.reader(id, snapshot.clone()), selection).await?;
    context.thaw(view, &packs, (&args.thaw, &args.from)).await
}

/// The plugin that made the snapshot, what it gets and what it may do there.
async fn prepare(
    context: &Context,
    target: &Target<'_>,
    snapshot: &Snapshot,
    conflict: Conflict,
) -> anyhow::Result<(Plugin, Prepared)> {
    let (made_by, configured) = (&snapshot.plugin.name, context.loaded.config.job.get(&snapshot.job.name));
    let named = configured.map_or(made_by, |job| &job.plugin);
    let plugin = context.plugins()?.get_as(named, PluginKind::Source).await?;
    if plugin.stamp().name != *made_by {
        let configured = &plugin.stamp().name;
        let why = format!("the snapshot was made by the plugin `{made_by}`, not by `{configured}`");
        return Err(Error::invalid(why).into());
    }
    let prepared = target.prepare(context, &plugin, conflict).await?;
    Ok((plugin, prepared))
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
    ui::line(format!("{job}: snapshot {id} of {} restored into {to} in {took}", words::time(report.taken)));
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
