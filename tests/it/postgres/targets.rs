//! What a restore can be told: a restore point, a position, the latest, a moment at which nothing happened any more; what is
//! to become of the server then; and what is refused before anything is written.

use std::fs;
use std::time::Duration;

use super::job::{Home, says};
use super::load::{moment, now};
use super::moments::numbers;
use super::server::Pg;

fn insert(pg: &Pg, number: u64) {
    pg.psql(&format!("insert into ticks values ({number}, '')"));
}

/// A server with rows 1 to 3, a restore point `before-the-release` behind the first, and a position behind the second; all
/// of it backed up.
fn marked(version: u32) -> Option<(Pg, Home, String)> {
    let pg = Pg::start(version)?;
    super::load::Ticker::prepare(&pg);
    let home = Home::of(&pg);
    home.full();
    insert(&pg, 1);
    pg.psql("select pg_create_restore_point('before-the-release'), pg_create_restore_point('nightly')");
    insert(&pg, 2);
    pg.psql("select pg_create_restore_point('nightly')");
    let position = pg.psql("select pg_current_wal_insert_lsn()");
    insert(&pg, 3);
    home.run();
    Some((pg, home, position))
}

#[test]
fn a_name_a_position_and_the_latest() {
    let Some((pg, home, position)) = marked(15) else { return };
    for (to, at, expected) in [
        ("name", vec!["--at", "before-the-release"], vec![1]),
        // A name that was given again means the place that has it now.
        ("again", vec!["--at", "nightly"], vec![1, 2]),
        ("position", vec!["--at", position.as_str()], vec![1, 2]),
        ("latest", vec!["--at", "latest"], vec![1, 2, 3]),
        ("default", vec![], vec![1, 2, 3]),
    ] {
        let copy = home.copy(&pg, "db", to, &at);
        assert_eq!(numbers(&copy), expected, "{to}");
        // A server of its own: a timeline that begins where the other was left.
        insert(&copy, 4);
        assert!(copy.psql("select timeline_id from pg_control_checkpoint()").parse::<u32>().unwrap() > 1, "{to}");
    }
    assert_eq!(numbers(&pg), [1, 2, 3], "nothing was done to the source");
}

#[test]
fn the_server_waits_or_ends_where_it_is_told_to() {
    let Some((pg, home, position)) = marked(18) else { return };
    let at = |to, action: &str| home.restored(&pg, "db", to, &["--at", &position, "--option", action]);
    let paused = Pg::on_directory(18, &at("pause", "target_action=pause"), &[]);
    assert_eq!(paused.psql("select pg_is_in_recovery()"), "t");
    assert_eq!(numbers(&paused), [1, 2]);
    let ended = at("shutdown", "target_action=shutdown");
    says(&Pg::recover_and_end(18, &ended), &["shutdown at recovery target"]);
    let refused = home.restore_refused("db", &["--at", &position, "--option", "target_action=explode"]);
    says(&refused, &["target_action", "promote"]);
    let refused = home.restore_refused("db", &["--option", "target_axion=promote"]);
    says(&refused, &["target_axion"]);
}

/// A server on which nothing happens writes nothing by which a moment could be found.
#[test]
fn a_moment_after_the_last_commit() {
    let Some(pg) = Pg::start(17) else { return };
    super::load::Ticker::prepare(&pg);
    let home = Home::of(&pg);
    home.full();
    insert(&pg, 1);
    home.run();
    std::thread::sleep(Duration::from_millis(600));
    let quiet = moment(&pg, now(&pg));
    std::thread::sleep(Duration::from_millis(600));
    home.run();
    let copy = home.copy(&pg, "db", "quiet", &["--at", &quiet]);
    assert_eq!(numbers(&copy), [1]);
    // Nothing at all since the run before.
    home.run();
    home.run();
    assert_eq!(numbers(&home.copy(&pg, "db", "still", &[])), [1]);
    // Nor since the base backup.
    home.full();
    std::thread::sleep(Duration::from_millis(300));
    let after = moment(&pg, now(&pg));
    std::thread::sleep(Duration::from_millis(300));
    home.run();
    assert_eq!(numbers(&home.copy(&pg, "db", "after", &["--at", &after])), [1]);
}

#[test]
fn what_no_snapshot_covers_is_refused_before_anything_is_written() {
    let Some(pg) = Pg::start(16) else { return };
    super::load::Ticker::prepare(&pg);
    let home = Home::of(&pg);
    let before = moment(&pg, now(&pg));
    std::thread::sleep(Duration::from_millis(50));
    home.full();
    insert(&pg, 1);
    home.run();
    let here = pg.psql("select pg_current_wal_insert_lsn()");
    pg.psql("select pg_create_restore_point('later'), pg_switch_wal()");
    insert(&pg, 2);
    let beyond = pg.psql("select pg_current_wal_insert_lsn() + (1::numeric * 1024 * 1024 * 1024)");
    for at in [before.as_str(), "2999-01-01T00:00:00Z", "0/1", &beyond, "nobody-made-this", "later"] {
        let refused = home.restore_refused("db", &["--at", at]);
        says(&refused, &["recovers to"]);
    }
    let _ = here;
    for at in ["2026-13-01T00:00:00Z", ""] {
        home.restore_refused("db", &["--at", at]);
    }
}

/// A data directory is never mixed with another, whatever the operator says of conflicts.
#[test]
fn a_directory_that_holds_something_is_refused() {
    let Some(pg) = Pg::start(17) else { return };
    let Some(other) = Pg::start(17) else { return };
    let home = Home::of(&pg);
    home.full();
    fs::create_dir(home.path("full")).unwrap();
    fs::write(home.path("full/notes.txt"), "mine").unwrap();
    let refused = home.restore("db", "full", &[]);
    assert!([1, 2].contains(&refused.code), "{}", refused.err);
    assert_eq!(fs::read_dir(home.path("full")).unwrap().count(), 1, "something was written: {}", refused.err);

    let identifier = |pg: &Pg| pg.psql("select system_identifier from pg_control_system()");
    let (ours, theirs) = (identifier(&pg), identifier(&other));
    assert_ne!(ours, theirs);
    let mut other = other;
    other.stop();
    let cluster = other.data().display().to_string();
    for conflict in ["refuse", "skip", "replace"] {
        let said = home.dozo(&["restore", "db", "--to", &cluster, "--identity", "owner.key", "--conflict", conflict]);
        assert!([1, 2].contains(&said.code), "{conflict}: {}{}", said.out, said.err);
    }
    other.start_again();
    assert_eq!(identifier(&other), theirs, "another cluster was overwritten");
}
