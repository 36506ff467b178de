//! `dozo config`: the file alone.

use std::collections::BTreeMap;

use dozo_plugin::PluginKind;

use super::around;
use crate::args::{ConfigCommand, Global};
use crate::config::{Config, Loaded, Secrecy, mirror_store};
use crate::context::Context;
use crate::exclusive::Used;
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
    let loaded = match Loaded::read_with_mistakes(global.config.as_deref())? {
        Ok(loaded) => loaded,
        Err(mistakes) => return Ok(tell_all(global, mistakes.into_iter().map(Into::into).collect())),
    };
    let mut mistakes: Vec<anyhow::Error> = loaded.mistakes().into_iter().map(Into::into).collect();
    let context = Context::of(loaded)?;
    mistakes.extend(of_stores(&context));
    mistakes.extend(of_jobs(&context).await?);
    if !mistakes.is_empty() {
        return Ok(tell_all(global, mistakes));
    }
    let (kept, notes) = (kept(&context)?, context.loaded.copies_together());
    let (file, config) = (context.loaded.file.display(), &context.loaded.config);
    let (jobs, notifiers) = (config.job.len(), config.notify.len());
    if global.json {
        let file = file.to_string();
        ui::json(&serde_json::json!({
            "schema": "dozo/config-check/1", "file": file, "jobs": jobs, "notifiers": notifiers, "retention": kept,
            "notes": notes,
        }))?;
    } else {
        let told = match notifiers {
            0 => String::new(),
            some => format!(", {}", ui::words::counted(some as u64, "notifier", "notifiers")),
        };
        ui::line(format!("{file}: no mistakes, {}{told}", ui::words::counted(jobs as u64, "job", "jobs")));
        kept.iter().for_each(|(name, kept)| ui::line(format!("  {name} keeps {kept}")));
        notes.iter().for_each(|note| ui::note(format!("note: {note}")));
    }
    Ok(Exit::Done)
}

/// Shows every mistake; the exit code is the worst's.
fn tell_all(global: &Global, mistakes: Vec<anyhow::Error>) -> Exit {
    let several = (mistakes.len() > 1).then(|| ui::words::counted(mistakes.len() as u64, "mistake", "mistakes"));
    let mut exit = Exit::Done;
    for mistake in mistakes {
        ui::errors::tell(global, &mistake);
        exit = exit.worst(Exit::of(&mistake));
    }
    if let Some(several) = several {
        ui::note(several);
    }
    exit
}

/// What is wrong with what is said of the stores.
fn of_stores(context: &Context) -> Vec<anyhow::Error> {
    let loaded = &context.loaded;
    let repository = loaded.store_config(&loaded.repository_store(), Secrecy::Pretend);
    let mirrors = loaded.config.repository.mirrors.iter();
    let mirrors = mirrors.map(|mirror| loaded.store_config(&mirror_store(mirror), Secrecy::Pretend));
    std::iter::once(repository).chain(mirrors).filter_map(Result::err).collect()
}

/// What is wrong with jobs, their targets and notifiers, as far as it can be told without reaching anything.
async fn of_jobs(context: &Context) -> anyhow::Result<Vec<anyhow::Error>> {
    let config = &context.loaded.config;
    let (mut plugins, mut mistakes) = (context.plugins()?, Vec::new());
    let mut used = Used::default();
    for (name, job) in &config.job {
        let keys = ["job", name.as_str()];
        mistakes.extend(around::mistakes(context, name, job));
        let plugin = match context.plugin(&mut plugins, (&keys, &job.plugin), PluginKind::Source).await {
            Ok(plugin) => plugin,
            Err(mistake) => {
                mistakes.push(mistake);
                continue;
            }
        };
        match context.check_table(job.table(&keys), &plugin).await {
            Err(mistake) => mistakes.push(mistake),
            Ok(exclusive) => {
                mistakes.extend(used.by(context, (name, &plugin), exclusive).into_iter().map(anyhow::Error::from));
            }
        }
        for (target, table) in &job.target {
            let keys = ["job", name, "target", target];
            mistakes.extend(context.check_table(table.table(&keys, job), &plugin).await.err());
        }
    }
    for (name, table) in &config.notify {
        let keys = ["notify", name.as_str()];
        match context.plugin(&mut plugins, (&keys, &table.plugin), PluginKind::Notifier).await {
            Ok(plugin) => mistakes.extend(context.check_table(table.table(&keys), &plugin).await.err()),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    Ok(mistakes)
}

/// What each job's retention keeps, in words: an operator who wrote none is told that everything stays.
fn kept(context: &Context) -> anyhow::Result<BTreeMap<&str, String>> {
    let mut kept = BTreeMap::new();
    for (name, job) in &context.loaded.config.job {
        kept.insert(name.as_str(), context.loaded.retention(name, job)?.to_string());
    }
    Ok(kept)
}
