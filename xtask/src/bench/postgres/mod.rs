//! A PostgreSQL server backed up, backed up anew after pgbench, once more incrementally, and restored: by dozo, by the pipe of
//! pg_basebackup, zstd and age, and by pgBackRest, in turn.

mod cluster;
mod server;
mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use super::measure::{Cost, cores, measure, note_disturbed, undisturbed};
use super::table::{median, print, spread};
use super::tree;
use crate::build::{self, Profile};
use crate::shell::{output, say};
use server::{Programs, Server};
use tools::{Peer, Tool};

/// By the name that tests/tools/servers.sh has for it.
const VERSION: &str = "pg17";
const ROUNDS: usize = 3;
const MEGABYTES: u64 = 1500;
const SMALL_MEGABYTES: u64 = 100;
/// What pgbench does between two backups, with two clients: a number, not a time, so that each program has the same before it.
const TRANSACTIONS: u32 = 12_500;
const SMALL_TRANSACTIONS: u32 = 200;
const CLIENTS: u32 = 2;

const STEPS: [&str; 4] = [FIRST, SECOND, INCREMENTAL, RESTORE];
const FIRST: &str = "first full";
const SECOND: &str = "second full";
const INCREMENTAL: &str = "incremental";
const RESTORE: &str = "restore";

/// How much to back up, where, and with which programs.
#[derive(Args)]
pub(crate) struct PostgresOptions {
    /// How large the cluster is, half of it text, half pgbench; default is 1500
    #[arg(long)]
    megabytes: Option<u64>,
    /// What each of pgbench's two clients does between two backups; default is 12500
    #[arg(long)]
    transactions: Option<u32>,
    /// Rounds; in each, every program has its turn; default is three
    #[arg(long)]
    rounds: Option<usize>,
    /// Only these programs
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,...")]
    tools: Vec<Peer>,
    /// A small cluster and one round: shows that it works, not how fast
    #[arg(long)]
    small: bool,
    /// Where the cluster, repositories and restored copies are: as root, somewhere that `nobody` can get to; default is
    /// `bench-postgres` in the build's own directory
    #[arg(long = "in", value_name = "DIRECTORY")]
    place: Option<PathBuf>,
    /// Measure the build of the quickstart and the tests, which is there already, instead of a release
    #[arg(long)]
    dev: bool,
    /// Measure this dozo instead of building one
    #[arg(long, value_name = "PROGRAM", conflicts_with = "dev")]
    binary: Option<PathBuf>,
}

impl PostgresOptions {
    pub(crate) fn is_small(&self) -> bool {
        self.small
    }

    fn tools(&self) -> &[Peer] {
        if self.tools.is_empty() { Peer::value_variants() } else { &self.tools }
    }

    /// A copy of the dozo that is measured, if it is.
    fn dozo(&self, homes: &Path) -> Result<PathBuf> {
        let built = match &self.binary {
            _ if !self.tools().contains(&Peer::Dozo) => return Ok(PathBuf::new()),
            Some(binary) => binary.canonicalize().with_context(|| format!("find {}", binary.display()))?,
            None => build::all(if self.dev { Profile::Dev } else { Profile::Release })?.dozo,
        };
        super::copied(&built, &homes.join("dozo-program"))
    }

    /// Not below the other benchmarks' directory, which is closed to the server's user.
    fn place(&self) -> Result<PathBuf> {
        let Some(place) = &self.place else { return Ok(build::target().join("bench-postgres")) };
        let place = place.canonicalize().with_context(|| format!("find {}", place.display()))?;
        Ok(place.join("dozo-bench-postgres"))
    }
}

/// What is the same for all.
struct Setting<'a> {
    programs: &'a Programs,
    cluster: PathBuf,
    transactions: u32,
}

/// What one tool took, turn by turn.
struct Figures<'a> {
    tool: Box<dyn Tool + 'a>,
    turns: Vec<Turn>,
}

struct Turn(Vec<Taken>);

struct Taken {
    step: &'static str,
    cost: Cost,
    /// What the server took of the processor meanwhile.
    served: Duration,
    /// By how many bytes what is stored has grown: since the step before, by what the server archives of its own accord, and
    /// in this step.
    grown: Option<(i64, i64)>,
}

impl Turn {
    fn costs(&self) -> Vec<Cost> {
        self.0.iter().map(|taken| taken.cost).collect()
    }
}

pub(crate) fn postgres(options: &PostgresOptions) -> Result<()> {
    let place = options.place()?;
    let homes = place.join("turns");
    super::fresh(&homes)?;
    let dozo = options.dozo(&homes)?;
    let programs = Programs::find(&place, VERSION)?;
    let megabytes = options.megabytes.unwrap_or(if options.small { SMALL_MEGABYTES } else { MEGABYTES });
    let cluster = cluster::make(&programs, &place, megabytes)?;
    let seen = tree::read_all(&cluster)?;
    let transactions = options.transactions.unwrap_or(if options.small { SMALL_TRANSACTIONS } else { TRANSACTIONS });
    let setting = Setting { programs: &programs, cluster, transactions };
    let (mut figures, mut absent) = (Vec::new(), Vec::new());
    for peer in options.tools() {
        match peer.find(&programs, &homes, &dozo) {
            Ok(tool) => figures.push(Figures { tool, turns: Vec::new() }),
            Err(why) if *peer == Peer::Dozo => return Err(why),
            Err(why) => absent.push((peer.name(), format!("{why:#}"))),
        }
    }
    let rounds = options.rounds.unwrap_or(if options.small { 1 } else { ROUNDS }).max(1);
    for round in 1..=rounds {
        for Figures { tool, turns } in &mut figures {
            say(format!("\nround {round} of {rounds}: {}", tool.name()));
            // Others at work rarely disturb all steps of a turn: what was measured in peace counts, from each try.
            let mut turn = || -> Result<Vec<Cost>> {
                turns.push(setting.play(tool.as_ref())?);
                Ok(turns.iter().rev().take(1).flat_map(Turn::costs).collect())
            };
            undisturbed(&mut turn, Vec::clone).with_context(|| tool.name().to_string())?;
        }
    }
    super::remove(&homes)?;
    say("");
    super::say_machine();
    say(format!("data: a cluster of {seen}; cache warm; medians of {rounds} rounds (from–to)"));
    say(format!("between two backups: {} transactions of pgbench\n", transactions * CLIENTS));
    show(&figures, &absent);
    Ok(())
}

impl Setting<'_> {
    /// One tool's turn, on a copy of the cluster as it was loaded.
    fn play(&self, tool: &dyn Tool) -> Result<Turn> {
        let home = tool.home();
        super::fresh(home)?;
        let source = tools::source(home);
        cluster::copy(&self.cluster, &source)?;
        let server = Server::start(self.programs, &source, &tool.settings())?;
        tool.prepare()?;
        let mut turn = Turn(Vec::new());
        let mut stored = tree::stored(&tool.stored())?;
        let mut last = FIRST;
        for step in [FIRST, SECOND, INCREMENTAL] {
            let command = if step == INCREMENTAL { tool.incremental() } else { Some(tool.full(&name(step))) };
            let Some(command) = command else { break };
            if step != FIRST {
                self.bench()?;
            }
            // So that none finds more to be written than another.
            server.sql("checkpoint")?;
            let before = tree::stored(&tool.stored())?;
            let (cost, served) = take(tool, step, &command, Some(&server))?;
            let after = tree::stored(&tool.stored())?;
            let grown = (before.cast_signed() - stored.cast_signed(), after.cast_signed() - before.cast_signed());
            say(format!("    stored {:+.2} MB before, {:+.2} MB", grown.0 as f64 / 1e6, grown.1 as f64 / 1e6));
            turn.0.push(Taken { step, cost, served, grown: Some(grown) });
            (stored, last) = (after, step);
        }
        let digest = cluster::digest(&server)?;
        server.stop()?;
        self.programs.directory(&tools::restored(home))?;
        let (cost, served) = take(tool, RESTORE, &tool.restore(&name(last)), None)?;
        turn.0.push(Taken { step: RESTORE, cost, served, grown: None });
        self.check(tool, &digest)?;
        tree::put_away(home)?;
        Ok(turn)
    }

    /// What applications do meanwhile.
    fn bench(&self) -> Result<()> {
        let (clients, transactions) = (CLIENTS.to_string(), self.transactions.to_string());
        let arguments = ["-n", "--random-seed=1", "-c", &clients, "-t", &transactions];
        let began = Instant::now();
        output(&mut self.programs.client("pgbench", arguments))?;
        say(format!("  pgbench: {:.1} s", began.elapsed().as_secs_f64()));
        Ok(())
    }

    /// A figure for a restore that did not bring everything back would be worth nothing.
    fn check(&self, tool: &dyn Tool, digest: &str) -> Result<()> {
        let restored = tools::restored(tool.home());
        if tool.has_manifest() {
            // It looks for the program that reads the log beside itself.
            output(Command::new(self.programs.path("pg_verifybackup")).arg("--exit-on-error").arg(&restored))?;
            say("  verified");
        }
        self.programs.give(&restored)?;
        let server = Server::start(self.programs, &restored, &[])?;
        let found = cluster::digest(&server)?;
        server.stop()?;
        ensure!(found == digest, "other rows after the restore:\n{digest}\n{found}");
        say("  the server starts, and its rows are the same");
        Ok(())
    }
}

/// Runs and measures a step; what the server takes meanwhile is not others' doing.
fn take(tool: &dyn Tool, step: &str, command: &Command, server: Option<&Server>) -> Result<(Cost, Duration)> {
    let processor = || server.map_or(Ok(Duration::ZERO), Server::processor);
    let (home, before) = (tool.home(), processor()?);
    let mut cost = measure(command, home, &home.with_extension("log")).with_context(|| step.to_string())?;
    let served = processor()?.saturating_sub(before);
    let share = served.as_secs_f64() / (cost.wall.as_secs_f64() * cores() as f64);
    cost.elsewhere = (cost.elsewhere - share).max(0.0);
    say(format!("  {step}: {}, the server CPU {:.2} s", cost.shown(), served.as_secs_f64()));
    Ok((cost, served))
}

/// What the backup of a step is called, in letters that every program takes.
fn name(step: &str) -> String {
    step.replace(' ', "-")
}

const HEAD: [&str; 8] = [
    "",
    "wall s",
    "until on disk s",
    "CPU s",
    "the server's CPU s",
    "peak memory MiB",
    "stored MB",
    "WAL stored before MB",
];

fn show(figures: &[Figures], absent: &[(&str, String)]) {
    let mut rows = Vec::new();
    for step in STEPS {
        for Figures { tool, turns } in figures {
            let taken = counted(turns, step);
            let mut row = vec![format!("{step}: {}", tool.name())];
            row.extend(if taken.is_empty() { vec!["as first".into()] } else { cells(&taken) });
            rows.push(row);
        }
    }
    rows.extend(
        absent.iter().map(|(name, why)| vec![format!("{name}: not to be had here: {}", why.replace('\n', " "))]),
    );
    print(&HEAD, rows);
    let steps = figures.iter().flat_map(|figures| STEPS.map(|step| counted(&figures.turns, step)));
    note_disturbed(steps.flatten().map(|taken| taken.cost));
}

/// What a step took where nothing disturbed it; each time, if something always did.
fn counted<'a>(turns: &'a [Turn], step: &str) -> Vec<&'a Taken> {
    let taken: Vec<&Taken> = turns.iter().flat_map(|turn| &turn.0).filter(|taken| taken.step == step).collect();
    let in_peace: Vec<&Taken> = taken.iter().copied().filter(|taken| !taken.cost.is_disturbed()).collect();
    if in_peace.is_empty() { taken } else { in_peace }
}

fn cells(taken: &[&Taken]) -> Vec<String> {
    let seconds =
        |of: fn(&Taken) -> Duration| -> Vec<f64> { taken.iter().map(|taken| of(taken).as_secs_f64()).collect() };
    let mut cells = vec![
        spread(&seconds(|taken| taken.cost.wall), 1),
        spread(&seconds(|taken| taken.cost.durable), 1),
        spread(&seconds(|taken| taken.cost.processor), 1),
        format!("{:.1}", median(seconds(|taken| taken.served))),
        format!("{:.0}", median(taken.iter().map(|taken| taken.cost.mebibytes()))),
    ];
    let grown: Vec<(i64, i64)> = taken.iter().filter_map(|taken| taken.grown).collect();
    if !grown.is_empty() {
        let megabytes = |of: fn(&(i64, i64)) -> i64| median(grown.iter().map(|grown| of(grown) as f64 / 1e6));
        cells.push(format!("{:+.1}", megabytes(|grown| grown.1)));
        let before = megabytes(|grown| grown.0);
        cells.push(if before > 0.0 { format!("{before:+.1}") } else { String::new() });
    }
    cells
}
