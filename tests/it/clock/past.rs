//! A clock that was in the past for one run.

use std::fs;
use std::time::Duration;

use super::{Machine, files, restored, short, shown};

/// A run whose clock was in the past is not what a time finds that lies between the runs before and after it.
#[test]
fn a_run_with_a_clock_in_the_past_is_found_by_no_later_time() {
    let house = files();
    let run = |content: &str, days: i64| {
        fs::write(house.path("src/f"), content).unwrap();
        Machine(&house, "UTC", days * 86_400).dozo(&["run"]).expect(0);
    };
    let (now, past) = (0, -400);
    run("first", now);
    std::thread::sleep(Duration::from_millis(1_100));
    run("wrong clock", past);
    let utc = Machine(&house, "UTC", 0);
    let snapshots = utc.snapshots();
    // The list is in the order of times.
    let wrong = shown(&utc, short(&snapshots[0]));
    let first = shown(&utc, short(&snapshots[1]));
    let cat = |named: &str| {
        let path = house.path("src/f").display().to_string();
        utc.dozo(&["cat", named, &path, "--identity", "owner.key"]).expect(0).out
    };
    assert_eq!(cat(&format!("files@{first}")), "first");
    assert_eq!(cat("files@now"), "first");
    // Before all others, it is what there is.
    assert_eq!(cat(&format!("files@{wrong}")), "wrong clock");
    assert_eq!(cat("files"), "wrong clock", "it is the last run");
}

/// The newest is that of the last run. If the clock was set back before it, another has a later time.
#[test]
fn a_snapshot_with_a_later_time_than_the_newest_is_named() {
    let house = files();
    // Not so far ahead that it would be one of the future.
    Machine(&house, "UTC", 1_800).dozo(&["run"]).expect(0);
    let utc = Machine(&house, "UTC", 0);
    let later = short(&utc.snapshots()[0]).to_string();
    assert!(!utc.dozo(&["ls", "files"]).expect(0).err.contains("note: "));
    fs::write(house.path("src/f"), "second").unwrap();
    utc.dozo(&["run"]).expect(0);
    let done = utc.restore("files", "new", &[]).expect(0);
    assert!(done.err.contains(&format!("note: {later} of ")), "{}", done.err);
    assert!(done.err.contains("bears a later time than"), "{}", done.err);
    assert_eq!(fs::read_to_string(restored(&house, "new").join("f")).unwrap(), "second");
    assert!(utc.dozo(&["ls", "files"]).expect(0).err.contains("bears a later time than"));
    let status = utc.dozo(&["status"]).expect(3);
    assert!(status.out.contains("bears an earlier time than one before"), "{}", status.out);
    assert!(!utc.restore("files@now", "back", &[]).expect(0).err.contains("a later time"));
}
