//! A directory backed up, backed up again, changed, and restored, by dozo and its peers in turn.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use super::Options;
use super::change::Change;
use super::data::{self, Data};
use super::measure::{Cost, is_hurried, measure, note_disturbed, undisturbed};
use super::peers::{Peer, Tool};
use super::table::{median, print, spread};
use super::tree::{self, Seen};
use crate::build;
use crate::compare::{self, Owners};
use crate::shell::say;

const ROUNDS: usize = 3;
/// Longer than `settle_seconds` of the filesystem plugin.
const STEPS: [&str; 4] = [FIRST, UNCHANGED, CHANGED, RESTORE];
const FIRST: &str = "first";
const UNCHANGED: &str = "unchanged";
const CHANGED: &str = "1 % changed";
const RESTORE: &str = "restore";

/// What to back up, where, and with which programs.
#[derive(Args)]
pub(crate) struct FilesOptions {
    #[command(flatten)]
    common: Options,
    /// What to back up, if no directory is given
    #[arg(long, value_enum, default_value_t = Data::Usr, conflicts_with = "directory")]
    data: Data,
    /// How many files there are in `--data many`; default is 5,000,000
    #[arg(long, value_name = "FILES")]
    count: Option<u64>,
    /// Only these programs; default is all, with `--data many` dozo alone
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,...")]
    tools: Vec<Peer>,
    /// Where data, repositories and restored copies are; default is the build's own directory
    #[arg(long = "in", value_name = "DIRECTORY")]
    place: Option<PathBuf>,
    /// Measure this dozo instead of building one
    #[arg(long, value_name = "PROGRAM", conflicts_with = "dev")]
    binary: Option<PathBuf>,
}

impl FilesOptions {
    pub(crate) fn is_small(&self) -> bool {
        self.common.small
    }

    fn dozo(&self) -> Result<PathBuf> {
        match &self.binary {
            Some(binary) => binary.canonicalize().with_context(|| format!("find {}", binary.display())),
            None => Ok(build::all(self.common.profile())?.dozo),
        }
    }

    fn home(&self) -> Result<PathBuf> {
        let Some(place) = &self.place else { return super::home() };
        let place = place.canonicalize().with_context(|| format!("find {}", place.display()))?;
        super::closed(place.join("dozo-bench"))
    }

    /// What is backed up, which is changed on the way: never what somebody uses.
    fn tree(&self, home: &Path, homes: &Path) -> Result<PathBuf> {
        match &self.common.directory {
            Some(directory) => data::copy(directory, &homes.join("copy")),
            None => self.data.make(home, self.common.small, self.count),
        }
    }

    fn tools(&self) -> &[Peer] {
        match (&self.tools[..], self.data) {
            ([], Data::Many) => &[Peer::Dozo],
            ([], _) => Peer::value_variants(),
            (chosen, _) => chosen,
        }
    }

    fn rounds(&self) -> usize {
        // The large ones take so long that chance evens out by itself.
        self.common.rounds(if matches!(self.data, Data::Large | Data::Many) { 1 } else { ROUNDS })
    }
}

/// What one tool took, turn by turn.
struct Figures {
    tool: Box<dyn Tool>,
    turns: Vec<Turn>,
}

/// Nothing for the steps in which a tool would do its first backup once more.
struct Turn(Vec<Taken>);

struct Taken {
    step: &'static str,
    cost: Cost,
    /// By how many bytes what is stored has grown.
    grown: Option<i64>,
}

impl Turn {
    fn costs(&self) -> Vec<Cost> {
        self.0.iter().map(|taken| taken.cost).collect()
    }
}

pub(crate) fn files(options: &FilesOptions) -> Result<()> {
    let built = options.dozo()?;
    let home = options.home()?;
    let homes = home.join("files");
    super::fresh(&homes)?;
    let tree = options.tree(&home, &homes)?;
    let (seen, change) = (tree::read_all(&tree)?, Change::plan(&tree)?);
    ensure_room(&homes, &seen)?;
    let dozo = super::copied(&built, &homes.join("program"))?;
    let (mut figures, absent) = find(options.tools(), &homes, &tree, &dozo)?;
    let rounds = options.rounds();
    for round in 1..=rounds {
        for Figures { tool, turns } in &mut figures {
            say(format!("\nround {round} of {rounds}: {}", tool.name()));
            let turn = match options.data {
                Data::Usr | Data::Linux => undisturbed(|| play(tool.as_ref(), &change), Turn::costs),
                // A turn takes long, and what the kernel writes back meanwhile counts as a disturbance.
                Data::Large | Data::Many => play(tool.as_ref(), &change),
            };
            turns.push(turn.with_context(|| tool.name().to_string())?);
        }
    }
    super::remove(&homes)?;
    say("");
    super::say_machine();
    say(format!("data: {seen}; cache warm as far as it fits; medians of {rounds} (from–to)"));
    say(format!("1 % changed: {change}\n"));
    show(&figures, &absent, seen.entries());
    Ok(())
}

/// Those that are there, and of the others why not.
type Found = (Vec<Figures>, Vec<(&'static str, String)>);

fn find(wanted: &[Peer], homes: &Path, tree: &Path, dozo: &Path) -> Result<Found> {
    let (mut figures, mut absent) = (Vec::new(), Vec::new());
    for peer in wanted {
        match peer.find(homes, tree, dozo) {
            Ok(tool) => figures.push(Figures { tool, turns: Vec::new() }),
            Err(why) if *peer == Peer::Dozo => return Err(why),
            Err(why) => absent.push((peer.name(), format!("{why:#}"))),
        }
    }
    Ok((figures, absent))
}

/// A disk that is full after an hour of measuring is known to be too small before.
fn ensure_room(place: &Path, seen: &Seen) -> Result<()> {
    let disk = nix::sys::statvfs::statvfs(place)?;
    let free = disk.blocks_available() * disk.fragment_size();
    // A restored copy, and a repository of half its size.
    let needed = seen.allocated_bytes + seen.allocated_bytes / 2;
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    ensure!(
        free >= needed,
        "{} has {:.1} GB free, and a repository and a restored copy take about {:.1} GB: see --in and --small",
        place.display(),
        gigabytes(free),
        gigabytes(needed)
    );
    Ok(())
}

/// One tool's turn.
fn play(tool: &dyn Tool, change: &Change) -> Result<Turn> {
    let home = &tool.place().home;
    super::fresh(home)?;
    tool.prepare()?;
    if !is_hurried() {
        std::thread::sleep(tool.rest());
    }
    let mut turn = Turn(vec![backup(tool, FIRST)?]);
    if tool.is_incremental() {
        turn.0.push(backup(tool, UNCHANGED)?);
        change.make()?;
        turn.0.push(backup(tool, CHANGED)?);
    }
    turn.0.push(restore(tool, turn.0.last().map_or(FIRST, |taken| taken.step))?);
    if tool.is_incremental() {
        change.undo()?;
    }
    tree::put_away(home)?;
    Ok(turn)
}

fn backup(tool: &dyn Tool, step: &'static str) -> Result<Taken> {
    let stored = || if tool.stored().exists() { tree::stored(&tool.stored()) } else { Ok(0) };
    let before = stored()?;
    let cost = take(tool, step, &tool.backup(&name(step)))?;
    let grown = stored()?.cast_signed() - before.cast_signed();
    say(format!("    stored {:+.2} MB", grown as f64 / 1e6));
    Ok(Taken { step, cost, grown: Some(grown) })
}

fn restore(tool: &dyn Tool, last: &str) -> Result<Taken> {
    let cost = take(tool, RESTORE, &tool.restore(&name(last)))?;
    check(tool)?;
    Ok(Taken { step: RESTORE, cost, grown: None })
}

fn take(tool: &dyn Tool, step: &str, command: &Command) -> Result<Cost> {
    let home = &tool.place().home;
    let cost = measure(command, home, &home.with_extension("log")).with_context(|| step.to_string())?;
    say(format!("  {step}: {}", cost.shown()));
    Ok(cost)
}

/// What the backup of a step is called, in letters that every program takes.
fn name(step: &str) -> String {
    step.chars().filter(char::is_ascii_alphabetic).collect()
}

/// A figure for a restore that did not bring everything back would be worth nothing.
fn check(tool: &dyn Tool) -> Result<()> {
    let owners = if nix::unistd::geteuid().is_root() { Owners::Compared } else { Owners::Ignored };
    let compare = if tool.keeps_top() { compare::trees } else { compare::below };
    let compared = compare(&tool.place().tree, &tool.restored(), owners)?;
    if let Some(first) = compared.differences.first() {
        bail!("{} differences after the restore, the first: {first}", compared.differences.len());
    }
    say(format!("  equal: {} entries, {} bytes", compared.entries, compared.bytes));
    Ok(())
}

const HEAD: [&str; 8] =
    ["", "wall s", "until on disk s", "CPU s", "of it system", "peak memory MiB", "entries/s", "stored MB"];

fn show(figures: &[Figures], absent: &[(&str, String)], entries: u64) {
    let mut rows = Vec::new();
    for step in STEPS {
        for Figures { tool, turns } in figures {
            let taken: Vec<&Taken> = turns.iter().flat_map(|turn| &turn.0).filter(|taken| taken.step == step).collect();
            let mut row = vec![format!("{step}: {}", tool.name())];
            row.extend(if taken.is_empty() { vec!["as first".into()] } else { cells(&taken, entries) });
            rows.push(row);
        }
    }
    rows.extend(
        absent.iter().map(|(name, why)| vec![format!("{name}: not to be had here: {}", why.replace('\n', " "))]),
    );
    print(&HEAD, rows);
    note_disturbed(figures.iter().flat_map(|figures| &figures.turns).flat_map(Turn::costs));
}

fn cells(taken: &[&Taken], entries: u64) -> Vec<String> {
    let seconds =
        |of: fn(&Cost) -> Duration| -> Vec<f64> { taken.iter().map(|taken| of(&taken.cost).as_secs_f64()).collect() };
    let wall = seconds(|cost| cost.wall);
    let rate = entries as f64 / median(wall.iter().copied());
    let mut cells = vec![
        spread(&wall, 1),
        spread(&seconds(|cost| cost.durable), 1),
        spread(&seconds(|cost| cost.processor), 1),
        format!("{:.1}", median(seconds(|cost| cost.system))),
        format!("{:.0}", median(taken.iter().map(|taken| taken.cost.mebibytes()))),
        format!("{rate:.0}"),
    ];
    let grown: Vec<f64> = taken.iter().filter_map(|taken| taken.grown).map(|bytes| bytes as f64 / 1e6).collect();
    if !grown.is_empty() {
        let grown = median(grown);
        cells.push(if taken[0].step == FIRST { format!("{grown:.1}") } else { format!("{grown:+.2}") });
    }
    cells
}
