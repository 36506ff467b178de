//! `dozo restore`: a snapshot, or some of it, into a directory.

use std::path::Path;
use std::sync::Arc;

use dozo_job::port::{Conflict, Moment, RestoreRequest};
use dozo_job::{Error, Progress, RestoreJob, RestoreReport, Selection, packs_to_restore};
use dozo_repository::format::snapshot::Snapshot;
use dozo_repository::{ObjectId, View};

use crate::args::{ConflictArg, Global, RestoreArgs};
use crate::command::verify::released;
use crate::config::{ResolvedConfig, Secrecy};
use crate::context::{Context, SystemClock, find_snapshot};
use crate::exit::Exit;
use crate::plugins::PluginShelf;
use crate::rollback::Back;
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
    let mut plugins = context.plugins()?;
    let name = snapshot.job.name.clone();
    let (plugin, resolved) = plugin_of(&context, &mut plugins, &name, &snapshot.plugin.name).await?;

    let conflict = conflict(args.conflict);
    prepare_target(&args.to, conflict)?;
    let source = plugin.source(context.restore_permit(&name, resolved.as_ref(), &args.to, conflict)?)?;
    // What could be wrong with the target is known before anybody waits for hours.
    if let Err(error) = readable(&context, args, &view, &selection, (id, &snapshot)).await {
        released(lease).await;
        return Err(error);
    }
    let request = RestoreRequest {
        config: resolved.map_or_else(String::new, |resolved| resolved.json),
        paths: args.paths.clone(),
        at: Moment::Latest,
        conflict,
        options: Vec::new(),
    };
    let job = RestoreJob { snapshot: id, selection, keys: &keys, request };
    let progress = Arc::new(Progress::default());
    let shown = progress::Shown::begin(format!("restore {name}"), progress::of_restore(&progress));
    let report = dozo_job::restore(job, &view, &source, &SystemClock, progress).await;
    drop(shown);
    released(lease).await;
    let report = report.map_err(|e| e.context(format!("the restore into {} is not complete", args.to.display())))?;
    if global.json {
        ui::json(&report)?
    } else {
        print(&report, &args.to)
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

/// The plugin that made the snapshot, and the job's configuration if this host has it: a restore on another machine
/// needs none where a directory is the target.
async fn plugin_of(
    context: &Context,
    plugins: &mut PluginShelf,
    job: &str,
    plugin: &str,
) -> anyhow::Result<(dozo_plugin::Plugin, Option<ResolvedConfig>)> {
    let configured = context.loaded.config.job.get(job);
    let loaded = plugins.get(configured.map_or(plugin, |job| job.plugin.as_str())).await?;
    if loaded.stamp().name != plugin {
        let configured = &loaded.stamp().name;
        return Err(
            Error::invalid(format!("the snapshot was made by the plugin `{plugin}`, not by `{configured}`")).into()
        );
    }
    let schema = &loaded.description().config_schema;
    let resolved = match configured {
        Some(table) => Some(context.loaded.resolve(job, table, schema, Secrecy::Fetch)?),
        None => None,
    };
    Ok((loaded, resolved))
}

fn conflict(arg: ConflictArg) -> Conflict {
    match arg {
        ConflictArg::Refuse => Conflict::Refuse,
        ConflictArg::Skip => Conflict::Skip,
        ConflictArg::Replace => Conflict::Replace,
    }
}

/// Makes the target; one that holds something is refused unless the operator said what to do with it.
fn prepare_target(to: &Path, conflict: Conflict) -> anyhow::Result<()> {
    let shown = to.display();
    std::fs::create_dir_all(to).map_err(|e| Error::io(format!("make the directory {shown}"), e))?;
    let mut inside = std::fs::read_dir(to).map_err(|e| Error::io(format!("look into {shown}"), e))?;
    if conflict == Conflict::Refuse && inside.next().is_some() {
        return Err(Error::invalid(format!("{shown} is not empty"))
            .hinted("`--conflict skip` leaves what is there, `--conflict replace` puts the restored in its place")
            .into());
    }
    Ok(())
}

fn print(report: &RestoreReport, to: &Path) {
    let took = words::duration(report.ended.duration_since(report.started));
    let (entries, bytes) = (words::counted(report.entries, "entry", "entries"), words::bytes(report.bytes));
    let (job, id) = (&report.job, report.snapshot.short());
    ui::line(format!("{job}: snapshot {id} of {} restored into {} in {took}", words::time(report.taken), to.display()));
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
