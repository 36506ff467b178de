//! `dozo status`: each job's last good snapshot, and how the repository is.

mod copies;
mod owners;

use std::collections::BTreeMap;

use dozo_job::retention::Fact;
use dozo_job::{Clock, tidy};
use dozo_repository::format::snapshot::Status;
use dozo_repository::{Found, ObjectId, Repository, Usage, View};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::args::{Global, StatusArgs};
use crate::command::snapshots::problems;
use crate::context::{Context, SystemClock};
use crate::exit::Exit;
use crate::rollback::{Back, exit_of};
use crate::ui::{self, words};
use crate::zones::Zones;
use copies::Copies;

/// What there is of one job.
#[derive(serde::Serialize)]
struct JobStatus {
    schema: &'static str,
    job: String,
    host: String,
    snapshots: u64,
    held: u64,
    /// The newest so many are suspicious.
    suspicious: u64,
    last_complete: Option<Timestamp>,
    last: Option<Timestamp>,
    /// Snapshots whose own time is in the future: none of them is the last of anything.
    future: u64,
    last_verified: Option<Timestamp>,
    bytes: u64,
    /// Stores on which the newest complete snapshot is whole, if it was asked.
    copies: Option<u32>,
    #[serde(skip)]
    newest: Option<ObjectId>,
    /// Whether the last run of all is one of those.
    #[serde(skip)]
    is_last_ahead: bool,
    #[serde(skip)]
    zone: TimeZone,
}

pub(crate) async fn status(global: &Global, args: &StatusArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let repository = context.repository().await?;
    let back = Back::begin(&context, &repository);
    let view = repository.view().await?;
    let rolled_back = back.alert(&view).await?;
    let (facts, mut unread) = tidy::facts(&view).await?;
    let now = SystemClock.now();
    let mut jobs = jobs(&context, &repository, &view, (&facts, now))?;
    let (owners, strange) = repository.owners().await?;
    unread.extend(strange.iter().map(|problem| format!("{}: {}", problem.object, problem.why.chain())));
    let copies = if args.copies { Some(Copies::count(global, &context, &view).await?) } else { None };
    if let Some(copies) = &copies {
        jobs.iter_mut().for_each(|job| job.copies = job.newest.map(|newest| copies.of(&newest)));
    }
    let whole = Whole {
        usage: if args.space { Some(view.usage().await?) } else { None },
        damaged: view.damage().count() as u64,
        // Where nothing was backed up yet, no key is worth a try.
        alert: owners::alert(&owners, now).filter(|_| !view.snapshots().is_empty()),
        unread,
    };
    if global.json {
        jobs.iter().try_for_each(ui::json)?;
        ui::json(&serde_json::json!({
            "schema": "dozo/status/1", "url": repository.url(), "snapshots": view.snapshots().len(),
            "damaged_packs": whole.damaged, "unread": whole.unread, "usage": whole.usage,
            "owner_key_tried": owners::last_tried(&owners), "alert": whole.alert,
            "stores": copies.as_ref().map(|copies| copies.stores), "rolled_back": rolled_back,
        }))?;
    } else {
        print(&jobs, now);
        whole.print();
    }
    let copies = copies.map_or(Exit::Done, |copies| copies.exit);
    let unsure = jobs.iter().any(|job| job.is_last_ahead || job.suspicious > 0);
    let unsure = if unsure { Exit::Partial } else { Exit::Done };
    Ok(problems(&view).worst(whole.exit()).worst(exit_of(&rolled_back)).worst(copies).worst(unsure))
}

/// What is to be said of the repository as a whole.
struct Whole {
    usage: Option<Usage>,
    damaged: u64,
    alert: Option<String>,
    unread: Vec<String>,
}

impl Whole {
    fn print(&self) {
        self.unread.iter().for_each(|record| ui::note(format!("damaged: {record}")));
        if self.damaged > 0 {
            let packs = words::counted(self.damaged, "pack is", "packs are");
            ui::line(format!(
                "{packs} recorded as damaged: runs store again what the source still has, `dozo repair` clears up"
            ));
        }
        if let Some(alert) = &self.alert {
            ui::line(format!("alert: {alert}"));
        }
        if let Some(usage) = &self.usage {
            print_usage(usage);
        }
    }

    fn exit(&self) -> Exit {
        let tried = if self.alert.is_some() { Exit::Partial } else { Exit::Done };
        if self.unread.is_empty() { tried } else { tried.worst(Exit::Damaged) }
    }
}

/// A row for each job that has snapshots or is configured here, in order of names.
fn jobs(
    context: &Context,
    repository: &Repository,
    view: &View,
    (facts, now): (&[Fact], Timestamp),
) -> anyhow::Result<Vec<JobStatus>> {
    let zones = Zones::of(context, view)?;
    let mut rows = BTreeMap::new();
    let row = |job: &str, host: &str, zone: TimeZone| JobStatus {
        schema: "dozo/job-status/1",
        job: job.into(),
        host: host.into(),
        snapshots: 0,
        held: 0,
        suspicious: 0,
        last_complete: None,
        last: None,
        future: 0,
        last_verified: None,
        bytes: 0,
        copies: None,
        newest: None,
        is_last_ahead: false,
        zone,
    };
    for name in context.loaded.config.job.keys() {
        let uid = repository.job_uid(name);
        let zone = zones.zone_of(repository.host(), uid).clone();
        rows.insert((name.clone(), uid), row(name, &context.host(), zone));
    }
    // In the order of runs: the last word is the newest.
    let mut all: Vec<(&Found, &Fact)> = view.snapshots().iter().zip(facts).collect();
    all.sort_by_key(|((_, snapshot), _)| snapshot.order());
    for (found, fact) in all {
        let (id, snapshot) = found;
        let key = (fact.job.name.clone(), fact.job.uid);
        let row = rows.entry(key).or_insert_with(|| row(&fact.job.name, &fact.host.name, zones.zone(snapshot).clone()));
        row.snapshots += 1;
        row.held += u64::from(fact.held);
        row.is_last_ahead = view.is_ahead(found, now);
        if row.is_last_ahead {
            row.future += 1;
            continue;
        }
        row.last = Some(fact.started);
        if !fact.is_trusted() {
            row.suspicious += 1;
            continue;
        }
        row.suspicious = 0;
        if fact.status == Status::Complete {
            row.last_complete = Some(fact.started);
            row.bytes = snapshot.manifest.totals.bytes;
            row.newest = Some(*id);
        }
        if fact.verified {
            row.last_verified = Some(fact.started);
        }
    }
    Ok(rows.into_values().collect())
}

fn print(jobs: &[JobStatus], now: Timestamp) {
    if jobs.is_empty() {
        ui::note("no jobs, and no snapshots");
        return;
    }
    ui::line(format!(
        "{:20}  {:12}  {:>9}  {:>10}  {:26}  {:>11}  {:26}",
        "job", "host", "snapshots", "size", "last complete", "age", "last verified"
    ));
    for job in jobs {
        let time = |time: Option<Timestamp>| time.map_or("never".to_string(), |time| words::time_in(time, &job.zone));
        let age = job.last_complete.map_or(String::new(), |last| words::age(now.duration_since(last)));
        let partial = match job.suspicious {
            0 if job.last != job.last_complete => "  newer ones are partial".to_string(),
            0 => String::new(),
            newer => {
                format!("  {} suspicious: `dozo snapshots`", words::counted(newer, "newer one is", "newer ones are"))
            }
        };
        let future = if job.future > 0 { format!("  {} {}", job.future, words::FUTURE) } else { String::new() };
        let held = if job.held > 0 { format!("  {} held", job.held) } else { String::new() };
        let copies =
            job.copies.map_or(String::new(), |copies| format!("  {}", words::counted(copies.into(), "copy", "copies")));
        ui::line(
            format!(
                "{:20}  {:12}  {:>9}  {:>10}  {:26}  {age:>11}  {:26}{copies}{partial}{held}{future}",
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
