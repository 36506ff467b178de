//! The newest snapshot of a job, now or up to a time, and what is said of those that are not taken for it.

use dozo_job::limits::STARTED_BEHIND_MAX;
use dozo_job::{Clock, Error};
use dozo_repository::{Found, View};
use jiff::Timestamp;

use crate::context::SystemClock;
use crate::named;
use crate::suspicion;
use crate::typed_time::{LeftOut, TypedTime};
use crate::ui::{self, words};
use crate::zones::{Zones, both};

/// The newest of a job's snapshots.
pub(crate) fn newest(view: &View, zones: &Zones, (job, of_job): (&str, &[Found])) -> anyhow::Result<Found> {
    let now = SystemClock.now();
    let Some(found) = view.newest(of_job, now) else {
        let ahead = of_job.iter().max_by_key(|(_, snapshot)| snapshot.order());
        let (id, snapshot) = ahead.ok_or_else(|| Error::internal("a job without snapshots has no newest"))?;
        let (taken, now) = (zones.taken(snapshot), words::time_in(now, zones.zone(snapshot)));
        let why =
            format!("every snapshot of `{job}` is {}: {} of {taken}, and now is {now}", words::FUTURE, id.short());
        let hint =
            format!("set this machine's clock if it is wrong; `{}` instead of `{job}` takes that snapshot", id.short());
        return Err(Error::invalid(why).hinted(hint).into());
    };
    tell_passed_over(view, zones, of_job, found);
    tell_of_later_time(view, zones, of_job, found);
    suspicion::tell_passed_over(view, zones, found, of_job);
    Ok(found.clone())
}

/// The newest of a job's snapshots up to a time that was typed, and says which that is.
pub(crate) fn newest_at(
    view: &View,
    zones: &Zones,
    (job, of_job): (&str, &[Found]),
    typed: &TypedTime,
) -> anyhow::Result<Found> {
    let now = SystemClock.now();
    let in_order = in_order_of_time(view, of_job, now);
    let up_to = |until: Timestamp| view.newest(in_order.iter().copied().filter(|(_, s)| s.started <= until), now);
    let Some((_, any)) = of_job.first() else {
        let why = format!("there is no snapshot of a job `{job}` in the repository");
        return Err(Error::invalid(why).hinted(named::job_hint(view, job)).into());
    };
    // Where both readings find the same, it does not matter which is meant.
    let different = |a, b| up_to(a).map(|(id, _)| id) != up_to(b).map(|(id, _)| id);
    let until = zones.settle(typed, (any, LeftOut::End), different)?;
    let shown = both(typed.shown(until), zones.zone(any));
    let alone = || view.newest(of_job.iter().filter(|(_, s)| s.started <= until), now);
    let Some(found) = up_to(until).or_else(alone) else {
        return none(format!("there is no snapshot of the job `{job}` up to {shown}"));
    };
    let (id, snapshot) = found;
    ui::note(format!("{} of {} is the newest up to {shown}", id.short(), zones.taken(snapshot)));
    tell_passed_over(view, zones, of_job, found);
    let up_to: Vec<Found> = of_job.iter().filter(|(_, s)| s.started <= until).cloned().collect();
    tell_of_later_time(view, zones, &up_to, found);
    suspicion::tell_passed_over(view, zones, found, &up_to);
    Ok(found.clone())
}

/// Without those whose clock was in the past, which the store knows: each would be the newest for every time up to the next run's.
fn in_order_of_time<'a>(view: &View, of_job: &'a [Found], now: Timestamp) -> Vec<&'a Found> {
    let mut found: Vec<&Found> = of_job.iter().filter(|found| !view.is_ahead(found, now)).collect();
    found.sort_by_key(|(_, snapshot)| snapshot.order());
    let mut latest = Timestamp::MIN;
    found.retain(|(id, snapshot)| {
        let is_late =
            view.arrived(id).is_some_and(|arrived| arrived.duration_since(snapshot.started) > STARTED_BEHIND_MAX);
        let is_wrong = is_late && snapshot.started < latest;
        latest = latest.max(snapshot.started);
        !is_wrong
    });
    found
}

fn none(why: String) -> anyhow::Result<Found> {
    Err(Error::invalid(why).hinted("`dozo snapshots` lists them").into())
}

/// Says that a later run's snapshot was not taken for the newest, because its clock was wrong.
fn tell_passed_over(view: &View, zones: &Zones, of_job: &[Found], chosen: &Found) {
    let now = SystemClock.now();
    let later = of_job.iter().filter(|found| found.1.order() > chosen.1.order() && view.is_ahead(found, now));
    if let Some((id, snapshot)) = later.max_by_key(|(_, snapshot)| snapshot.order()) {
        let (id, taken) = (id.short(), zones.taken(snapshot));
        ui::note(format!("note: {id} of {taken} is {} and not taken for the newest; its id takes it", words::FUTURE));
    }
}

/// Says that an earlier run's snapshot has a later time: the clock went back in between, and whoever goes by times would take
/// that one.
fn tell_of_later_time(view: &View, zones: &Zones, among: &[Found], chosen: &Found) {
    let now = SystemClock.now();
    let is_later = |found: &&Found| {
        found.1.order() < chosen.1.order() && found.1.started > chosen.1.started && !view.is_ahead(found, now)
    };
    let Some((id, snapshot)) = among.iter().filter(is_later).max_by_key(|(_, snapshot)| snapshot.started) else {
        return;
    };
    let (taken, chosen) = (zones.taken(snapshot), (chosen.0.short(), zones.taken(&chosen.1)));
    let id = id.short();
    ui::note(format!(
        "note: {id} of {taken} bears a later time than {} of {}, which a later run made: the clock was set back; `{id}` takes \
         the other",
        chosen.0, chosen.1
    ));
}
