//! Snapshots that are much smaller than the last good one: a disk that is gone must not push history out.

use dozo_job::Size;
use dozo_job::retention::{Fact, Finding, Floods, Period, Rules, judge};
use dozo_repository::format::snapshot::Status;

use crate::house::{at, every, judged, moments, n, newest, plain, policy, told, warned};

const NOW: &str = "2026-11-24T12:00:00Z";

fn last(number: u32) -> Rules {
    Rules { last: Some(n(number)), ..plain("UTC") }
}

/// A daily job; from the n-th on all are suspicious.
fn gone_from(number: usize) -> Vec<Fact> {
    let mut facts = every(24, "2026-11-01T02:00:00Z", 24);
    facts.iter_mut().skip(number).for_each(|fact| fact.suspicious = true);
    facts
}

/// F9: the mount is gone for twenty days, and the full ones stay.
#[test]
fn the_full_ones_stay_while_the_disk_is_gone() {
    let rules = Rules { calendar: vec![newest(Period::Day, 2)], ..last(1) };
    assert_eq!(
        told(&gone_from(4), &judged(&gone_from(4), &rules, at(NOW))),
        [
            "2026-11-03T02:00:00Z: daily 2026-11-03",
            "2026-11-04T02:00:00Z: last 1; daily 2026-11-04; the newest that is not suspicious; the newest complete",
            "2026-11-23T02:00:00Z: daily 2026-11-23 of the suspicious ones that no other followed",
            "2026-11-24T02:00:00Z: last 1 of the suspicious ones that no other followed; daily 2026-11-24 of the \
             suspicious ones that no other followed; the newest",
        ]
    );
    let warned = warned(&judged(&gone_from(4), &rules, at(NOW)));
    assert!(warned.len() == 1 && warned[0].contains("the newest 20 snapshots are suspicious"), "{warned:?}");
}

#[test]
fn when_the_disk_is_back_the_suspicious_ones_go() {
    let mut facts = gone_from(4);
    facts[23].suspicious = false;
    let judgement = judged(&facts, &last(2), at(NOW));
    assert_eq!(moments(&facts, &judgement), ["2026-11-04T02:00:00Z", "2026-11-24T02:00:00Z"]);
    assert_eq!(judgement.alerts, []);
}

/// A job that never reads its last file has partial snapshots alone: they are not pushed out either.
#[test]
fn partial_ones_are_not_pushed_out_by_suspicious_ones() {
    let mut facts = gone_from(10);
    facts.iter_mut().for_each(|fact| fact.status = Status::Partial);
    let kept = moments(&facts, &judged(&facts, &last(2), at(NOW)));
    let expected = ["2026-11-09T02:00:00Z", "2026-11-10T02:00:00Z", "2026-11-23T02:00:00Z", "2026-11-24T02:00:00Z"];
    assert_eq!(kept, expected);
}

#[test]
fn what_is_accepted_pushes_out_a_few_days_later() {
    let mut facts = gone_from(20);
    let rules = Rules { superseded_for: None, ..last(1) };
    facts[23].accepted = Some(at("2026-11-24T10:00:00Z"));
    let kept = |facts: &[Fact], now: &str| moments(facts, &judged(facts, &rules, at(now)));
    assert!(kept(&facts, NOW).contains(&"2026-11-20T02:00:00Z".to_string()));
    assert!(kept(&facts, "2026-11-27T09:00:00Z").contains(&"2026-11-20T02:00:00Z".to_string()));
    assert_eq!(kept(&facts, "2026-11-27T11:00:00Z"), ["2026-11-24T02:00:00Z"]);
    assert_eq!(judged(&facts, &rules, at(NOW)).alerts, []);
}

#[test]
fn a_drop_that_its_host_hides_is_an_alert_and_deletes_no_sooner() {
    let mut facts = every(24, "2026-11-01T02:00:00Z", 24);
    facts[23].size = Size { entries: Some(3), bytes: Some(100) };
    let policy = policy(last(2), Floods::Halt);
    let judgement = judge(&facts, &policy, at(NOW));
    assert_eq!(judgement.alerts.iter().map(|alert| alert.finding).collect::<Vec<_>>(), [Finding::Shrunk(facts[23].id)]);
    assert!(warned(&judgement)[0].contains("its host did not find that suspicious"));
    let deleted = judgement.deleted().count();
    for (change, expected) in [
        // Its operator turned the comparison off, or allows more.
        ((|facts| facts[23].limit = None) as fn(&mut [Fact]), 0),
        (|facts| facts[23].limit = Some(99), 1),
        // A handful of files.
        (
            |facts| {
                facts.iter_mut().for_each(|fact| fact.size = Size { entries: Some(19), bytes: None });
                facts[23].size = Size { entries: Some(1), bytes: None };
            },
            0,
        ),
        // It came longer ago than anybody is told of: it is what the job is like by now.
        (|facts| facts[10..].iter_mut().for_each(|fact| fact.size = Size { entries: Some(3), bytes: Some(100) }), 0),
    ] {
        let mut facts = facts.clone();
        change(&mut facts);
        let judgement = judge(&facts, &policy, at(NOW));
        assert_eq!(judgement.alerts.len(), expected, "{:?}", judgement.alerts);
        assert_eq!(judgement.deleted().count(), deleted);
    }
}
