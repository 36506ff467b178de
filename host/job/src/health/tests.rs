use super::*;

const HOUR: i64 = 3_600;
const NOW: i64 = 1_000 * 24 * HOUR;

fn at(hours_ago: i64) -> Timestamp {
    Timestamp::from_second(NOW - hours_ago * HOUR).unwrap()
}

fn made(hours_ago: &[i64]) -> Vec<Made> {
    hours_ago.iter().zip(1..).map(|(hours, sequence)| Made { at: at(*hours), sequence }).collect()
}

fn last(outcome: Outcome, hours_ago: i64) -> Last {
    let why = (outcome == Outcome::Failed).then(|| "no route to host".to_string());
    Last { outcome, at: at(hours_ago), why, well: None, damage: false, healed: false }
}

fn job(complete: &[i64]) -> JobFacts {
    JobFacts { job: "db".into(), complete: made(complete), ..JobFacts::default() }
}

fn facts(job: JobFacts) -> Facts {
    Facts { jobs: vec![job], ..repository(vec![], 0, None) }
}

fn repository(upkeep: Vec<UpkeepFacts>, damaged_packs: u64, room: Option<RoomFacts>) -> Facts {
    let (unread, rolled_back, unseen) = (vec![], vec![], vec![]);
    Facts { now: at(0), jobs: vec![], damaged_packs, unread, rolled_back, unseen, upkeep, room }
}

#[track_caller]
fn kinds(job: JobFacts, expected: &[&str]) {
    let found = judge(&facts(job));
    let kinds: Vec<&str> = found.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, expected, "{found:?}");
}

#[test]
fn a_job_that_is_as_it_should_be_is_not_mentioned() {
    kinds(JobFacts { last_run: Some(last(Outcome::Complete, 2)), ..job(&[50, 26, 2]) }, &[]);
    kinds(job(&[2]), &[]);
}

#[test]
fn jobs_that_never_ran_or_failed_are_found() {
    kinds(job(&[]), &["never-run"]);
    kinds(JobFacts { last_run: Some(last(Outcome::Failed, 1)), ..job(&[]) }, &["failed", "no-complete-snapshot"]);
    kinds(JobFacts { last_run: Some(last(Outcome::Failed, 1)), ..job(&[3, 2]) }, &["failed"]);
    kinds(JobFacts { newest_is_partial: true, ..job(&[]) }, &["partial", "no-complete-snapshot"]);
    kinds(JobFacts { newest_is_partial: true, ..job(&[4]) }, &["partial"]);
    kinds(JobFacts { retired: true, last_run: Some(last(Outcome::Failed, 1)), ..job(&[]) }, &[]);
    let found = judge(&facts(JobFacts { last_run: Some(last(Outcome::Failed, 3)), ..job(&[1]) }));
    assert_eq!(found[0].message, "the last run failed, 3 h ago: no route to host");
    assert_eq!(found[0].at, Some(at(3)));
}

#[test]
fn runs_that_were_killed_are_found_and_a_first_run_is_waited_for() {
    kinds(JobFacts { interrupted: Some(at(1)), ..job(&[2]) }, &["interrupted"]);
    kinds(JobFacts { interrupted: Some(at(1)), ..job(&[]) }, &["interrupted", "no-complete-snapshot"]);
    let failed = Some(last(Outcome::Failed, 2));
    kinds(JobFacts { interrupted: Some(at(1)), last_run: failed.clone(), ..job(&[2]) }, &["interrupted"]);
    kinds(JobFacts { running: Some(at(1)), ..job(&[]) }, &[]);
    kinds(JobFacts { running: Some(at(1)), last_run: failed, ..job(&[]) }, &["failed", "no-complete-snapshot"]);
    kinds(JobFacts { running: Some(at(1)), ..job(&[303, 302, 301, 300]) }, &["overdue"]);
}

#[test]
fn what_is_expected_is_held_to_the_hour() {
    let expected = |hours, age| JobFacts { expect_every: Some(SignedDuration::from_hours(hours)), ..job(&[age]) };
    kinds(expected(26, 26), &[]);
    kinds(expected(26, 27), &["overdue"]);
    kinds(expected(24 * 400, 24 * 300), &[]);
}

#[test]
fn without_a_word_the_history_says_what_is_usual() {
    let each = |hours: i64, newest: i64| -> Vec<i64> { (0..12).rev().map(|n| newest + n * hours).collect() };
    for (hours, well, late) in [(1, 26, 27), (24, 48, 49), (168, 336, 337)] {
        kinds(job(&each(hours, well)), &[]);
        kinds(job(&each(hours, late)), &["overdue"]);
    }
    // On workdays alone: Friday's is not missed on Monday morning, but on Wednesday.
    let weeks: Vec<i64> = (0..4).rev().flat_map(|week| (0..5).rev().map(move |day| week * 168 + day * 24)).collect();
    let newest = |age: i64| weeks.iter().map(|hours| hours + age).collect::<Vec<_>>();
    kinds(job(&newest(72)), &[]);
    kinds(job(&newest(110)), &["overdue"]);
    // One outage does not make the next one usual.
    let outage: Vec<i64> = each(24, 49).into_iter().map(|age| if age > 200 { age + 500 } else { age }).collect();
    kinds(job(&outage), &["overdue"]);
    // Too little history to say: one snapshot is two months old all the same.
    kinds(job(&[24 * 60]), &["overdue"]);
    kinds(job(&[210, 200]), &["overdue"]);
    kinds(job(&[200, 190]), &[]);
    kinds(job(&[24 * 8]), &[]);
}

/// An hourly job of which retention keeps one a day is still hourly.
#[test]
fn snapshots_that_retention_deleted_count_as_runs() {
    let thinned = |newest: i64| {
        let complete = (0..12).rev().map(|n| Made { at: at(newest + 24 * n), sequence: (24 * (12 - n)) as u64 });
        JobFacts { complete: complete.collect(), ..job(&[]) }
    };
    kinds(thinned(26), &[]);
    kinds(thinned(27), &["overdue"]);
}

/// Clocks go wrong, and sequences come from other hosts.
#[test]
fn nothing_overflows() {
    let wild = [Made { at: Timestamp::MIN, sequence: u64::MAX }, Made { at: Timestamp::MAX, sequence: 0 }];
    for order in [[0, 1, 0, 1, 0], [1, 0, 1, 0, 1]] {
        let complete: Vec<Made> = order.iter().map(|n| wild[*n]).collect();
        for now in [Timestamp::MIN, at(0), Timestamp::MAX] {
            let gap = Some(Gap { after: Timestamp::MIN, until: Timestamp::MAX });
            let last_run = Some(last(Outcome::Failed, 0));
            let job = JobFacts { complete: complete.clone(), last_run, gap, ..job(&[]) };
            judge(&Facts { now, ..facts(job) });
        }
    }
}

#[test]
fn gaps_are_shown_for_a_while_and_copies_are_counted() {
    let gap = |hours| JobFacts { gap: Some(Gap { after: at(hours + 1), until: at(hours) }), ..job(&[1]) };
    kinds(gap(2), &["recovery-gap"]);
    kinds(gap(24 * 8), &[]);
    kinds(JobFacts { copies: Some((1, 2)), ..job(&[1]) }, &["copies"]);
    kinds(JobFacts { copies: Some((2, 2)), ..job(&[1]) }, &[]);
}

#[test]
fn the_repository_is_judged_too() {
    let facts = repository;
    let found = |facts: Facts| judge(&facts).iter().map(|f| (f.kind, f.damage)).collect::<Vec<_>>();
    assert_eq!(found(facts(vec![], 3, None)), [("damage", true)]);
    let work = |what, last, due: Option<i64>| UpkeepFacts {
        what,
        last,
        expect_every: Some(SignedDuration::from_hours(48)),
        due_since: due.map(at),
    };
    let mirror = || Upkeep::Mirror("nas".into());
    let failed = Some(last(Outcome::Failed, 5));
    assert_eq!(found(facts(vec![work(Upkeep::Prune, failed, None)], 0, None)), [("prune", false)]);
    assert_eq!(found(facts(vec![work(mirror(), None, Some(49))], 0, None)), [("mirror", false)]);
    assert_eq!(found(facts(vec![work(mirror(), None, Some(47))], 0, None)), []);
    assert_eq!(found(facts(vec![work(mirror(), Some(last(Outcome::Complete, 90)), None)], 0, None)), []);
    let nobodys = UpkeepFacts { expect_every: None, ..work(mirror(), None, Some(9_000)) };
    assert_eq!(found(facts(vec![nobodys], 0, None)), []);
    let room = |free, stored_lately| Some(RoomFacts { free, total: 1_000, stored_lately });
    assert_eq!(found(facts(vec![], 0, room(20, 0))), []);
    assert_eq!(found(facts(vec![], 0, room(19, 0))), [("room", false)]);
    assert_eq!(found(facts(vec![], 0, room(400, 401))), [("room", false)]);
}

/// Whoever is told that something is wrong is told what.
#[test]
fn suspicions_and_clocks_are_found_by_name() {
    let newest = ObjectId([0xab; 32]);
    let why = Some("3 entries, where the last good snapshot has 2,003".to_string());
    let suspicion = Some(Suspicion { count: 2, newest, why });
    let suspicious = JobFacts { suspicion, last_run: Some(last(Outcome::Partial, 1)), ..job(&[3, 2]) };
    kinds(suspicious.clone(), &["suspicious"]);
    let found = &judge(&facts(suspicious.clone()))[0];
    let words = format!("{}; {}", found.message, found.advice);
    for word in ["2 newest snapshots are suspicious", "3 entries, where", "mounted?", "`dozo accept abababab`"] {
        assert!(words.contains(word), "no {word} in {words}");
    }
    kinds(JobFacts { newest_is_partial: true, ..suspicious }, &["partial", "suspicious"]);
    let behind = Some(Behind { snapshot: newest, at: at(48), earlier: at(2) });
    kinds(JobFacts { behind, ..job(&[3, 2]) }, &["clock-set-back"]);
    let ahead = Some(Ahead { snapshot: newest, at: at(-48) });
    let zone = Some(crate::words::zone("Asia/Tokyo"));
    let ahead = JobFacts { ahead, zone, ..job(&[3, 2]) };
    kinds(ahead.clone(), &["future"]);
    let found = &judge(&facts(ahead))[0];
    assert!(found.message.contains("+09:00, is in the future (clock?)"), "{found:?}");
    assert!(found.advice.contains("NTP"), "{found:?}");
}

#[test]
fn documents_rollbacks_and_mirrors_that_cannot_be_seen_are_found() {
    let found = |facts: Facts| {
        let found = judge(&facts);
        assert_eq!(found.len(), 1, "{found:?}");
        (found[0].kind, found[0].damage, found[0].message.clone(), found[0].advice.clone())
    };
    let empty = || repository(vec![], 0, None);
    let unread = (0..3).map(|n| format!("index/{n}: it is missing")).collect();
    let (kind, damage, message, advice) = found(Facts { unread, ..empty() });
    assert_eq!((kind, damage), ("unread", true));
    assert_eq!(message, "3 objects are damaged or missing: index/0: it is missing; and 2 more");
    assert!(advice.contains("`dozo verify`") && advice.contains("`dozo repair`"), "{advice}");
    let (kind, damage, message, advice) = found(Facts { rolled_back: vec!["x".into()], ..empty() });
    assert_eq!((kind, damage, message.as_str()), ("rolled-back", true, "the store shows less than it did: x"));
    assert!(advice.contains("--accept-rollback"), "{advice}");
    let (kind, damage, message, _) = found(Facts { unseen: vec![("nas".into(), "no route".into())], ..empty() });
    assert_eq!((kind, damage, message.as_str()), ("copies", false, "the mirror `nas` counts for nothing: no route"));
}

#[test]
fn damage_in_a_mirror_is_damage_until_other_work_put_it_right() {
    let verified = |damage, healed| {
        let last = Some(Last { damage, healed, ..last(Outcome::Failed, 5) });
        let what = Upkeep::Verify(Some("nas".into()));
        judge(&repository(vec![UpkeepFacts { what, last, expect_every: None, due_since: None }], 0, None))
    };
    let found = verified(true, false);
    assert_eq!((found.len(), found[0].kind, found[0].damage), (1, "verify", true));
    assert!(found[0].message.starts_with("the last verification of `nas` found damage, 5 h ago"), "{found:?}");
    assert_eq!(found[0].advice, "`dozo repair --at nas`, then `dozo verify --from nas`");
    let found = verified(false, false);
    assert_eq!((found[0].damage, found[0].advice.as_str()), (false, "`dozo verify --from nas`"));
    assert_eq!(verified(true, true), []);
}
