//! `dozo config`: the file alone.

use std::collections::BTreeMap;

use dozo_plugin::PluginKind;

use crate::args::{ConfigCommand, Global};
use crate::config::{Config, Secrecy, mirror_store};
use crate::context::Context;
use crate::exit::Exit;
use crate::ui;

pub(crate) async fn config(global: &Global, command: &ConfigCommand) -> anyhow::Result<Exit> {
    match command {
        ConfigCommand::Check => check(global).await,
        ConfigCommand::Schema => {
            ui::line(serde_json::to_string_pretty(&Config::schema())?);
            Ok(Exit::Done)
        }
    }
}

async fn check(global: &Global) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    context.loaded.store_config(&context.loaded.repository_store(), Secrecy::Pretend)?;
    for mirror in &context.loaded.config.repository.mirrors {
        context.loaded.store_config(&mirror_store(mirror), Secrecy::Pretend)?;
    }
    let mut plugins = context.plugins()?;
    for (name, job) in &context.loaded.config.job {
        let plugin = plugins.get_as(&job.plugin, PluginKind::Source).await?;
        context.check_table(job.table(&["job", name]), &plugin).await?;
        for (target, table) in &job.target {
            context.check_table(table.table(&["job", name, "target", target], job), &plugin).await?;
        }
    }
    context.check_notifiers(&mut plugins).await?;
    let kept = kept(&context)?;
    let (file, config) = (context.loaded.file.display(), &context.loaded.config);
    let (jobs, notifiers) = (config.job.len(), config.notify.len());
    if global.json {
        let file = file.to_string();
        ui::json(&serde_json::json!({
            "schema": "dozo/config-check/1", "file": file, "jobs": jobs, "notifiers": notifiers, "retention": kept,
        }))?;
    } else {
        let told = match notifiers {
            0 => String::new(),
            some => format!(", {}", ui::words::counted(some as u64, "notifier", "notifiers")),
        };
        ui::line(format!("{file}: no mistakes, {}{told}", ui::words::counted(jobs as u64, "job", "jobs")));
        kept.iter().for_each(|(name, kept)| ui::line(format!("  {name} keeps {kept}")));
    }
    Ok(Exit::Done)
}

/// What each job's retention keeps, in words: an operator who wrote none is told that everything stays.
fn kept(context: &Context) -> anyhow::Result<BTreeMap<&str, String>> {
    let mut kept = BTreeMap::new();
    for (name, job) in &context.loaded.config.job {
        kept.insert(name.as_str(), context.loaded.retention(name, job)?.to_string());
    }
    Ok(kept)
}
