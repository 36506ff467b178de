//! PostgreSQL to test against, 14 to 18: servers that end with the test, and can be killed, started again, promoted, and
//! started on a directory that was restored.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::tools::{Said, within};
use crate::ports::free_port;

/// Slow machines with cold caches, and recovery.
pub(crate) const READY_MAX: Duration = Duration::from_secs(60);
/// How long a server takes to end, with what clients it has.
const END_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether something has happened.
const LOOK: Duration = Duration::from_millis(30);

/// A server.
pub(crate) struct Pg {
    version: u32,
    bin: PathBuf,
    /// Log, socket and tablespaces, and the data unless they lie elsewhere; gone with the server.
    home: tempfile::TempDir,
    data: PathBuf,
    port: u16,
    conf: Vec<String>,
    child: Option<Child>,
}

impl Pg {
    /// A place for a server.
    pub(super) fn empty(version: u32) -> Option<Pg> {
        let bin = crate::server::program(&format!("pg{version}"))?;
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        let pg = Pg { version, bin, home, data, port: free_port(), conf: Vec::new(), child: None };
        pg.hand_over(pg.home.path());
        // Others read what the server wrote, and the programs must be anybody's to run.
        fs::set_permissions(pg.home.path(), Permissions::from_mode(0o755)).unwrap();
        let reached = pg.tool("postgres").arg("--version").output();
        if !reached.as_ref().is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: {} cannot be run by an ordinary user: {reached:?}", pg.bin.display());
            return None;
        }
        Some(pg)
    }

    /// A server on a directory that was restored, with which nothing was done but to give it to whom it runs as. Recovery has
    /// ended, or is paused, when this returns.
    pub(crate) fn on_directory(version: u32, data: &Path, conf: &[&str]) -> Pg {
        let mut pg = Pg::prepare(version, data, conf);
        pg.start_again();
        pg.wait_for_recovery();
        pg
    }

    /// The same for one that recovers and then ends by itself; returns what it logged.
    pub(crate) fn recover_and_end(version: u32, data: &Path) -> String {
        let mut pg = Pg::prepare(version, data, &[]);
        pg.child = Some(pg.spawn());
        pg.wait_end(READY_MAX);
        pg.log()
    }

    fn prepare(version: u32, data: &Path, conf: &[&str]) -> Pg {
        let mut pg = Pg::empty(version).unwrap();
        pg.data = data.to_path_buf();
        pg.conf = conf.iter().map(ToString::to_string).collect();
        pg.take_over();
        pg
    }

    /// A standby of this server, streaming from it.
    pub(crate) fn standby(&self) -> Pg {
        let mut standby = Pg::empty(self.version).unwrap();
        let mut copy = standby.tool("pg_basebackup");
        copy.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres", "-c", "fast", "--no-sync", "-R"]);
        for space in fs::read_dir(self.home.path()).unwrap().map(|item| item.unwrap().path()) {
            if space.file_name().unwrap().to_string_lossy().starts_with("space-") {
                let to = standby.home.path().join(space.file_name().unwrap());
                copy.arg(format!("--tablespace-mapping={}={}", space.display(), to.display()));
            }
        }
        run(copy.arg("-D").arg(&standby.data));
        standby.start_again();
        standby
    }

    /// Has it started with these settings from the next start on.
    pub(crate) fn start_with(&mut self, settings: &[String]) {
        self.conf = settings.to_vec();
    }

    /// A directory for a tablespace, below the server's home.
    pub(crate) fn space(&self, name: &str) -> PathBuf {
        let path = self.home.path().join(format!("space-{name}"));
        fs::create_dir_all(&path).unwrap();
        self.hand_over(&path);
        path
    }

    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The directory of its data.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The directory of its socket.
    pub(crate) fn socket(&self) -> &Path {
        self.home.path()
    }

    /// The path of one of its programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// One of its programs, to be run as the user whom it runs as.
    pub(crate) fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.program(name));
        command.current_dir("/").stdin(Stdio::null()).env("PGCONNECT_TIMEOUT", "10").env("LC_ALL", "C.UTF-8");
        for variable in ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGOPTIONS", "PGSERVICE", "HOME"] {
            command.env_remove(variable);
        }
        // The programs look there by themselves; what the server loads takes the machine's own libpq, if there is one.
        command.env("LD_LIBRARY_PATH", self.bin.with_file_name("lib"));
        if let Some((uid, gid)) = user() {
            command.gid(gid).uid(uid);
        }
        command
    }

    /// Gives a path to the user whom the server runs as.
    pub(crate) fn hand_over(&self, path: &Path) {
        if let Some((uid, gid)) = user() {
            lchown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    /// Writes a file of the data directory, as the server's own.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let file = self.data.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        self.hand_over(&file);
    }

    /// Adds lines to postgresql.conf, which hold from the next start, or [`Pg::reload`], on.
    pub(crate) fn configure(&self, lines: &str) {
        let old = fs::read_to_string(self.data.join("postgresql.conf")).unwrap();
        self.write("postgresql.conf", &format!("{old}\n{lines}\n"));
    }

    /// Has it read its configuration again.
    pub(crate) fn reload(&self) {
        self.psql("select pg_reload_conf()");
        // The postmaster reads it within milliseconds, and tells nobody that it has.
        std::thread::sleep(Duration::from_millis(300));
    }

    /// The data directory, and what its tablespaces lead to, as the server wants them: its user's own, and nobody else's.
    fn take_over(&self) {
        self.hand_over_all(&self.data);
        fs::set_permissions(&self.data, Permissions::from_mode(0o700)).unwrap();
        open_the_way(&self.data);
        let Ok(spaces) = fs::read_dir(self.data.join("pg_tblspc")) else { return };
        for space in spaces {
            let link = space.unwrap().path();
            if let Ok(target) = fs::read_link(&link) {
                self.hand_over_all(&target);
                open_the_way(&target);
            }
        }
    }

    fn hand_over_all(&self, path: &Path) {
        self.hand_over(path);
        if path.symlink_metadata().unwrap().is_dir() {
            fs::read_dir(path).unwrap().for_each(|item| self.hand_over_all(&item.unwrap().path()));
        }
    }

    /// Starts it, again or for the first time, and waits until it can be asked.
    pub(crate) fn start_again(&mut self) {
        let begun = Instant::now();
        self.child = Some(self.spawn());
        while !self.is_ready() {
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                let log = self.last_words();
                // Somebody took the port meanwhile; or processes of a server that was killed hold what it shared.
                let again = log.contains("could not create any TCP/IP sockets") || log.contains("still in use");
                assert!(again && begun.elapsed() < READY_MAX, "the server ended:\n{log}");
                std::thread::sleep(Duration::from_millis(300));
                self.child = Some(self.spawn());
            }
            assert!(begun.elapsed() < READY_MAX, "the server is not ready:\n{}", self.last_words());
            std::thread::sleep(LOOK);
        }
    }

    fn spawn(&self) -> Child {
        let log = File::options().create(true).append(true).open(self.home.path().join("log")).unwrap();
        let mut postgres = self.tool("postgres");
        postgres.arg("-D").arg(&self.data).arg("-k").arg(self.home.path());
        for setting in [
            format!("port={}", self.port).as_str(),
            "listen_addresses=127.0.0.1",
            "archive_mode=off",
            "logging_collector=off",
        ] {
            postgres.args(["-c", setting]);
        }
        for setting in &self.conf {
            postgres.args(["-c", setting]);
        }
        postgres.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    fn is_ready(&self) -> bool {
        let mut ask = self.tool("pg_isready");
        ask.args(["-q", "-t", "5", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        ask.status().unwrap().success()
    }

    /// Waits until it takes writes, or its recovery is paused.
    fn wait_for_recovery(&mut self) {
        let state = "select case when not pg_is_in_recovery() then 'ended' else pg_get_wal_replay_pause_state() end";
        self.wait_until("recovery", state, |state| state == "ended" || state == "paused");
    }

    /// Asks until the answer is right.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, what: &str, sql: &str, right: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let said = self.try_psql("postgres", sql);
            if said.code == 0 && right(said.out.trim()) {
                return said.out.trim().to_string();
            }
            assert!(
                self.child.as_mut().unwrap().try_wait().unwrap().is_none(),
                "the server ended before {what}:\n{}",
                self.last_words()
            );
            assert!(begun.elapsed() < READY_MAX, "no {what}: {}{}\n{}", said.out, said.err, self.last_words());
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until a standby has replayed all that this server has written.
    pub(crate) fn wait_for(&self, standby: &mut Pg) {
        let position = self.psql("select pg_current_wal_lsn()");
        let sql = format!("select pg_last_wal_replay_lsn() >= '{position}'");
        standby.wait_until("the primary's last position", &sql, |answer| answer == "t");
    }

    /// Makes a standby a primary.
    pub(crate) fn promote(&mut self) {
        assert_eq!(self.psql("select pg_promote(true, 60)"), "t");
        self.wait_until("the promotion", "select pg_is_in_recovery()", |answer| answer == "f");
    }

    /// Ends it in an orderly way.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::INT);
        let status = self.wait_end(END_MAX);
        assert!(status.success(), "the server ended with {status}:\n{}", self.last_words());
    }

    /// Stops it, has something done, and starts it again.
    pub(crate) fn stop_and(&mut self, act: impl FnOnce(&Pg)) {
        self.stop();
        act(self);
        self.start_again();
    }

    /// Ends it and all its processes at once, as the kernel does when there is no memory left.
    pub(crate) fn kill9(&mut self) {
        let Some(child) = &self.child else { return };
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        self.signal(Signal::STOP);
        let all = fs::read_to_string(children).unwrap_or_default();
        self.signal(Signal::KILL);
        for pid in all.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        self.wait_end(END_MAX);
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    fn wait_end(&mut self, limit: Duration) -> ExitStatus {
        let begun = Instant::now();
        let mut child = self.child.take().unwrap();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if begun.elapsed() > limit {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the server does not end:\n{}", self.last_words());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.home.path().join("log")).unwrap_or_default()).into_owned()
    }

    /// The end of it, for people, without who came and went.
    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains("LOG:  connection ")).collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Pg {
    fn drop(&mut self) {
        if self.child.is_none() {
            return;
        }
        if std::thread::panicking() {
            eprintln!("the log of the server on port {}:\n{}", self.port, self.last_words());
        }
        // What a test leaves is thrown away: nothing need be written any more.
        self.signal(Signal::QUIT);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            if self.child.as_mut().is_none_or(|child| child.try_wait().is_ok_and(|ended| ended.is_some())) {
                return;
            }
            std::thread::sleep(LOOK);
        }
        self.signal(Signal::KILL);
        let _ = self.child.as_mut().map(Child::wait);
    }
}

/// Runs a program that must end well.
#[track_caller]
pub(super) fn run(command: &mut Command) -> Said {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_owned();
    let said = within(Duration::from_secs(120), command);
    assert_eq!(said.code, 0, "{name:?}: {}{}", said.out, said.err);
    said
}

/// Lets others pass through the temporary directories, this user's alone, in which a path lies.
fn open_the_way(path: &Path) {
    let place = std::env::temp_dir();
    for directory in path.ancestors().skip(1).take_while(|it| it.starts_with(&place) && **it != place) {
        let mode = directory.metadata().unwrap().permissions().mode();
        if mode & 0o001 == 0 {
            fs::set_permissions(directory, Permissions::from_mode(mode | 0o011)).unwrap();
        }
    }
}

/// Whom servers run as: they refuse to run as root. None where the tests do not run as root either.
fn user() -> Option<(u32, u32)> {
    static USER: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    *USER.get_or_init(|| {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let users = fs::read_to_string("/etc/passwd").unwrap();
        let find = |name: &str| {
            let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut numbers = line.split(':').skip(2).map(str::parse::<u32>);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        };
        Some(find("postgres").or_else(|| find("nobody")).unwrap_or((65_534, 65_534)))
    })
}
