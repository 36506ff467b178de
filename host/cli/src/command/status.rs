//! `dozo status`: each job's last good snapshot, and how the repository is.

use std::collections::BTreeMap;

use dozo_job::retention::Fact;
use dozo_job::{Clock, tidy};
use dozo_repository::format::snapshot::Status;
use dozo_repository::{Repository, Usage, View};
use jiff::Timestamp;

use crate::args::{Global, StatusArgs};
use crate::command::snapshots::problems;
use crate::context::{Context, SystemClock};
use crate::exit::Exit;
use crate::rollback::{Back, exit_of};
use crate::ui::{self, words};

/// What there is of one job.
#[derive(serde::Serialize)]
struct JobStatus {
    schema: &'static str,
    job: String,
    host: String,
    snapshots: u64,
    held: u64,
    last_complete: Option<Timestamp>,
    last: Option<Timestamp>,
    last_verified: Option<Timestamp>,
    bytes: u64,
}

pub(crate) async fn status(global: &Global, args: &StatusArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let repository = context.repository().await?;
    let back = Back::begin(&context, &repository);
    let view = repository.view().await?;
    let rolled_back = back.alert(&view).await?;
    let (facts, unread) = tidy::facts(&view).await?;
    let jobs = jobs(&context, &repository, &view, &facts);
    let usage = if args.space { Some(view.usage().await?) } else { None };
    let damaged = view.damage().count();
    if global.json {
        jobs.iter().try_for_each(ui::json)?;
        ui::json(&serde_json::json!({
            "schema": "dozo/status/1", "url": repository.url(), "snapshots": view.snapshots().len(), "damaged_packs": damaged,
            "unread": unread, "usage": usage, "rolled_back": rolled_back,
        }))?;
    } else {
        print(&jobs, SystemClock.now());
        unread.iter().for_each(|record| ui::note(format!("damaged: {record}")));
        if damaged > 0 {
            let packs = words::counted(damaged as u64, "pack is", "packs are");
            ui::line(format!(
                "{packs} recorded as damaged: runs store again what the source still has, `dozo repair` clears up"
            ));
        }
        if let Some(usage) = &usage {
            print_usage(usage);
        }
    }
    let exit = problems(&view).worst(exit_of(&rolled_back));
    Ok(if unread.is_empty() { exit } else { exit.worst(Exit::Damaged) })
}

/// A row for each job that has snapshots or is configured here, in order of names.
fn jobs(context: &Context, repository: &Repository, view: &View, facts: &[Fact]) -> Vec<JobStatus> {
    let mut rows = BTreeMap::new();
    let row = |job: &str, host: &str| JobStatus {
        schema: "dozo/job-status/1",
        job: job.into(),
        host: host.into(),
        snapshots: 0,
        held: 0,
        last_complete: None,
        last: None,
        last_verified: None,
        bytes: 0,
    };
    for name in context.loaded.config.job.keys() {
        rows.insert((name.clone(), repository.job_uid(name)), row(name, &context.host()));
    }
    // Oldest first, as the view has them: the last word is the newest.
    for ((_, snapshot), fact) in view.snapshots().iter().zip(facts) {
        let key = (fact.job.name.clone(), fact.job.uid);
        let row = rows.entry(key).or_insert_with(|| row(&fact.job.name, &fact.host.name));
        row.snapshots += 1;
        row.held += u64::from(fact.held);
        row.last = Some(fact.started);
        if fact.status == Status::Complete {
            row.last_complete = Some(fact.started);
            row.bytes = snapshot.manifest.totals.bytes;
        }
        if fact.verified {
            row.last_verified = Some(fact.started);
        }
    }
    rows.into_values().collect()
}

fn print(jobs: &[JobStatus], now: Timestamp) {
    if jobs.is_empty() {
        ui::note("no jobs, and no snapshots");
        return;
    }
    ui::line(format!(
        "{:20}  {:12}  {:>9}  {:>10}  {:19}  {:>10}  {:19}",
        "job", "host", "snapshots", "size", "last complete", "age", "last verified"
    ));
    for job in jobs {
        let time = |time: Option<Timestamp>| time.map_or("never".to_string(), words::time);
        let age = job.last_complete.map_or(String::new(), |last| words::duration(now.duration_since(last)));
        let partial = if job.last > job.last_complete { "  newer ones are partial" } else { "" };
        let held = if job.held > 0 { format!("  {} held", job.held) } else { String::new() };
        ui::line(
            format!(
                "{:20}  {:12}  {:>9}  {:>10}  {:19}  {age:>10}  {:19}{partial}{held}",
                job.job,
                job.host,
                words::count(job.snapshots),
                words::bytes(job.bytes),
                time(job.last_complete),
                time(job.last_verified),
            )
            .trim_end(),
        );
    }
}

fn print_usage(usage: &Usage) {
    for (what, totals) in [("content", usage.data), ("catalog", usage.catalog)] {
        let (packs, bytes) = (words::counted(totals.packs, "pack", "packs"), words::bytes(totals.bytes));
        ui::line(format!("{what}: {packs}, {bytes}, of it {} dead", words::bytes(totals.dead_bytes)));
    }
}
