//! A restore over what is there: one that was cut off goes on, a cluster that is stopped becomes what it was; and what is never
//! restored over.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::job::{Chance, Home, says};
use super::load::{moment, now};
use super::server::Pg;

const REPLACE: [&str; 2] = ["--conflict", "replace"];

/// Names and lengths of all that is below a directory.
fn tree(directory: &Path) -> Vec<(String, u64)> {
    let (mut found, mut todo) = (Vec::new(), vec![directory.to_path_buf()]);
    while let Some(next) = todo.pop() {
        for item in fs::read_dir(next).unwrap() {
            let path = item.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            found.push((path.display().to_string(), if metadata.is_file() { metadata.len() } else { 0 }));
            if metadata.is_dir() {
                todo.push(path);
            }
        }
    }
    found.sort();
    found
}

fn table(pg: &Pg, name: &str, rows: u32) {
    pg.psql(&format!("create table {name} as select n, md5(n::text) as t from generate_series(1, {rows}) n"));
}

#[test]
fn a_restore_that_was_cut_off_goes_on() {
    let Some(pg) = Pg::start(18) else { return };
    table(&pg, "large", 300_000);
    let home = Home::of(&pg);
    home.full();
    let begun = Instant::now();
    home.restored(&pg, "db", "whole", &[]);
    let whole = begun.elapsed().as_millis() as u64;
    let (mut chance, mut cut, mut rounds) = (Chance::new(), 0, 0);
    let directory = home.path("back");
    while cut < 3 {
        rounds += 1;
        assert!(rounds < 40, "{cut} restores of {rounds} were cut in their midst");
        let to = directory.display().to_string();
        let arguments = [&["restore", "db", "--to", &to, "--identity", "owner.key"], &REPLACE[..]].concat();
        let mut restore = home.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(chance.below(whole)));
        restore.kill().unwrap();
        restore.wait().unwrap();
        cut += u32::from(directory.join("backup_manifest").exists() && !directory.join("global/pg_control").exists());
    }
    if !directory.join("global/pg_control").exists() {
        says(&home.restore("db", "back", &["--conflict", "skip"]).expect(2).err, &["cut off", "--conflict replace"]);
    }
    fs::write(directory.join("base/left"), "by nobody").unwrap();
    let directory = home.restored(&pg, "db", "back", &REPLACE);
    pg.equals(&Pg::on_directory(18, &directory, &[]));
}

#[test]
fn a_stopped_cluster_becomes_what_it_was() {
    let Some(mut pg) = Pg::start(17) else { return };
    let space = pg.space("more");
    pg.psql(&format!("create tablespace more location '{}'", space.display()));
    table(&pg, "kept", 20_000);
    table(&pg, "dropped", 5_000);
    pg.psql("create table apart tablespace more as select n from generate_series(1, 5000) n");
    let home = Home::of(&pg);
    home.full();
    let before = moment(&pg, now(&pg));
    std::thread::sleep(Duration::from_millis(50));
    pg.psql("drop table dropped; update kept set t = 'wrong' where n % 10 = 0; delete from apart where n > 10");
    table(&pg, "later", 5_000);
    pg.psql("create table later_apart tablespace more as select 1");
    home.run();

    let (data, map) = (pg.data().display().to_string(), format!("more={}", space.display()));
    let arguments = [
        "restore",
        "db",
        "--to",
        &data,
        "--map",
        &map,
        "--identity",
        "owner.key",
        "--at",
        &before,
        "--conflict",
        "replace",
    ];
    let refused = home.dozo(&arguments).expect(2);
    says(&refused.err, &["a server is at work", "postmaster.pid"]);
    assert_eq!(pg.psql("select count(*) from later"), "5000", "it was touched");

    pg.stop();
    fs::write(pg.data().join("base/junk"), "left").unwrap();
    fs::create_dir_all(pg.data().join("nested/deeper")).unwrap();
    fs::write(pg.data().join("nested/deeper/file"), "left").unwrap();
    home.dozo(&arguments).expect(0);
    pg.verifybackup(pg.data());
    assert!(!pg.data().join("nested").exists() && !pg.data().join("base/junk").exists());
    pg.start_again();
    pg.wait_until("recovery to end", "select pg_is_in_recovery()", |said| said == "f");
    let counts = "select (select count(*) from kept where t = 'wrong'), (select count(*) from dropped),
        (select count(*) from apart), to_regclass('later') is null, to_regclass('later_apart') is null";
    assert_eq!(pg.psql(counts), "0|5000|5000|t|t");
}

#[test]
fn what_is_never_restored_over() {
    let (Some(pg), Some(mut other)) = (Pg::start(16), Pg::start(16)) else { return };
    let home = Home::of(&pg);
    home.full();
    other.stop();
    let there = home.path("there");
    fs::create_dir_all(there.join("precious")).unwrap();
    fs::write(there.join("precious/file"), "the only copy").unwrap();
    for (directory, words) in
        [(other.data(), ["another cluster", "system identifier"]), (&there, ["no cluster", "empty"])]
    {
        let before = tree(directory);
        let to = directory.display().to_string();
        let arguments = [&["restore", "db", "--to", &to, "--identity", "owner.key"], &REPLACE[..]].concat();
        says(&home.dozo(&arguments).expect(2).err, &words);
        assert!(tree(directory) == before, "{to} was touched");
    }
    other.start_again();
    assert_eq!(other.psql("select 1"), "1");
}
