//! `dozo key hosts`, `host`, `host-remove`, `refresh`: who can write.

use dozo_job::Clock;
use dozo_repository::format::circle::HostAction;
use dozo_repository::format::snapshot::Named;
use dozo_repository::{HostRow, HostUid};

use super::problems;
use crate::args::{Global, KeyHostArgs, KeyHostRemoveArgs, KeyTestArgs};
use crate::context::{Context, SystemClock, random};
use crate::exit::Exit;
use crate::keyfile::{replace_key, write_key};
use crate::ui::{self, words};

pub(super) async fn list(global: &Global) -> anyhow::Result<Exit> {
    let repository = Context::load(global)?.repository().await?;
    let view = repository.view().await?;
    let (rows, mut damaged) = repository.hosts(&view, SystemClock.now()).await?;
    damaged.extend_from_slice(view.problems());
    if global.json {
        for row in &rows {
            ui::json(&serde_json::json!({
                "schema": "dozo/key-hosts/1", "uid": row.uid, "name": row.name, "joined": row.joined,
                "removed": row.removed, "snapshots": row.snapshots, "last": row.last,
            }))?;
        }
    } else {
        ui::line(
            format!("{:16}  {:12}  {:26}  {:>9}  {:26}", "uid", "host", "joined", "snapshots", "newest").trim_end(),
        );
        rows.iter().for_each(|row| ui::line(line(row)));
    }
    Ok(problems(&damaged))
}

fn line(row: &HostRow) -> String {
    let time = |time: Option<jiff::Timestamp>| time.map_or_else(|| "-".to_string(), words::time);
    let removed = row.removed.map_or_else(String::new, |at| format!("removed {}", words::time(at)));
    let (uid, snapshots) = (row.uid, words::count(row.snapshots as u64));
    let line =
        format!("{uid}  {:12}  {:26}  {snapshots:>9}  {:26}  {removed}", row.name, time(row.joined), time(row.last));
    line.trim_end().to_string()
}

pub(super) async fn make(global: &Global, args: &KeyHostArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let repository = context.repository().await?;
    let owner = context.owner_key_for(&repository, &args.identity).await?;
    let epochs = repository.open_epochs(&owner).await?;
    let key = repository.key_for(HostUid(random()?), &epochs)?;
    write_key(&args.out, &key.to_text())?;
    let about = Named { uid: key.host, name: args.name.clone() };
    repository.put_host_record(HostAction::Joined, about.clone(), &context.stamp(&repository)).await?;
    if global.json {
        ui::json(&serde_json::json!({
            "schema": "dozo/key-host/1", "host": about, "epoch": key.epoch(), "host_key": args.out,
        }))?;
        return Ok(problems(epochs.problems()));
    }
    let out = args.out.display();
    ui::line(format!("{out}: the key of the host {}, of epoch {}", args.name, key.epoch()));
    ui::line(
        "It is a secret: take it there yourself, with mode 0600, and name it in `key` of the configuration there,",
    );
    ui::line(format!("with `url = {:?}` and `host = {:?}`.", repository.url(), args.name));
    Ok(problems(epochs.problems()))
}

pub(super) async fn remove(global: &Global, args: &KeyHostRemoveArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let repository = context.repository().await?;
    let view = repository.view().await?;
    let about = repository.find_host(&args.host, &view).await?;
    repository.put_host_record(HostAction::Removed, about.clone(), &context.stamp(&repository)).await?;
    if global.json {
        ui::json(&serde_json::json!({ "schema": "dozo/key-host-remove/1", "host": about }))?;
        return Ok(Exit::Done);
    }
    ui::line(format!("{} ({}): what comes from it from now on is not believed", about.name, about.uid));
    ui::line("Its key file still lists the repository and can write to it. What ends its reach is the store: take its");
    ui::line("credentials away. It never could read content; its older snapshots stay, and restore as before.");
    Ok(Exit::Done)
}

pub(super) async fn refresh(global: &Global, args: &KeyTestArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let repository = context.repository().await?;
    let owner = context.owner_key_for(&repository, &args.identity).await?;
    let epochs = repository.open_epochs(&owner).await?;
    let (key, file) = (repository.current_key(&epochs)?, context.key_file());
    let is_new = key.epoch() != repository.epoch();
    let old = match is_new {
        true => Some(replace_key(&file, &key.to_text())?),
        false => None,
    };
    let (epoch, file) = (key.epoch(), file.display());
    if global.json {
        ui::json(
            &serde_json::json!({ "schema": "dozo/key-refresh/1", "epoch": epoch, "changed": is_new, "old": old }),
        )?;
        return Ok(problems(epochs.problems()));
    }
    match old {
        Some(old) => ui::line(format!("{file} is of epoch {epoch} now, the old one is {}", old.display())),
        None => ui::line(format!("{file} is of epoch {epoch}, the newest, already")),
    }
    Ok(problems(epochs.problems()))
}
