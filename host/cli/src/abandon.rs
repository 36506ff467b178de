//! Sources whose jobs cannot run, because the repository cannot be opened. What they hold at their servers meanwhile (a
//! replication slot keeps a log from being removed, until it fills the server's disk) they are to let go.

use std::time::Duration;

use dozo_job::{Error, Kind, Source};
use dozo_plugin::PluginKind;
use tokio::time::{Instant, timeout_at};

use crate::config::JobTable;
use crate::context::Context;
use crate::plugins::PluginShelf;
use crate::ui;

/// How long one source may take: a login and a command. Nobody waits longer for something that may not be needed.
const ABANDONING: Duration = Duration::from_secs(60);
/// How long all of them may take: cron waits, and where one does not answer the next may not either.
const ABANDONING_ALL: Duration = Duration::from_secs(300);

/// Calls each source's `abandoned`, as well as that goes.
pub(crate) async fn abandon(context: &Context, plugins: &mut PluginShelf, jobs: &[(&str, &JobTable)]) {
    let deadline = Instant::now() + ABANDONING_ALL;
    for (name, table) in jobs.iter().copied() {
        let late = |_| Error::unavailable("there was no more time for it").into();
        let until = deadline.min(Instant::now() + ABANDONING);
        let abandoned = timeout_at(until, abandon_job(context, plugins, (name, table))).await;
        if let Err(error) = abandoned.map_err(late).flatten() {
            let why: Vec<String> = error.chain().map(ToString::to_string).collect();
            ui::note(format!("note: the job `{name}` could not clean up at its source: {}", why.join(": ")));
        }
    }
}

async fn abandon_job(
    context: &Context,
    plugins: &mut PluginShelf,
    (name, table): (&str, &JobTable),
) -> anyhow::Result<()> {
    // A run that began before the repository was gone has the source, and may still come to its end.
    let _place = match context.at_work(name) {
        Err(error) if is_busy(&error) => return Ok(()),
        place => place.ok(),
    };
    let plugin = plugins.get_as(&table.plugin, PluginKind::Source).await?;
    let prepared = context.prepare(table.table(&["job", name]), &plugin).await?;
    Ok(plugin.source(prepared.permit)?.abandoned(&prepared.config).await?)
}

fn is_busy(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| error.kind() == Kind::Busy)
}
