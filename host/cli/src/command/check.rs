//! `dozo check`: what the store lets this host do, found out by doing it; then whether jobs would find what they need,
//! and whether people would hear of it.

use dozo_job::limits::CLOCK_SKEW_MAX;
use dozo_job::newest;
use dozo_repository::{Examination, Permitted};
use jiff::{SignedDuration, Timestamp};

use super::{around, sources};
use crate::args::{CheckArgs, Global};
use crate::context::Context;
use crate::exit::Exit;
use crate::notifiers;
use crate::rollback::{Back, exit_of};
use crate::ui::{self, words};

pub(crate) async fn check(global: &Global, args: &CheckArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    if args.accept_rollback {
        return accept(&context).await;
    }
    let store = context.store()?;
    let found = store.examine().await?;
    let skew = found.time.map(|theirs| theirs.duration_since(Timestamp::now()));
    if global.json {
        ui::json(&json(&store.to_string(), &found, skew))?;
    } else {
        print(&store.to_string(), &found, skew);
    }
    crate::proxy::note_for(&context.loaded);
    let behind = look_back(&context).await?;
    let jobs = sources::check(global, &context, &args.jobs).await?;
    // What no run needs is looked at where no job was named: else the exit code is what their run's would be.
    let beside = match args.jobs.is_empty() {
        true => beside(global, &context).await?,
        false => Exit::Done,
    };
    Ok(jobs.worst(beside).worst(behind).worst(if found.write == Permitted::Yes { Exit::Done } else { Exit::Failed }))
}

/// Mirrors, the owner's key, and whoever is told.
async fn beside(global: &Global, context: &Context) -> anyhow::Result<Exit> {
    let told = notifiers::check(global, context).await?;
    let mirrors = if context.key_file().exists() { around::mirrors(global, context).await? } else { Exit::Done };
    Ok(told.worst(mirrors).worst(around::identity(global, context)))
}

/// Whether the repository that this host's key is for is there, and was not rolled back.
async fn look_back(context: &Context) -> anyhow::Result<Exit> {
    if !context.key_file().exists() {
        // A store may be examined before anything is in it.
        ui::note("note: this host has no key yet, so no repository was looked into");
        return Ok(Exit::Done);
    }
    let repository = context.repository().await?;
    let back = Back::begin(context, &repository);
    Ok(exit_of(&back.alert(&repository.view().await?).await?))
}

/// What the store shows is right from now on, for this host.
async fn accept(context: &Context) -> anyhow::Result<Exit> {
    let repository = context.repository().await?;
    let view = repository.view().await?;
    let seen = newest(&view);
    context.memory(&repository).replace(&seen)?;
    for seen in &seen {
        ui::line(format!(
            "{}: the newest snapshot is number {} ({})",
            seen.job.name,
            seen.sequence,
            seen.snapshot.short()
        ));
    }
    ui::line(format!("accepted: what {} shows now counts, on this host", repository.url()));
    Ok(Exit::Done)
}

fn print(url: &str, found: &Examination, skew: Option<SignedDuration>) {
    ui::line(format!("{url}: reached"));
    ui::line(match found.write {
        Permitted::Yes => "  write: yes",
        Permitted::No => "  write: NO: backups fail, restores do not",
    });
    ui::line(match found.delete {
        Some(Permitted::Yes) if found.lock.is_some() => {
            "  delete: yes, but what is locked is only hidden by it and can be brought back"
        }
        None => "  delete: not tried, because nothing could be written",
        Some(Permitted::No) => {
            "  delete: no, as it should be on a host that only backs up (one tiny object stays in `probe/`)"
        }
        Some(Permitted::Yes) => "  delete: yes: whoever takes this host over can delete backups; docs/GUIDE.md, Stores",
    });
    ui::line(match found.create_only {
        None => "  create only: not tried, because nothing could be written",
        Some(Permitted::Yes) => "  create only: yes: no object can be overwritten",
        Some(Permitted::No) => "  create only: no: this store overwrites; dozo never does, a thief of this host could",
    });
    ui::advice(match &found.lock {
        Some(lock) => format!("  lock: {lock}"),
        None => "  lock: none to be seen".to_string(),
    });
    ui::line(match skew {
        None => "  clock: the store shows none".to_string(),
        Some(skew) if skew.abs() <= CLOCK_SKEW_MAX => "  clock: the store's and this machine's agree".to_string(),
        Some(skew) => format!(
            "  clock: the store's is {} {} this machine's: set it (NTP)",
            words::duration(skew.abs()),
            side(skew)
        ),
    });
}

fn side(skew: SignedDuration) -> &'static str {
    if skew.is_negative() { "behind" } else { "ahead of" }
}

fn json(url: &str, found: &Examination, skew: Option<SignedDuration>) -> serde_json::Value {
    let word = |permitted: Permitted| permitted == Permitted::Yes;
    serde_json::json!({
        "schema": "dozo/check/1",
        "url": url,
        "write": word(found.write),
        "delete": found.delete.map(word),
        "create_only": found.create_only.map(word),
        "lock": found.lock,
        "skew_seconds": skew.map(|skew| skew.as_secs()),
    })
}
