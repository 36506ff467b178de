//! `dozo prune`: what the rules give up goes, and what only that needed. The plan is shown; `--yes` does it.

use std::collections::BTreeMap;

use dozo_job::health::Upkeep;
use dozo_job::retention::{Fate, Finding, Floods, Judgement, Policy, Reason};
use dozo_job::tidy::{self, Tidy};
use dozo_job::{Clock, Error};
use dozo_repository::{CompactRules, Compacted, PruneRules, Pruned, Pruner, Purpose, Repository, TombstoneState, View};

use crate::args::{Global, PruneArgs};
use crate::config::Role;
use crate::context::{Context, SystemClock};
use crate::exit::Exit;
use crate::rollback::Back;
use crate::ui::{self, words};
use crate::upkeep::{Ended, Watch};
use crate::zones::Zones;

pub(crate) async fn prune(global: &Global, args: &PruneArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let (mut watch, started) = (Watch::begin(&context), SystemClock.now());
    if !args.yes {
        return look((&context, &mut watch), global, args).await;
    }
    let done = delete((&context, &mut watch), global, args).await;
    watch.ended(&Upkeep::Prune, started, done.as_ref());
    watch.finish(global).await?;
    done.map(|ended| ended.exit)
}

/// The plan needs nothing of the store but to be read.
async fn look((context, watch): (&Context, &mut Watch<'_>), global: &Global, args: &PruneArgs) -> anyhow::Result<Exit> {
    let repository = context.repository().await?;
    let request = context.lease_request(Purpose::Read, &args.lease)?;
    let pruner = Pruner::look(&repository, request, rules(context)).await;
    let done = work((context, watch), global, args, &repository, &pruner).await;
    if let Some(note) = pruner.note() {
        ui::note(format!("note: {note}"));
    }
    over(context, pruner.end().await);
    Ok(done?.exit)
}

async fn delete(
    (context, watch): (&Context, &mut Watch<'_>),
    global: &Global,
    args: &PruneArgs,
) -> anyhow::Result<Ended> {
    if context.loaded.config.repository.role != Role::Maintain {
        let error = context.loaded.fault(&["repository"], "this host backs up and does not delete");
        return watch.typed(Err(error.hinted(
            "`role = \"maintain\"` on the one host whose credentials may delete; without `--yes` the plan is shown",
        )));
    }
    let repository = context.repository().await?;
    let request = context.lease_request(Purpose::Prune, &args.lease)?;
    let pruner = Pruner::begin(&repository, request, rules(context)).await?;
    let done = work((context, watch), global, args, &repository, &pruner).await;
    over(context, pruner.end().await);
    done
}

/// A lease that could not be released ends by itself: what was deleted is deleted.
pub(crate) fn over(context: &Context, ended: Result<(), Error>) {
    match ended {
        Ok(()) => context.forget_leases(),
        Err(error) => ui::note(format!("note: others wait until the lease of this command ends: {}", error.chain())),
    }
}

async fn work(
    (context, watch): (&Context, &mut Watch<'_>),
    global: &Global,
    args: &PruneArgs,
    repository: &Repository,
    pruner: &Pruner,
) -> anyhow::Result<Ended> {
    let keys = match args.compact {
        true => Some(watch.typed_key(&args.identity, context.read_keys(repository, &args.identity).await)?),
        false => None,
    };
    let back = Back::begin(context, repository);
    let view = repository.view().await?;
    match args.yes {
        // What is not shown seems to need nothing.
        true => back.refuse(&view).await?,
        false => _ = back.alert(&view).await?,
    }
    let tidy = tidy::plan(pruner, &view, policy(context, repository, args)?).await?;
    for alert in &tidy.judgement.alerts {
        ui::note(format!("alert: {alert}"));
    }
    for record in &tidy.unread {
        ui::note(format!("damaged: {record}: a hold or a host's removal may be missed, so no snapshot is deleted"));
    }
    // What is done at once is no plan.
    let is_shown = !args.yes || !global.quiet;
    if !global.json && is_shown {
        show(&tidy, &view, args, &Zones::of(context, &view)?);
    }
    let ended = ended(&tidy);
    if !args.yes {
        if global.json {
            ui::json(&json(&tidy, None, None))?;
        }
        return Ok(ended);
    }
    let Tidy { judgement, plan, unread } = tidy;
    let shown = plan.clone();
    let pruned = pruner.execute(plan).await?;
    let compacted = match &keys {
        Some(keys) => Some(pruner.compact(keys, CompactRules::default()).await?),
        None => None,
    };
    if global.json {
        ui::json(&json(&Tidy { judgement, plan: shown, unread }, Some(&pruned), compacted.as_ref()))?;
    } else {
        print(&pruned, compacted.as_ref());
    }
    Ok(ended)
}

/// What people hear of it: deletions that did not happen.
fn ended(tidy: &Tidy) -> Ended {
    let hint = "`dozo repair` shows what can be done about it";
    let floods = tidy.judgement.alerts.iter().filter(|alert| matches!(alert.finding, Finding::Flood { .. }));
    match (tidy.unread.as_slice(), floods.map(ToString::to_string).collect::<Vec<_>>()) {
        ([], floods) if floods.is_empty() => Ended::well(Exit::Done),
        ([], floods) => {
            let hint = "look whether they are genuine, then `dozo prune --yes --flood-explained`";
            Ended::badly(Exit::Done, "far more snapshots than usual arrived".into(), floods.into_iter(), hint)
        }
        (unread, _) => {
            let message = "records cannot be read, so no snapshot is deleted".into();
            Ended::badly(Exit::Damaged, message, unread.iter().cloned(), hint)
        }
    }
}

fn rules(context: &Context) -> PruneRules {
    let (table, default) = (&context.loaded.config.prune, PruneRules::default());
    PruneRules {
        grace: table.grace.unwrap_or(default.grace),
        pack_age_min: table.pack_age_min.unwrap_or(default.pack_age_min),
        ..default
    }
}

fn policy(context: &Context, repository: &Repository, args: &PruneArgs) -> anyhow::Result<Policy> {
    let mut jobs = BTreeMap::new();
    for (name, job) in &context.loaded.config.job {
        jobs.insert(repository.job_uid(name), context.loaded.retention(name, job)?);
    }
    Ok(Policy {
        jobs,
        others: context.loaded.retention_of_others()?,
        // Those of the records are added to them.
        removed: BTreeMap::new(),
        floods: if args.flood_explained { Floods::Explained } else { Floods::Halt },
    })
}

/// Why a snapshot stays that the rules give up and the plan does not name.
const UNREAD: &str = "no snapshot is deleted while records cannot be read";

fn show(tidy: &Tidy, view: &View, args: &PruneArgs, zones: &Zones) {
    let plan = &tidy.plan;
    for (id, snapshot) in view.snapshots() {
        let Some(fate) = tidy.judgement.fates.get(id) else { continue };
        let stays = plan.kept.iter().find(|kept| kept.id == *id).map(|kept| kept.why.as_str());
        let stays = stays.or_else(|| (!plan.snapshots.iter().any(|going| going.id == *id)).then_some(UNREAD));
        let (word, why) = match (fate, stays) {
            (Fate::Keep(_), _) if !args.all => continue,
            (Fate::Keep(_), _) => ("keep", fate.to_string()),
            (Fate::Delete(_), Some(stays)) => ("keep", stays.to_string()),
            (Fate::Delete(why), None) => ("delete", why.in_zone(zones.zone(snapshot))),
        };
        let (job, time) = (&snapshot.job.name, zones.taken(snapshot));
        ui::line(format!("{word:6}  {}  {time}  {job:20}  {why}", id.short()));
    }
    let kept = view.snapshots().len() - plan.snapshots.len();
    let snapshots = words::counted(plan.snapshots.len() as u64, "snapshot", "snapshots");
    ui::line(format!("{snapshots} to delete, {} stay", words::count(kept as u64)));
    let (packs, bytes) = (plan.condemn.len() as u64, plan.condemn.iter().map(|pack| pack.bytes).sum());
    let back = match packs {
        0 => String::new(),
        _ => format!("; a prune after {} deletes them, and the space is back", words::time(plan.space_back)),
    };
    ui::line(format!("{} to condemn ({}){back}", words::counted(packs, "pack", "packs"), words::bytes(bytes)));
    let (packs, bytes) = (plan.deletes().len() as u64, plan.deletes().iter().map(|pack| pack.bytes).sum());
    ui::line(format!(
        "{} to delete ({})",
        words::counted(packs, "condemned pack", "condemned packs"),
        words::bytes(bytes)
    ));
    for tombstone in &plan.tombstones {
        let waits = match &tombstone.state {
            TombstoneState::Ready { .. } => continue,
            TombstoneState::Grace(until) => format!("until {}", words::time(*until)),
            TombstoneState::Leases(leases) => {
                format!("for {} at work", words::counted(leases.len() as u64, "lease", "leases"))
            }
            TombstoneState::Snapshots => "for damaged snapshots to be gone".to_string(),
        };
        ui::line(format!("{} condemned before wait {waits}", words::counted(tombstone.packs, "pack", "packs")));
    }
    if let (packs @ 1.., Some(until)) = (plan.young.packs, plan.young.until) {
        let (packs, bytes) = (words::counted(packs, "pack", "packs"), words::bytes(plan.young.bytes));
        ui::line(format!(
            "{packs} ({bytes}) that no snapshot needs are too young, until {}: the next run may still use them",
            words::time(until)
        ));
    }
    if plan.leftovers.files > 0 {
        let (files, bytes) = (plan.leftovers.files, words::bytes(plan.leftovers.bytes));
        let files = words::counted(files, "file that a killed write left", "files that killed writes left");
        ui::line(format!("{files} to delete ({bytes})"));
    }
    let dead = plan.data.dead_bytes + plan.catalog.dead_bytes;
    if dead > 0 {
        ui::line(format!("{} in packs that stay are dead; `--compact` wins back most of it", words::bytes(dead)));
    }
    plan.notes.iter().for_each(|note| ui::note(format!("note: {note}")));
    tell_of_others(tidy);
    match (args.yes, plan.is_empty()) {
        (true, _) => {}
        (false, true) => ui::note("there is nothing to do"),
        (false, false) => ui::note("nothing was deleted: `--yes` does it"),
    }
}

/// Notes snapshots that stay because no retention rule covers their job: the reason why the store does not shrink.
fn tell_of_others(tidy: &Tidy) {
    let fates = tidy.judgement.fates.values();
    let is_other = |fate: &&Fate| matches!(fate, Fate::Keep(reasons) if reasons.contains(&Reason::NotConfigured));
    let others = fates.filter(is_other).count() as u64;
    if others > 0 {
        let stay = words::counted(others, "snapshot stays", "snapshots stay");
        ui::note(format!("note: {stay} because this configuration does not have the job (`--all` names each)"));
        ui::note(
            "hint: `others = { last = 1 }` in [prune] is a rule for those, `dozo key host-remove` for a host that is gone",
        );
    }
}

fn print(pruned: &Pruned, compacted: Option<&Compacted>) {
    let snapshots = words::counted(pruned.snapshots, "snapshot", "snapshots");
    let packs = words::counted(pruned.packs, "pack", "packs");
    let bytes = words::bytes(pruned.bytes);
    let left = match pruned.leftovers {
        0 => String::new(),
        files => format!(", {} removed", words::counted(files, "left-over file", "left-over files")),
    };
    let condemned = words::count(pruned.condemned);
    ui::result(format!("done: {snapshots} and {packs} ({bytes}) deleted, {condemned} condemned{left}"));
    if let Some(compacted) = compacted {
        let (old, new) = (words::bytes(compacted.bytes), words::bytes(compacted.bytes_new));
        let packs = words::counted(compacted.packs, "pack", "packs");
        ui::result(format!("compacted: {packs} ({old}) into {} ({new})", words::count(compacted.packs_new)));
        if compacted.packs_cold > 0 {
            let cold = words::counted(compacted.packs_cold, "pack lies", "packs lie");
            ui::result(format!("  {cold} in cold storage and left alone: reading costs more there than dead bytes"));
        }
    }
}

fn json(tidy: &Tidy, pruned: Option<&Pruned>, compacted: Option<&Compacted>) -> serde_json::Value {
    serde_json::json!({
        "schema": "dozo/prune-report/1",
        "fates": fates(&tidy.judgement),
        "alerts": tidy.judgement.alerts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "unread": tidy.unread,
        "plan": tidy.plan,
        "pruned": pruned,
        "compacted": compacted,
    })
}

fn fates(judgement: &Judgement) -> Vec<serde_json::Value> {
    let told = judgement.fates.iter();
    told.map(|(id, fate)| serde_json::json!({ "snapshot": id, "kept": fate.is_kept(), "why": fate.to_string() }))
        .collect()
}
