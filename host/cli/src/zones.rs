//! In which zone a job's times are shown and read: one rule for lists, `JOB@TIME` and `--at`. It is the `timezone` that this
//! host's configuration gives the job, else the one that the job's last snapshot says, else this machine's.

use std::collections::HashMap;

use dozo_job::{Clock, Error};
use dozo_repository::format::snapshot::Snapshot;
use dozo_repository::{HostUid, JobUid, View};
use jiff::tz::TimeZone;
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

use crate::context::{Context, SystemClock};
use crate::typed_time::{LeftOut, TypedTime, zone_named, zone_shown};
use crate::ui::{self, words};

/// The zones of the jobs of a repository.
pub(crate) struct Zones {
    jobs: HashMap<(HostUid, JobUid), JobZone>,
    machine: TimeZone,
}

/// The zone of a job.
pub(crate) struct JobZone {
    pub(crate) zone: TimeZone,
    /// What a snapshot calls it, if this program knows no zone of that name: times are shown in UTC then.
    unknown: Option<String>,
}

/// What a typed time can mean.
struct Reading {
    at: Timestamp,
    zone: TimeZone,
    whose: &'static str,
}

impl Context {
    /// Where people see and write the times of a job that this host runs.
    pub(crate) fn timezone(&self, job: &str) -> anyhow::Result<String> {
        let zone = self.loaded.configured_zone(job)?.unwrap_or_else(TimeZone::system);
        Ok(zone_shown(&zone, SystemClock.now()))
    }

    /// A time of a job that this host runs, for people.
    pub(crate) fn time(&self, job: &str, at: Timestamp) -> String {
        // A zone that is none was found when the configuration was read.
        let zone = self.loaded.configured_zone(job).ok().flatten().unwrap_or_else(TimeZone::system);
        words::time_in(at, &zone)
    }
}

impl Zones {
    /// The zones of all jobs that have snapshots.
    pub(crate) fn of(context: &Context, view: &View) -> anyhow::Result<Self> {
        let mut last: HashMap<(HostUid, JobUid), &Snapshot> = HashMap::new();
        for (_, snapshot) in view.snapshots() {
            let known = last.entry((snapshot.host.uid, snapshot.job.uid)).or_insert(snapshot);
            if snapshot.order() > known.order() {
                *known = snapshot;
            }
        }
        let machine = TimeZone::system();
        let mut jobs = HashMap::new();
        for (key, snapshot) in last {
            let configured = match key.0 == view.repository().host() {
                true => context.loaded.configured_zone(&snapshot.job.name)?,
                false => None,
            };
            jobs.insert(key, JobZone::of(configured, snapshot, &machine));
        }
        Ok(Zones { jobs, machine })
    }

    /// That of the job of a snapshot.
    pub(crate) fn zone(&self, snapshot: &Snapshot) -> &TimeZone {
        self.jobs.get(&(snapshot.host.uid, snapshot.job.uid)).map_or(&self.machine, |job| &job.zone)
    }

    /// That of a job which may have no snapshot yet.
    pub(crate) fn zone_of(&self, host: HostUid, job: JobUid) -> &TimeZone {
        self.jobs.get(&(host, job)).map_or(&self.machine, |job| &job.zone)
    }

    /// When a snapshot was taken, for people.
    pub(crate) fn taken(&self, snapshot: &Snapshot) -> String {
        words::time_in(snapshot.started, self.zone(snapshot))
    }

    /// What a typed time means to the job of a snapshot. One without a zone that means something `different` on this machine
    /// is asked for, or refused.
    pub(crate) fn settle(
        &self,
        typed: &TypedTime,
        (job, left_out): (&Snapshot, LeftOut),
        different: impl Fn(Timestamp, Timestamp) -> bool,
    ) -> anyhow::Result<Timestamp> {
        let (now, zone) = (SystemClock.now(), self.zone(job));
        let at = typed.when(zone, now, left_out)?;
        if !typed.is_bare() {
            return Ok(at);
        }
        let unknown = self.jobs.get(&(job.host.uid, job.job.uid)).and_then(|job| job.unknown.as_ref());
        if let Some(unknown) = unknown {
            let why = format!(
                "`{}` is of the job's zone, `{unknown}`, and this program knows none of that name",
                typed.text()
            );
            let with_offset =
                format!("write its offset: `{}`", typed.with_zone(&TimeZone::fixed(jiff::tz::offset(9)), at));
            return Err(Error::invalid(why).hinted(with_offset).into());
        }
        // Clocks that never showed the time, or showed it twice, are no reason to refuse what the job's zone makes clear.
        // Nor is a time that this machine's clocks have yet to show.
        let here = typed.when(&self.machine, now, left_out).or_else(|_| typed.when(&self.machine, now, LeftOut::End));
        let here = here.unwrap_or(at);
        if here == at || !different(at, here) {
            return Ok(at);
        }
        let readings = [
            Reading { at, zone: zone.clone(), whose: "the job's zone" },
            Reading { at: here, zone: self.machine.clone(), whose: "this machine's zone" },
        ];
        choose(typed, &readings)
    }
}

impl JobZone {
    fn of(configured: Option<TimeZone>, snapshot: &Snapshot, machine: &TimeZone) -> Self {
        match (configured, &snapshot.timezone) {
            (Some(zone), _) => JobZone { zone, unknown: None },
            (None, Some(name)) => match zone_named(name) {
                Some(zone) => JobZone { zone, unknown: None },
                None => JobZone { zone: TimeZone::UTC, unknown: Some(name.clone()) },
            },
            (None, None) => JobZone { zone: machine.clone(), unknown: None },
        }
    }
}

impl Reading {
    /// `2026-12-01 10:11:37 +09:00 (01:11:37 UTC on 2026-12-01)`
    fn shown(&self) -> String {
        match zone_shown(&self.zone, self.at).as_str() {
            // Which zone is meant is what is asked.
            zone if self.zone.to_offset(self.at).is_zero() => format!("{} ({zone})", both(self.at, &self.zone)),
            _ => both(self.at, &self.zone),
        }
    }
}

/// A time in a zone and, where that is another, in UTC. The end of a second is shown as the second.
pub(crate) fn both(at: Timestamp, zone: &TimeZone) -> String {
    let second = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Floor);
    let at = match at.as_nanosecond().rem_euclid(1_000_000_000) {
        999_999_999 => at.round(second).unwrap_or(at),
        _ => at,
    };
    let shown = words::exact_time_in(at, zone);
    if zone.to_offset(at).is_zero() {
        return shown;
    }
    let utc = at.strftime("%Y-%m-%d %H:%M:%S%.f UTC");
    format!("{shown} ({}), which is {utc}", zone_shown(zone, at))
}

/// The reading that the operator means; without a terminal none is taken.
fn choose(typed: &TypedTime, readings: &[Reading; 2]) -> anyhow::Result<Timestamp> {
    let shown: Vec<String> = readings.iter().map(|r| format!("{}; {}", r.shown(), r.whose)).collect();
    let question = format!("`{}` has no zone, and is two times:", typed.text());
    if let Some(chosen) = ui::ask::choose(&question, &shown)? {
        return Ok(readings[chosen].at);
    }
    let [job, machine] = readings;
    let written = |r: &Reading| format!("`{}` is {}", typed.with_zone(&r.zone, r.at), r.shown());
    let (theirs, ours) = (zone_shown(&job.zone, job.at), zone_shown(&machine.zone, machine.at));
    let why = format!(
        "`{}` has no zone, and is one time in {theirs}, the job's, and another in {ours}, this machine's",
        typed.text()
    );
    Err(Error::invalid(why)
        .hinted(format!("write the one that is meant: {}; {}", written(job), written(machine)))
        .into())
}
