//! The server's own programs: what asks it, loads it, and checks what was made of its backup. None runs without a limit.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::server::{Pg, run};
use crate::house::said;

pub(crate) use crate::house::Said;

/// How long one program may take.
const PROGRAM_MAX: Duration = Duration::from_secs(120);

/// What must agree after every transaction of pgbench's.
const BALANCES: &str = "
select (select sum(abalance) from pgbench_accounts), (select sum(bbalance) from pgbench_branches),
       (select sum(tbalance) from pgbench_tellers), (select coalesce(sum(delta), 0) from pgbench_history)";

/// Runs a program to its end, which is before the limit.
#[track_caller]
pub(crate) fn within(limit: Duration, command: &mut Command) -> Said {
    let name = command.get_program().to_owned();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let (ended, told) = channel::<()>();
    let watch = std::thread::spawn(move || {
        let late = told.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
        if late {
            let _ = kill_process(pid, Signal::KILL);
        }
        late
    });
    let said = said(child.wait_with_output().unwrap());
    drop(ended);
    let late = watch.join().unwrap();
    assert!(!late, "{name:?} did not end within {limit:?}: {}{}", said.out, said.err);
    said
}

impl Pg {
    fn client(&self, tool: &str) -> Command {
        let mut command = self.tool(tool);
        command.args(["-h", "127.0.0.1", "-p", &self.port().to_string(), "-U", "postgres"]);
        command
    }

    /// psql as the administrator, for whoever feeds it.
    pub(super) fn shell(&self, database: &str) -> Command {
        let mut psql = self.client("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database]);
        psql
    }

    /// What it answers to SQL, in the administrator's name.
    pub(crate) fn try_psql(&self, database: &str, sql: &str) -> Said {
        within(PROGRAM_MAX, self.shell(database).args(["-c", sql]))
    }

    /// The same, which must be right.
    #[track_caller]
    pub(crate) fn psql(&self, sql: &str) -> String {
        self.psql_in("postgres", sql)
    }

    /// The same in a database; each statement by itself, as some want to be.
    #[track_caller]
    pub(crate) fn psql_in(&self, database: &str, sql: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, sql).unwrap();
        let mut psql = self.shell(database);
        psql.stdin(std::fs::File::open(&file).unwrap()).args(["-f", "-"]);
        let said = within(PROGRAM_MAX, &mut psql);
        assert_eq!(said.code, 0, "{sql}\n{}{}", said.out, said.err);
        said.out.trim().to_string()
    }

    /// pgbench, to its end.
    #[track_caller]
    pub(crate) fn pgbench(&self, database: &str, arguments: &[&str]) {
        run(self.client("pgbench").args(arguments).arg(database));
    }

    /// pgbench, to be run in another way.
    pub(super) fn pgbench_command(&self, database: &str, arguments: &[&str]) -> Command {
        let mut pgbench = self.client("pgbench");
        pgbench.args(arguments).arg(database);
        pgbench
    }

    /// The balances of pgbench's tables agree, and are those of transactions; returns how many there were.
    #[track_caller]
    pub(crate) fn balances_agree(&self, database: &str) -> u64 {
        let row = self.psql_in(database, BALANCES);
        let sums: Vec<&str> = row.split('|').collect();
        assert!(sums.len() == 4 && sums.iter().all(|sum| *sum == sums[0]), "the balances do not agree: {row}");
        self.psql_in(database, "select count(*) from pgbench_history").parse().unwrap()
    }

    /// Every table and index of every database is sound.
    #[track_caller]
    pub(crate) fn amcheck(&self) {
        let mut amcheck = self.client("pg_amcheck");
        run(amcheck.args(["--all", "--install-missing", "--heapallindexed"]));
    }

    /// All that the server holds, in SQL, without what is never twice the same.
    #[track_caller]
    pub(crate) fn dumpall(&self) -> String {
        let all = run(&mut self.client("pg_dumpall")).out;
        let varies = |line: &&str| !line.starts_with(r"\restrict") && !line.starts_with(r"\unrestrict");
        let line = |line: &str| match line.split_once(" LOCATION ") {
            // Tablespaces lie elsewhere in a copy.
            Some((tablespace, _)) if tablespace.starts_with("CREATE TABLESPACE") => tablespace.to_string(),
            _ => line.to_string(),
        };
        all.lines().filter(varies).map(line).collect::<Vec<_>>().join("\n")
    }

    /// The two servers hold the same, to the row.
    #[track_caller]
    pub(crate) fn equals(&self, copy: &Pg) {
        let (left, right) = (self.dumpall(), copy.dumpall());
        let differs = left.lines().zip(right.lines()).position(|(left, right)| left != right);
        if let Some(line) = differs {
            let near = |text: &str| text.lines().skip(line.saturating_sub(3)).take(8).collect::<Vec<_>>().join("\n");
            panic!("line {line} differs:\n{}\n--- and in the copy:\n{}", near(&left), near(&right));
        }
        assert_eq!(left.lines().count(), right.lines().count(), "one ends before the other");
        assert!(left.lines().count() > 50, "{left}");
    }

    /// The server's own program finds nothing wrong with a directory, which no server has run on.
    #[track_caller]
    pub(crate) fn verifybackup(&self, data: &Path) {
        let mut verify = Command::new(self.program("pg_verifybackup"));
        let said = within(PROGRAM_MAX, verify.arg(data));
        assert_eq!(said.code, 0, "pg_verifybackup: {}{}", said.out, said.err);
    }
}
