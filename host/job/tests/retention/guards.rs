//! What stays whatever the rules say, and what deletes nothing whatever it claims.

use dozo_job::retention::{Fact, Finding, Floods, Period, Rules, judge};
use dozo_repository::HostUid;
use dozo_repository::format::snapshot::Status;
use jiff::SignedDuration;

use crate::house::{
    at, complete, every, judged, moments, n, newest, plain, policy, rules, series, stretch, told, warned,
};

const NOW: &str = "2026-11-24T12:00:00Z";

fn last(number: u32) -> Rules {
    Rules { last: Some(n(number)), ..plain("UTC") }
}

fn reasons(fact: &Fact, judgement: &dozo_job::retention::Judgement) -> String {
    judgement.fates[&fact.id].to_string()
}

/// Skyfay/DBackup#154: a run that read nothing was a success, and retention deleted a real backup for it. nfrastack
/// #479: a failed run, and older good ones were pruned.
#[test]
fn a_partial_snapshot_takes_no_place_of_a_complete_one() {
    let mut facts = every(24, "2026-11-01T02:00:00Z", 24);
    for fact in facts.iter_mut().skip(4) {
        fact.status = Status::Partial;
    }
    let rules = Rules { calendar: vec![newest(Period::Day, 2)], ..last(1) };
    assert_eq!(
        told(&facts, &judged(&facts, &rules, at(NOW))),
        [
            "2026-11-03T02:00:00Z: daily 2026-11-03",
            "2026-11-04T02:00:00Z: last 1; daily 2026-11-04; the newest complete",
            "2026-11-23T02:00:00Z: daily 2026-11-23 of the partial ones that no complete one followed",
            "2026-11-24T02:00:00Z: last 1 of the partial ones that no complete one followed; daily 2026-11-24 of the \
         partial ones that no complete one followed; the newest",
        ]
    );
    // When a complete one comes, the partial ones before it have done their duty.
    facts[23].status = Status::Complete;
    assert_eq!(moments(&facts, &judged(&facts, &rules, at(NOW))), ["2026-11-04T02:00:00Z", "2026-11-24T02:00:00Z"]);
}

#[test]
fn the_newest_verified_and_what_is_held_stay() {
    let mut facts = every(24, "2026-11-01T02:00:00Z", 24);
    facts[2].verified = true;
    facts[5].verified = true;
    facts[6].verified = true;
    facts[6].status = Status::Partial;
    facts[8].held = true;
    assert_eq!(
        told(&facts, &judged(&facts, &last(1), at(NOW))),
        [
            "2026-11-06T02:00:00Z: the newest verified",
            "2026-11-07T02:00:00Z: the newest verified",
            "2026-11-09T02:00:00Z: held",
            "2026-11-24T02:00:00Z: last 1; the newest; the newest complete",
        ]
    );
}

#[test]
fn the_newest_stays_when_everything_is_old() {
    let facts = every(24, "2020-01-01T00:00:00Z", 9);
    let rules = Rules { within: Some(stretch("14d")), ..plain("UTC") };
    assert_eq!(
        told(&facts, &judged(&facts, &rules, at(NOW))),
        ["2020-01-09T00:00:00Z: the newest; the newest complete"]
    );
}

/// kopia's manual: with clocks that differ it can delete its own data.
#[test]
fn times_that_are_not_the_stores_count_for_nothing_and_stay() {
    let mut facts = series(&["2026-11-10T02:00:00Z", "2026-11-11T02:00:00Z", "2026-11-12T02:00:00Z"]);
    let odd = |started: &str, arrived: &str, sequence| Fact { arrived: at(arrived), ..complete(at(started), sequence) };
    facts.push(odd("2036-01-01T00:00:00Z", "2026-11-12T03:00:00Z", 4));
    facts.push(odd("1970-01-01T00:00:00Z", "2026-11-12T04:00:00Z", 5));
    facts.push(odd("2026-11-12T05:00:00Z", "2026-11-19T05:00:00Z", 6)); // a run of seven days
    facts.push(odd("2026-11-12T06:30:00Z", "2026-11-12T05:30:00Z", 7)); // a clock that is an hour ahead
    let judgement = judged(&facts, &last(3), at(NOW));
    assert_eq!(
        told(&facts, &judgement),
        [
            "1970-01-01T00:00:00Z: it arrived long after its time: retention leaves it alone",
            "2026-11-12T02:00:00Z: last 3",
            "2026-11-12T05:00:00Z: last 3",
            "2026-11-12T06:30:00Z: last 3; the newest; the newest complete",
            "2036-01-01T00:00:00Z: its time is in the future (clock?): retention leaves it alone",
        ]
    );
    assert_eq!(judgement.alerts.len(), 1);
    assert_eq!(judgement.alerts[0].finding, Finding::WrongTime(2));
    assert!(
        warned(&judgement)[0].starts_with("job `files` of host `db-1`: the time of 2 snapshots is not the store's")
    );
}

/// A store on the machine's own disk arrives with its wrong clock.
#[test]
fn what_is_later_than_now_counts_for_nothing_and_stays() {
    let mut facts = every(24, "2026-11-01T02:00:00Z", 5);
    facts.push(complete(at("2028-11-12T03:00:00Z"), 6));
    let judgement = judged(&facts, &last(2), at(NOW));
    let future = "its time is in the future (clock?): retention leaves it alone";
    assert_eq!(reasons(&facts[5], &judgement), future);
    assert!(reasons(&facts[4], &judgement).starts_with("last 2; the newest; the newest complete"));
    assert_eq!(judgement.alerts[0].finding, Finding::WrongTime(1));
}

#[test]
fn what_came_after_its_host_was_removed_is_not_believed() {
    let mut facts = every(24, "2026-11-01T02:00:00Z", 24);
    facts[21].held = true;
    let mut policy = policy(last(2), Floods::Explained);
    policy.removed.insert(HostUid([9; 8]), at("2020-01-01T00:00:00Z"));
    policy.removed.insert(HostUid([1; 8]), at("2026-11-20T02:10:00Z"));
    let judgement = judge(&facts, &policy, at(NOW));
    assert_eq!(reasons(&facts[18], &judgement), "last 2");
    assert_eq!(reasons(&facts[19], &judgement), "last 2; the newest; the newest complete");
    assert_eq!(reasons(&facts[20], &judgement), "it came after its host was removed: retention leaves it alone");
    assert!(reasons(&facts[21], &judgement).starts_with("held; it came after"));
    assert_eq!(judgement.deleted().count(), 18);
    assert_eq!(judgement.alerts[0].finding, Finding::HostRemoved(4));
}

#[test]
fn what_was_superseded_stays_for_a_few_days() {
    let facts = every(24, "2026-11-01T02:00:00Z", 24);
    let rules = Rules { superseded_for: None, ..last(2) };
    assert_eq!(
        told(&facts, &judged(&facts, &rules, at(NOW))),
        [
            "2026-11-20T02:00:00Z: last 2, but for what arrived within 3d",
            "2026-11-21T02:00:00Z: last 2, but for what arrived within 3d; the newest, but for what arrived within 3d; \
         the newest complete, but for what arrived within 3d",
            "2026-11-22T02:00:00Z: arrived within 3d",
            "2026-11-23T02:00:00Z: last 2; arrived within 3d",
            "2026-11-24T02:00:00Z: last 2; the newest; the newest complete; arrived within 3d",
        ]
    );
    let longer = Rules { superseded_for: Some(stretch("10d")), ..last(2) };
    assert_eq!(moments(&facts, &judged(&facts, &longer, at(NOW))).len(), 12);
}

/// A daily job of 40 days, and forged snapshots of the last day.
fn flooded(forged: u64) -> Vec<Fact> {
    let mut facts = every(24, "2026-10-15T02:00:00Z", 40);
    let forge = |n: u64| complete(at("2026-11-23T12:00:00Z") + SignedDuration::from_mins(10) * n as i32, 41 + n);
    facts.extend((0..forged).map(forge));
    facts
}

#[test]
fn a_flood_halts_the_retention_of_its_job_and_says_so() {
    let rules = Rules { calendar: vec![newest(Period::Day, 10)], ..rules("UTC") };
    let facts = flooded(97);
    let judgement = judge(&facts, &policy(rules.clone(), Floods::Halt), at(NOW));
    assert_eq!(judgement.deleted().count(), 0);
    assert!(reasons(&facts[0], &judgement).starts_with("far more than usual arrived"));
    assert_eq!(judgement.alerts[0].finding, Finding::Flood { arrived: 99, usual: 3 });
    assert!(warned(&judgement)[0].starts_with(
        "job `files` of host `db-1`: 99 snapshots arrived in 3 days, where 3 are usual; nothing of it is deleted"
    ));
    // Another job of the host goes on.
    let mut both = facts.clone();
    both.extend(flooded(0).into_iter().map(|mut fact| {
        fact.job.uid = dozo_repository::JobUid([7; 16]);
        fact.id = dozo_repository::ObjectId::of(&fact.id.0);
        fact
    }));
    assert!(judge(&both, &policy(rules.clone(), Floods::Halt), at(NOW)).deleted().count() > 0);
    // Somebody looked.
    let explained = judge(&facts, &policy(rules, Floods::Explained), at(NOW));
    assert!(explained.deleted().count() > 0 && explained.alerts.is_empty());
}

#[test]
fn a_few_runs_by_hand_are_no_flood() {
    let rules = Rules { calendar: vec![newest(Period::Day, 10)], ..rules("UTC") };
    for (forged, halted) in [(0, false), (15, false), (22, true)] {
        let judgement = judge(&flooded(forged), &policy(rules.clone(), Floods::Halt), at(NOW));
        assert_eq!(!judgement.alerts.is_empty(), halted, "{forged}");
    }
}

/// Retention itself thins what is older: two hours a day of an hourly job are left, and that is no slower a job.
#[test]
fn what_retention_thinned_is_no_flood() {
    for left in [1, 2, 24 * 7] {
        let mut facts = every(1, "2026-10-01T00:00:00Z", 24 * 54);
        let settled = at("2026-11-20T12:00:00Z");
        facts.retain(|fact| fact.arrived > settled || fact.sequence % left == 0);
        let judgement = judge(&facts, &policy(Rules { last: Some(n(9)), ..rules("UTC") }, Floods::Halt), at(NOW));
        assert_eq!(warned(&judgement), Vec::<String>::new(), "one in {left}");
    }
}

#[test]
fn one_forged_number_does_not_blind_the_guard() {
    let mut facts = flooded(97);
    // It lay there for longer than the guard looks back, and claims that a million were made.
    facts[30].sequence = 1_000_000;
    for (fact, n) in facts[31..].iter_mut().zip(1_000_001..) {
        fact.sequence = n;
    }
    let judgement = judge(&facts, &policy(last(9), Floods::Halt), at(NOW));
    assert!(matches!(judgement.alerts[0].finding, Finding::Flood { arrived: 99, .. }), "{:?}", judgement.alerts);
}

#[test]
fn a_young_job_is_no_flood() {
    for hours in [1_u64, 30, 80, 100, 200] {
        let facts = every(1, "2026-11-10T00:00:00Z", hours);
        let now = facts.last().unwrap().arrived + SignedDuration::from_mins(20);
        let judgement = judge(&facts, &policy(Rules { last: Some(n(9)), ..rules("UTC") }, Floods::Halt), now);
        assert_eq!(warned(&judgement), Vec::<String>::new(), "after {hours} hours");
    }
}
