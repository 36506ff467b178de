//! `dozo accept`: an operator's word that a suspicious snapshot is right.

use dozo_job::Clock;
use dozo_repository::format::record::AcceptRecord;
use dozo_repository::format::snapshot::Named;
use dozo_repository::{Error, Found, View};

use crate::args::{AcceptArgs, Global};
use crate::context::{Context, SystemClock, find_snapshot, snapshots_of};
use crate::exit::Exit;
use crate::ui::{self, words};
use crate::zones::Zones;

pub(crate) async fn accept(global: &Global, args: &AcceptArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let repository = context.repository().await?;
    let view = repository.view().await?;
    let found = meant(&context, &view, &args.snapshot)?;
    if !view.is_suspicious(&found) {
        let zones = Zones::of(&context, &view)?;
        let (id, time) = (found.0.short(), zones.taken(&found.1));
        let why = match view.accepted(&found.0) {
            Some(at) => format!(
                "the snapshot {id} of {time} was accepted already, at {}",
                words::time_in(at, zones.zone(&found.1))
            ),
            None => format!("the snapshot {id} of {time} is not suspicious: there is nothing to accept"),
        };
        return Err(Error::invalid(why).hinted("`dozo snapshots` tells which are").into());
    }
    let record = AcceptRecord {
        schema: AcceptRecord::SCHEMA.into(),
        host: Named { uid: repository.host(), name: context.host() },
        at: SystemClock.now(),
        snapshot: found.0,
        why: args.why.clone().unwrap_or_default(),
    };
    repository.put_record(&record).await?;
    if global.json {
        ui::json(&record)?;
    } else {
        let (id, snapshot) = &found;
        let (job, time) = (&snapshot.job.name, Zones::of(&context, &view)?.taken(snapshot));
        ui::line(format!("{} of `{job}`, {time}: accepted; the next snapshot is compared with it", id.short()));
    }
    Ok(Exit::Done)
}

/// The snapshot that the operator means: of a job its newest, which the run just told of.
fn meant(context: &Context, view: &View, named: &str) -> anyhow::Result<Found> {
    let of_job = if named.contains('@') { Vec::new() } else { snapshots_of(view, named)? };
    match of_job.into_iter().max_by_key(|(_, s)| s.order()) {
        Some(newest) => Ok(newest),
        None => find_snapshot(context, view, named),
    }
}
