//! Measuring: dozo beside its peers, and the sandbox beside no sandbox. What is measured, how, and what came out:
//! docs/BENCHMARKS.md.

mod change;
mod data;
mod files;
mod made;
pub(crate) mod measure;
mod net;
mod peers;
mod postgres;
mod sandbox;
mod table;
mod tree;
mod year;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};

use crate::build::{self, Profile};
use crate::shell::say;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Back up a directory, once more, again after some of it changed, and restore it: with tar, zstd and age, with restic, borg,
    /// rustic, and with dozo
    Files(files::FilesOptions),
    /// What the sandbox costs: the filesystem plugin beside the same work without a plugin; loading a component
    Sandbox(Options),
    /// What the network costs a plugin: its connections and its HTTP beside a socket and curl
    Net(NetOptions),
    /// Back up a PostgreSQL server, anew after pgbench, incrementally, and restore it: with pg_basebackup, zstd and age, with
    /// pgBackRest, and with dozo
    Postgres(postgres::PostgresOptions),
    /// Play a year of runs and prunes by a clock of its own: what the store takes, beside restic
    Year(year::YearOptions),
}

/// On what, and how often.
#[derive(Args)]
pub(crate) struct Options {
    /// A small tree and one round: shows that it works, not how fast
    #[arg(long)]
    small: bool,
    /// Measure the build of the quickstart and the tests, which is there already, instead of a release
    #[arg(long)]
    dev: bool,
    /// Rounds; in each, everything that is compared runs once
    #[arg(long)]
    rounds: Option<usize>,
    /// What to back up; default is a copy of some 2 GB of /usr
    directory: Option<PathBuf>,
}

/// How often the network is measured.
#[derive(Args)]
pub(crate) struct NetOptions {
    /// Few bytes and one round: shows that it works, not how fast
    #[arg(long)]
    small: bool,
    /// Measure the build of the quickstart and the tests, which is there already, instead of a release
    #[arg(long)]
    dev: bool,
    /// Rounds; in each, every way goes once
    #[arg(long)]
    rounds: Option<usize>,
}

impl Bench {
    fn is_small(&self) -> bool {
        match self {
            Bench::Files(options) => options.is_small(),
            Bench::Sandbox(options) => options.small,
            Bench::Net(options) => options.small,
            Bench::Postgres(options) => options.is_small(),
            Bench::Year(_) => false,
        }
    }
}

impl NetOptions {
    fn profile(&self) -> Profile {
        if self.dev { Profile::Dev } else { Profile::Release }
    }
}

pub(crate) fn perform(bench: Bench) -> Result<()> {
    if bench.is_small() {
        measure::hurry();
    }
    match bench {
        Bench::Files(options) => files::files(&options),
        Bench::Sandbox(options) => sandbox::sandbox(&options),
        Bench::Net(options) => net::net(&options),
        Bench::Postgres(options) => postgres::postgres(&options),
        Bench::Year(options) => year::year(&options),
    }
}

impl Options {
    fn profile(&self) -> Profile {
        if self.dev { Profile::Dev } else { Profile::Release }
    }

    fn rounds(&self, default: usize) -> usize {
        self.rounds.unwrap_or(if self.small { 1 } else { default }).max(1)
    }

    /// The directory to back up, and a sentence about it. Everything in it has been read once: the cache is warm.
    fn data(&self) -> Result<(PathBuf, String)> {
        let directory = match &self.directory {
            Some(directory) => directory.canonicalize().with_context(|| format!("find {}", directory.display()))?,
            None => data::Data::Usr.make(&home()?, self.small, None)?,
        };
        let seen = tree::read_all(&directory)?;
        ensure!(seen.files > 0, "there is no file in {}", directory.display());
        Ok((directory, seen.to_string()))
    }
}

/// Where benchmarks keep everything. Copies of /usr have set-user-id programs in them: nobody else may get there.
fn home() -> Result<PathBuf> {
    closed(build::target().join("bench"))
}

/// A directory that nobody else may enter.
fn closed(home: PathBuf) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700))?;
    Ok(home)
}

/// A copy of a built file in a directory of its own: what is measured stays the same, whatever is built meanwhile.
fn copied(program: &Path, to: &Path) -> Result<PathBuf> {
    fresh(to)?;
    let copy = to.join(program.file_name().context("a program has a name")?);
    fs::copy(program, &copy).with_context(|| format!("copy {} to {}", program.display(), to.display()))?;
    Ok(copy)
}

/// An empty directory.
fn fresh(directory: &Path) -> Result<()> {
    remove(directory)?;
    fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))
}

fn remove(directory: &Path) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    fs::remove_dir_all(directory).with_context(|| format!("clear {}", directory.display()))
}

/// What the figures were measured on.
fn say_machine() {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let field = |text: &str, name: &str, end: char| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(end).map_or("unknown", |(_, value)| value).trim().trim_matches('"').to_string()
    };
    let processor = field(&read("/proc/cpuinfo"), "model name", ':');
    let memory = field(&read("/proc/meminfo"), "MemTotal", ':');
    let kib: u64 = memory.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    let (system, kernel) = (field(&read("/etc/os-release"), "PRETTY_NAME", '='), read("/proc/sys/kernel/osrelease"));
    say(format!(
        "machine: {processor}, {} cores, {} GiB, {system}, Linux {}",
        measure::cores(),
        (kib + (1 << 19)) >> 20,
        kernel.trim()
    ));
}
