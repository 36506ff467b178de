//! PostgreSQL's server and its programs, as a user who may run them: neither the server nor what reads its files may be root.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufWriter, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

use super::super::peers::fetched_into;
use crate::shell::{output, run};

/// Whom root becomes: every Linux has this one.
const NOBODY: &str = "nobody";
/// The role, and the database, that every cluster has. By the socket it needs no password.
const POSTGRES: &str = "postgres";
/// A server that is started on a restored directory has to recover first.
const READY_MAX: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);
/// The kernel tells the times of processes in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);
/// Of what stands behind a process's name in /proc: its parent, its user and system time, and those of its children that have
/// ended.
const PARENT: usize = 1;
const TIMES: std::ops::Range<usize> = 11..15;

/// Where the programs are, who runs them, and where a server listens.
pub(super) struct Programs {
    bin: PathBuf,
    user: Option<User>,
    /// Not below the data: the path of a socket must be short.
    sockets: PathBuf,
    port: u16,
}

/// A server that runs. It ends with whoever started it.
pub(super) struct Server<'a> {
    programs: &'a Programs,
    child: Child,
}

impl Programs {
    /// Fetches the programs of a version into a directory that their user can enter.
    pub(super) fn find(place: &Path, version: &str) -> Result<Self> {
        let bin = fetched_into(&place.join("tools"), "servers.sh", &[version])?;
        let user = if nix::unistd::geteuid().is_root() { User::from_name(NOBODY)? } else { None };
        let sockets = std::env::temp_dir().join(format!("dozo-bench-{}", std::process::id()));
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let programs = Programs { bin, user, sockets, port };
        output(&mut programs.as_user("postgres", ["--version"]))
            .with_context(|| format!("the user {NOBODY} cannot get to {}: see --in", place.display()))?;
        programs.directory(&programs.sockets)?;
        Ok(programs)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn sockets(&self) -> &Path {
        &self.sockets
    }

    /// A program of PostgreSQL, for whoever wants to run it.
    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.bin.join(program)
    }

    /// A program of PostgreSQL, or another by its path, as the server's user.
    pub(super) fn as_user<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let program = self.bin.join(program);
        let mut command = match &self.user {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid));
                command.args(["--clear-groups", "--pdeathsig", "INT"]).arg(program);
                command
            }
        };
        command.args(arguments).current_dir("/");
        command
    }

    /// A program that connects to the server and may do everything.
    pub(super) fn client<A: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = self.as_user(program, arguments);
        command.env("PGHOST", &self.sockets).env("PGPORT", self.port.to_string());
        command.env("PGUSER", POSTGRES).env("PGDATABASE", POSTGRES);
        command
    }

    /// A directory for the server's user alone.
    pub(super) fn directory(&self, path: &Path) -> Result<()> {
        DirBuilder::new().mode(0o700).create(path).with_context(|| format!("make {}", path.display()))?;
        self.give(path)
    }

    /// Makes the server's user the owner of all that is there.
    pub(super) fn give(&self, path: &Path) -> Result<()> {
        let Some(user) = &self.user else { return Ok(()) };
        run(Command::new("chown").arg("-hR").arg(format!("{}:{}", user.uid, user.gid)).arg(path))
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.sockets);
    }
}

impl<'a> Server<'a> {
    /// Starts one, with settings beside those of its directory, and waits until all is there that it has to recover.
    pub(super) fn start(programs: &'a Programs, data: &Path, settings: &[(&str, String)]) -> Result<Self> {
        let log = data.with_extension("log");
        let mut command = programs.as_user("postgres", [OsStr::new("-D"), data.as_os_str()]);
        let (port, sockets) = (programs.port.to_string(), programs.sockets.display().to_string());
        let own = [("port", port), ("listen_addresses", "127.0.0.1".into()), ("unix_socket_directories", sockets)];
        for (name, value) in own.iter().chain(settings) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let said = File::create(&log).with_context(|| format!("write {}", log.display()))?;
        command.stdin(Stdio::null()).stderr(said.try_clone()?).stdout(said);
        let mut server = Server { programs, child: command.spawn().context("start PostgreSQL")? };
        let began = Instant::now();
        // One that recovers answers long before it has recovered.
        while server.sql("select pg_is_in_recovery()").ok().as_deref() != Some("f") {
            if server.child.try_wait()?.is_some() || began.elapsed() > READY_MAX {
                bail!("PostgreSQL does not get ready:\n{}", fs::read_to_string(&log).unwrap_or_default());
            }
            std::thread::sleep(LOOK);
        }
        Ok(server)
    }

    /// Performs SQL; returns what it answers, columns separated by `|`.
    pub(super) fn sql(&self, text: &str) -> Result<String> {
        Ok(output(&mut self.psql(text))?.trim().to_string())
    }

    /// Performs a COPY from what is written.
    pub(super) fn feed(
        &self,
        copy: &str,
        write: impl FnOnce(&mut BufWriter<ChildStdin>) -> io::Result<()>,
    ) -> Result<()> {
        let mut child = self.psql(copy).stdin(Stdio::piped()).spawn().context("start psql")?;
        let input = child.stdin.take().context("psql has an input")?;
        let mut input = BufWriter::with_capacity(1 << 20, input);
        let written = write(&mut input).and_then(|()| input.flush());
        drop(input);
        let status = child.wait()?;
        ensure!(status.success(), "psql: {status}");
        written.context("feed psql")
    }

    fn psql(&self, text: &str) -> Command {
        self.programs.client("psql", ["-XqAt", "-v", "ON_ERROR_STOP=1", "-c", text])
    }

    /// The processor's time that the server has taken since its start, with all that it started.
    pub(super) fn processor(&self) -> Result<Duration> {
        let processes = processes()?;
        let (mut ticks, mut todo) = (0, vec![self.child.id()]);
        while let Some(parent) = todo.pop() {
            ticks += processes.get(&parent).map_or(0, |process| process.ticks);
            todo.extend(processes.iter().filter(|(_, process)| process.parent == parent).map(|(id, _)| *id));
        }
        Ok(TICK * ticks)
    }

    /// Ends it, as one that is shut down.
    pub(super) fn stop(mut self) -> Result<()> {
        self.interrupt();
        let status = self.child.wait()?;
        ensure!(status.success(), "PostgreSQL: {status}");
        Ok(())
    }

    fn interrupt(&self) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT);
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.interrupt();
            let _ = self.child.wait();
        }
    }
}

/// A process's parent, and its time with that of its children that have ended.
struct Process {
    parent: u32,
    ticks: u32,
}

fn processes() -> Result<HashMap<u32, Process>> {
    let mut found = HashMap::new();
    for item in fs::read_dir("/proc").context("list /proc")? {
        let item = item?;
        let Some(id) = item.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended since it was listed.
        let Ok(text) = fs::read_to_string(item.path().join("stat")) else { continue };
        // A name can hold anything, but nothing behind it a bracket.
        let Some((_, rest)) = text.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |field: &&str| field.parse::<u32>().ok();
        let parent = fields.get(PARENT).and_then(number).context("/proc is not as expected")?;
        let ticks = fields.get(TIMES).context("/proc is not as expected")?.iter().filter_map(number).sum();
        found.insert(id, Process { parent, ticks });
    }
    Ok(found)
}
