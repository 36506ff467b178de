//! `dozo repair`: what is damaged is put right from mirrors and from the packs themselves. The plan is shown; `--yes` does it.

use dozo_job::Clock;
use dozo_job::health::Upkeep;
use dozo_repository::{Help, Kind, Mirror, Problem, Purpose, RepairPlan, Repaired, Repairer, Repository};

use crate::args::{FromArgs, Global, RepairArgs};
use crate::command::prune::over;
use crate::config::Role;
use crate::context::{Context, SystemClock};
use crate::exit::Exit;
use crate::rollback::Back;
use crate::ui::{self, words};
use crate::upkeep::{Ended, Watch};

/// One round may bring back what the next needs to see more: an index, then the packs, then what they hold.
const ROUNDS: u32 = 5;

pub(crate) async fn repair(global: &Global, args: &RepairArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let (mut watch, started) = (Watch::begin(&context), SystemClock.now());
    let done = work((&context, &mut watch), global, args).await;
    if !args.yes {
        return Ok(done?.exit);
    }
    watch.ended(&Upkeep::Repair(args.at.clone()), started, done.as_ref());
    watch.finish(global).await?;
    done.map(|ended| ended.exit)
}

async fn work(
    (context, watch): (&Context, &mut Watch<'_>),
    global: &Global,
    args: &RepairArgs,
) -> anyhow::Result<Ended> {
    if let Some(mirror) = &args.at {
        watch.typed(context.loaded.mirror(mirror))?;
    }
    let at = FromArgs { from: args.at.clone() };
    let repository = context.repository_at(&at).await?;
    if args.at.is_none() {
        let back = Back::begin(context, &repository);
        back.tell(&repository.view().await?).await?;
    }
    let help = help((context, watch), args, &repository).await?;
    let request = |purpose| context.lease_request(purpose, &args.lease);
    let repairer = match args.yes {
        true => Repairer::begin(&repository, request(Purpose::Prune)?, help).await?,
        // The plan needs nothing of the store but to be read.
        false => Repairer::look(&repository, request(Purpose::Read)?, help).await,
    };
    let done = rounds((context, watch), global, args, &repairer).await;
    if let Some(note) = repairer.note() {
        ui::note(format!("note: {note}"));
    }
    over(context, repairer.end().await);
    done
}

/// Every other store, as far as it can be reached, and the owner's key where there is one.
async fn help(
    (context, watch): (&Context, &mut Watch<'_>),
    args: &RepairArgs,
    repository: &Repository,
) -> anyhow::Result<Help> {
    let mut help = Help::default();
    let mut others: Vec<Option<&str>> =
        context.loaded.config.repository.mirrors.iter().map(|m| Some(&*m.name)).collect();
    // At a mirror, the repository itself comes first.
    others.insert(0, None);
    for other in others.into_iter().filter(|other| *other != args.at.as_deref()) {
        let name = other.unwrap_or("the repository");
        let opened = context.repository_at(&FromArgs { from: other.map(str::to_string) }).await;
        match opened {
            Ok(repository) => help.mirrors.push(Mirror { name: name.into(), repository }),
            Err(error) => ui::note(format!("note: {name} is of no help: {error:#}")),
        }
    }
    if args.identity.identity.is_some() || context.loaded.config.repository.identity.is_some() {
        let keys = context.read_keys(repository, &args.identity).await;
        help.keys = Some(watch.typed_key(&args.identity, keys)?);
    }
    Ok(help)
}

async fn rounds(
    (context, watch): (&Context, &mut Watch<'_>),
    global: &Global,
    args: &RepairArgs,
    repairer: &Repairer,
) -> anyhow::Result<Ended> {
    let mut give_up: &[String] = &args.give_up;
    for round in 1.. {
        let plan = match repairer.plan(give_up).await {
            // What is given up is typed.
            Err(error) if error.kind() == Kind::Invalid && !give_up.is_empty() => return watch.typed(Err(error)),
            plan => plan?,
        };
        if !global.json {
            show(&plan);
        }
        let over = plan.is_empty() || !args.yes || round > ROUNDS;
        if over {
            if global.json {
                ui::json(&json(&plan, None))?;
            } else if plan.is_empty() {
                ui::line(if plan.lost.is_empty() { "nothing to repair" } else { "nothing more can be done here" });
            } else {
                ui::note("nothing was changed: `--yes` does it");
            }
            let whole = plan.lost.is_empty() && (plan.is_empty() || !args.yes);
            return Ok(if whole { Ended::well(Exit::Done) } else { damaged(&plan.lost, args) });
        }
        if plan.deletes() && context.loaded.config.repository.role != Role::Maintain {
            let error = context.loaded.fault(&["repository"], "this host backs up and does not delete");
            let hint = "`role = \"maintain\"` on the one host whose credentials may delete; it repairs";
            return watch.typed(Err(error.hinted(hint)));
        }
        let shown = plan.clone();
        let done = repairer.execute(plan).await?;
        if global.json {
            ui::json(&json(&shown, Some(&done)))?;
        } else {
            print(&done);
        }
        if !done.failed.is_empty() {
            return Ok(damaged(&done.failed, args));
        }
        give_up = &[];
    }
    Ok(damaged(&[], args))
}

/// What people hear of it.
fn damaged(lost: &[Problem], args: &RepairArgs) -> Ended {
    let message = format!("{} still damaged", words::counted(lost.len() as u64, "object is", "objects are"));
    let first = lost.iter().map(|problem| format!("{}: {}", problem.object, problem.why.chain()));
    let hint = format!("`{}` says of each what would help", Upkeep::Repair(args.at.clone()).command());
    Ended::badly(Exit::Damaged, message, first, &hint)
}

fn show(plan: &RepairPlan) {
    for copy in &plan.copies {
        let instead = if copy.replaces { ", in the place of what is there" } else { "" };
        ui::line(format!("copy  {}  from {}{instead}", copy.object, copy.mirrors.join(" or ")));
    }
    for pack in &plan.reindex {
        ui::line(format!("index  {}/{}", pack.kind.directory(), pack.id));
    }
    for (kind, id) in &plan.superseded {
        ui::line(format!("remove  {}  no snapshot needs it", kind.object(id)));
    }
    for index in &plan.broken_indexes {
        ui::line(format!("remove  {index}  once its packs have another"));
    }
    for damage in &plan.damage {
        ui::line(format!("clear  damage/{damage}"));
    }
    for (object, why) in &plan.give_up {
        ui::line(format!("give up  {object}: {why}"));
    }
    plan.lost.iter().for_each(lost);
    plan.notes.iter().for_each(|note| ui::note(format!("note: {note}")));
}

fn lost(problem: &Problem) {
    ui::line(format!("damaged: {}: {}", problem.object, problem.why.chain()));
    if let Some(hint) = problem.why.hint() {
        ui::advice(format!("  {hint}"));
    }
}

fn print(done: &Repaired) {
    done.failed.iter().for_each(lost);
    ui::line(format!(
        "done: {} copied, {} indexed, {} removed, {} given up; {} cleared",
        words::counted(done.copied, "object", "objects"),
        words::counted(done.reindexed, "pack", "packs"),
        words::counted(done.superseded, "pack", "packs"),
        words::counted(done.given_up, "document", "documents"),
        words::counted(done.cleared, "note of damage", "notes of damage"),
    ));
}

fn json(plan: &RepairPlan, done: Option<&Repaired>) -> serde_json::Value {
    let told = |problems: &[Problem]| -> Vec<serde_json::Value> {
        problems.iter().map(|p| serde_json::json!([p.object, p.why.chain(), p.why.hint()])).collect()
    };
    let done = done.map(|done| {
        serde_json::json!({
            "copied": done.copied,
            "reindexed": done.reindexed,
            "superseded": done.superseded,
            "cleared": done.cleared,
            "given_up": done.given_up,
            "failed": told(&done.failed),
        })
    });
    serde_json::json!({ "schema": "dozo/repair-report/1", "plan": plan, "lost": told(&plan.lost), "done": done })
}
