//! `dozo hold`: a snapshot that no rule may touch.

use dozo_job::Clock;
use dozo_repository::Error;
use dozo_repository::format::record::{HoldAction, HoldRecord};
use dozo_repository::format::snapshot::Named;

use crate::args::{Global, HoldArgs};
use crate::context::{Context, SystemClock, find_snapshot};
use crate::exit::Exit;
use crate::ui;
use crate::zones::Zones;

pub(crate) async fn hold(global: &Global, args: &HoldArgs) -> anyhow::Result<Exit> {
    let why = args.why.as_deref().unwrap_or_default();
    if why.trim().is_empty() && !args.release {
        return Err(Error::invalid("`--why` is empty").hinted("those who find the hold in a year want to know").into());
    }
    let context = Context::load(global)?;
    let repository = context.repository().await?;
    let view = repository.view().await?;
    let (id, snapshot) = find_snapshot(&context, &view, &args.snapshot)?;
    let action = if args.release { HoldAction::Release } else { HoldAction::Hold };
    let record = HoldRecord {
        schema: HoldRecord::SCHEMA.into(),
        host: Named { uid: repository.host(), name: context.host() },
        at: SystemClock.now(),
        snapshot: id,
        action,
        why: why.to_string(),
    };
    repository.put_record(&record).await?;
    if global.json {
        ui::json(&record)?;
    } else {
        let (job, time) = (&snapshot.job.name, Zones::of(&context, &view)?.taken(&snapshot));
        let word = if args.release { "released: the rules have it again" } else { "held: no rule touches it" };
        ui::line(format!("{} of `{job}`, {time}: {word}", id.short()));
    }
    Ok(Exit::Done)
}
