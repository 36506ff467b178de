//! What a server leaves out of a base backup: symbolic links and other special files, of which it says no more than a warning. A
//! snapshot that lacks something says what, and one that lacks data does not take the place of one that has it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::damage::omitted;
use super::job::{Home, Job, notes, says};
use super::server::Pg;

/// Moves something of the data directory elsewhere, and leaves a link to it.
fn link(pg: &Pg, path: &str) {
    let (from, to) = (pg.data().join(path), elsewhere(pg, path));
    // Within one file system, as the temporary directory is.
    fs::rename(&from, &to).unwrap();
    symlink(&to, &from).unwrap();
}

/// And back.
fn unlink(pg: &Pg, path: &str) {
    fs::remove_file(pg.data().join(path)).unwrap();
    fs::rename(elsewhere(pg, path), pg.data().join(path)).unwrap();
}

fn elsewhere(pg: &Pg, path: &str) -> PathBuf {
    pg.socket().join(format!("elsewhere-{}", path.replace('/', "-")))
}

/// A database, and its directory.
fn database(pg: &Pg, name: &str) -> String {
    pg.psql(&format!("create database {name}"));
    pg.psql_in(name, "create table t as select generate_series(1, 100) as n; checkpoint");
    format!("base/{}", pg.psql(&format!("select oid from pg_database where datname = '{name}'")))
}

/// A run that makes a partial snapshot; its report.
#[track_caller]
fn partial(home: &Home, more: &[&str]) -> Value {
    let report = home.dozo(&[&["run", "db", "--json"], more].concat()).expect(3).json();
    assert_eq!(report["outcome"], "partial", "{report}");
    report
}

fn a_database_that_is_a_link(version: u32) {
    let Some(mut pg) = Pg::start(version) else { return };
    let directory = database(&pg, "app");
    // Whatever the role wants to hear.
    pg.psql("alter role dozo set client_min_messages = error");
    let home = Home::of(&pg);
    pg.stop_and(|pg| {
        link(pg, &directory);
        link(pg, "pg_hba.conf");
    });
    let report = partial(&home, &[]);
    let text = omitted(&report);
    says(&text, &[&format!("data/{directory} "), "database `app`", "tablespace", "data/pg_hba.conf ", "--full"]);
    assert_eq!(report["omitted_count"], 2, "{text}");
    // What is taken over lacks what it lacked.
    pg.psql("create table more as select 1");
    assert_eq!(omitted(&partial(&home, &[])), text);
    says(&home.restored(&pg, "db", "lacking", &[]).display().to_string(), &["lacking"]);

    pg.stop_and(|pg| {
        unlink(pg, &directory);
        unlink(pg, "pg_hba.conf");
    });
    // The older of the two is still there.
    partial(&home, &["--full"]);
    assert_eq!(home.full()["outcome"], "complete");
    pg.equals(&home.copy(&pg, "db", "back", &[]));
}

#[test]
fn a_database_that_is_a_link_is_named() {
    a_database_that_is_a_link(17);
}

/// Another grammar of the base backup.
#[test]
fn a_database_that_is_a_link_at_the_oldest_version() {
    a_database_that_is_a_link(14);
}

/// What has all data is not given up for what has not.
#[test]
fn a_base_backup_that_lacks_data_takes_the_place_of_none_that_has_it() {
    let Some(mut pg) = Pg::start(16) else { return };
    let directory = database(&pg, "app");
    let home = Home::of(&pg);
    home.full();
    let before = home.bases("db");
    let table = pg.psql_in("app", "select pg_relation_filepath('t')");
    for path in [&directory, &table] {
        pg.psql_in("app", "insert into t select generate_series(1, 100)");
        pg.stop_and(|pg| link(pg, path));
        let report = partial(&home, &["--full"]);
        says(&omitted(&report), &["base backup", "failed", path, "special file"]);
        assert_eq!(home.bases("db"), before, "the base backup that lacks {path} is in the snapshot");
        // A server that recovers follows no link of another's.
        let copy = home.copy(&pg, "db", &path.replace('/', "-"), &[]);
        pg.equals(&copy);
        pg.stop_and(|pg| unlink(pg, path));
    }
    assert_eq!(home.full()["outcome"], "complete");
    assert_eq!(home.bases("db").len(), 2);
    pg.equals(&home.copy(&pg, "db", "back", &[]));
}

/// In a tablespace the server names what it leaves out by its absolute path.
#[test]
fn a_database_in_a_tablespace_that_is_a_link() {
    let Some(mut pg) = Pg::start(18) else { return };
    let space = pg.space("fast");
    pg.psql(&format!("create tablespace fast location '{}'; create database app tablespace fast", space.display()));
    let oid = pg.psql("select oid from pg_database where datname = 'app'");
    let inside = fs::read_dir(&space).unwrap().next().unwrap().unwrap().path();
    let home = Home::of(&pg);
    pg.stop_and(|pg| {
        let to = pg.socket().join("far");
        assert!(Command::new("mv").args([&inside.join(&oid), &to]).status().unwrap().success());
        symlink(&to, inside.join(&oid)).unwrap();
    });
    says(&omitted(&partial(&home, &[])), &["pg_tblspc/", &format!("/{oid} "), "database `app`"]);
}

/// What is no data, the operator may give up by name; the server's log and sockets are nobody's to miss.
#[test]
fn what_may_be_missing_is_a_note() {
    let Some(mut pg) = Pg::start(15) else { return };
    let home = Home::of(&pg);
    fs::create_dir(pg.data().join("log")).unwrap();
    fs::create_dir(pg.data().join("extra")).unwrap();
    fs::write(pg.data().join("extra/server.key"), "").unwrap();
    for path in ["log", "extra", "extra/server.key"] {
        pg.hand_over(&pg.data().join(path));
    }
    link(&pg, "log");
    link(&pg, "extra/server.key");
    fifo(&pg.data().join(".s.PGSQL.5432"));
    let report = partial(&home, &[]);
    says(&omitted(&report), &["data/extra/server.key ", "tolerate", "filesystem job"]);
    assert_eq!(report["omitted_count"], 1, "{report}");
    home.set(&Job::at(pg.port()).with("tolerate = [\"extra/server.key\"]"));
    partial(&home, &["--full"]);
    let report = home.full();
    says(&notes(&report), &["which the job tolerates: 2 entries", "data/log"]);
    pg.stop_and(|pg| fs::remove_file(pg.data().join(".s.PGSQL.5432")).unwrap());
    pg.equals(&home.copy(&pg, "db", "back", &[]));
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// No server starts without it, so there is nothing to have.
#[test]
fn what_no_server_starts_without_is_no_backup() {
    let Some(mut pg) = Pg::start(17) else { return };
    let home = Home::of(&pg);
    for path in ["pg_xact", "pg_multixact/offsets"] {
        pg.stop_and(|pg| link(pg, path));
        says(&home.refused(&[]), &["no server starts without", path, "hint:"]);
        pg.stop_and(|pg| unlink(pg, path));
    }
    home.run();
    pg.equals(&home.copy(&pg, "db", "back", &[]));
}
