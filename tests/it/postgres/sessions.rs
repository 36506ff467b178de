//! The sessions of a run wait for each other, for the store, for the server. What the role, the database or the server has for
//! limits is for others.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::job::{Home, Job, says};
use super::server::{Pg, READY_MAX};
use crate::house::said;

/// Each would end one of the sessions, or what it does, in the midst of a base backup that takes three seconds.
const LIMITS: [&str; 4] =
    ["idle_session_timeout", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];

fn sessions_that_wait(version: u32) {
    let Some(pg) = Pg::start(version) else { return };
    let mut limits = LIMITS.to_vec();
    if version >= 17 {
        limits.push("transaction_timeout");
    }
    for limit in &limits {
        pg.psql(&format!("alter role dozo set {limit} = '400ms'"));
    }
    pg.psql("alter role dozo set tcp_user_timeout = '1s'; alter database postgres set idle_session_timeout = '300ms'");
    let home = Home::with(&Job::at(pg.port()).with("max_rate = \"8MiB\""));
    let check = home.dozo(&["check", "db"]).expect(0);
    says(&check.out, &["sessions", "idle_session_timeout = ", "off for those of a run"]);
    limits.iter().for_each(|limit| says(&check.out, &[limit]));
    let begun = Instant::now();
    home.run();
    assert!(begun.elapsed() > Duration::from_millis(1_500), "too fast to show anything");
    // A question takes longer than the role's statements may.
    let more = "probe = { slow = \"select pg_sleep(1.5)::text || 'x'\" }".to_string();
    home.set(&Job { more, ..Job::at(pg.port()) });
    assert_eq!(home.run()["answers"][0][1], "x");
    pg.equals(&home.copy(&pg, "db", "back", &[]));
}

#[test]
fn limits_of_the_role_do_not_end_sessions_that_wait() {
    sessions_that_wait(17);
}

#[test]
fn limits_of_the_role_do_not_end_sessions_of_the_oldest_version() {
    sessions_that_wait(14);
}

/// A firewall forgets connections that are quiet: both ends of both sessions send probes within a minute, where the server by
/// itself would after two hours. In the midst of its checkpoint nobody says anything.
#[test]
fn sessions_that_wait_are_kept_alive() {
    let Some(pg) = Pg::plan(17).conf("tcp_keepalives_idle = 7200").start() else { return };
    let home = Home::of(&pg);
    let checkpointer = pg.psql("select pid from pg_stat_activity where backend_type = 'checkpointer'");
    let checkpointer = Pid::from_raw(checkpointer.parse().unwrap()).unwrap();
    kill_process(checkpointer, Signal::STOP).unwrap();
    let mut run = home.command(&["run", "db"]);
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // What was said last is acknowledged first.
    let (begun, mut ends) = (Instant::now(), [Vec::new(), Vec::new()]);
    while ends.iter().any(|sessions: &Vec<u64>| sessions.len() < 2) && begun.elapsed() < READY_MAX {
        std::thread::sleep(Duration::from_millis(50));
        ends = [1, 2].map(|end| probes(pg.port(), end));
    }
    kill_process(checkpointer, Signal::CONT).unwrap();
    said(run.wait_with_output().unwrap()).expect(0);
    let is_kept = |sessions: &Vec<u64>| sessions.len() >= 2 && sessions.iter().all(|seconds| *seconds <= 60);
    assert!(ends.iter().all(is_kept), "seconds until the next probe, at the server's end and at dozo's: {ends:?}");
    pg.equals(&home.copy(&pg, "db", "back", &[]));
}

/// Seconds until the next keepalive of each connection of which one end has a port, as the kernel shows its timers
/// (proc_net_tcp.txt): of the end that has it (1), or of the other (2).
fn probes(port: u16, end: usize) -> Vec<u64> {
    const ESTABLISHED: &str = "01";
    const KEEPALIVE: &str = "02";
    const TICKS: u64 = 100;
    let timer = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_ours = fields[end].ends_with(&format!(":{port:04X}")) && fields[3] == ESTABLISHED;
        let (kind, ticks) = fields[5].split_once(':')?;
        (is_ours && kind == KEEPALIVE).then(|| u64::from_str_radix(ticks, 16).unwrap() / TICKS)
    };
    let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
    connections.lines().skip(1).filter_map(timer).collect()
}

/// The server's own, in its configuration; and transactions that a standby cannot have.
#[test]
fn limits_of_the_server_and_defaults_that_a_standby_refuses() {
    let conf = "idle_session_timeout = 300ms\nstatement_timeout = 2s\nwal_keep_size = 256MB";
    let Some(pg) = Pg::plan(16).conf(conf).start() else { return };
    pg.psql("alter role dozo set default_transaction_isolation = 'serializable'");
    let mut standby = pg.standby();
    pg.wait_for(&mut standby);
    let home = Home::with(&Job::at(standby.port()).with("max_rate = \"8MiB\""));
    home.run();
    home.run();
    pg.equals(&home.copy(&pg, "db", "back", &[]));
}
