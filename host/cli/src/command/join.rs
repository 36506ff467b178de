//! `dozo join`: this machine becomes a host of a repository that is there. An owner's key opens the door, and is not kept.

use std::path::{Path, PathBuf};

use dozo_repository::format::circle::HostAction;
use dozo_repository::{Error, HostKey, HostUid, Repository, RepositoryId};

use super::init::{starting_config, write_config};
use crate::args::{Global, JoinArgs};
use crate::config::{self, Loaded};
use crate::context::{Context, owner_key, random};
use crate::exit::Exit;
use crate::keyfile::write_key;
use crate::ui;

pub(crate) async fn join(global: &Global, args: &JoinArgs) -> anyhow::Result<Exit> {
    let file = global.config.clone().unwrap_or_else(config::default_file);
    let text =
        starting_config(&file, args.url.as_deref(), "`dozo join file:///absolute/directory --identity owner.key`")?;
    let written = text.is_some();
    if let Some(text) = text {
        write_config(&file, &named(&text, args))?;
    }
    let joined = make(&file, args).await;
    if joined.is_err() && written {
        // What was made for a host that this is not would only be in the way.
        let _ = std::fs::remove_file(&file);
    }
    let (key, host_key) = joined?;
    let context = Context::load(&Global { config: Some(file.clone()), ..*global })?;
    let repository = context.repository().await?;
    let stamp = context.stamp(&repository);
    repository.put_host_record(HostAction::Joined, stamp.host.clone(), &stamp).await?;
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
    ui::line(format!("  {file}: the configuration; add a job, then `dozo config check` and `dozo run`"));
    ui::line(format!("  {host_key}: this host's key, of epoch {epoch}; it writes backups and cannot read them"));
    ui::line("");
    ui::line("The owner's key is not needed here any more: take it away again.");
    Ok(Exit::Done)
}

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
    let wanted = args.repository.as_deref().map(str::parse::<RepositoryId>).transpose();
    let wanted = wanted.map_err(|e| e.with_kind(dozo_repository::Kind::Invalid).context("`--repository`"))?;
    // What the store says of itself is not believed: it could be another repository under the same name.
    let Some(id) = wanted.or(owner.repository) else {
        return Err(Error::invalid("this owner key does not say which repository it is for")
            .hinted("`--repository ID`: the recovery kit has it, and `dozo key kit` on another host")
            .into());
    };
    let store = loaded.open_store(&loaded.repository_store())?;
    let (_, key) = Repository::join(store, id, &owner, HostUid(random()?)).await?;
    write_key(&host_key, &key.to_text())?;
    Ok((key, host_key))
}
