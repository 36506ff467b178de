//! `dozo key kit`: a page for the safe. What brings data back when this machine, and dozo, are gone. It holds no secret.

use std::path::{Path, PathBuf};

use dozo_job::Clock;
use dozo_repository::{OwnerRow, Repository};

use super::problems;
use crate::args::{Global, KeyKitArgs};
use crate::context::{Context, SystemClock};
use crate::exit::Exit;
use crate::keyfile::write_new;
use crate::ui::{self, words};

/// What reads a repository without dozo.
const RECOVER: &str = include_str!("../../../../../docs/recover.sh");

pub(super) async fn kit(global: &Global, args: &KeyKitArgs) -> anyhow::Result<Exit> {
    let repository = Context::load(global)?.repository().await?;
    let (owners, damaged) = repository.owners().await?;
    let page = page(&repository, &owners);
    let script = args.out.as_deref().map(|out| write(out, &page)).transpose()?;
    match (&args.out, script) {
        (out, script) if global.json => ui::json(&serde_json::json!({
            "schema": "dozo/key-kit/1", "repository": repository.id(), "url": repository.url(),
            "owners": owners.iter().map(|owner| &owner.recipient).collect::<Vec<_>>(), "page": page,
            "out": out, "script": script,
        }))?,
        (Some(out), Some(script)) => {
            ui::line(format!("{} and {}: print them, keep them", out.display(), script.display()))
        }
        _ => ui::line(page.trim_end()),
    }
    Ok(problems(&damaged))
}

/// Writes the page, and the script beside it; returns where that is.
fn write(out: &Path, page: &str) -> anyhow::Result<PathBuf> {
    let script = out.with_file_name("recover.sh");
    write_new(out, page, 0o644)?;
    if std::fs::read(&script).ok().as_deref() != Some(RECOVER.as_bytes()) {
        write_new(&script, RECOVER, 0o755)?;
    }
    Ok(script)
}

fn page(repository: &Repository, owners: &[OwnerRow]) -> String {
    let (id, url, epoch) = (repository.id(), repository.url(), repository.epoch());
    let directory = url.strip_prefix("file://").unwrap_or("COPY");
    let copy = match url.starts_with("file://") {
        true => String::new(),
        false => {
            "  (COPY is a directory: first copy the whole store into it with the provider's own tool)\n".to_string()
        }
    };
    let owners: String = owners.iter().map(owner).collect();
    let today = words::time(SystemClock.now());
    format!(
        "\
dozo recovery kit, {today}

repository  {id}
url         {url}
epoch       {epoch}

Owners. The key of any one of them reads every backup:
{owners}
Keep, in two places that one fire, thief or mistake does not reach:
  an owner's key: owner.key of `dozo init`, an SSH key, a hardware key with its identity file, or the passphrase
  this page, and recover.sh (docs/recover.sh of dozo; `dozo key kit --out FILE` writes it beside the page)
  the credentials of the store, if it is not a disk of your own
Try an owner's key every few months: `dozo key test --identity owner.key`. host.key reads nothing and can be lost.

Without dozo, on any Linux:
  apt-get install age zstd jq
  sh recover.sh {directory} owner.key
  sh recover.sh {directory} owner.key SNAPSHOT --all restored
{copy}  The second lists snapshots with their ids, the third restores one. For a passphrase write `-` instead of
  owner.key. A hardware key needs its program age-plugin-NAME too.

With dozo:
  dozo join {url} --identity owner.key --repository {id}
  dozo snapshots
  dozo restore JOB --to restored --identity owner.key
"
    )
}

fn owner(row: &OwnerRow) -> String {
    let who = row.recipient.as_deref().unwrap_or("(no record says who)");
    let tested = row.tested.map_or_else(|| "never tested".to_string(), |at| format!("tested {}", words::time(at)));
    format!("  {}  {tested}  {who}\n", row.name)
}
