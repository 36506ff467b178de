//! `dozo config`: the file alone.

use crate::args::{ConfigCommand, Global};
use crate::config::{Config, Secrecy};
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
    let mut plugins = context.plugins()?;
    for (name, job) in &context.loaded.config.job {
        let plugin = plugins.get(&job.plugin).await?;
        let resolved = context.loaded.resolve(name, job, &plugin.description().config_schema, Secrecy::Pretend)?;
        context.check_grants(name, job, &plugin, &resolved).await?;
    }
    let (file, jobs) = (context.loaded.file.display(), context.loaded.config.job.len());
    if global.json {
        ui::json(&serde_json::json!({ "schema": "dozo/config-check/1", "file": file.to_string(), "jobs": jobs }))?;
    } else {
        ui::line(format!("{file}: no mistakes, {}", ui::words::counted(jobs as u64, "job", "jobs")));
    }
    Ok(Exit::Done)
}
