//! Each rule alone: what it keeps of a few snapshots, and what it says.

use dozo_job::retention::{Fate, Period, Reach, Retention, Rules, judge};
use dozo_repository::JobUid;

use crate::house::{at, every, judged, moments, n, newest, plain, policy, series, stretch, told};

const NOW: &str = "2026-11-24T12:00:00Z";

/// Twice a day, with a day missing.
fn some() -> Vec<dozo_job::retention::Fact> {
    series(&[
        "2026-11-20T02:00:00Z",
        "2026-11-20T14:00:00Z",
        "2026-11-21T02:00:00Z",
        "2026-11-23T02:00:00Z",
        "2026-11-23T14:00:00Z",
        "2026-11-24T02:00:00Z",
    ])
}

#[test]
fn each_rule_keeps_what_it_says() {
    let calendar = |period, reach| Rules { calendar: vec![(period, reach)], ..plain("UTC") };
    let tail = ["2026-11-24T02:00:00Z: the newest; the newest complete"];
    let table: Vec<(&str, Rules, Vec<&str>)> = vec![
        (
            "last",
            Rules { last: Some(n(2)), ..plain("UTC") },
            vec!["2026-11-23T14:00:00Z: last 2", "2026-11-24T02:00:00Z: last 2; the newest; the newest complete"],
        ),
        (
            "within",
            Rules { within: Some(stretch("34h")), ..plain("UTC") },
            vec![
                "2026-11-23T02:00:00Z: within 34h",
                "2026-11-23T14:00:00Z: within 34h",
                "2026-11-24T02:00:00Z: within 34h; the newest; the newest complete",
            ],
        ),
        (
            "hourly",
            calendar(Period::Hour, Reach::Newest(n(2))),
            vec![
                "2026-11-23T14:00:00Z: hourly 2026-11-23T14+00",
                "2026-11-24T02:00:00Z: hourly 2026-11-24T02+00; the newest; the newest complete",
            ],
        ),
        (
            "daily: the newest of each, and days without one do not count",
            calendar(Period::Day, Reach::Newest(n(3))),
            vec![
                "2026-11-21T02:00:00Z: daily 2026-11-21",
                "2026-11-23T14:00:00Z: daily 2026-11-23",
                "2026-11-24T02:00:00Z: daily 2026-11-24; the newest; the newest complete",
            ],
        ),
        (
            "weekly: from Monday",
            calendar(Period::Week, Reach::Newest(n(9))),
            vec![
                "2026-11-21T02:00:00Z: weekly 2026-W47",
                "2026-11-24T02:00:00Z: weekly 2026-W48; the newest; the newest complete",
            ],
        ),
        (
            "within_daily",
            calendar(Period::Day, Reach::Within(stretch("2d"))),
            vec![
                "2026-11-23T14:00:00Z: daily 2026-11-23",
                "2026-11-24T02:00:00Z: daily 2026-11-24; the newest; the newest complete",
            ],
        ),
        ("tagged, with nothing tagged", Rules { tagged: vec!["release".into()], ..plain("UTC") }, tail.to_vec()),
    ];
    for (name, rules, expected) in table {
        assert_eq!(told(&some(), &judged(&some(), &rules, at(NOW))), expected, "{name}");
    }
}

#[test]
fn months_and_years_keep_their_last() {
    let facts = every(24, "2024-01-01T00:00:00Z", 1000);
    let now = at("2026-09-26T12:00:00Z");
    let rules = Rules { calendar: vec![newest(Period::Month, 3), newest(Period::Year, 9)], ..plain("UTC") };
    assert_eq!(
        told(&facts, &judged(&facts, &rules, now)),
        [
            "2024-12-31T00:00:00Z: yearly 2024",
            "2025-12-31T00:00:00Z: yearly 2025",
            "2026-07-31T00:00:00Z: monthly 2026-07",
            "2026-08-31T00:00:00Z: monthly 2026-08",
            "2026-09-26T00:00:00Z: monthly 2026-09; yearly 2026; the newest; the newest complete",
        ]
    );
}

#[test]
fn sundays_and_the_first_of_the_month_stand_for_theirs() {
    let mut facts = every(24, "2026-08-20T02:00:00Z", 50);
    let now = at("2026-10-08T12:00:00Z");
    let rules = Rules {
        calendar: vec![newest(Period::Week, 4), newest(Period::Month, 3)],
        weekly_on: Some(jiff::civil::Weekday::Sunday),
        monthly_on: Some(1),
        ..plain("UTC")
    };
    let kept = |facts: &[_]| moments(facts, &judged(facts, &rules, now));
    assert_eq!(
        kept(&facts),
        [
            "2026-08-31T02:00:00Z", // August has no first here: its newest stands for it.
            "2026-09-01T02:00:00Z",
            "2026-09-20T02:00:00Z",
            "2026-09-27T02:00:00Z",
            "2026-10-01T02:00:00Z",
            "2026-10-04T02:00:00Z",
            "2026-10-08T02:00:00Z", // This week has no Sunday yet.
        ]
    );
    // A Sunday that failed: the Saturday before stands for the week.
    facts.retain(|fact| fact.started != at("2026-09-27T02:00:00Z"));
    assert!(kept(&facts).contains(&"2026-09-26T02:00:00Z".to_string()));
}

#[test]
fn a_day_in_the_middle_of_the_week_stands_for_it_when_it_comes() {
    let rules = Rules {
        calendar: vec![newest(Period::Week, 4)],
        weekly_on: Some(jiff::civil::Weekday::Wednesday),
        ..plain("UTC")
    };
    let facts = every(24, "2026-11-16T02:00:00Z", 7);
    let kept = |days: usize, now| moments(&facts[..days], &judged(&facts[..days], &rules, at(now)));
    assert_eq!(kept(2, "2026-11-17T12:00:00Z"), ["2026-11-17T02:00:00Z"]);
    assert_eq!(kept(3, "2026-11-18T12:00:00Z"), ["2026-11-18T02:00:00Z"]);
    assert_eq!(kept(7, "2026-11-22T12:00:00Z"), ["2026-11-18T02:00:00Z", "2026-11-22T02:00:00Z"]);
}

#[test]
fn a_month_without_its_day_keeps_its_last() {
    let rules = Rules { calendar: vec![newest(Period::Month, 9)], monthly_on: Some(31), ..plain("UTC") };
    let facts = every(24, "2026-01-25T02:00:00Z", 45);
    let kept = moments(&facts, &judged(&facts, &rules, at("2026-03-11T00:00:00Z")));
    assert_eq!(kept, ["2026-01-31T02:00:00Z", "2026-02-28T02:00:00Z", "2026-03-10T02:00:00Z"]);
}

#[test]
fn weeks_at_the_turn_of_the_year_belong_to_one_year() {
    let rules = Rules { calendar: vec![newest(Period::Week, 9)], ..plain("UTC") };
    let facts = every(24, "2026-12-27T02:00:00Z", 9);
    assert_eq!(
        told(&facts, &judged(&facts, &rules, at("2027-01-05T00:00:00Z"))),
        [
            "2026-12-27T02:00:00Z: weekly 2026-W52",
            "2027-01-03T02:00:00Z: weekly 2026-W53",
            "2027-01-04T02:00:00Z: weekly 2027-W01; the newest; the newest complete",
        ]
    );
}

#[test]
fn tagged_snapshots_stay_partial_ones_too() {
    let mut facts = some();
    facts[0].tags = vec!["release".into(), "v2".into()];
    facts[1].tags = vec!["releases".into()];
    facts[2].tags = vec!["release".into()];
    facts[2].status = dozo_repository::format::snapshot::Status::Partial;
    let rules = Rules { tagged: vec!["release".into()], ..plain("UTC") };
    assert_eq!(
        told(&facts, &judged(&facts, &rules, at(NOW))),
        [
            "2026-11-20T02:00:00Z: tagged `release`",
            "2026-11-21T02:00:00Z: tagged `release`",
            "2026-11-24T02:00:00Z: the newest; the newest complete",
        ]
    );
}

#[test]
fn nothing_is_deleted_where_nobody_said_so() {
    let mut policy = policy(plain("UTC"), dozo_job::retention::Floods::Halt);
    // No default policy steps in for one that is missing or says nothing (pg_hardstorage: `keep_monthly` was dropped).
    for (retention, reason) in [
        (Retention::Unsaid, "this configuration has no such job, and no `others` in [prune], the retention of those"),
        (Retention::By(plain("UTC")), "no retention is configured"),
        (Retention::Forever, "kept for ever"),
    ] {
        policy.others = retention;
        let judgement = judge(&some(), &policy, at(NOW));
        assert_eq!(told(&some(), &judgement).len(), some().len());
        assert!(judgement.fates.values().all(|fate| fate.to_string() == reason), "{reason}");
    }
}

/// plakar 1.1.4: the grouping was dropped, and caps counted for all sources together. backrest 1.14.1: the retention of
/// one plan was not looked at.
#[test]
fn every_job_of_every_host_is_judged_alone_by_its_own_rules() {
    let mut facts = every(24, "2026-10-01T02:00:00Z", 40);
    let (mine, other) = (JobUid([2; 16]), JobUid([3; 16]));
    for fact in facts.iter_mut().skip(20) {
        fact.job.uid = other;
    }
    let mut policy = policy(Rules { last: Some(n(3)), ..plain("UTC") }, dozo_job::retention::Floods::Explained);
    policy.jobs.insert(mine, Retention::By(Rules { last: Some(n(5)), ..plain("UTC") }));
    let judgement = judge(&facts, &policy, at("2026-11-20T00:00:00Z"));
    let kept = |job| facts.iter().filter(|f| f.job.uid == job && judgement.fates[&f.id].is_kept()).count();
    assert_eq!((kept(mine), kept(other)), (5, 3));
}

#[test]
fn what_may_go_names_what_stays_in_its_place() {
    let rules = Rules { calendar: vec![newest(Period::Day, 2)], ..plain("UTC") };
    let facts = some();
    let judgement = judged(&facts, &rules, at(NOW));
    let Fate::Delete(why) = &judgement.fates[&facts[3].id] else { panic!("it is not the newest of its day") };
    assert_eq!(why.by, facts[4].id);
    let short = facts[4].id.short();
    assert_eq!(why.to_string(), format!("no rule keeps it; superseded by {short} of 2026-11-23T14:00:00Z"));
    assert_eq!(judgement.deleted().count(), 4);
}

#[test]
fn rules_read_as_they_are_written() {
    let rules = Rules {
        last: Some(n(3)),
        within: Some(stretch("14d")),
        calendar: vec![
            newest(Period::Day, 30),
            newest(Period::Week, 12),
            (Period::Month, Reach::Within(stretch("1y"))),
        ],
        tagged: vec!["release".into()],
        weekly_on: Some(jiff::civil::Weekday::Sunday),
        monthly_on: Some(1),
        ..plain("Asia/Tokyo")
    };
    let text = "last 3, within 14d, daily 30, weekly 12 on Sunday, monthly within 1y on day 1, tagged `release`, in Asia/Tokyo";
    assert_eq!(rules.to_string(), text);
}

#[test]
fn stretches_are_hours_to_years() {
    for good in ["36h", "14d", "2w", "6mo", "1y", "1y 6mo"] {
        assert_eq!(dozo_job::retention::Stretch::new(good.parse().unwrap()).unwrap().to_string(), good);
    }
    // `6m` is six minutes to a machine and half a year to an operator who comes from elsewhere.
    for bad in ["6m", "1h 30m", "90s", "-3d", "3d ago"] {
        assert!(dozo_job::retention::Stretch::new(bad.parse().unwrap()).is_err(), "{bad}");
    }
    // Longer than time: everything lies within it.
    let rules = Rules { within: Some(stretch("19000y")), ..plain("UTC") };
    assert_eq!(judged(&some(), &rules, at(NOW)).deleted().count(), 0);
}

#[test]
fn nothing_is_nothing() {
    let judgement = judged(&[], &plain("UTC"), at(NOW));
    assert!(judgement.fates.is_empty() && judgement.alerts.is_empty());
}
