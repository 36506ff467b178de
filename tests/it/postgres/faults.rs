//! What goes wrong in the midst of a run: the line is cut anywhere, the server is killed, the repository's disk is full. No
//! snapshot is left that looks whole, the operator is told, and the next run does what this one could not.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::job::{Chance, Home, Job, says, slot};
use super::line::Line;
use super::load::Ticker;
use super::moments::numbers;
use super::server::Pg;
use crate::house::{House, is_root, said, soak};

/// Runs whose line is cut.
const CUTS: usize = 6;
const CUTS_SOAK: usize = 200;

/// A server with some megabytes that do not compress.
fn noisy(version: u32) -> Option<Pg> {
    let pg = Pg::start(version)?;
    Ticker::prepare(&pg);
    pg.psql("create table noise (n int, b text)");
    more_noise(&pg);
    Some(pg)
}

/// Two mebibytes more.
fn more_noise(pg: &Pg) {
    pg.psql(
        "insert into noise select n, (select string_agg(md5(random()::text || n || m), '') from generate_series(1, 32) m)
             from generate_series(1, 2000) n",
    );
}

/// The last run was good: its snapshot restores to what the server has now.
fn proves(pg: &Pg, home: &Home, to: &str) {
    home.verify();
    let copy = home.copy(pg, "db", to, &[]);
    pg.equals(&copy);
}

/// A run over the line, cut after so many bytes. What was told and what there is must agree.
fn cut(line: &Line, pg: &Pg, home: &Home, bytes: u64, more: &[&str]) {
    let (before, stood) = (home.snapshots().len(), slot(pg));
    line.cut_after(bytes);
    let said = home.dozo(&[&["run", "db"], more].concat());
    let (reached, count) = (line.reached(), home.snapshots().len() - before);
    line.carry();
    match said.code {
        // All of it had come; what was cut then is what the server is told afterwards.
        0 => assert_eq!(count, 1, "cut after {bytes} bytes: {}{}", said.out, said.err),
        1 => {
            assert!(reached, "nothing was cut after {bytes} bytes: {}", said.err);
            assert_eq!(count, 0, "cut after {bytes} bytes: {}{}", said.out, said.err);
            assert!(said.err.contains("error: the job `db` failed"), "{}", said.err);
            assert_eq!(slot(pg), stood, "cut after {bytes} bytes: the slot has moved, and there is no snapshot");
        }
        code => panic!("cut after {bytes} bytes: exit code {code}: {}{}", said.out, said.err),
    }
}

#[test]
fn a_line_that_is_cut_anywhere_leaves_nothing_that_looks_whole() {
    let Some(mut pg) = noisy(16) else { return };
    let line = Line::to(pg.port());
    let home = Home::with(&Job::at(line.port()));
    line.carry();
    home.full();
    let whole = line.carried();
    line.carry();
    more_noise(&pg);
    home.run();
    let part = line.carried();
    assert!(whole > 20 << 20 && part > 2 << 20, "{whole} and {part} bytes are not what was to come");
    let mut chance = Chance::new();
    for round in 0..soak(CUTS, CUTS_SOAK) {
        match round % 3 {
            0 => cut(&line, &pg, &home, chance.below(whole), &["--full"]),
            // Where the server is greeted, asked, and told what is wanted.
            1 => cut(&line, &pg, &home, chance.below(4_000), &[]),
            _ => {
                more_noise(&pg);
                cut(&line, &pg, &home, chance.below(part), &[]);
            }
        }
    }
    // Of what was cut, nothing goes on at the server.
    pg.wait_until("the end of what was cut", "select count(*) from pg_stat_replication", |count| count == "0");
    more_noise(&pg);
    home.run();
    proves(&pg, &home, "back");
}

#[test]
fn a_server_that_is_killed_in_the_midst_of_a_base_backup() {
    let Some(mut pg) = noisy(17) else { return };
    let line = Line::to(pg.port());
    let home = Home::with(&Job::at(line.port()));
    line.carry();
    home.full();
    let whole = line.carried();
    line.stall_after(whole / 2);
    let mut run = home.command(&["run", "db", "--full"]);
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    line.wait_for_stall();
    pg.kill9();
    line.carry();
    let said = said(run.wait_with_output().unwrap()).expect(1);
    says(&said.err, &["error: the job `db` failed", "connection"]);
    assert_eq!(home.snapshots().len(), 1);
    // Nobody is there.
    home.refused(&[]);
    pg.start_again();
    more_noise(&pg);
    home.run();
    proves(&pg, &home, "back");
}

/// In the midst of WAL: the slot has what the next run needs.
#[test]
fn a_server_that_is_killed_in_the_midst_of_wal() {
    let Some(mut pg) = noisy(14) else { return };
    let line = Line::to(pg.port());
    let home = Home::with(&Job::at(line.port()));
    home.full();
    more_noise(&pg);
    line.stall_after(1 << 20);
    let mut run = home.command(&["run", "db"]);
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    line.wait_for_stall();
    pg.kill9();
    line.carry();
    said(run.wait_with_output().unwrap()).expect(1);
    pg.start_again();
    home.run();
    assert_eq!(home.bases("db").len(), 1, "what was missing came as WAL");
    proves(&pg, &home, "back");
}

/// dozo itself, killed: what it held at the server is gone with it.
#[test]
fn a_run_that_is_killed_leaves_the_server_as_it_was() {
    let Some(mut pg) = noisy(18) else { return };
    let line = Line::to(pg.port());
    let home = Home::with(&Job::at(line.port()));
    home.full();
    let stood = slot(&pg);
    line.stall_after(5 << 20);
    let mut run = home.command(&["run", "db", "--full"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    line.wait_for_stall();
    run.kill().unwrap();
    run.wait().unwrap();
    line.carry();
    pg.wait_until("the end of the backup", "select count(*) from pg_stat_replication", |count| count == "0");
    assert_eq!((home.snapshots().len(), slot(&pg)), (1, stood));
    home.run();
    proves(&pg, &home, "back");
}

/// A restore that is killed leaves what `pg_verifybackup` passes, or nothing that a server would start on.
#[test]
fn a_restore_that_is_cut_off_starts_no_server() {
    let Some(pg) = noisy(16) else { return };
    let home = Home::of(&pg);
    home.full();
    more_noise(&pg);
    home.run();
    let begun = Instant::now();
    home.restored(&pg, "db", "whole", &[]);
    let whole = begun.elapsed().as_millis() as u64;
    let (mut chance, mut cut) = (Chance::new(), 0);
    for round in 0..soak(CUTS, CUTS_SOAK) {
        let (name, after) = (format!("cut-{round}"), Duration::from_millis(chance.below(whole)));
        let to = home.path(&name);
        let to = to.display().to_string();
        let mut restore = home.command(&["restore", "db", "--to", &to, "--identity", "owner.key"]);
        let mut restore = restore.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(after);
        restore.kill().unwrap();
        restore.wait().unwrap();
        if home.path(&name).join("global/pg_control").exists() {
            pg.verifybackup(&home.path(&name));
        } else if home.path(&name).join("PG_VERSION").exists() {
            cut += 1;
            let log = Pg::recover_and_end(16, &home.path(&name));
            assert!(!log.contains("ready to accept"), "a server started on a part of a cluster:\n{log}");
        }
    }
    eprintln!("{cut} restores were cut in their midst");
}

/// A file system of a few mebibytes, unmounted at the end.
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf, mebibytes: u32) -> Self {
        fs::create_dir(&path).unwrap();
        let small = Small(path);
        small.resize(mebibytes, false);
        small
    }

    fn resize(&self, mebibytes: u32, remount: bool) {
        let mut options = format!("size={mebibytes}m,mode=755");
        if remount {
            options.push_str(",remount");
        }
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&self.0).output().unwrap();
        said(mount).expect(0);
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_of_the_repository_moves_no_slot() {
    if !is_root("a disk that is full") {
        return;
    }
    let Some(pg) = noisy(15) else { return };
    let house = House::bare();
    let small = Small::mount(house.path("small"), 2);
    let url = format!("file://{}", house.path("small/repository").display());
    house.dozo(&["init", &url, "--single-owner"]).expect(0);
    let home = Home::in_house(house, &Job::at(pg.port()));
    says(&home.refused(&[]), &["No space left"]);
    small.resize(64, true);
    home.run();
    let stood = slot(&pg);
    assert!(!stood.is_empty());

    // So much that the noise below has no room.
    let filler = fs::File::create(home.path("small/filler")).unwrap();
    let free = rustix::fs::statvfs(home.path("small")).unwrap();
    let free = free.f_bavail * free.f_frsize - (512 << 10);
    fs::write(home.path("small/filler"), vec![1; usize::try_from(free).unwrap()]).unwrap();
    drop(filler);
    more_noise(&pg);
    says(&home.refused(&[]), &["No space left"]);
    assert_eq!(slot(&pg), stood, "the slot has moved, and there is no snapshot");
    fs::remove_file(home.path("small/filler")).unwrap();
    home.run();
    assert_eq!(home.bases("db").len(), 1, "what was missing came as WAL");
    assert_ne!(slot(&pg), stood, "the slot goes on once the snapshot is stored");
    proves(&pg, &home, "back");
    assert!(numbers(&pg).is_empty());
}
