//! Clusters of very many files, and WAL in very long segments: what a run and a restore hold does not grow with them.

use std::fs;
use std::time::Instant;

use super::job::Home;
use super::server::Pg;
use crate::house::soak;

/// Files that are in a database's directory beside its own.
const FILES: usize = 12_000;
const FILES_SOAK: usize = 160_000;
const FILE_BYTES: usize = 8 << 10;
/// What the plugin may hold, whatever there is: a quarter of what it may by default.
const MEMORY: u64 = 64 << 20;

fn used(report: &serde_json::Value) -> u64 {
    report["usage"]["memory_bytes"].as_u64().unwrap()
}

#[test]
fn very_many_files() {
    let Some(pg) = Pg::start(17) else { return };
    let files = soak(FILES, FILES_SOAK);
    let directory = pg.data().join("base/5");
    for number in 0..files {
        let path = directory.join(format!("{}", 5_000_000 + number));
        // No two are alike, as no two tables are.
        let content: Vec<u8> = number.to_le_bytes().into_iter().cycle().take(FILE_BYTES).collect();
        fs::write(&path, content).unwrap();
        pg.hand_over(&path);
    }
    let home = Home::of(&pg);
    let begun = Instant::now();
    let first = home.full();
    eprintln!("{files} files: {:?}, {} MiB of memory", begun.elapsed(), used(&first) >> 20);
    pg.psql("create table t as select generate_series(1, 1000)");
    let next = home.run();
    let second = home.full();
    for report in [&first, &next, &second] {
        assert!(used(report) < MEMORY, "{} MiB of memory", used(report) >> 20);
    }
    let begun = Instant::now();
    let report = home.restore("db", "back", &["--json"]).expect(0).json();
    eprintln!("restored in {:?}, {} MiB of memory", begun.elapsed(), used(&report) >> 20);
    pg.verifybackup(&home.path("back"));
    let back = fs::read(home.path("back/base/5/5000007")).unwrap();
    assert_eq!(back[..8], 7_usize.to_le_bytes());
}

/// One of them has more than the plugin may hold.
#[test]
fn very_long_segments_of_wal() {
    let Some(pg) = Pg::plan(16).segments(256).conf("min_wal_size = 512MB\nmax_wal_size = 1GB").start() else { return };
    pg.psql("create table t as select generate_series(1, 1000) as n");
    let home = Home::of(&pg);
    assert!(used(&home.full()) < MEMORY);
    pg.psql("insert into t select generate_series(1, 50000)");
    let before = pg.psql("select pg_current_wal_insert_lsn()");
    pg.psql("insert into t values (0)");
    // The segment is stored again, longer.
    let report = home.run();
    assert!(used(&report) < MEMORY, "{} MiB of memory", used(&report) >> 20);
    let copy = home.copy(&pg, "db", "before", &["--at", &before]);
    assert_eq!(copy.psql("select count(*) from t"), "51000");
    pg.equals(&home.copy(&pg, "db", "back", &[]));
}
