//! That these tests can fail: what the server's own backup passes, a copy that lacks anything does not. Needs no plugin.

use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use super::load::{Load, Ticker, moment, now, ticks};
use super::server::{Pg, run};

/// A copy by pg_basebackup, into a directory of its own.
fn base_backup(pg: &Pg) -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    pg.hand_over(home.path());
    let to = home.path().join("copy");
    let mut copy = pg.tool("pg_basebackup");
    copy.args(["-h", "127.0.0.1", "-p", &pg.port().to_string(), "-U", "postgres", "-c", "fast", "--no-sync"]);
    run(copy.arg("-D").arg(&to));
    (home, to)
}

fn fails(act: impl FnOnce()) {
    assert!(catch_unwind(AssertUnwindSafe(act)).is_err(), "this should have been noticed");
}

fn proofs(version: u32) {
    let Some(mut pg) = Pg::plan(version).start() else { return };
    pg.psql("create database bench");
    pg.pgbench("bench", &["-i", "-q", "-s", "1"]);
    Ticker::prepare(&pg);
    let (load, ticker) = (Load::start(&pg, "bench", 200), Ticker::start(&pg, 1));
    let mut standby = pg.standby();
    let (_home, copied) = base_backup(&pg);
    drop(load);
    let next = ticker.stop();
    pg.wait_for(&mut standby);
    pg.equals(&standby);
    assert!(pg.balances_agree("bench") > 0 && ticks(&pg).len() as u64 == next - 1 && next > 5);
    assert!(ticks(&pg).windows(2).all(|pair| pair[0].committed <= pair[1].committed));
    assert!(moment(&pg, 1_500_000).starts_with("1970-01-01T00:00:01.500000Z") && now(&pg) > 1_600_000_000_000_000);

    pg.verifybackup(&copied);
    let version_file = std::fs::File::options().write(true).open(copied.join("global/pg_control")).unwrap();
    version_file.write_all_at(b"x", 8_000).unwrap();
    fails(|| pg.verifybackup(&copied));
    version_file.write_all_at(b"\0", 8_000).unwrap();
    pg.verifybackup(&copied);
    let copy = Pg::on_directory(version, &copied, &[]);
    copy.amcheck();
    fails(|| pg.equals(&copy));
    copy.psql_in("bench", "update pgbench_tellers set tbalance = tbalance + 1 where tid = 1");
    fails(|| _ = copy.balances_agree("bench"));

    pg.stop();
    standby.promote();
    standby.psql("insert into ticks values (0, '')");
    standby.kill9();
    standby.start_again();
    assert_eq!(standby.psql("select count(*) from ticks where number = 0"), "1");
}

#[test]
fn what_these_tests_hold_against_a_copy_can_fail() {
    proofs(14);
    proofs(18);
}
