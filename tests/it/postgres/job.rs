//! A house whose job `db` backs up a server, and what its operator types.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::plan::PASSWORD;
use super::server::Pg;
use super::tools::{Said, within};
use crate::house::House;

/// How long a command of dozo's may take.
const COMMAND_MAX: Duration = Duration::from_secs(180);

/// What the job's table says.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) url: String,
    /// What else stands in `config`.
    pub(crate) config: String,
    /// What stands in `grant`.
    pub(crate) grant: String,
    /// Other keys of the job.
    pub(crate) more: String,
}

impl Job {
    /// Over TCP, at a port of this machine.
    pub(crate) fn at(port: u16) -> Self {
        Job {
            url: format!("postgres://dozo@127.0.0.1:{port}/postgres"),
            config: "password = { file = \"password\" }".into(),
            grant: format!("network = [\"127.0.0.1:{port}\"]"),
            more: String::new(),
        }
    }

    /// Another key of the plugin's own.
    pub(crate) fn with(mut self, key: &str) -> Self {
        self.config = format!("{}, {key}", self.config);
        self
    }

    /// With something at the URL's end.
    pub(crate) fn query(mut self, query: &str) -> Self {
        self.url = format!("{}?{query}", self.url);
        self
    }

    fn table(&self) -> String {
        let Job { url, config, grant, more } = self;
        format!(
            "[job.db]\nplugin = \"postgres\"\n{more}\nconfig = {{ mode = \"physical\", url = {url:?}, {config} }}\ngrant = {{ {grant} }}\n"
        )
    }
}

/// A house with the job.
pub(crate) struct Home {
    house: House,
    /// The configuration without the job.
    base: String,
}

impl Home {
    /// For a server.
    pub(crate) fn of(pg: &Pg) -> Self {
        Home::with(&Job::at(pg.port()))
    }

    /// For a job.
    pub(crate) fn with(job: &Job) -> Self {
        Home::in_house(House::new(), job)
    }

    /// In a house that has a repository already.
    pub(crate) fn in_house(house: House, job: &Job) -> Self {
        house.write_secret("password", PASSWORD);
        let base = fs::read_to_string(house.path("dozo.toml")).unwrap();
        let home = Home { house, base };
        home.set(job);
        home
    }

    /// The job is another from now on.
    pub(crate) fn set(&self, job: &Job) {
        fs::write(self.path("dozo.toml"), format!("{}\n{}", self.base, job.table())).unwrap();
    }

    /// The configuration without the job is another from now on.
    pub(crate) fn set_base(&mut self, change: impl FnOnce(&str) -> String, job: &Job) {
        self.base = change(&self.base);
        self.set(job);
    }

    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.house.path(path)
    }

    /// A command of dozo's, to be run in another way.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.house.command();
        command.args(arguments);
        command
    }

    /// A command of dozo's, to its end.
    #[track_caller]
    pub(crate) fn dozo(&self, arguments: &[&str]) -> Said {
        within(COMMAND_MAX, &mut self.command(arguments))
    }

    /// A run that must end well; returns its report.
    #[track_caller]
    pub(crate) fn run(&self) -> Value {
        self.dozo(&["run", "db", "--json"]).expect(0).json()
    }

    /// A full run that must end well.
    #[track_caller]
    pub(crate) fn full(&self) -> Value {
        self.dozo(&["run", "db", "--full", "--json"]).expect(0).json()
    }

    /// A run that must fail and leave no snapshot; returns what it said.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let before = self.snapshots();
        let said = self.dozo(&[&["run", "db"], arguments].concat());
        assert!([1, 2].contains(&said.code), "exit code {}\n{}\n{}", said.code, said.out, said.err);
        assert_eq!(self.snapshots(), before, "there is a snapshot of a run that failed");
        assert!(said.err.contains("error: "), "{}", said.err);
        assert!(!said.err.contains(PASSWORD) && !said.out.contains(PASSWORD), "the password is shown: {}", said.err);
        said.err
    }

    /// What `dozo check` says against a job; nothing if it is ready.
    #[track_caller]
    pub(crate) fn refused_by_check(&self, job: &Job) -> Option<String> {
        self.set(job);
        let said = self.dozo(&["check", "db"]);
        assert!([0, 1, 2].contains(&said.code), "exit code {}\n{}\n{}", said.code, said.out, said.err);
        (said.code != 0).then_some(said.err)
    }

    /// The ids of all snapshots, oldest first.
    #[track_caller]
    pub(crate) fn snapshots(&self) -> Vec<String> {
        let said = self.dozo(&["snapshots", "--json"]).expect(0);
        let rows = said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.map(|row| row["id"].as_str().unwrap().to_string()).collect()
    }

    /// The paths of a snapshot's entries.
    #[track_caller]
    pub(crate) fn entries(&self, snapshot: &str) -> Vec<String> {
        let said = self.dozo(&["ls", snapshot, "-r", "--json"]).expect(0);
        let rows = said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.map(|row| row["path"].as_str().unwrap().to_string()).collect()
    }

    /// The base backups of a snapshot.
    #[track_caller]
    pub(crate) fn bases(&self, snapshot: &str) -> BTreeSet<String> {
        let inside = |path: &String| Some(path.strip_prefix("bases/")?.split('/').next()?.to_string());
        self.entries(snapshot).iter().filter_map(inside).collect()
    }

    /// A restore into a directory of the house.
    #[track_caller]
    pub(crate) fn restore(&self, snapshot: &str, to: &str, more: &[&str]) -> Said {
        let to = self.path(to).display().to_string();
        self.dozo(&[&["restore", snapshot, "--to", &to, "--identity", "owner.key"], more].concat())
    }

    /// A restore that must end well, and pass the server's own verification; returns the directory.
    #[track_caller]
    pub(crate) fn restored(&self, pg: &Pg, snapshot: &str, to: &str, more: &[&str]) -> PathBuf {
        self.restore(snapshot, to, more).expect(0);
        let directory = self.path(to);
        pg.verifybackup(&directory);
        directory
    }

    /// A server on what is restored so.
    #[track_caller]
    pub(crate) fn copy(&self, pg: &Pg, snapshot: &str, to: &str, more: &[&str]) -> Pg {
        let directory = self.restored(pg, snapshot, to, more);
        Pg::on_directory(pg.version(), &directory, &[])
    }

    /// A restore that must fail before anything is written.
    #[track_caller]
    pub(crate) fn restore_refused(&self, snapshot: &str, more: &[&str]) -> String {
        let said = self.restore(snapshot, "refused", more);
        assert!([1, 2].contains(&said.code), "exit code {}\n{}\n{}", said.code, said.out, said.err);
        assert!(said.err.contains("error: "), "{}", said.err);
        let left = fs::read_dir(self.path("refused")).map(Iterator::count).unwrap_or_default();
        assert_eq!(left, 0, "something was written: {}", said.err);
        said.err
    }

    /// Everything in the repository is whole.
    #[track_caller]
    pub(crate) fn verify(&self) {
        self.dozo(&["verify", "--read-data", "--identity", "owner.key"]).expect(0);
    }
}

/// The notes of a report, as one text.
pub(crate) fn notes(report: &Value) -> String {
    let notes = report["notes"].as_array().unwrap();
    notes.iter().map(|note| note.as_str().unwrap().to_string() + "\n").collect()
}

/// Where the job's slot stands, if there is one.
pub(crate) fn slot(pg: &Pg) -> String {
    pg.psql("select restart_lsn from pg_replication_slots where slot_name = 'dozo'")
}

/// What is said must have these words, whatever their case.
#[track_caller]
pub(crate) fn says(text: &str, words: &[&str]) {
    let lower = text.to_lowercase();
    for word in words {
        assert!(lower.contains(&word.to_lowercase()), "`{word}` is not in:\n{text}");
    }
}

/// A number from a seed that is told where a test fails.
pub(crate) struct Chance(u64);

impl Chance {
    /// Another one each time, or that of `DOZO_SEED`.
    pub(crate) fn new() -> Self {
        let told = std::env::var("DOZO_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = told.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            u64::from(now.subsec_nanos()) ^ (u64::from(std::process::id()) << 32)
        });
        eprintln!("DOZO_SEED={seed}");
        Chance(seed | 1)
    }

    /// Below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}
