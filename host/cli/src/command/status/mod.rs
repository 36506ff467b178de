//! `dozo status`: each job's last good snapshot, how the repository is, and whether all of that is as it should be.

mod copies;
mod facts;
mod owners;
mod print;

use std::collections::BTreeMap;

use dozo_job::health::{Ahead, Behind, Facts, Finding, Last, Suspicion, judge};
use dozo_job::retention::Fact;
use dozo_job::{Clock, tidy};
use dozo_repository::format::snapshot::{Named, Status};
use dozo_repository::{Found, HostUid, ObjectId, Problem, Repository, View};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::args::{Global, StatusArgs};
use crate::context::{Context, SystemClock};
use crate::exit::Exit;
use crate::host_names::HostNames;
use crate::rollback::Back;
use crate::ui;
use crate::zones::Zones;
use copies::Copies;
use facts::{Gathering, Key};

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
    /// Of the newest snapshot that a verification read as a whole: when it was made.
    newest_verified: Option<Timestamp>,
    bytes: u64,
    /// Stores on which the newest complete snapshot is whole, if it was asked.
    copies: Option<u32>,
    /// Nobody runs it any more.
    retired: bool,
    /// What became of its last run, as far as this host knows.
    last_run: Option<Last>,
    /// Since when it runs on this host.
    running: Option<Timestamp>,
    /// When its last run on this host began, if that was killed.
    interrupted: Option<Timestamp>,
    #[serde(skip)]
    newest: Option<ObjectId>,
    /// Whether the newest snapshot lacks something.
    #[serde(skip)]
    newest_is_partial: bool,
    /// What is suspicious about the newest.
    #[serde(skip)]
    suspicion: Option<Suspicion>,
    /// The snapshot of the last run, if its time is still to come.
    #[serde(skip)]
    ahead: Option<Ahead>,
    /// The same, if its time is earlier than that of one before.
    #[serde(skip)]
    behind: Option<Behind>,
    /// The latest time of any.
    #[serde(skip)]
    latest: Option<Timestamp>,
    /// What people are shown of its host: beside others of one name, which it is.
    #[serde(skip)]
    host_shown: String,
    #[serde(skip)]
    zone: TimeZone,
}

pub(crate) async fn status(global: &Global, args: &StatusArgs) -> anyhow::Result<Exit> {
    let context = Context::load(global)?;
    let repository = context.repository().await?;
    let back = Back::begin(&context, &repository);
    let view = repository.view().await?;
    let rolled_back = back.look(&view).await?;
    let (snapshots, mut unread) = tidy::facts(&view).await?;
    let now = SystemClock.now();
    let mut jobs = jobs(&context, &repository, &view, (&snapshots, now))?;
    let (owners, strange) = repository.owners().await?;
    let (removed, damaged) = repository.removed_hosts().await?;
    unread.extend(view.unrecorded_problems().chain(&strange).chain(&damaged).map(told));
    unread.sort();
    unread.dedup();
    let copies = if args.copies { Some(Copies::count(&context, &view).await?) } else { None };
    if let Some(copies) = &copies {
        jobs.values_mut().for_each(|job| job.copies = job.newest.map(|newest| copies.of(&newest)));
    }
    let (context, view, removed) = (&context, &view, &removed);
    let gathering = Gathering { context, view, facts: &snapshots, removed, copies: copies.as_ref(), now };
    let facts = gathering.all(&jobs).await?;
    let lost = rolled_back.iter().map(ToString::to_string).collect();
    let facts = Facts { unread: unread.clone(), rolled_back: lost, ..facts };
    for (row, facts) in jobs.values_mut().zip(&facts.jobs) {
        (row.retired, row.last_run) = (facts.retired, facts.last_run.clone());
        (row.running, row.interrupted) = (facts.running, facts.interrupted);
    }
    let mut findings = judge(&facts);
    // Where nothing was backed up yet, no key is worth a try.
    findings.extend(owners::alert(&owners, now).filter(|_| !view.snapshots().is_empty()));
    findings.iter_mut().for_each(for_people);
    let usage = if args.space { Some(view.usage().await?) } else { None };
    if global.json {
        jobs.values().try_for_each(ui::json)?;
        ui::json(&serde_json::json!({
            "schema": "dozo/status/1", "url": repository.url(), "snapshots": view.snapshots().len(),
            "damaged_packs": facts.damaged_packs, "unread": unread, "usage": usage,
            "owner_key_tried": owners::last_tried(&owners), "room": facts.room,
            "stores": copies.as_ref().map(|copies| copies.stores), "rolled_back": rolled_back,
            "findings": findings,
        }))?;
    } else {
        print::jobs(jobs.values(), now);
        findings.iter().for_each(print::finding);
        usage.iter().for_each(print::usage);
    }
    Ok(exit_of(&findings))
}

fn told(problem: &Problem) -> String {
    format!("{}: {}", problem.object, problem.why.chain())
}

/// Commands as they are typed here, times of one form.
fn for_people(finding: &mut Finding) {
    finding.message = ui::for_people(&finding.message);
    finding.advice = ui::for_people(&finding.advice);
}

/// What the caller is told, of the findings alone: whoever is told that something is wrong is told what.
fn exit_of(findings: &[Finding]) -> Exit {
    let each = findings.iter().map(|finding| if finding.damage { Exit::Damaged } else { Exit::Partial });
    each.fold(Exit::Done, Exit::worst)
}

/// A row for each job that has snapshots or is configured here, in order of names.
fn jobs(
    context: &Context,
    repository: &Repository,
    view: &View,
    (facts, now): (&[Fact], Timestamp),
) -> anyhow::Result<BTreeMap<Key, JobStatus>> {
    let zones = Zones::of(context, view)?;
    let mut rows = BTreeMap::new();
    let names = HostNames::of(view);
    let row = |job: &str, host: &Named<HostUid>, zone: TimeZone| JobStatus {
        schema: "dozo/job-status/1",
        job: job.into(),
        host: host.name.clone(),
        host_shown: names.shown(host),
        snapshots: 0,
        held: 0,
        suspicious: 0,
        last_complete: None,
        last: None,
        future: 0,
        newest_verified: None,
        bytes: 0,
        copies: None,
        retired: false,
        last_run: None,
        running: None,
        interrupted: None,
        newest: None,
        newest_is_partial: false,
        suspicion: None,
        ahead: None,
        behind: None,
        latest: None,
        zone,
    };
    let mine = Named { uid: repository.host(), name: context.host() };
    for name in context.loaded.config.job.keys() {
        let uid = repository.job_uid(name);
        let zone = zones.zone_of(repository.host(), uid).clone();
        rows.insert((name.clone(), uid), row(name, &mine, zone));
    }
    // In the order of runs: the last word is the newest.
    let mut all: Vec<(&Found, &Fact)> = view.snapshots().iter().zip(facts).collect();
    all.sort_by_key(|((_, snapshot), _)| snapshot.order());
    for (found, fact) in all {
        let (id, snapshot) = found;
        let key = (fact.job.name.clone(), fact.job.uid);
        let row = rows.entry(key).or_insert_with(|| row(&fact.job.name, &fact.host, zones.zone(snapshot).clone()));
        row.snapshots += 1;
        row.held += u64::from(fact.held);
        row.ahead = view.is_ahead(found, now).then_some(Ahead { snapshot: *id, at: fact.started });
        if row.ahead.is_some() {
            row.future += 1;
            continue;
        }
        let earlier = row.latest.filter(|latest| *latest > fact.started);
        row.behind = earlier.map(|earlier| Behind { snapshot: *id, at: fact.started, earlier });
        row.latest = row.latest.max(Some(fact.started));
        row.last = Some(fact.started);
        row.newest_is_partial = fact.status == Status::Partial;
        if !fact.is_trusted() {
            row.suspicious += 1;
            let why = view.suspicion(found).first().cloned();
            row.suspicion = Some(Suspicion { count: row.suspicious, newest: *id, why });
            continue;
        }
        (row.suspicious, row.suspicion) = (0, None);
        if fact.status == Status::Complete {
            row.last_complete = Some(fact.started);
            row.bytes = snapshot.manifest.totals.bytes;
            row.newest = Some(*id);
        }
        if fact.verified {
            row.newest_verified = Some(fact.started);
        }
    }
    Ok(rows)
}
