//! A base backup that cannot be taken does not keep the WAL from being taken: it goes on from the base backup that there is, the
//! snapshot says what it lacks, and the server does not keep more and more.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::PathBuf;
use std::time::Duration;

use super::damage::omitted;
use super::job::{Home, Job, says, slot};
use super::line::Line;
use super::server::Pg;

/// Something in the data directory that the server may not open.
fn forbidden(pg: &Pg, name: &str, is_directory: bool) -> PathBuf {
    let path = pg.data().join(name);
    match is_directory {
        true => fs::create_dir(&path).unwrap(),
        false => fs::write(&path, "somebody left this").unwrap(),
    }
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    if rustix::process::geteuid().is_root() {
        lchown(&path, Some(0), Some(0)).unwrap();
    }
    path
}

fn due(pg: &Pg) -> Job {
    Job::at(pg.port()).with("full_every = \"1s\"")
}

fn goes_on(version: u32, name: &str, is_directory: bool) {
    let Some(pg) = Pg::start(version) else { return };
    let home = Home::with(&due(&pg));
    home.full();
    let bases = home.bases("db");
    let path = forbidden(&pg, name, is_directory);
    for round in 1..=2 {
        std::thread::sleep(Duration::from_millis(1_100));
        pg.psql(&format!("create table t{round} as select generate_series(1, 1000) as n; select pg_switch_wal()"));
        pg.psql("checkpoint");
        let stood = slot(&pg);
        let report = home.dozo(&["run", "db", "--json"]).expect(3).json();
        let short = name.rsplit('/').next().unwrap();
        says(&omitted(&report), &["base backup", "failed", short, "user whom the server runs as", "dozo run --full"]);
        assert_eq!(report["omitted_count"], 1, "{report}");
        assert_ne!(slot(&pg), stood, "the server keeps WAL that was taken");
        assert_eq!(home.bases("db"), bases, "what came of a base backup that failed is in the snapshot");
    }
    pg.equals(&home.copy(&pg, "db", "back", &[]));

    match is_directory {
        true => fs::remove_dir(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(home.run()["outcome"], "complete");
    assert_eq!(home.bases("db").len(), 2);
    pg.equals(&home.copy(&pg, "db", "mended", &[]));
}

#[test]
fn a_file_that_the_server_may_not_read_does_not_stop_the_wal() {
    goes_on(17, "base/5/stray", false);
}

/// As a file system has it in its root.
#[test]
fn a_directory_that_the_server_may_not_open_does_not_stop_the_wal() {
    goes_on(14, "lost+found", true);
}

/// A proxy that ends what takes long.
#[test]
fn a_line_that_is_cut_in_each_base_backup_does_not_stop_the_wal() {
    let Some(pg) = Pg::start(16) else { return };
    let line = Line::to(pg.port());
    let home = Home::with(&Job::at(line.port()));
    home.full();
    pg.psql("create table t as select generate_series(1, 1000) as n");
    line.cut_once_after(5 << 20);
    let report = home.dozo(&["run", "db", "--full", "--json"]).expect(3).json();
    assert!(line.reached(), "nothing was cut");
    says(&omitted(&report), &["base backup", "failed", "connection"]);
    assert_eq!(home.bases("db").len(), 1);
    pg.equals(&home.copy(&pg, "db", "back", &[]));
    // It is not due, but it failed: until there is one, each snapshot says so.
    let report = home.dozo(&["run", "db", "--json"]).expect(3).json();
    says(&omitted(&report), &["base backup", "failed"]);
    assert_eq!(home.full()["outcome"], "complete");
}

/// A base backup that failed is not tried in each run: it is read until where it fails, each time.
#[test]
fn a_base_backup_that_failed_rests() {
    let Some(pg) = Pg::plan(18).conf("log_replication_commands = on").start() else { return };
    let home = Home::with(&Job::at(pg.port()).with("full_every = \"24h\""));
    home.full();
    let path = forbidden(&pg, "stray", false);
    // One is due until one has it.
    pg.psql(&format!("create tablespace new location '{}'", pg.space("new").display()));
    let tried = || pg.log().matches("received replication command: BASE_BACKUP").count();
    for expected in [2, 2] {
        home.dozo(&["run", "db"]).expect(3);
        assert_eq!(tried(), expected);
    }
    fs::remove_file(path).unwrap();
    assert_eq!(home.full()["outcome"], "complete");
    assert_eq!(home.run()["outcome"], "complete");
}

/// Where there is nothing to go on from, it is told what to do, and not to look where all is well.
#[test]
fn the_first_base_backup_that_cannot_be_taken_says_what_to_do() {
    let Some(pg) = Pg::start(17) else { return };
    let home = Home::of(&pg);
    let path = forbidden(&pg, "stray", false);
    let check = home.dozo(&["check", "db"]).expect(0);
    says(&check.out, &["base backup", "shows only when one is taken"]);
    let refused = home.refused(&[]);
    says(&refused, &["stray", "Permission denied", "hint:", "user whom the server runs as"]);
    assert!(!refused.contains("dozo check"), "{refused}");
    fs::remove_file(path).unwrap();
    home.run();
}
