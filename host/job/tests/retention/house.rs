//! Snapshots to judge, written shortly.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use dozo_job::Size;
use dozo_job::retention::{Alert, Fact, Floods, Judgement, Period, Policy, Reach, Retention, Rules, Stretch, judge};
use dozo_repository::format::snapshot::{Named, Status};
use dozo_repository::{HostUid, JobUid, ObjectId};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A moment.
#[track_caller]
pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A complete snapshot of this moment, which arrived ten minutes later.
pub(crate) fn complete(started: Timestamp, sequence: u64) -> Fact {
    Fact {
        id: ObjectId::of(format!("{started} {sequence}").as_bytes()),
        host: Named { uid: HostUid([1; 8]), name: "db-1".into() },
        job: Named { uid: JobUid([2; 16]), name: "files".into() },
        started,
        arrived: started + SignedDuration::from_mins(10),
        sequence,
        status: Status::Complete,
        tags: Vec::new(),
        held: false,
        verified: false,
        suspicious: false,
        accepted: None,
        limit: Some(50),
        size: Size { entries: Some(2_000), bytes: Some(1 << 30) },
    }
}

/// Complete snapshots of these moments, in order.
#[track_caller]
pub(crate) fn series(moments: &[&str]) -> Vec<Fact> {
    (1..).zip(moments).map(|(sequence, moment)| complete(at(moment), sequence)).collect()
}

/// Complete snapshots from a moment on, one each so many hours.
#[track_caller]
pub(crate) fn every(hours: i64, from: &str, count: u64) -> Vec<Fact> {
    let moment = |n: u64| at(from) + SignedDuration::from_hours(hours) * i32::try_from(n).unwrap();
    (0..count).map(|n| complete(moment(n), n + 1)).collect()
}

/// Rules that wait for nothing, so that each can be seen alone.
pub(crate) fn plain(zone: &str) -> Rules {
    let superseded_for = Some(Stretch::new(jiff::Span::new()).unwrap());
    Rules { superseded_for, ..rules(zone) }
}

/// No rule yet, in a zone.
pub(crate) fn rules(zone: &str) -> Rules {
    Rules::new(TimeZone::get(zone).unwrap())
}

/// A stretch of time.
#[track_caller]
pub(crate) fn stretch(text: &str) -> Stretch {
    Stretch::new(text.parse().unwrap()).unwrap()
}

/// A number that is not zero.
#[track_caller]
pub(crate) fn n(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// The newest so many of a period.
pub(crate) fn newest(period: Period, number: u32) -> (Period, Reach) {
    (period, Reach::Newest(n(number)))
}

/// What these rules decide; `floods` says what a flood does.
pub(crate) fn policy(rules: Rules, floods: Floods) -> Policy {
    Policy { jobs: BTreeMap::new(), others: Retention::By(rules), removed: BTreeMap::new(), floods }
}

/// What the rules decide where a flood does nothing.
pub(crate) fn judged(facts: &[Fact], rules: &Rules, now: Timestamp) -> Judgement {
    judge(facts, &policy(rules.clone(), Floods::Explained), now)
}

/// `moment: reasons` of what is kept, oldest first.
pub(crate) fn told(facts: &[Fact], judgement: &Judgement) -> Vec<String> {
    let mut sorted: Vec<&Fact> = facts.iter().collect();
    sorted.sort_by_key(|fact| (fact.started, fact.sequence));
    let kept = sorted.iter().filter(|fact| judgement.fates[&fact.id].is_kept());
    kept.map(|fact| format!("{:.0}: {}", fact.started, judgement.fates[&fact.id])).collect()
}

/// The moments of what is kept, oldest first.
pub(crate) fn moments(facts: &[Fact], judgement: &Judgement) -> Vec<String> {
    told(facts, judgement).iter().map(|line| line.split_once("Z: ").unwrap().0.to_string() + "Z").collect()
}

/// The alerts in words.
pub(crate) fn warned(judgement: &Judgement) -> Vec<String> {
    judgement.alerts.iter().map(Alert::to_string).collect()
}
