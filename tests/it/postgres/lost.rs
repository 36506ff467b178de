//! Ways in which data was lost once: found by trying to.

use std::process::Command;
use std::time::Duration;

use super::job::{Home, Job, notes, says};
use super::load::{moment, now};
use super::server::Pg;

/// Relations of a transaction whose end is a long record.
const TABLES: u32 = 3000;

/// A commit whose record begins in one segment and ends in the next is in neither alone. What the next run receives again must
/// not make anybody forget it.
#[test]
fn a_commit_across_two_segments_is_remembered() {
    let Some(pg) = Pg::plan(17).segments(1).conf("max_locks_per_transaction = 512").start() else { return };
    pg.psql("create schema big");
    pg.psql(&format!(
        "do $$ begin for n in 1..{TABLES} loop execute format('create table big.t%s (i int)', n); end loop; end $$"
    ));
    let home = Home::of(&pg);
    home.full();
    let before = moment(&pg, now(&pg));
    std::thread::sleep(Duration::from_millis(300));
    // The record has 12 bytes for each relation, and begins less than that before the end of a segment.
    let left = "1048576 - mod((pg_current_wal_insert_lsn() - '0/0')::bigint, 1048576)";
    pg.psql(&format!(
        "begin; drop schema big cascade;
         select pg_logical_emit_message(false, 'm', repeat('x', greatest(1, ({left} - 12000)::int))); commit"
    ));
    home.run();
    for _ in 0..2 {
        pg.psql("select pg_logical_emit_message(false, 'm', 'm'); checkpoint");
        home.run();
    }
    let copy = home.copy(&pg, "db", "back", &["--at", &before]);
    let tables = copy.psql("select count(*) from pg_tables where schemaname = 'big'");
    assert_eq!(tables, TABLES.to_string());
}

/// A server whose disk was put back to a snapshot of it goes on in the same places, on the same timeline, with other WAL.
#[test]
fn a_disk_that_was_put_back_is_noticed() {
    let Some(mut pg) = Pg::start(16) else { return };
    pg.psql("create table t (n int, word text); insert into t values (1, 'first')");
    let home = Home::of(&pg);
    home.full();
    let data = pg.data().to_path_buf();
    let aside = data.with_file_name("aside");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let _ = std::fs::remove_dir_all(to);
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    };
    pg.psql("select pg_switch_wal()");
    pg.stop_and(|_| copy(&data, &aside));
    // Two lives of the same length; what comes after the switch is the same in both, byte for byte.
    let live = |pg: &Pg, word: &str| {
        pg.psql(&format!("insert into t values (2, '{word}')"));
        pg.psql("select pg_switch_wal()");
        pg.psql("select pg_logical_emit_message(false, 'm', 'm')");
    };
    live(&pg, "one");
    home.run();
    pg.stop_and(|_| copy(&aside, &data));
    live(&pg, "two");
    pg.psql("insert into t values (3, 'three')");
    says(&notes(&home.run()), &["base backup"]);
    let copy = home.copy(&pg, "db", "back", &[]);
    assert_eq!(copy.psql("select string_agg(word, ' ' order by n) from t"), "first two three");
}

/// A moment before a promotion lies on the timeline before it: a server that recovered to there has a history that other programs
/// understand, and can be backed up itself.
#[test]
fn a_moment_before_a_promotion_makes_a_server_like_any_other() {
    let Some(mut pg) = Pg::plan(15).conf("wal_keep_size = 256MB").start() else { return };
    pg.psql("create table t (n int); insert into t values (1)");
    let home = Home::of(&pg);
    home.full();
    let mut standby = pg.standby();
    // What the standby has of WAL begins with itself.
    pg.psql("insert into t values (11)");
    home.run();
    let before = moment(&pg, now(&pg));
    std::thread::sleep(Duration::from_millis(300));
    pg.psql("insert into t values (2)");
    pg.wait_for(&mut standby);
    pg.stop();
    standby.promote();
    standby.psql("insert into t values (3)");
    home.set(&Job::at(standby.port()));
    home.run();
    let copy = home.copy(&standby, "db", "before", &["--at", &before]);
    assert_eq!(copy.psql("select string_agg(n::text, ' ' order by n) from t"), "1 11");
    copy.psql("insert into t values (4)");
    home.set(&Job::at(copy.port()));
    home.run();
    let again = home.copy(&copy, "db", "again", &[]);
    assert_eq!(again.psql("select string_agg(n::text, ' ' order by n) from t"), "1 4 11");
}

/// A standby that has replayed nothing since it was started does not know until when it has everything.
#[test]
fn a_standby_does_not_claim_what_it_has_not_seen() {
    let Some(pg) = Pg::plan(17).conf("wal_keep_size = 256MB").start() else { return };
    pg.psql("create table t (n int); insert into t values (1)");
    let mut standby = pg.standby();
    pg.wait_for(&mut standby);
    let home = Home::with(&Job::at(standby.port()));
    home.full();
    pg.psql("select pg_switch_wal(); checkpoint");
    pg.wait_for(&mut standby);
    standby.psql("checkpoint");
    standby.stop();
    standby.configure("primary_conninfo = 'host=127.0.0.1 port=1'");
    standby.start_again();
    pg.psql("insert into t values (2)");
    let later = moment(&pg, now(&pg));
    home.run();
    says(&home.restore_refused("db", &["--at", &later]), &["later"]);
}

/// A server that recovers must have settings as high as the original had: what was raised after the base backup comes back with the
/// WAL, and with it transactions that were prepared.
#[test]
fn settings_that_were_raised_come_back() {
    let Some(mut pg) = Pg::start(18) else { return };
    pg.psql("create table t (n int)");
    let home = Home::of(&pg);
    home.full();
    pg.configure("max_connections = 250\nmax_prepared_transactions = 7\nmax_worker_processes = 12");
    pg.stop_and(|_| ());
    pg.psql("begin; insert into t values (1); prepare transaction 'one'");
    pg.psql("insert into t values (2)");
    home.run();
    let data = home.restored(&pg, "db", "back", &[]);
    let settings = std::fs::read_to_string(data.join("postgresql.auto.conf")).unwrap();
    says(&settings, &["max_connections = '250'", "max_prepared_transactions = '7'", "max_worker_processes = '12'"]);
    let copy = Pg::on_directory(18, &data, &[]);
    copy.psql("commit prepared 'one'");
    assert_eq!(copy.psql("select string_agg(n::text, ' ' order by n) from t"), "1 2");
}

/// What a server writes out late was committed all the same.
#[test]
fn commits_that_reach_the_disk_late_are_waited_for() {
    let Some(pg) = Pg::plan(14).conf("wal_writer_delay = 3s\nwal_writer_flush_after = 1GB").start() else { return };
    pg.psql("create table t (n int)");
    let home = Home::of(&pg);
    home.full();
    std::thread::sleep(Duration::from_secs(2));
    pg.psql("set synchronous_commit = off; insert into t values (1); insert into t values (2)");
    let after = moment(&pg, now(&pg));
    home.run();
    let copy = home.copy(&pg, "db", "back", &["--at", &after]);
    assert_eq!(copy.psql("select count(*) from t"), "2");
}

/// WAL of `wal_level = minimal` leaves out what was written in bulk: a copy that recovers through it would lack it, silently.
#[test]
fn a_spell_of_minimal_wal_is_a_gap() {
    let Some(mut pg) = Pg::plan(15).conf("wal_keep_size = 512MB").start() else { return };
    pg.psql("create table t as select 1 as n");
    let home = Home::of(&pg);
    home.full();
    pg.psql("insert into t values (2)");
    // A server with slots does not start so.
    pg.psql("select pg_drop_replication_slot('dozo')");
    pg.configure("wal_level = minimal\nmax_wal_senders = 0");
    pg.stop_and(|_| ());
    pg.psql("begin; create table bulk (n int); insert into bulk select generate_series(1, 100000); commit");
    let within = moment(&pg, now(&pg));
    pg.configure("wal_level = replica\nmax_wal_senders = 10");
    pg.stop_and(|_| ());
    pg.psql("insert into t values (3)");
    let report = home.run();
    says(&notes(&report), &["wal_level = minimal"]);
    says(&home.restore_refused("db", &["--at", &within]), &["no snapshot", "can be recovered"]);
    let copy = home.copy(&pg, "db", "back", &[]);
    assert_eq!(copy.psql("select (select count(*) from bulk), (select count(*) from t)"), "100000|3");
}
