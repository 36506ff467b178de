//! `dozo check`: what a run needs of a server, each missing thing with what mends it, and nothing changed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::job::{Home, Job, notes, says};
use super::line::Line;
use super::server::Pg;
use crate::house::said;

#[test]
fn a_server_that_is_ready_is_described() {
    for (version, words) in [(14, "PostgreSQL 14.23"), (18, "PostgreSQL 18.6")] {
        let Some(pg) = Pg::start(version) else { return };
        let home = Home::of(&pg);
        let said = home.dozo(&["check", "db"]).expect(0);
        says(&said.out, &["db: ready", words, "wal_level", "checksums", "SCRAM", "clock", "slot"]);
        assert_eq!(pg.psql("select count(*) from pg_replication_slots"), "0", "it has made a slot");
        home.run();
        says(&home.dozo(&["check", "db"]).expect(0).out, &["`dozo` keeps"]);
        assert!(home.refused_by_check(&Job::at(pg.port()).with("slot = \"other\"")).is_none());
    }
}

/// Which of them is missing is told, all at once, with the words to mend it; a run is refused as clearly.
#[test]
fn what_a_server_lacks_is_told_with_what_mends_it() {
    let Some(mut pg) = Pg::start(16) else { return };
    let home = Home::of(&pg);
    let lacks = |pg: &mut Pg, conf: &str, words: &[&str]| {
        let old = std::fs::read_to_string(pg.data().join("postgresql.conf")).unwrap();
        pg.stop_and(|pg| pg.configure(conf));
        let check = home.dozo(&["check", "db"]);
        assert!([1, 2].contains(&check.code), "{conf}: {}{}", check.out, check.err);
        says(&check.err, words);
        home.refused(&[]);
        pg.stop_and(|pg| pg.write("postgresql.conf", &old));
    };
    lacks(
        &mut pg,
        "wal_level = minimal\nmax_wal_senders = 0",
        &[
            "wal_level",
            "alter system set wal_level = replica",
            "max_wal_senders",
            "alter system set max_wal_senders",
            "restart",
        ],
    );
    lacks(
        &mut pg,
        "max_replication_slots = 0",
        &["max_replication_slots", "alter system set max_replication_slots", "restart"],
    );
    // There are two, and both are taken.
    pg.psql("select pg_create_physical_replication_slot('one'), pg_create_physical_replication_slot('two')");
    lacks(&mut pg, "max_replication_slots = 2", &["slot", "max_replication_slots"]);
    home.run();
}

#[test]
fn rights_and_slots_that_are_missing() {
    // The least that is enough.
    let Some(mut pg) = Pg::plan(15).rights("alter role dozo replication").start() else { return };
    let home = Home::of(&pg);
    home.dozo(&["check", "db"]).expect(0);
    home.run();
    home.run();
    pg.equals(&home.copy(&pg, "db", "back", &[]));
    pg.psql("alter role dozo noreplication");
    let refused = home.refused_by_check(&Job::at(pg.port())).unwrap();
    says(&refused, &["replication", "ALTER ROLE \"dozo\" REPLICATION"]);
    says(&home.refused(&[]), &["replication"]);
    pg.psql("alter role dozo replication");
    // The name is somebody else's: another kind of slot, and one that somebody uses.
    pg.psql("select pg_create_physical_replication_slot('mine')");
    pg.stop_and(|pg| pg.configure("wal_level = logical"));
    pg.psql("select pg_create_logical_replication_slot('theirs', 'pgoutput')");
    let job = Job::at(pg.port()).with("slot = \"theirs\"");
    says(&home.refused_by_check(&job).unwrap(), &["theirs", "slot"]);
    home.set(&job);
    says(&home.refused(&[]), &["theirs", "slot"]);
    assert_eq!(pg.psql("select count(*) from pg_replication_slots where slot_name = 'theirs'"), "1");
}

/// Two runs of two hosts with one slot: the second is told, and harms nothing.
#[test]
fn a_slot_that_another_run_uses() {
    let Some(pg) = Pg::start(17) else { return };
    let line = Line::to(pg.port());
    let (home, other) = (Home::with(&Job::at(line.port())), Home::of(&pg));
    home.run();
    pg.psql("create table more as select n, md5(n::text) from generate_series(1, 60000) n");
    line.stall_after(2 << 20);
    let mut run = home.command(&["run", "db"]);
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    line.wait_for_stall();
    says(&other.refused(&[]), &["dozo", "in use", "slot"]);
    line.carry();
    said(run.wait_with_output().unwrap()).expect(0);
    other.run();
    pg.equals(&home.copy(&pg, "db", "back", &[]));
    pg.equals(&other.copy(&pg, "db", "back", &[]));
}

#[test]
fn questions_are_answered_and_a_rate_is_kept() {
    let Some(pg) = Pg::start(15) else { return };
    pg.psql("create table rows as select generate_series(1, 4711) as n; grant select on rows to dozo");
    let probe = "probe = { rows = \"select count(*), 'x' from rows\" }".to_string();
    let home = Home::with(&Job { more: probe, ..Job::at(pg.port()).with("max_rate = \"8MiB\"") });
    let begun = Instant::now();
    let report = home.run();
    let took = begun.elapsed();
    assert_eq!(report["answers"], serde_json::json!([["rows", "4711|x"]]), "{report}");
    // A new cluster has more than 20 MiB.
    assert!(took > Duration::from_millis(1_500), "{took:?} is more than 8 MiB in a second");
    // A question changes nothing, is one, and does not end backups when it has become wrong.
    for sql in ["drop table rows", "delete from rows returning 1", "select 1; drop table rows", "select nothing"] {
        home.set(&Job { more: format!("probe = {{ rows = {sql:?} }}"), ..Job::at(pg.port()) });
        says(&notes(&home.run()), &["probe", "rows", "the server says"]);
    }
    assert_eq!(pg.psql("select count(*) from rows"), "4711");
}
