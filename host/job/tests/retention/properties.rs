//! What holds for all snapshots and all rules.

use std::collections::BTreeSet;

use dozo_job::retention::{Fact, Floods, Judgement, Period, Reach, Rules, Stretch, judge};
use dozo_repository::ObjectId;
use dozo_repository::format::snapshot::Status;
use jiff::{SignedDuration, Span, Timestamp};
use proptest::prelude::*;

use crate::house::{at, complete, judged, n, policy, rules};

const DAYS: i64 = 100;

fn now() -> Timestamp {
    at("2026-11-24T12:00:00Z")
}

/// A snapshot of some moment in the last days: most arrive soon, some have a time that is not the store's.
fn fact(arrived_minutes_ago: impl Strategy<Value = i64>) -> impl Strategy<Value = Fact> {
    let delay = prop_oneof![8 => 0..300_i64, 1 => -200..0_i64, 1 => 0..20_000_i64];
    let flags = (any::<bool>(), prop::bool::weighted(0.7), prop::bool::weighted(0.05), prop::bool::weighted(0.1));
    let guard = (prop::bool::weighted(0.2), prop::option::weighted(0.3, 0..DAYS * 24 * 60));
    (arrived_minutes_ago, delay, 0..1000_u64, flags, guard).prop_map(
        |(ago, delay, sequence, (tagged, whole, held, verified), (suspicious, accepted))| {
            let arrived = now() - SignedDuration::from_mins(ago);
            let mut fact = complete(arrived - SignedDuration::from_mins(delay), sequence);
            let salt = format!("{ago} {delay} {sequence} {tagged} {whole} {held} {verified} {suspicious} {accepted:?}");
            fact.id = ObjectId::of(salt.as_bytes());
            fact.arrived = arrived;
            fact.status = if whole { Status::Complete } else { Status::Partial };
            fact.tags = if tagged && sequence % 9 == 0 { vec!["release".into()] } else { Vec::new() };
            fact.held = held;
            fact.verified = verified;
            fact.suspicious = suspicious;
            // An acceptance comes after the snapshot.
            let accepted = accepted.map(|ago| (now() - SignedDuration::from_mins(ago)).max(arrived));
            fact.accepted = accepted.filter(|_| suspicious);
            fact
        },
    )
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    prop::collection::vec(fact(0..DAYS * 24 * 60), 0..60)
}

fn some_rules() -> impl Strategy<Value = Rules> {
    let number = || prop::option::weighted(0.4, 1..20_u32);
    let zone = prop::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Tokyo", "Australia/Lord_Howe"]);
    let preferred = (prop::option::of(1..8_i8), prop::option::of(1..32_i8));
    let numbers = prop::array::uniform10(number());
    (zone, numbers, preferred, any::<bool>(), 0..8_i64).prop_map(|(zone, numbers, (weekday, day), tagged, wait)| {
        let days = |n: u32| Stretch::new(Span::new().days(n)).unwrap();
        let periods = [Period::Hour, Period::Day, Period::Week, Period::Month];
        let mut made = rules(zone);
        made.last = numbers[0].map(n);
        made.within = numbers[1].map(days);
        let newest = numbers[2..6].iter().zip(periods);
        made.calendar.extend(newest.filter_map(|(m, period)| m.map(|m| (period, Reach::Newest(n(m))))));
        let within = numbers[6..].iter().zip(periods);
        made.calendar.extend(within.filter_map(|(m, period)| m.map(|m| (period, Reach::Within(days(m))))));
        made.tagged = if tagged { vec!["release".into()] } else { Vec::new() };
        made.weekly_on = weekday.and_then(|day| jiff::civil::Weekday::from_monday_one_offset(day).ok());
        made.monthly_on = day;
        made.superseded_for = Some(Stretch::new(Span::new().days(wait)).unwrap());
        made
    })
}

fn kept(judgement: &Judgement) -> BTreeSet<ObjectId> {
    judgement.fates.iter().filter(|(_, fate)| fate.is_kept()).map(|(id, _)| *id).collect()
}

/// Those whose time can be the store's.
fn believed(facts: &[Fact]) -> Vec<&Fact> {
    let ahead = |fact: &&Fact| fact.started.duration_since(fact.arrived);
    let mut believed: Vec<&Fact> = facts
        .iter()
        .filter(|fact| ahead(fact) <= SignedDuration::from_hours(1) && ahead(fact) >= SignedDuration::from_hours(-168))
        .collect();
    believed.sort_by_key(|fact| (fact.started, fact.arrived, fact.sequence, fact.id));
    believed
}

proptest! {
    #[test]
    fn every_snapshot_has_a_fate_whatever_the_order(
        (facts, shuffled) in facts().prop_flat_map(|facts| (Just(facts.clone()), Just(facts).prop_shuffle())),
        rules in some_rules(),
    ) {
        let policy = policy(rules, Floods::Halt);
        let judgement = judge(&facts, &policy, now());
        prop_assert_eq!(&judgement, &judge(&shuffled, &policy, now()));
        prop_assert_eq!(judgement.fates.len(), facts.iter().map(|fact| fact.id).collect::<BTreeSet<_>>().len());
    }

    #[test]
    fn the_newest_of_each_kind_survive(facts in facts(), rules in some_rules()) {
        let kept = kept(&judged(&facts, &rules, now()));
        let believed = believed(&facts);
        let newest = |wanted: fn(&&&Fact) -> bool| believed.iter().rfind(&wanted).copied();
        for fact in [
            newest(|_| true),
            newest(|fact| fact.is_trusted()),
            newest(|fact| fact.is_trusted() && fact.status == Status::Complete),
            newest(|fact| fact.is_trusted() && fact.verified),
            newest(|fact| fact.is_trusted() && fact.verified && fact.status == Status::Complete),
        ].into_iter().flatten() {
            prop_assert!(kept.contains(&fact.id), "{fact:?}");
        }
        for fact in facts.iter().filter(|fact| fact.held) {
            prop_assert!(kept.contains(&fact.id), "{fact:?}");
        }
    }

    #[test]
    fn one_more_run_deletes_neither_itself_nor_the_newest(facts in facts(), rules in some_rules(), whole in any::<bool>()) {
        let mut more = facts.clone();
        let mut new = complete(now() - SignedDuration::from_mins(5), 5000);
        new.arrived = now();
        new.status = if whole { Status::Complete } else { Status::Partial };
        more.push(new.clone());
        let kept = kept(&judged(&more, &rules, now()));
        prop_assert!(kept.contains(&new.id));
        let newest = believed(&more).last().map(|fact| fact.id);
        prop_assert!(newest.is_none_or(|id| kept.contains(&id)));
    }

    /// With the guard against floods off: what arrived within `superseded_for` deletes nothing by itself.
    #[test]
    fn a_flood_deletes_nothing_that_was_kept_before(
        facts in facts(),
        forged in prop::collection::vec(fact(0..3 * 24 * 60 - 1_i64), 0..80),
        rules in some_rules(),
    ) {
        let rules = Rules { superseded_for: None, ..rules };
        let before = kept(&judged(&facts, &rules, now()));
        let both: Vec<Fact> = facts.iter().chain(&forged).cloned().collect();
        let after = kept(&judged(&both, &rules, now()));
        prop_assert!(before.is_subset(&after), "lost {:?}", before.difference(&after));
    }

    /// Whatever is suspicious and was not accepted: all others are kept as if it were not there.
    #[test]
    fn suspicious_snapshots_push_nothing_out(facts in facts(), rules in some_rules()) {
        let facts: Vec<Fact> = facts.into_iter().map(|fact| Fact { accepted: None, ..fact }).collect();
        let others: Vec<Fact> = facts.iter().filter(|fact| !fact.suspicious).cloned().collect();
        let ids: BTreeSet<ObjectId> = others.iter().map(|fact| fact.id).collect();
        let among_all = kept(&judged(&facts, &rules, now()));
        prop_assert_eq!(kept(&judged(&others, &rules, now())), among_all.intersection(&ids).copied().collect());
    }

    /// An acceptance that came within `superseded_for` deletes nothing that was kept without it.
    #[test]
    fn an_acceptance_deletes_nothing_at_once(facts in facts(), rules in some_rules(), minutes in 0..3 * 24 * 60_i64) {
        let rules = Rules { superseded_for: None, ..rules };
        let before = kept(&judged(&facts, &rules, now()));
        let mut after = facts.clone();
        for fact in after.iter_mut().filter(|fact| fact.suspicious && fact.accepted.is_none()) {
            fact.accepted = Some((now() - SignedDuration::from_mins(minutes)).max(fact.arrived));
        }
        let after = kept(&judged(&after, &rules, now()));
        let lost: Vec<_> = before.difference(&after).collect();
        let is_suspicious = |id: &&ObjectId| facts.iter().any(|fact| fact.id == **id && fact.suspicious);
        prop_assert!(lost.iter().all(is_suspicious), "lost {lost:?}");
    }

    #[test]
    fn one_more_rule_deletes_nothing(facts in facts(), fewer in some_rules(), last in 1..9_u32) {
        let fewer = Rules { last: None, ..fewer };
        prop_assume!(!fewer.is_empty());
        let more = Rules { last: Some(n(last)), ..fewer.clone() };
        let (fewer, more) = (kept(&judged(&facts, &fewer, now())), kept(&judged(&facts, &more, now())));
        prop_assert!(fewer.is_subset(&more));
    }

    /// What is to stay at the end was not deleted on the way.
    #[test]
    fn pruning_on_the_way_deletes_nothing_that_is_to_stay(facts in facts(), rules in some_rules()) {
        // One that is accepted later is there by then; here it is known from the beginning.
        let facts: Vec<Fact> =
            facts.into_iter().map(|fact| Fact { accepted: fact.accepted.map(|_| fact.arrived), ..fact }).collect();
        let mut left: Vec<Fact> = Vec::new();
        let mut coming = facts.clone();
        coming.sort_by_key(|fact| fact.arrived);
        for fact in coming {
            let moment = fact.arrived;
            left.push(fact);
            let kept = kept(&judged(&left, &rules, moment));
            left.retain(|fact| kept.contains(&fact.id));
        }
        let ids = left.iter().map(|fact| fact.id).collect::<BTreeSet<_>>();
        let once = kept(&judged(&facts, &rules, now()));
        prop_assert!(once.is_subset(&ids), "lost {:?}", once.difference(&ids));
    }
}
