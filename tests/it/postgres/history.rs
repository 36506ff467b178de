//! The history of a cluster goes on in other ways than ahead: a standby is the source, it is promoted, a copy is restored and
//! lives on, the slot is gone, WAL was removed before it was fetched. What is missing is said, and a full run takes its place.

use std::time::Duration;

use serde_json::Value;

use super::job::{Home, Job, notes, says, slot};
use super::line::Line;
use super::load::{Load, Ticker, moment, now, ticks};
use super::moments::numbers;
use super::server::Pg;

fn insert(pg: &Pg, number: u64) {
    pg.psql(&format!("insert into ticks values ({number}, '')"));
}

/// WAL of several segments, which no checkpoint needs any more.
fn write_wal(pg: &Pg) {
    pg.psql("create table bulk (n int, t text)");
    for _ in 0..4 {
        pg.psql("insert into bulk select n, repeat(md5(n::text), 20) from generate_series(1, 2000) n");
        pg.psql("select pg_switch_wal()");
        pg.psql("checkpoint");
    }
    pg.psql("drop table bulk");
    pg.psql("checkpoint");
}

/// A server whose rows 1 and 2 are backed up, in a base backup and WAL behind it.
fn backed_up(version: u32, conf: &str) -> Option<(Pg, Home)> {
    let pg = Pg::plan(version).conf(&format!("max_wal_size = 4MB\nmin_wal_size = 2MB\n{conf}")).start()?;
    Ticker::prepare(&pg);
    insert(&pg, 1);
    let home = Home::of(&pg);
    home.full();
    insert(&pg, 2);
    home.run();
    assert_eq!(home.bases("db").len(), 1);
    Some((pg, home))
}

/// A run after a gap: it is a full one and says why, what is new is there, and the next run goes on from there.
fn recovers(pg: &Pg, home: &Home, words: &[&str]) -> Value {
    let before = home.bases("db");
    insert(pg, 3);
    let report = home.run();
    says(&notes(&report), words);
    let after = home.bases("db");
    assert!(after.len() == 1 && after.is_disjoint(&before), "{before:?} {after:?}");
    assert_eq!(numbers(&home.copy(pg, "db", "recovered", &[])), [1, 2, 3]);
    insert(pg, 4);
    home.run();
    assert_eq!(home.bases("db"), after, "the run was a full one");
    assert_eq!(numbers(&home.copy(pg, "db", "again", &[])), [1, 2, 3, 4]);
    assert!(!slot(pg).is_empty(), "there is a slot again");
    report
}

#[test]
fn wal_that_was_removed_is_a_gap_and_a_full_run() {
    let Some((pg, home)) = backed_up(14, "") else { return };
    let covered = moment(&pg, ticks(&pg).last().unwrap().committed);
    pg.psql("select pg_drop_replication_slot('dozo')");
    write_wal(&pg);
    let lost = moment(&pg, now(&pg));
    std::thread::sleep(Duration::from_millis(100));
    let report = recovers(&pg, &home, &["base backup", "slot"]);
    // It is an event of its own, and for a while an alert.
    let time = |end: &str| report["recovery_gap"][end].as_str().unwrap().trim_end_matches('Z');
    let lost_at = lost.trim_end_matches('Z');
    assert!(time("after") < lost_at && lost_at < time("until"), "{report}");
    let status = home.dozo(&["status", "--json"]).expect(3).json();
    let found = status["findings"].as_array().unwrap().iter().find(|finding| finding["kind"] == "recovery-gap");
    says(found.unwrap()["message"].as_str().unwrap(), &["cannot be recovered"]);
    // What lies in the gap is refused, not made up.
    says(&home.restore_refused("db", &["--at", &lost]), &["recovers to", "nearest before it", "nearest after it"]);
    let listed = home.dozo(&["snapshots"]).expect(0).out;
    assert_eq!(listed.matches("recovers to").count(), home.snapshots().len(), "{listed}");
    home.restored(&pg, "db", "before", &["--at", &covered]);
}

#[test]
fn a_slot_that_was_dropped_loses_nothing_while_the_wal_is_there() {
    let Some((pg, home)) = backed_up(18, "wal_keep_size = 512MB") else { return };
    pg.psql("select pg_drop_replication_slot('dozo')");
    insert(&pg, 3);
    let report = home.run();
    says(&notes(&report), &["slot"]);
    assert!(!slot(&pg).is_empty(), "there is a slot again");
    assert_eq!(numbers(&home.copy(&pg, "db", "back", &[])), [1, 2, 3]);
}

/// The server's own guard of its disk invalidates slots.
#[test]
fn a_slot_that_the_server_gave_up_is_a_gap_and_a_full_run() {
    let Some((pg, home)) = backed_up(17, "max_slot_wal_keep_size = 2MB") else { return };
    write_wal(&pg);
    assert_eq!(pg.psql("select wal_status from pg_replication_slots where slot_name = 'dozo'"), "lost");
    recovers(&pg, &home, &["base backup", "slot"]);
}

/// Ours: a job whose runs fail for long must not fill the server's disk.
#[test]
fn a_slot_that_holds_more_than_it_may_is_let_go_when_a_run_fails() {
    let Some((pg, home)) = backed_up(16, "") else { return };
    let line = Line::to(pg.port());
    home.set(&Job::at(line.port()).with("max_slot_lag = \"2MiB\""));
    write_wal(&pg);
    let held = slot(&pg);
    assert!(!held.is_empty());
    says(&home.dozo(&["check", "db"]).expect(0).out, &["max_slot_lag"]);
    line.cut_once_after(300_000);
    says(&home.refused(&[]), &["slot", "max_slot_lag", "dropped"]);
    assert_eq!(slot(&pg), "", "the slot is still there");
    write_wal(&pg);
    recovers(&pg, &home, &["base backup", "slot"]);
}

#[test]
fn a_base_backup_that_is_too_old_is_followed_by_another() {
    let Some((pg, home)) = backed_up(15, "") else { return };
    home.set(&Job::at(pg.port()).with("full_every = \"1s\""));
    std::thread::sleep(Duration::from_millis(1500));
    insert(&pg, 3);
    let report = home.run();
    says(&notes(&report), &["base backup"]);
    assert_eq!(home.bases("db").len(), 2);
    // The one before the last is kept, those before it are not.
    std::thread::sleep(Duration::from_millis(1500));
    let (before, oldest) = (home.bases("db"), home.bases("db").first().cloned().unwrap());
    home.run();
    let after = home.bases("db");
    assert_eq!((after.len(), before.intersection(&after).count()), (2, 1), "{before:?} {after:?}");
    assert!(!after.contains(&oldest));
    assert_eq!(numbers(&home.copy(&pg, "db", "back", &[])), [1, 2, 3]);
}

#[test]
fn a_standby_is_a_source_and_goes_on_when_it_is_promoted() {
    let Some(mut primary) = Pg::start(17) else { return };
    primary.psql("create database bench");
    primary.pgbench("bench", &["-i", "-q", "-s", "1"]);
    Ticker::prepare(&primary);
    insert(&primary, 1);
    let mut standby = primary.standby();
    primary.wait_for(&mut standby);
    let home = Home::of(&standby);
    let load = Load::start(&primary, "bench", 200);
    home.full();
    insert(&primary, 2);
    primary.wait_for(&mut standby);
    home.run();
    let copy = home.copy(&primary, "db", "of-standby", &[]);
    assert_eq!(numbers(&copy), [1, 2]);
    copy.balances_agree("bench");
    copy.amcheck();
    drop((copy, load));

    primary.wait_for(&mut standby);
    primary.stop();
    standby.promote();
    insert(&standby, 3);
    says(&notes(&home.run()), &["timeline"]);
    assert_eq!(numbers(&home.copy(&standby, "db", "promoted", &[])), [1, 2, 3]);
    insert(&standby, 4);
    home.run();
    let copy = home.copy(&standby, "db", "after", &[]);
    standby.equals(&copy);
    home.verify();
}

/// A copy that was restored to a moment and lives on in the source's place: what came after that moment is another history.
#[test]
fn a_restored_copy_goes_on_in_the_place_of_the_source() {
    let Some((mut pg, home)) = backed_up(16, "") else { return };
    let fork = moment(&pg, now(&pg));
    std::thread::sleep(Duration::from_millis(300));
    insert(&pg, 90);
    home.run();
    insert(&pg, 91);
    home.run();
    let old = home.snapshots().pop().unwrap();
    let copy = home.copy(&pg, "db", "lives", &["--at", &fork]);
    assert_eq!(numbers(&copy), [1, 2]);
    pg.stop();

    insert(&copy, 3);
    home.set(&Job::at(copy.port()));
    says(&notes(&home.run()), &["timeline"]);
    assert_eq!(numbers(&home.copy(&copy, "db", "forked", &[])), [1, 2, 3]);
    insert(&copy, 4);
    let position = copy.psql("select pg_current_wal_insert_lsn()");
    let at = moment(&copy, now(&copy));
    std::thread::sleep(Duration::from_millis(300));
    insert(&copy, 5);
    home.run();
    assert_eq!(numbers(&home.copy(&copy, "db", "moment", &["--at", &at])), [1, 2, 3, 4]);
    // The copy itself was told to stop at a time; what it was told is not told again.
    assert_eq!(numbers(&home.copy(&copy, "db", "position", &["--at", &position])), [1, 2, 3, 4]);
    assert_eq!(numbers(&home.copy(&copy, "db", "newest", &[])), [1, 2, 3, 4, 5]);
    // What the other history was is still there.
    assert_eq!(numbers(&home.copy(&copy, &old, "abandoned", &[])), [1, 2, 90, 91]);
    home.verify();
}

/// Another cluster behind the same address: nothing of the first is taken for its own.
#[test]
fn another_cluster_at_the_same_place_begins_anew() {
    let Some((mut pg, home)) = backed_up(18, "") else { return };
    pg.stop();
    let Some(other) = Pg::start(18) else { return };
    Ticker::prepare(&other);
    insert(&other, 7);
    home.set(&Job::at(other.port()));
    home.run();
    assert_eq!(home.bases("db").len(), 1);
    assert_eq!(numbers(&home.copy(&other, "db", "other", &[])), [7]);
    let first = home.snapshots().first().cloned().unwrap();
    assert_eq!(numbers(&home.copy(&other, &first, "first", &[])), [1]);
}
