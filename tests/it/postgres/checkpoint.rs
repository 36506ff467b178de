//! The checkpoint that a base backup begins with takes a server as long as it takes.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::job::{Home, Job, says};
use super::server::Pg;
use crate::house::soak;

/// How long the server's checkpointer stands still at least, in seconds: in a soak, longer than the host lets a connection be silent.
const STILL_SOAK: usize = 400;
/// How many lines may come before one that says what is waited for: one comes each minute.
const LINES: usize = 5;

fn a_checkpoint_that_takes_long(version: u32, job: impl Fn(Job) -> Job) {
    let Some(pg) = Pg::start(version) else { return };
    let home = Home::with(&job(Job::at(pg.port())));
    let checkpointer = pg.psql("select pid from pg_stat_activity where backend_type = 'checkpointer'");
    let checkpointer = Pid::from_raw(checkpointer.parse().unwrap()).unwrap();
    kill_process(checkpointer, Signal::STOP).unwrap();
    let begun = Instant::now();
    let mut run = home.command(&["run", "db"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap());
    let shown = said.by_ref().lines().take(LINES).map(Result::unwrap);
    let shown = shown.into_iter().find(|line| line.contains("waiting for the server's checkpoint"));
    std::thread::sleep(Duration::from_secs(soak(0, STILL_SOAK) as u64).saturating_sub(begun.elapsed()));
    kill_process(checkpointer, Signal::CONT).unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(run.wait().unwrap().success(), "{shown:?}: {rest}");
    says(&shown.unwrap(), &["db: waiting for the server's checkpoint (", " s)"]);
    pg.equals(&home.copy(&pg, "db", "back", &[]));
}

#[test]
fn a_checkpoint_that_takes_long_is_waited_for_and_shown() {
    a_checkpoint_that_takes_long(17, |job| job);
}

/// Another grammar, and the slow kind.
#[test]
fn a_checkpoint_that_takes_long_at_the_oldest_version() {
    a_checkpoint_that_takes_long(14, |job| job.with("checkpoint = \"spread\""));
}

/// A spread one is what the server does by and by.
#[test]
fn a_spread_checkpoint_is_asked_for() {
    for version in [14, 18] {
        let Some(pg) = Pg::plan(version).conf("log_checkpoints = on").start() else { return };
        let home = Home::of(&pg);
        home.run();
        says(&pg.log(), &["checkpoint starting: immediate force wait"]);
        let fast = pg.log().matches("immediate force wait").count();
        home.set(&Job::at(pg.port()).with("checkpoint = \"spread\""));
        home.full();
        assert_eq!(pg.log().matches("immediate force wait").count(), fast, "{}", pg.log());
        pg.equals(&home.copy(&pg, "db", "back", &[]));
    }
}
