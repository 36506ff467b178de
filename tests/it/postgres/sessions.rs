//! The sessions of a run wait for each other, for the store, for the server. What the role, the database or the server has for
//! limits is for others.

use std::time::{Duration, Instant};

use super::job::{Home, Job, says};
use super::server::Pg;

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
