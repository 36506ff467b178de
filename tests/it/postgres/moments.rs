//! Any second that is covered comes back as it was: what was committed before is there, what came later is not. Over full
//! runs and those between them, and over a change of the timeline.

use std::path::Path;
use std::time::Duration;

use super::job::{Chance, Home, Job, notes, says};
use super::load::{Tick, Ticker, moment, now, ticks};
use super::server::Pg;
use crate::house::soak;

/// Moments that are tried.
const MOMENTS: usize = 8;
const MOMENTS_SOAK: usize = 60;
/// How long rows are written between two runs.
const BETWEEN: Duration = Duration::from_millis(700);

/// A span of the server's time, in microseconds.
#[derive(Clone, Copy)]
struct Span {
    from: i64,
    until: i64,
}

impl Span {
    fn holds(self, at: i64) -> bool {
        (self.from..=self.until).contains(&at)
    }
}

/// What was written, and when it can be brought back.
struct Past {
    ticks: Vec<Tick>,
    covered: Span,
    /// Between the last run before the server became another and the first after it.
    change: Span,
}

impl Past {
    /// The rows at a moment.
    fn expected(&self, at: i64) -> Vec<u64> {
        self.ticks.iter().filter(|tick| tick.committed <= at).map(|tick| tick.number).collect()
    }
}

/// Writes rows while runs come and go, and one server takes the place of another.
fn live(pg: &mut Pg, home: &Home) -> (Pg, Past) {
    Ticker::prepare(pg);
    let ticker = Ticker::start(pg, 0);
    home.full();
    let from = now(pg);
    for full in [false, true, false, true] {
        std::thread::sleep(BETWEEN);
        if full {
            home.full()
        } else {
            home.run()
        };
    }
    let mut standby = pg.standby();
    std::thread::sleep(BETWEEN);
    let change_from = now(pg);
    home.run();
    std::thread::sleep(BETWEEN);
    let next = ticker.stop();
    pg.wait_for(&mut standby);
    pg.stop();
    standby.promote();
    let ticker = Ticker::start(&standby, next);
    std::thread::sleep(BETWEEN);
    home.set(&Job::at(standby.port()));
    says(&notes(&home.run()), &["timeline"]);
    let change_until = now(&standby);
    std::thread::sleep(BETWEEN);
    home.run();
    std::thread::sleep(BETWEEN);
    let until = now(&standby);
    std::thread::sleep(BETWEEN);
    home.run();
    ticker.stop();
    let past = Past {
        ticks: ticks(&standby),
        covered: Span { from, until },
        change: Span { from: change_from, until: change_until },
    };
    (standby, past)
}

/// Restores a moment, and looks at it; of one that may not be covered, refusal is an answer too.
fn try_moment(pg: &Pg, home: &Home, past: &Past, at: i64, number: usize) {
    let (to, time) = (format!("moment-{number}"), moment(pg, at));
    let more = ["--at", time.as_str()];
    let said = home.restore("db", &to, &more);
    if past.change.holds(at) && said.code != 0 {
        says(&said.err, &["recovers to"]);
        assert_eq!(written(&home.path(&to)), 0, "{}", said.err);
        return;
    }
    said.expect(0);
    pg.verifybackup(&home.path(&to));
    let copy = Pg::on_directory(pg.version(), &home.path(&to), &[]);
    let rows: Vec<u64> = numbers(&copy);
    let expected = past.expected(at);
    assert_eq!((rows.len(), rows.last()), (expected.len(), expected.last()), "at {time}");
    assert_eq!(rows, expected, "at {time}");
    drop(copy);
    std::fs::remove_dir_all(home.path(&to)).unwrap();
}

pub(super) fn numbers(pg: &Pg) -> Vec<u64> {
    pg.psql("select number from ticks order by number").lines().map(|row| row.parse().unwrap()).collect()
}

fn written(directory: &Path) -> usize {
    std::fs::read_dir(directory).map(Iterator::count).unwrap_or_default()
}

fn any_moment(version: u32) {
    let Some(mut pg) = Pg::plan(version).conf("wal_keep_size = 256MB").start() else { return };
    let home = Home::of(&pg);
    let (pg, past) = live(&mut pg, &home);
    assert!(past.ticks.len() > 100, "{} rows are few", past.ticks.len());
    let mut chance = Chance::new();
    let Span { from, until } = past.covered;
    for number in 0..soak(MOMENTS, MOMENTS_SOAK) {
        let at = from + chance.below((until - from) as u64) as i64;
        try_moment(&pg, &home, &past, at, number);
    }
    // The very moments of commits.
    let covered = past.ticks.iter().map(|tick| tick.committed).filter(|at| past.covered.holds(*at));
    let covered: Vec<i64> = covered.collect();
    let at = covered[chance.below(covered.len() as u64) as usize];
    try_moment(&pg, &home, &past, at, usize::MAX);
    try_moment(&pg, &home, &past, at - 1, usize::MAX);

    // As people write it, who are where the job's time zone is.
    home.set(&Job { more: "timezone = \"Asia/Tokyo\"".into(), ..Job::at(pg.port()) });
    let at = covered[covered.len() / 2];
    let local = pg.psql(&format!(
        "select to_char((timestamptz 'epoch' + {at} * interval '1 microsecond') at time zone 'Asia/Tokyo', 'YYYY-MM-DD HH24:MI:SS.US')"
    ));
    let copy = home.copy(&pg, "db", "local", &["--at", &format!("{local} Asia/Tokyo")]);
    assert_eq!(numbers(&copy), past.expected(at), "at {local}");

    let early = home.restore_refused("db", &["--at", &moment(&pg, from - 3_600_000_000)]);
    says(&early, &["recovers to"]);
    let late = home.restore_refused("db", &["--at", &moment(&pg, now(&pg) + 3_600_000_000)]);
    says(&late, &["recovers to"]);
}

#[test]
fn any_moment_over_snapshots_and_timelines() {
    any_moment(16);
}

#[test]
fn any_moment_of_the_oldest_and_the_newest_version() {
    for version in [14, 18].into_iter().take(soak(0, 2)) {
        any_moment(version);
    }
}
