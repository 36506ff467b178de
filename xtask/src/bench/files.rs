//! A directory backed up, backed up again, and restored, by dozo and its peers in turn.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::measure::{Cost, measure, note_disturbed, undisturbed};
use super::peers::{self, Tool};
use super::table::{median, print, spread};
use super::{Options, tree};
use crate::build;
use crate::compare::{self, Owners};
use crate::shell::say;

const ROUNDS: usize = 3;

/// What one tool took, turn by turn.
struct Figures {
    tool: Box<dyn Tool>,
    turns: Vec<Turn>,
}

struct Turn {
    first: Cost,
    /// None where a second backup knows nothing of the first.
    unchanged: Option<Cost>,
    restore: Cost,
    stored: u64,
}

impl Turn {
    fn costs(&self) -> Vec<Cost> {
        [Some(self.first), self.unchanged, Some(self.restore)].into_iter().flatten().collect()
    }
}

pub(crate) fn files(options: &Options) -> Result<()> {
    let built = build::all(options.profile())?;
    let (tree, about) = options.data()?;
    let homes = super::home()?.join("files");
    super::fresh(&homes)?;
    let (mut figures, mut absent) = (Vec::new(), Vec::new());
    let dozo = super::copied(&built.dozo, &homes.join("program"))?;
    for (name, found) in peers::all(&homes, &tree, &dozo) {
        match found {
            Ok(tool) => figures.push(Figures { tool, turns: Vec::new() }),
            Err(why) if name == "dozo" => return Err(why),
            Err(why) => absent.push((name, format!("{why:#}"))),
        }
    }
    let rounds = options.rounds(ROUNDS);
    for round in 1..=rounds {
        for Figures { tool, turns } in &mut figures {
            say(format!("\nround {round} of {rounds}: {}", tool.name()));
            let turn = undisturbed(|| play(tool.as_ref()), Turn::costs);
            turns.push(turn.with_context(|| tool.name().to_string())?);
        }
    }
    super::remove(&homes)?;
    say("");
    super::say_machine();
    say(format!("data: {about}; cache warm; medians of {rounds} (from–to)\n"));
    show(&figures, &absent);
    Ok(())
}

/// One tool's turn.
fn play(tool: &dyn Tool) -> Result<Turn> {
    let home = &tool.place().home;
    super::fresh(home)?;
    tool.prepare()?;
    let take = |what: &str, command| {
        let cost = measure(&command, home, &home.with_extension("log"))?;
        say(format!("  {what}: {}", cost.shown()));
        anyhow::Ok(cost)
    };
    let first = take("first", tool.backup())?;
    let stored = tree::stored(&tool.stored())?;
    let unchanged = tool.is_incremental().then(|| take("unchanged", tool.backup())).transpose()?;
    let restore = take("restore", tool.restore())?;
    check(tool)?;
    // Emptied, not removed: an ext4 without a journal is slow to make files for minutes after many were removed.
    let old = (1..).map(|number| home.with_extension(format!("old-{number}"))).find(|old| !old.exists());
    let old = old.context("there is no name left")?;
    fs::rename(home, &old)?;
    tree::empty(&old)?;
    Ok(Turn { first, unchanged, restore, stored })
}

/// A figure for a restore that did not bring everything back would be worth nothing.
fn check(tool: &dyn Tool) -> Result<()> {
    let owners = if nix::unistd::geteuid().is_root() { Owners::Compared } else { Owners::Ignored };
    let compared = compare::trees(&tool.place().tree, &tool.restored(), owners)?;
    if let Some(first) = compared.differences.first() {
        bail!("{} differences after the restore, the first: {first}", compared.differences.len());
    }
    say(format!("  equal: {} entries, {} bytes", compared.entries, compared.bytes));
    Ok(())
}

fn show(figures: &[Figures], absent: &[(&str, String)]) {
    let mut rows = Vec::new();
    for (step, of) in STEPS {
        for Figures { tool, turns } in figures {
            let costs: Vec<Cost> = turns.iter().filter_map(of).collect();
            let mut row = vec![format!("{step}: {}", tool.name())];
            if costs.is_empty() {
                row.push("as first".into());
            } else {
                let seconds = |of: fn(&Cost) -> Duration| -> Vec<f64> {
                    costs.iter().map(|cost| of(cost).as_secs_f64()).collect()
                };
                row.push(spread(&seconds(|cost| cost.wall), 1));
                row.push(spread(&seconds(|cost| cost.durable), 1));
                row.push(spread(&seconds(|cost| cost.processor), 1));
                row.push(format!("{:.1}", median(seconds(|cost| cost.system))));
                row.push(format!("{:.0}", median(costs.iter().map(Cost::mebibytes))));
            }
            if step == "first" {
                row.push(format!("{:.1}", median(turns.iter().map(|turn| turn.stored as f64 / 1e6))));
            }
            rows.push(row);
        }
    }
    rows.extend(
        absent.iter().map(|(name, why)| vec![format!("{name}: not to be had here: {}", why.replace('\n', " "))]),
    );
    let head = ["", "wall s", "until on disk s", "CPU s", "of it system", "peak memory MiB", "stored MB"];
    print(&head, rows);
    note_disturbed(figures.iter().flat_map(|figures| &figures.turns).flat_map(Turn::costs));
}

type Step = (&'static str, fn(&Turn) -> Option<Cost>);

const STEPS: [Step; 3] =
    [("first", |turn| Some(turn.first)), ("unchanged", |turn| turn.unchanged), ("restore", |turn| Some(turn.restore))];
