//! `dozo join`: this machine becomes a host of a repository that is there. An owner's key opens the door, and is not kept.

use std::path::{Path, PathBuf};

use dozo_repository::format::circle::HostAction;
use dozo_repository::{Error, HostKey, HostRow, HostUid, Kind, Repository, Stamp};

use super::init::{pin, starting_config, write_config};
use crate::args::{Global, JoinArgs};
use crate::config::{self, Loaded};
use crate::context::{Context, owner_key, random};
use crate::exit::Exit;
use crate::keyfile::write_key;
use crate::to_read::wanted;
use crate::ui;

pub(crate) async fn join(global: &Global, args: &JoinArgs) -> anyhow::Result<Exit> {
    let file = global.config.clone().unwrap_or_else(config::default_file);
    args.store.go_with(args.url.as_ref(), "a URL")?;
    let example = "`dozo join file:///absolute/directory --identity owner.key`";
    let text = starting_config(&file, args.url.as_deref(), &args.store, example)?;
    let written = text.is_some();
    if let (false, Some(host)) = (written, &args.host) {
        return Err(Error::invalid(format!(
            "the configuration {} is there, and says how this host is called",
            file.display()
        ))
        .hinted(format!(
            "write `host = {}` into its [repository], and leave out `--host`",
            toml::Value::from(host.as_str())
        ))
        .into());
    }
    let text = text.map(|text| named(&text, args));
    if let Some(text) = &text {
        write_config(&file, text)?;
    }
    let joined = async {
        let (key, host_key) = make(&file, args).await?;
        if let Some(text) = &text {
            pin(&file, text, key.repository)?;
        }
        let recorded = record(global, &file).await;
        if recorded.is_err() {
            let _ = std::fs::remove_file(&host_key);
        }
        recorded.map(|(repository, stamp)| (key, host_key, repository, stamp))
    };
    let joined = joined.await;
    if joined.is_err() && text.is_some() {
        // What was made for a host that this is not would only be in the way.
        let _ = std::fs::remove_file(&file);
    }
    let (key, host_key, repository, stamp) = joined?;
    let (id, url, epoch) = (repository.id(), repository.url(), key.epoch());
    if global.json {
        ui::json(&serde_json::json!({
            "schema": "dozo/join/1", "repository": id, "url": url, "host": stamp.host, "epoch": epoch, "config": file,
            "host_key": host_key,
        }))?;
        return Ok(Exit::Done);
    }
    ui::line(format!("{} is a host of the repository {} in {url}", stamp.host.name, id.short()));
    let (file, host_key) = (file.display(), host_key.display());
    let next = if written { "the configuration; add a job" } else { "the configuration, as it was" };
    ui::advice(format!("  {file}: {next}, then `dozo config check` and `dozo run`"));
    ui::line(format!("  {host_key}: this host's key, of epoch {epoch}; it writes backups and cannot read them"));
    ui::line("");
    ui::line("The owner's key is not needed here any more: take it away again.");
    tell_namesakes(&repository, &stamp).await;
    Ok(Exit::Done)
}

/// Notes other hosts with the same name: their snapshots are addressed by uid. A machine that replaces another keeps its name on
/// purpose, so this is no error.
async fn tell_namesakes(repository: &Repository, stamp: &Stamp) {
    let rows = async { Ok::<_, Error>(repository.hosts(&repository.view().await?, stamp.at).await?.0) };
    let rows = match rows.await {
        Ok(rows) => rows,
        Err(error) => return ui::note(format!("note: other hosts' names could not be read: {}", error.chain())),
    };
    let is_namesake = |row: &HostRow| row.name == stamp.host.name && row.uid != stamp.host.uid && row.removed.is_none();
    for row in rows.iter().filter(|row| is_namesake(row)) {
        let (name, uid) = (&row.name, row.uid.short());
        ui::note(format!("note: another host ({uid}) is called {name}, too: its snapshots are `{uid}/JOB` here"));
        ui::note(format!(
            "hint: if both are in use, set another `host` in [repository] here. If that one is gone for good: \
             `dozo key host-remove {uid}`"
        ));
    }
}

/// Leaves the record that this machine is a host.
async fn record(global: &Global, file: &Path) -> anyhow::Result<(Repository, Stamp)> {
    let context = Context::load(&Global { config: Some(file.to_path_buf()), ..*global })?;
    let repository = context.repository().await?;
    let stamp = context.stamp(&repository);
    let put = repository.put_host_record(HostAction::Joined, stamp.host.clone(), &stamp).await;
    match put {
        Ok(()) => Ok((repository, stamp)),
        Err(error) if error.kind() == Kind::Denied => Err(error.hinted(TO_READ).into()),
        Err(error) => Err(error.into()),
    }
}

/// Who may not write needs to be no host.
const TO_READ: &str = "a host writes. To list and restore, none is needed: `dozo snapshots --repository URL --identity FILE`, \
                       `dozo restore … --repository URL --identity FILE`";

/// The configuration with the host's name in it.
fn named(text: &str, args: &JoinArgs) -> String {
    let Some(host) = &args.host else { return text.to_string() };
    let line = |line: &str| match line.starts_with("# host = ") {
        true => format!("host = {}\n", toml::Value::from(host.as_str())),
        false => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

async fn make(file: &Path, args: &JoinArgs) -> anyhow::Result<(HostKey, PathBuf)> {
    let loaded = Loaded::read(Some(file))?;
    let host_key = loaded.path(&loaded.config.repository.key);
    if host_key.exists() {
        return Err(Error::invalid(format!("there is a key file {} already", host_key.display()))
            .hinted("this machine is a host of some repository: move the file away, or name another in `key`")
            .into());
    }
    let Some(identity) = args.identity.identity.clone() else {
        return Err(Error::invalid("this needs an owner key").hinted("`--identity FILE`; it is used once").into());
    };
    let owner = owner_key(identity, &args.identity).await?;
    let id = wanted(&loaded, args.repository_id.as_deref(), &owner)?;
    let store = loaded.open_store(&loaded.repository_store())?;
    let (_, key) = Repository::join(store, id, &owner, HostUid(random()?)).await?;
    write_key(&host_key, &key.to_text())?;
    Ok((key, host_key))
}
