//! There and back, for each version: a cluster with something of everything, backed up under load, is verified by the
//! server's own programs, starts, is sound, and holds what the source held.

use std::fs;
use std::time::Duration;

use super::job::Home;
use super::load::Load;
use super::plan::Plan;
use super::server::Pg;
use crate::house::soak;

/// pgbench's scale: 100,000 rows, 15 MiB each.
const SCALE: usize = 1;
const SCALE_SOAK: usize = 20;
/// How long the load goes on between two runs, in seconds.
const LOADED: usize = 1;
const LOADED_SOAK: usize = 60;
/// Transactions in a second.
const RATE: u32 = 300;

/// A database with what files of a cluster can be: large values beside their table, indexes of several kinds, partitions,
/// large objects, what is not logged, names that must be escaped, tables and whole databases in a tablespace.
fn fill(pg: &Pg) {
    let space = pg.space("fast");
    pg.psql(&format!("create tablespace fast location '{}'", space.display()));
    pg.psql(
        "create database bench; create database \"odd ü/%name\" tablespace fast; create role someone password 'x';",
    );
    pg.psql_in("odd ü/%name", "create table \"t/%\" as select generate_series(1, 1000) as n");
    let scale = soak(SCALE, SCALE_SOAK).to_string();
    pg.pgbench("bench", &["-i", "-q", "-s", &scale, "--index-tablespace=fast"]);
    pg.psql_in(
        "bench",
        "create table texts (id int primary key, body text, data jsonb, words text[]) with (toast_tuple_target = 256);
         alter table texts alter column body set storage external;
         insert into texts select n, repeat(md5(n::text), 300), jsonb_build_object('n', n), array[n::text, 'x']
             from generate_series(1, 300) n;
         create index on texts using gin (data);
         create index on texts using brin (id);
         create index on texts using hash (body);
         create table parts (n int, t text) partition by hash (n);
         create table parts_0 partition of parts for values with (modulus 2, remainder 0);
         create table parts_1 partition of parts for values with (modulus 2, remainder 1) tablespace fast;
         insert into parts select n, md5(n::text) from generate_series(1, 5000) n;
         create unlogged table fleeting (n int);
         create sequence steps; select setval('steps', 4711);
         create table nothing ();
         create materialized view sums as select count(*) from parts;
         comment on table parts is 'a comment';
         select lo_from_bytea(0, decode(repeat('00ff', 40000), 'hex'));
         vacuum analyze;",
    );
}

fn round_trip(plan: Plan) {
    let Some(pg) = plan.start() else { return };
    fill(&pg);
    let home = Home::of(&pg);
    let mut load = Load::start(&pg, "bench", RATE);
    home.full();
    std::thread::sleep(Duration::from_secs(soak(LOADED, LOADED_SOAK) as u64));
    home.run();
    load.goes_on();
    under_load(&pg, &home);
    drop(load);

    let transactions = pg.balances_agree("bench");
    home.run();
    let copy = home.copy(&pg, "db", "quiet", &["--map", &map(&home, "quiet-fast")]);
    assert_eq!(copy.balances_agree("bench"), transactions);
    pg.equals(&copy);
    copy.amcheck();
    let inside = fs::read_dir(home.path("quiet-fast")).unwrap().count();
    assert_eq!(inside, 1, "the tablespace lies where it was told to");
    home.verify();
}

fn map(home: &Home, to: &str) -> String {
    format!("fast={}", home.path(to).display())
}

/// What was backed up while transactions went on is a moment between two of them.
fn under_load(pg: &Pg, home: &Home) {
    let unmapped = home.restore_refused("db", &[]);
    assert!(unmapped.contains("--map") && unmapped.contains("fast"), "{unmapped}");
    let copy = home.copy(pg, "db", "loaded", &["--map", &map(home, "loaded-fast")]);
    let transactions = copy.balances_agree("bench");
    assert!(transactions > 20, "{transactions} transactions are no load");
    copy.amcheck();
    // It is a server like any other.
    copy.pgbench("bench", &["-n", "-t", "10"]);
    copy.balances_agree("bench");
}

#[test]
fn version_14() {
    round_trip(Pg::plan(14).segments(16));
}

#[test]
fn version_15() {
    round_trip(Pg::plan(15));
}

/// Nothing but the server's own manifest knows then what a page should be.
#[test]
fn version_16_without_checksums() {
    round_trip(Pg::plan(16).no_checksums());
}

#[test]
fn version_17() {
    round_trip(Pg::plan(17).segments(16).conf("summarize_wal = on"));
}

#[test]
fn version_18() {
    round_trip(Pg::plan(18).segments(64).conf("min_wal_size = 128MB\nmax_wal_size = 512MB"));
}
