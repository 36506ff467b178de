//! A restore that was cut off goes on; and what is never restored over.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::job::{Chance, Home, says};
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
    let is_cut = || directory.join("recovery.signal").exists() && !directory.join("global/pg_control").exists();
    while cut < 3 || !is_cut() {
        rounds += 1;
        assert!(rounds < 60, "{cut} restores of {rounds} were cut in their midst");
        let to = directory.display().to_string();
        let arguments = [&["restore", "db", "--to", &to, "--identity", "owner.key"], &REPLACE[..]].concat();
        let mut restore = home.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(chance.below(whole * 3 / 4)));
        restore.kill().unwrap();
        restore.wait().unwrap();
        cut += u32::from(is_cut());
        if directory.join("global/pg_control").exists() {
            // Too late: once more from the beginning.
            fs::remove_dir_all(&directory).unwrap();
        }
    }
    says(&home.restore("db", "back", &["--conflict", "skip"]).expect(2).err, &["cut off", "--conflict replace"]);
    fs::write(directory.join("left"), "by nobody").unwrap();
    let directory = home.restored(&pg, "db", "back", &REPLACE);
    pg.equals(&Pg::on_directory(18, &directory, &[]));
}

/// A restore of a snapshot into `back`, with `more` for its tablespace, that stands still while it writes there.
fn stopped_midway(home: &Home, snapshot: &str, map: &str) -> Child {
    let (back, more) = (home.path("back"), home.path("more"));
    let to = back.display().to_string();
    for _ in 0..20 {
        let mut restore = home.command(&["restore", snapshot, "--to", &to, "--identity", "owner.key", "--map", map]);
        let mut restore = restore.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !fs::read_dir(&more).is_ok_and(|mut inside| inside.next().is_some())
            && restore.try_wait().unwrap().is_none()
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        if restore.try_wait().unwrap().is_none() {
            kill_process(Pid::from_child(&restore), Signal::STOP).unwrap();
            if !back.join("global/pg_control").exists() {
                return restore;
            }
        }
        // Too late: once more from the beginning.
        let _ = restore.kill();
        restore.wait().unwrap();
        fs::remove_dir_all(&back).unwrap();
        fs::remove_dir_all(&more).unwrap();
    }
    panic!("each restore was done too soon");
}

/// What another snapshot left there goes, in tablespaces too; and two restores do not meet in one directory.
#[test]
fn a_restore_of_another_snapshot_takes_its_place() {
    let Some(pg) = Pg::start(17) else { return };
    let space = pg.space("more");
    pg.psql(&format!("create tablespace more location '{}'", space.display()));
    table(&pg, "dropped", 100_000);
    pg.psql("create table apart tablespace more as select n, md5(n::text) as t from generate_series(1, 200000) n");
    let home = Home::of(&pg);
    home.full();
    pg.psql("drop table dropped; drop table apart");
    table(&pg, "later", 5_000);
    pg.psql("create table later_apart tablespace more as select 1");
    home.full();
    let snapshots = home.snapshots();
    let map = format!("more={}", home.path("more").display());
    let (files, more) = (home.path("more"), ["--map", &map, "--conflict", "replace"]);
    let mut first = stopped_midway(&home, &snapshots[0], &map);
    says(&home.restore(&snapshots[1], "back", &more).expect(6).err, &["another restore is at work"]);
    first.kill().unwrap();
    first.wait().unwrap();

    says(&home.restore(&snapshots[1], "elsewhere", &more).expect(2).err, &["not empty", "tablespace"]);
    let directory = home.restored(&pg, &snapshots[1], "back", &more);
    let copy = Pg::on_directory(17, &directory, &[]);
    pg.equals(&copy);
    let there =
        tree(&files).into_iter().filter(|(name, _)| name.ends_with("PG_VERSION") || !name.contains("PG_17")).count();
    assert_eq!(there, 0, "{:?}", tree(&files));
}

#[test]
fn what_is_never_restored_over() {
    let (Some(pg), Some(mut other)) = (Pg::start(16), Pg::start(16)) else { return };
    let home = Home::of(&pg);
    home.full();
    let there = home.path("there");
    fs::create_dir_all(there.join("precious")).unwrap();
    fs::write(there.join("precious/file"), "the only copy").unwrap();
    // As `pg_basebackup` leaves it, in tar files, and as a server that recovers has it.
    fs::write(there.join("backup_manifest"), "{ \"PostgreSQL-Backup-Manifest-Version\": 2 }").unwrap();
    fs::write(there.join("recovery.signal"), "").unwrap();
    other.stop();
    for (directory, words) in [(other.data(), "holds a cluster"), (&there, "not empty")] {
        let before = tree(directory);
        let to = directory.display().to_string();
        let arguments = [&["restore", "db", "--to", &to, "--identity", "owner.key"], &REPLACE[..]].concat();
        says(&home.dozo(&arguments).expect(2).err, &[words]);
        assert!(tree(directory) == before, "{to} was touched");
    }
    let inside = format!("x={}", home.path("new/inside").display());
    says(&home.restore("db", "new", &["--map", &inside]).expect(2).err, &["lies in what takes another"]);
}
