//! What goes on at a server while it is backed up: pgbench, and rows whose commit times are known.

use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::server::Pg;

/// How often a row is written.
const TICK: Duration = Duration::from_millis(20);
/// How long a client takes to end.
const END_MAX: Duration = Duration::from_secs(20);

/// pgbench in the background. It ends with this.
pub(crate) struct Load(Child);

impl Load {
    /// Transactions against a database, so many in a second.
    pub(crate) fn start(pg: &Pg, database: &str, rate: u32) -> Self {
        let rate = format!("--rate={rate}");
        let mut pgbench = pg.pgbench_command(database, &["-n", "-c", "3", "-T", "600", &rate]);
        Load(pgbench.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// The load has gone on until now.
    #[track_caller]
    pub(crate) fn goes_on(&mut self) {
        assert!(self.0.try_wait().unwrap().is_none(), "pgbench ended early");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::INT);
        let begun = Instant::now();
        while self.0.try_wait().is_ok_and(|ended| ended.is_none()) && begun.elapsed() < END_MAX {
            std::thread::sleep(TICK);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Somebody who writes a row about fifty times in a second.
pub(crate) struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

/// A row, and when it was committed: microseconds since 1970, by the server's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) number: u64,
    pub(crate) committed: i64,
}

impl Ticker {
    /// Makes the table.
    pub(crate) fn prepare(pg: &Pg) {
        pg.psql("create table ticks (number bigint primary key, pad text not null)");
    }

    /// Begins to write rows from a number on.
    pub(crate) fn start(pg: &Pg, first: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut psql = pg.shell("postgres");
        psql.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut psql = psql.spawn().unwrap();
        let mut input = psql.stdin.take().unwrap();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut number = first;
            while !stopped.load(Ordering::Relaxed) {
                if writeln!(input, "insert into ticks values ({number}, repeat('x', {number} % 700));").is_err() {
                    break;
                }
                number += 1;
                std::thread::sleep(TICK);
            }
            drop(input);
            let begun = Instant::now();
            while psql.try_wait().is_ok_and(|ended| ended.is_none()) && begun.elapsed() < END_MAX {
                std::thread::sleep(TICK);
            }
            let _ = psql.kill();
            let _ = psql.wait();
            number
        });
        Ticker { stop, thread: Some(thread) }
    }

    /// Ends; returns the number of the row that would have come next.
    pub(crate) fn stop(mut self) -> u64 {
        self.end().unwrap()
    }

    fn end(&mut self) -> Option<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(|thread| thread.join().unwrap())
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.end();
    }
}

/// The rows that a server has, in the order of their numbers, which is that of their commits.
pub(crate) fn ticks(pg: &Pg) -> Vec<Tick> {
    let sql = "select number, (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000000)::bigint
               from ticks order by number";
    let rows = pg.psql(sql);
    let tick = |row: &str| {
        let (number, committed) = row.split_once('|').unwrap();
        Tick { number: number.parse().unwrap(), committed: committed.parse().unwrap() }
    };
    rows.lines().map(tick).collect()
}

/// How a moment is written for `--at`.
pub(crate) fn moment(pg: &Pg, micros: i64) -> String {
    let instant = format!("(timestamptz 'epoch' + {micros} * interval '1 microsecond') at time zone 'UTC'");
    pg.psql(&format!("select to_char({instant}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"))
}

/// The server's time now, in the same unit.
pub(crate) fn now(pg: &Pg) -> i64 {
    pg.psql("select (extract(epoch from clock_timestamp()) * 1000000)::bigint").parse().unwrap()
}
