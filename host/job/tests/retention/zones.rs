//! Days are those of a named zone, also when they have 23 or 25 hours. Local time and its changes picked the wrong
//! daily elsewhere: restic#2233, restic#4484, borg#1980, borg#7282, backrest#330.

use dozo_job::retention::{Fact, Period, Rules};
use jiff::SignedDuration;

use crate::house::{at, complete, every, judged, moments, newest, plain, told};

fn by(zone: &str, period: Period) -> Rules {
    Rules { calendar: vec![newest(period, 1000)], ..plain(zone) }
}

/// A snapshot each quarter of an hour between two moments.
fn quarters(from: &str, to: &str) -> Vec<Fact> {
    let mut moment = at(from);
    let mut facts = Vec::new();
    while moment < at(to) {
        facts.push(complete(moment, facts.len() as u64 + 1));
        moment += SignedDuration::from_mins(15);
    }
    facts
}

#[test]
fn a_night_belongs_to_the_day_of_its_zone() {
    // 00:30 in Tokyo is the afternoon before in Greenwich; 23:30 in New York is the morning after.
    for (zone, daily, label) in [
        ("Asia/Tokyo", "2026-11-21T15:30:00Z", "daily 2026-11-22"),
        ("UTC", "2026-11-21T15:30:00Z", "daily 2026-11-21"),
        ("America/New_York", "2026-11-22T04:30:00Z", "daily 2026-11-21"),
    ] {
        let facts = vec![complete(at(daily), 1), complete(at("2026-11-25T00:00:00Z"), 2)];
        let lines = told(&facts, &judged(&facts, &by(zone, Period::Day), at("2026-11-26T00:00:00Z")));
        assert_eq!(lines[0], format!("{daily}: {label}"), "{zone}");
    }
}

#[test]
fn days_of_23_and_25_hours_keep_one_daily_and_each_hour() {
    // From local midnight to local midnight. Hours that come twice are two; half hours of Lord Howe are their own.
    for (zone, from, to, hours, length) in [
        ("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25, "25h"),
        ("Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 23, "23h"),
        ("America/New_York", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z", 25, "25h"),
        ("America/New_York", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", 23, "23h"),
        ("Australia/Lord_Howe", "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z", 25, "24h 30m"),
        ("Australia/Lord_Howe", "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z", 24, "23h 30m"),
    ] {
        assert_eq!(format!("{:#}", at(to).duration_since(at(from))), length);
        let facts = quarters(from, to);
        let last = facts.last().unwrap().started;
        let now = at(to) + SignedDuration::from_hours(1);
        let kept = moments(&facts, &judged(&facts, &by(zone, Period::Day), now));
        assert_eq!(kept, [last.to_string()], "{zone} from {from}: one day, and its newest");
        let kept = moments(&facts, &judged(&facts, &by(zone, Period::Hour), now));
        assert_eq!(kept.len(), hours, "{zone} from {from}: {kept:?}");
    }
}

#[test]
fn an_hour_that_comes_twice_says_which() {
    let facts = quarters("2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z");
    let lines = told(&facts, &judged(&facts, &by("Europe/Berlin", Period::Hour), at("2026-10-25T03:00:00Z")));
    assert_eq!(
        lines,
        [
            "2026-10-25T00:45:00Z: hourly 2026-10-25T02+02",
            "2026-10-25T01:45:00Z: hourly 2026-10-25T02+01; the newest; the newest complete",
        ]
    );
    // The second of the two is the newer, whatever its clock says.
    let one = Rules { calendar: vec![newest(Period::Hour, 1)], ..plain("Europe/Berlin") };
    assert_eq!(moments(&facts, &judged(&facts, &one, at("2026-10-25T03:00:00Z"))), ["2026-10-25T01:45:00Z"]);
}

/// A daily run at two in the morning of Berlin, where two in the morning does not come or comes twice.
#[test]
fn no_day_is_lost_over_a_year_of_local_nights() {
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    let first = jiff::civil::date(2026, 1, 1).at(2, 30, 0, 0);
    let night = |n: i64| (first + jiff::Span::new().days(n)).to_zoned(zone.clone()).unwrap().timestamp();
    let facts: Vec<Fact> = (0..365).map(|n| complete(night(n), n.unsigned_abs() + 1)).collect();
    let kept = moments(&facts, &judged(&facts, &by("Europe/Berlin", Period::Day), at("2027-01-01T00:00:00Z")));
    assert_eq!(kept.len(), 365);
}

#[test]
fn a_stretch_of_days_is_one_of_the_calendar() {
    // Two days before Monday noon in Berlin is Saturday noon, 49 hours earlier, because the clocks were put back.
    let facts = every(1, "2026-10-24T08:00:00Z", 51);
    let rules = Rules { within: Some(crate::house::stretch("2d")), ..plain("Europe/Berlin") };
    let kept = moments(&facts, &judged(&facts, &rules, at("2026-10-26T11:00:00Z")));
    assert_eq!((kept[0].as_str(), kept.len()), ("2026-10-24T10:00:00Z", 49));
}
