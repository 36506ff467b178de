//! `dozo check`, as far as it is about jobs: whether each plugin may run, has what it needs, reaches its source, and finds
//! there what it expects. Reads nothing that would be backed up, and changes nothing.

use dozo_job::port::Source;
use dozo_plugin::{Plugin, PluginKind, WasmSource};

use super::around;
use crate::args::Global;
use crate::config::{JobTable, Need, NeedKind, PluginTable};
use crate::context::Context;
use crate::exclusive::refuse_shared;
use crate::exit::Exit;
use crate::plugins::PluginShelf;
use crate::prepare::Prepared;
use crate::ui::{self, words};

/// Looks at the jobs that were named, or at all.
pub(super) async fn check(global: &Global, context: &Context, named: &[String]) -> anyhow::Result<Exit> {
    if named.is_empty() && context.loaded.config.job.is_empty() {
        ui::note("note: there is no job yet, so no source was looked at");
        return Ok(Exit::Done);
    }
    let mut plugins = context.plugins()?;
    let mut exit = Exit::Done;
    for (name, job) in context.loaded.jobs(named)? {
        match look(context, &mut plugins, name, job).await {
            Ok(facts) => tell(global, name, &facts)?,
            // The next job may be well, and the worst exit code is kept.
            Err(error) => {
                let error = error.context(format!("the job `{name}` would not run"));
                ui::errors::tell(global, &error);
                exit = exit.worst(Exit::of(&error));
            }
        }
    }
    Ok(exit)
}

/// What the plugin says of its source.
async fn look(
    context: &Context,
    plugins: &mut PluginShelf,
    name: &str,
    job: &JobTable,
) -> anyhow::Result<Vec<(String, String)>> {
    if let Some(mistake) = around::mistakes(context, name, job).into_iter().next() {
        return Err(mistake);
    }
    let keys = ["job", name];
    let plugin = context.plugin(plugins, (&keys, &job.plugin), PluginKind::Source).await?;
    let table = job.table(&keys);
    refuse_shared(context, plugins, (name, job)).await?;
    let mut prepared = context.prepare(table, &plugin).await?;
    outside(context, table, &plugin, &prepared).await?;
    around::local(context)?;
    let places = around::read_at(job)?;
    let there = job.read_at.iter().filter(|(_, place)| place.exists()).map(|(at, place)| (at.clone(), place.clone()));
    prepared.read_at(&job.grant.read, &there.collect())?;
    let source = plugin.source(prepared.permit)?;
    let facts = source.check(&prepared.config).await.map_err(|e| match job.before.is_empty() {
        true => e,
        false => e.context("`before` was not run, and may change what was found"),
    })?;
    let answers = probes(&source, name, job, &prepared.config).await;
    Ok(facts.into_iter().chain(places).chain(answers).collect())
}

/// Asks the job's questions as a run would. One without an answer fails no run, and is named here with what would help.
async fn probes(source: &WasmSource, name: &str, job: &JobTable, config: &str) -> Vec<(String, String)> {
    let mut answers = Vec::new();
    for (probe, question) in &job.probe {
        match source.probe(config, question).await {
            Ok(answer) => answers.push((format!("probe {probe}"), words::first_line(&answer))),
            Err(error) => {
                ui::note(format!("note: the job `{name}`: the probe `{probe}` is not answered: {}", error.chain()));
                if let Some(hint) = error.hint() {
                    ui::note(format!("hint: {hint}"));
                }
            }
        }
    }
    answers
}

/// What cannot be seen in the configuration: names are granted as they are written, and whether what they lead to is granted
/// too is known when they are resolved; programs must be there, and be nobody else's to change.
pub(crate) async fn outside(
    context: &Context,
    table: PluginTable<'_>,
    plugin: &Plugin,
    prepared: &Prepared,
) -> anyhow::Result<()> {
    let permit = &prepared.permit;
    permit.grants.programs.check()?;
    let needs = plugin.needs(&prepared.config, permit.secrets.clone()).await?;
    let mut missing = Vec::new();
    for target in &needs.network {
        if let Some(what) = permit.grants.network.missing(target).await? {
            missing.push(Need::missing(NeedKind::Network, what));
        }
    }
    Ok(context.loaded.refuse_missing(table, &missing)?)
}

fn tell(global: &Global, name: &str, facts: &[(String, String)]) -> anyhow::Result<()> {
    if global.json {
        return ui::json(&serde_json::json!({ "schema": "dozo/check-job/1", "job": name, "facts": facts }));
    }
    ui::line(format!("{name}: ready"));
    facts.iter().for_each(|(what, fact)| ui::line(format!("  {what}: {fact}")));
    Ok(())
}
