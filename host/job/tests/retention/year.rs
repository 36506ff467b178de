//! A year of hourly runs, pruned every evening: what is left is what can be counted on the fingers.

use std::collections::BTreeSet;

use dozo_job::retention::{Fact, Floods, Period, Rules, judge};
use jiff::SignedDuration;

use crate::house::{at, every, newest, policy, rules};

fn usual() -> Rules {
    let calendar = [(Period::Hour, 24), (Period::Day, 30), (Period::Week, 12), (Period::Month, 12), (Period::Year, 7)];
    Rules { calendar: calendar.map(|(period, number)| newest(period, number)).to_vec(), ..rules("UTC") }
}

#[test]
fn a_year_of_hourly_runs_leaves_what_was_counted_by_hand() {
    let runs = every(1, "2026-01-01T00:00:00Z", 365 * 24);
    let policy = policy(usual(), Floods::Halt);
    let mut left: Vec<Fact> = Vec::new();
    let mut counts = Vec::new();
    for day in 0..365 {
        left.extend_from_slice(&runs[day * 24..(day + 1) * 24]);
        let evening = at("2026-01-01T23:30:00Z") + SignedDuration::from_hours(24) * i32::try_from(day).unwrap();
        let judgement = judge(&left, &policy, evening);
        assert!(judgement.alerts.is_empty(), "an even pace is no flood: {:?} on {evening}", judgement.alerts);
        left.retain(|fact| judgement.fates[&fact.id].is_kept());
        counts.push(left.len());
    }
    // 10 January: all hours of the last 3 days (72), and of the day before them, which are the newest 24 hours but for
    // those (24); one for each of 6 days before. Weeks and months are among the days.
    assert_eq!(counts[9], 72 + 24 + 6);
    // 30 June: 72 + 24; the days from 29 May to 26 June (29): 30 days but for the last three reach so far back. Sundays
    // before: 24, 17, 10, 3 May; 26, 19, 12 April (7). Ends of January to April (4).
    assert_eq!(counts[180], 72 + 24 + 29 + 7 + 4);
    // 31 December: 72 + 24; 29 November to 27 December (29); Sundays 22, 15, 8, 1 November, 25, 18 October (6); the
    // ends of January to October (10); the year's is the newest.
    assert_eq!(counts[364], 72 + 24 + 29 + 6 + 10);
    // Never more than 72 + 24, 29 days, 8 of 13 weeks and 11 of 12 months that no day of these stands for.
    assert!(counts.iter().all(|count| *count <= 72 + 24 + 29 + 8 + 11), "{counts:?}");

    let once = judge(&runs, &policy, at("2026-12-31T23:30:00Z"));
    let once: BTreeSet<_> = runs.iter().filter(|fact| once.fates[&fact.id].is_kept()).map(|fact| fact.id).collect();
    assert_eq!(left.iter().map(|fact| fact.id).collect::<BTreeSet<_>>(), once, "pruned once or every evening");
}

#[test]
fn a_year_of_daily_runs_leaves_what_was_counted_by_hand() {
    let runs = every(24, "2026-01-01T02:00:00Z", 365);
    // 31 December: the days from 29 November on (33): 30 days but for the last three; then Sundays and ends of months
    // as above.
    let judgement = judge(&runs, &policy(usual(), Floods::Halt), at("2026-12-31T23:30:00Z"));
    assert_eq!(judgement.fates.len() - judgement.deleted().count(), 33 + 6 + 10);
}
