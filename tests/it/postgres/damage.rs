//! Pages that are damaged at the server: named by file and block, and never in a snapshot that says that all is well.

use std::fs;
use std::os::unix::fs::FileExt;

use serde_json::Value;

use super::job::Home;
use super::server::Pg;

const PAGE_BYTES: u64 = 8192;

/// A table of some pages, and the file in which it lies.
fn table(pg: &Pg, name: &str, tablespace: &str) -> String {
    pg.psql(&format!(
        "create table {name} tablespace {tablespace} as select n, repeat('x', 500) as pad from generate_series(1, 300) n;
         checkpoint;"
    ));
    pg.psql(&format!("select pg_relation_filepath('{name}')"))
}

/// Changes one byte of a page, as a disk does that forgets.
fn damage(pg: &Pg, file: &str, block: u64) {
    let file = fs::File::options().read(true).write(true).open(pg.data().join(file)).unwrap();
    let (mut byte, at) = ([0], block * PAGE_BYTES + 5_000);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
}

/// What was omitted, and why, one to a line.
pub(super) fn omitted(report: &Value) -> String {
    let omitted = report["omitted"].as_array().unwrap();
    omitted.iter().map(|one| format!("{} {}\n", one[0].as_str().unwrap(), one[1].as_str().unwrap())).collect()
}

fn damaged_pages(version: u32) {
    let Some(mut pg) = Pg::start(version) else { return };
    let space = pg.space("fast");
    pg.psql(&format!("create tablespace fast location '{}'", space.display()));
    let (here, there) = (table(&pg, "here", "pg_default"), table(&pg, "there", "fast"));
    let home = Home::of(&pg);
    pg.stop();
    damage(&pg, &here, 3);
    damage(&pg, &here, 11);
    damage(&pg, &there, 7);
    pg.start_again();

    let said = home.dozo(&["run", "db", "--json"]).expect(3);
    let report = said.json();
    assert_eq!(report["outcome"], "partial", "{report}");
    let text = omitted(&report);
    let oid = there.split('/').nth(1).unwrap();
    let there = there.splitn(3, '/').nth(2).unwrap();
    for (file, block) in
        [(format!("/data/{here}"), 3), (format!("/data/{here}"), 11), (format!("/tablespaces/{oid}/{there}"), 7)]
    {
        let named = text.lines().any(|line| line.contains(&file) && line.contains(&format!("block {block}")));
        assert!(named, "block {block} of {file} is not named:\n{text}");
    }
    assert_eq!((text.lines().count(), &report["omitted_count"]), (3, &Value::from(3)), "{text}");
    // What is taken over is as damaged as it was.
    pg.psql("create table more as select 1");
    let again = home.dozo(&["run", "db", "--json"]).expect(3).json();
    assert_eq!(omitted(&again), text);
    // A base backup that is no longer there complains no more.
    pg.psql("drop table here, there; checkpoint");
    home.dozo(&["run", "db", "--full"]).expect(3);
    let mended = home.full();
    assert_eq!((&mended["outcome"], &mended["omitted_count"]), (&Value::from("complete"), &Value::from(0)), "{mended}");
    let map = format!("fast={}", home.path("fast").display());
    pg.equals(&home.copy(&pg, "db", "back", &["--map", &map]));
}

#[test]
fn damaged_pages_are_named_by_file_and_block() {
    damaged_pages(18);
}

/// Another grammar of the base backup.
#[test]
fn damaged_pages_of_the_oldest_version() {
    damaged_pages(14);
}

/// A page that is written while it is read is not damaged.
#[test]
fn pages_under_load_are_not_taken_for_damaged() {
    let Some(pg) = Pg::plan(16).conf("checkpoint_timeout = 30s\nmax_wal_size = 4MB\nbgwriter_delay = 10ms").start()
    else {
        return;
    };
    pg.psql("create database bench");
    pg.pgbench("bench", &["-i", "-q", "-s", "3", "-n"]);
    let home = Home::of(&pg);
    let mut load = super::load::Load::start(&pg, "bench", 1_000);
    for _ in 0..crate::house::soak(2, 40) {
        let report = home.full();
        assert_eq!(report["outcome"], "complete", "{report}");
    }
    load.goes_on();
    let copy = home.copy(&pg, "db", "back", &[]);
    copy.balances_agree("bench");
    copy.amcheck();
}
