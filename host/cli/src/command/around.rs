//! What a run uses beside its plugin, looked at beforehand: the programs around it, the directories that it writes to on this
//! machine, the places where directories are read instead. And what other commands use: mirrors, an owner's key.

use std::path::Path;

use dozo_job::{Error, Kind};
use dozo_plugin::{Access, Directory};

use crate::args::{FromArgs, Global};
use crate::command::mirror::unmade;
use crate::config::JobTable;
use crate::context::Context;
use crate::exit::Exit;
use crate::hooks::program;
use crate::keyfile::read_key;
use crate::ui;

/// What is wrong with the programs around a job and with `read_at`, in the configuration and on this machine.
pub(super) fn mistakes(context: &Context, name: &str, job: &JobTable) -> Vec<anyhow::Error> {
    let lists = [("before", &job.before), ("after", &job.after)];
    let lines =
        lists.into_iter().flat_map(|(key, lines)| lines.iter().enumerate().map(move |(n, line)| (key, n, line)));
    let programs = lines.filter_map(|(key, number, line)| {
        let error = program(line).err()?;
        let (hint, number) = (error.hint().unwrap_or_default().to_string(), number.to_string());
        let fault = context.loaded.fault(&["job", name, key, &number], format!("`{key}`: {}", error.chain()));
        Some(fault.hinted(hint).into())
    });
    let strangers = job.read_at.keys().filter(|directory| !job.grant.read.contains(directory)).map(|directory| {
        let why = format!("`read_at` names {}, which is not in `grant.read`", directory.display());
        context.loaded.fault(&["job", name, "read_at"], why).into()
    });
    programs.chain(strangers).collect()
}

/// Refuses a place of `read_at` that a run could not read. Where a program makes it before the run, that is not known yet.
pub(super) fn read_at(job: &JobTable) -> Result<Vec<(String, String)>, Error> {
    let mut facts = Vec::new();
    for (directory, place) in &job.read_at {
        let shown = format!("{} is read at", directory.display());
        if !place.exists() && !job.before.is_empty() {
            facts.push((shown, format!("{}, which is not there: `before` may make it", place.display())));
            continue;
        }
        Directory::open_as(place, directory, Access::Read)
            .map_err(|e| e.context(format!("read {} at {}", directory.display(), place.display())))?;
        facts.push((shown, place.display().to_string()));
    }
    Ok(facts)
}

/// Refuses a machine on which a run could not keep what it must: its temporary files and its place. Without a memory it runs, and
/// notes that.
pub(super) fn local(context: &Context) -> anyhow::Result<()> {
    writable(&context.resources()?.scratch, "cache_dir")?;
    writable(&context.cache_dir().join("at-work"), "cache_dir")?;
    if let Err(error) = writable(&context.state_dir(), "state_dir") {
        ui::note(format!("note: a store that was rolled back could not be found out: {}", error.chain()));
        ui::note(format!("hint: {}", error.hint().unwrap_or_default()));
    }
    Ok(())
}

fn writable(directory: &Path, key: &str) -> Result<(), Error> {
    let tried =
        std::fs::create_dir_all(directory).and_then(|()| tempfile::NamedTempFile::new_in(directory).map(|_| ()));
    tried.map_err(|e| {
        let user = rustix::process::geteuid().as_raw();
        let hint = format!("set `{key}` in the configuration to a directory of the user {user}, who runs this");
        Error::io(format!("write in {}", directory.display()), e).hinted(hint)
    })
}

/// Looks at each mirror: reached, and one of this repository.
pub(super) async fn mirrors(global: &Global, context: &Context) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    for mirror in &context.loaded.config.repository.mirrors {
        let opened = context.repository_at(&FromArgs { from: Some(mirror.name.clone()) }).await;
        match opened {
            Ok(repository) if global.json => {
                let (schema, url) = ("dozo/check-mirror/1", repository.url());
                ui::json(&serde_json::json!({ "schema": schema, "mirror": mirror.name, "url": url }))?;
            }
            Ok(repository) => {
                ui::line(format!("mirror {}: {} is one of this repository", mirror.name, repository.url()))
            }
            Err(error) => {
                let error =
                    unmade(context, mirror, error).context(format!("the mirror `{}` cannot be used", mirror.name));
                ui::errors::tell(global, &error);
                exit = exit.worst(Exit::of(&error));
            }
        }
    }
    Ok(exit)
}

/// Looks whether the owner's key that the configuration names is there, and is one. Nobody is asked for anything.
pub(super) fn identity(global: &Global, context: &Context) -> Exit {
    let Some(file) = context.identity_file() else { return Exit::Done };
    let Err(error) = read_key(&file) else { return Exit::Done };
    let error = anyhow::Error::from(error.with_kind(Kind::Invalid).hinted("`identity` in [repository] names it"));
    let error = error.context("this host could not restore");
    ui::errors::tell(global, &error);
    Exit::of(&error)
}
