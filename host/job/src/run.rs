//! A run: the source is read into a snapshot, or there is none. Read this first.

use std::sync::Arc;

use dozo_repository::format::record::{Outcome, RunRecord};
use dozo_repository::format::snapshot::{Manifest, Named, Scope, Snapshot, Status};
use dozo_repository::limits::STARTED_AHEAD_MAX;
use dozo_repository::{Error, Kind, Lease, LeaseId, LeaseRequest, ObjectId, Purpose, Repository, Resources, Result};
use jiff::Timestamp;

use crate::gap::{Gap, gap};
use crate::guard;
use crate::intake::{History, RunIntake, SharedIntake};
use crate::limits::{CLOCK_SKEW_MAX, OMITTED_IN_REPORT};
use crate::port::{BackupRequest, Finished, Source};
use crate::progress::Progress;
use crate::report::{Failure, Report};
use crate::rollback::{Memory, Seen, look_back, newest};
use crate::words;

/// The time, handed in.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// What a run is about.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// The source's configuration as JSON, secrets resolved.
    pub config: String,
    /// All of the source, or what is new.
    pub scope: Scope,
    /// Names and questions.
    pub probes: Vec<(String, String)>,
    /// The operator's words.
    pub tags: Vec<String>,
    /// In which zone people see and write its times: a name of the IANA, or an offset.
    pub timezone: String,
    /// A snapshot that lost more than this, in percent, is suspicious. None: none is.
    pub guard: Option<u8>,
}

/// Where a run takes place.
pub struct House<'a> {
    /// Where the snapshot goes.
    pub repository: &'a Repository,
    /// The host's name, for people.
    pub host: String,
    /// What of the machine may be used.
    pub resources: Resources,
    /// Threads that read contents which the host holds.
    pub readers: usize,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Fresh random bytes, by which others tell this run from every other.
    pub lease: LeaseId,
    /// The leases of runs of the same job that are known to be over, however they ended.
    pub predecessors: Vec<LeaseId>,
    /// Who shows how far it is.
    pub progress: Arc<Progress>,
    /// What this host remembers of the repository.
    pub memory: &'a dyn Memory,
}

/// Runs a job once. A failure is a report, not an error: it is recorded in the repository where that is possible, so
/// that whoever reads the repository sees it.
pub async fn run(job: &Job, source: &dyn Source, house: &House<'_>) -> Report {
    let started = house.clock.now();
    let mut report = blank_report(job, source, house, started);
    match leased(job, source, house, started).await {
        Ok(done) => fill_report(&mut report, done),
        Err(error) if error.kind() == Kind::Busy => {
            // Nothing was begun: the run that is at work has the source, and leaves the record.
            report.error = Some(Failure::from(&error));
            report.ended = house.clock.now();
            report.in_zone(&words::zone(&job.timezone));
            return report;
        }
        Err(error) => {
            report.error = Some(Failure::from(&error));
            // A server that is gone can be told nothing either; once is enough.
            if let Err(after) = source.abandoned(&job.config).await
                && after.chain() != error.chain()
            {
                let error = after;
                report.notes.push(format!("the plugin could not clean up at the source: {}", error.chain()));
            }
        }
    }
    report.ended = house.clock.now();
    // What sources and servers wrote, too.
    report.in_zone(&words::zone(&job.timezone));
    if let Err(error) = leave_record(&report, house).await {
        report.notes.push(format!("the run could not be recorded in the repository: {}", error.chain()));
    }
    report
}

/// What a run that made a snapshot has to tell.
struct Done {
    id: ObjectId,
    snapshot: Snapshot,
    finished: Finished,
    notes: Vec<String>,
    recovery_gap: Option<Gap>,
}

/// A run under a lease of its own: others see that the job runs, and whoever deletes heeds it.
async fn leased(job: &Job, source: &dyn Source, house: &House<'_>, started: Timestamp) -> Result<Done> {
    let request = LeaseRequest {
        id: house.lease,
        purpose: Purpose::Run,
        host: house.host.clone(),
        job: Some(job.name.clone()),
        started,
        predecessors: house.predecessors.clone(),
    };
    let lease = house.repository.lease(request).await?;
    let mut done = backup(job, source, house, (started, &lease)).await;
    let released = lease.release().await;
    if let (Ok(done), Err(error)) = (&mut done, released) {
        done.notes.push(format!("others will take the job to be running for a while: {}", error.chain()));
    }
    done
}

async fn backup(
    job: &Job,
    source: &dyn Source,
    house: &House<'_>,
    (started, lease): (Timestamp, &Lease),
) -> Result<Done> {
    let repository = house.repository;
    let recalled = house.memory.recall();
    let view = repository.view_to_write(lease).await?;
    let behind = look_back(&view, recalled).await?;
    behind.refuse(&view)?;
    let mut seen = newest(&view);
    let damaged = view.problems().iter();
    let damaged = damaged.map(|problem| {
        format!("{} is damaged or missing ({}): see `dozo verify`", problem.object, problem.why.chain())
    });
    let mut notes: Vec<String> = behind.note.into_iter().chain(damaged).collect();
    let writer = Arc::new(view.writer(house.resources.clone())?);
    let _ = house.progress.counters.set(writer.counters());
    let job_uid = repository.job_uid(&job.name);
    let history = History { view, host: repository.host(), job: job_uid, plugin: source.stamp().name.clone() };
    let last_run = history.last_run();
    let sequence = last_run.map_or(0, |(_, last)| last.sequence) + 1;
    notes.extend(clock_notes(started, house.clock.now(), lease, last_run.map(|(_, last)| last.started)));
    let (last_good, furthest) = (history.last_good(), history.furthest());
    lease.keep(history.kept());
    let intake = Arc::new(RunIntake::new(writer.clone(), history, house.progress.clone(), house.readers));

    let request = BackupRequest { config: job.config.clone(), scope: job.scope, probes: job.probes.clone() };
    let finished = source.backup(request, Arc::new(SharedIntake(intake.clone()))).await;
    // The host knows better than the plugin what went wrong in the host.
    let finished = finished.map_err(|error| intake.broken().unwrap_or(error));
    let (finished, told) = finished.and_then(|finished| Ok((finished, intake.close()?))).inspect_err(|error| {
        writer.abandon(error);
    })?;
    drop(intake);
    let writer =
        Arc::try_unwrap(writer).map_err(|_| Error::internal("the plugin is still writing after it was done"))?;

    let (attributes, earlier, without) = (told.attributes.clone(), told.notes.clone(), told.unanswered.clone());
    let (ended, zone) = (house.clock.now(), words::zone(&job.timezone));
    let last_good = last_good.as_ref().map(|(id, snapshot)| (*id, snapshot.as_ref()));
    let describe = |manifest: Manifest, stored| Snapshot {
        schema: Snapshot::SCHEMA.into(),
        features: Vec::new(),
        host: Named { uid: repository.host(), name: house.host.clone() },
        job: Named { uid: job_uid, name: job.name.clone() },
        sequence,
        plugin: source.stamp().clone(),
        source: told.source,
        scope: job.scope,
        started,
        ended,
        timezone: Some(job.timezone.clone()),
        status: if told.omitted_count == 0 { Status::Complete } else { Status::Partial },
        omitted: told.omitted,
        omitted_count: told.omitted_count,
        guard: Some(guard::compare(last_good, (manifest.totals, &told.attributes), job.guard, &zone)),
        manifest,
        attributes: told.attributes,
        answers: told.answers,
        tags: job.tags.clone(),
        previous: told.previous.map(|reader| reader.id()),
        stored,
    };
    let (id, snapshot) = writer.commit(describe).await?;
    notes.extend(earlier);
    notes.extend(unanswered(job, &snapshot, &without));
    let recovery_gap = gap(&furthest, &snapshot.attributes);
    notes.extend(recovery_gap.map(|Gap { after, until }| {
        format!("moments between {after} and {until} cannot be recovered: earlier snapshots end before, this one begins after")
    }));
    seen.push(Seen { job: snapshot.job.clone(), sequence, snapshot: id });
    if let Err(error) = house.memory.remember(&seen) {
        notes.push(format!("the snapshot is safe, but this host could not remember it: {}", error.chain()));
    }
    if let Err(error) = source.committed(&job.config, attributes).await {
        notes.push(format!("the snapshot is safe, but the source was not told so: {}", error.chain()));
    }
    Ok(Done { id, snapshot, finished, notes, recovery_gap })
}

/// What the clocks say of each other: this machine's between the run's beginning and now, the store's when it took the lease,
/// and the one of the run before.
fn clock_notes(started: Timestamp, now: Timestamp, lease: &Lease, before: Option<Timestamp>) -> Vec<String> {
    let theirs = lease.began();
    let (ahead, behind) = (started.duration_since(theirs), theirs.duration_since(now));
    let wrong = [(ahead, "ahead of"), (behind, "behind")].into_iter().find(|(by, _)| *by > CLOCK_SKEW_MAX);
    let wrong = wrong.map(|(by, side)| {
        let counts =
            if by > STARTED_AHEAD_MAX && ahead == by { ". This snapshot is not taken for the newest" } else { "" };
        format!("this machine's clock is {} {side} the store's: set it (NTP){counts}", words::duration(by))
    });
    let before = before.filter(|before| before.duration_since(now) > CLOCK_SKEW_MAX);
    let before = before.map(|before| {
        format!(
            "the snapshot before this one is of {before}, and this machine's clock shows {now}: one of them is wrong; set this \
             machine's clock (NTP)"
        )
    });
    wrong.into_iter().chain(before).collect()
}

/// A note for each probe that the source left without an answer, with the reason where it said one.
fn unanswered<'a>(
    job: &'a Job,
    snapshot: &'a Snapshot,
    without: &'a [(String, String)],
) -> impl Iterator<Item = String> + 'a {
    let is_answered = |name: &str| snapshot.answers.iter().any(|(answered, _)| answered == name);
    let names = job.probes.iter().map(|(name, _)| name).filter(move |name| !is_answered(name));
    names.map(|name| match without.iter().find(|(known, _)| known == name) {
        Some((_, why)) => format!("the probe `{name}` was not answered: {why}"),
        None => format!("the plugin did not answer the probe `{name}`"),
    })
}

fn blank_report(job: &Job, source: &dyn Source, house: &House<'_>, started: Timestamp) -> Report {
    Report {
        schema: Report::SCHEMA,
        job: job.name.clone(),
        host: house.host.clone(),
        plugin: source.stamp().clone(),
        outcome: Outcome::Failed,
        started,
        ended: started,
        snapshot: None,
        previous: None,
        entries: 0,
        entries_kept: 0,
        bytes: 0,
        bytes_read: 0,
        bytes_new: 0,
        bytes_stored: 0,
        omitted: Vec::new(),
        omitted_count: 0,
        answers: Vec::new(),
        suspicious: Vec::new(),
        notes: Vec::new(),
        recovery_gap: None,
        timezone: job.timezone.clone(),
        next: None,
        error: None,
        usage: crate::port::Usage::default(),
    }
}

fn fill_report(report: &mut Report, done: Done) {
    let Done { id, snapshot, finished, notes, recovery_gap } = done;
    report.outcome = match snapshot.status {
        Status::Complete => Outcome::Complete,
        Status::Partial => Outcome::Partial,
    };
    report.snapshot = Some(id);
    report.previous = snapshot.previous;
    report.entries = snapshot.manifest.totals.entries;
    report.entries_kept = snapshot.stored.entries_kept;
    report.bytes = snapshot.manifest.totals.bytes;
    report.bytes_read = snapshot.stored.bytes_read;
    report.bytes_new = snapshot.stored.bytes_new;
    report.bytes_stored = snapshot.stored.bytes_stored;
    report.omitted = snapshot.omitted.into_iter().take(OMITTED_IN_REPORT).collect();
    report.omitted_count = snapshot.omitted_count;
    report.answers = snapshot.answers;
    report.suspicious = snapshot.guard.map(|guard| guard.suspicious).unwrap_or_default();
    report.notes.extend(notes);
    report.notes.extend(finished.notes);
    report.recovery_gap = recovery_gap;
    report.usage = finished.usage;
}

async fn leave_record(report: &Report, house: &House<'_>) -> Result<()> {
    let repository = house.repository;
    let body = serde_json::to_value(report).map_err(|e| Error::internal("write the report as JSON").caused_by(e))?;
    let record = RunRecord {
        schema: RunRecord::SCHEMA.into(),
        host: Named { uid: repository.host(), name: house.host.clone() },
        job: Named { uid: repository.job_uid(&report.job), name: report.job.clone() },
        started: report.started,
        ended: report.ended,
        outcome: report.outcome,
        snapshot: report.snapshot,
        error: report.error.as_ref().map(Failure::one_line),
        report: body,
    };
    repository.put_run_record(&record).await.map(|_| ())
}
