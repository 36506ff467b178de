//! The sandbox's own cost: the same walk and the same bytes into the same pipeline, once by the plugin in its sandbox,
//! once by the host itself; and how long it takes to have a plugin at all. The work is done by `dozo-bench`, each time
//! in a fresh process.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Options;
use super::measure::{Cost, measure, note_disturbed, undisturbed};
use super::table::{median, print, spread};
use crate::build;
use crate::shell::{bundle, output, say};

const ROUNDS: usize = 7;
const LOADS: usize = 21;
const SOURCES: [&str; 2] = ["plugin", "native"];

/// What one source took in one turn, and what it said of its work.
struct Turn {
    first: Cost,
    unchanged: Cost,
    did: HashMap<String, u64>,
}

impl Turn {
    fn costs(&self) -> Vec<Cost> {
        vec![self.first, self.unchanged]
    }
}

/// Programs and places.
struct Setting {
    bench: PathBuf,
    plugin: PathBuf,
    home: PathBuf,
}

pub(crate) fn sandbox(options: &Options) -> Result<()> {
    build::all(options.profile())?;
    let (built, home) = (build::bench(options.profile())?, super::home()?.join("sandbox"));
    let (tree, about) = options.data()?;
    super::fresh(&home)?;
    let bench = super::copied(&built, &home.join("program"))?;
    let plugin = super::copied(&bundle().join("filesystem.wasm"), &home.join("plugin"))?;
    let setting = Setting { bench, plugin, home };
    let loads = loads(&setting, if options.small { 3 } else { LOADS })?;
    let rounds = options.rounds(ROUNDS);
    let (mut plugin, mut native) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        say(format!("\nround {round} of {rounds}"));
        // Who goes first has the quieter or the noisier moment: in turn.
        let order = if round % 2 == 1 { SOURCES } else { [SOURCES[1], SOURCES[0]] };
        for source in order {
            let turns = if source == SOURCES[0] { &mut plugin } else { &mut native };
            turns.push(undisturbed(|| play(&setting, &tree, source), Turn::costs)?);
        }
    }
    super::remove(&setting.home)?;
    say("");
    super::say_machine();
    say(format!("data: {about}; cache warm; medians of {rounds} (from–to)\n"));
    show(&plugin, &native);
    say(format!("\nA component, in a process that has done nothing else; medians of {} (from–to)\n", loads[1].len()));
    let rows = LOAD_STEPS.iter().zip(&loads).map(|((_, name), values)| vec![(*name).into(), spread(values, 2)]);
    print(&["", "ms"], rows.collect());
    Ok(())
}

type Step = fn(&Turn) -> Cost;

/// A first backup into a new repository, and one more.
fn play(setting: &Setting, tree: &Path, source: &str) -> Result<Turn> {
    let (home, log) = (setting.home.join(source), setting.home.join(format!("{source}.log")));
    super::fresh(&home)?;
    let run = |what: &str| {
        let mut command = setting.command("backup");
        command.args(["--source", source]).arg("--tree").arg(tree).arg("--home").arg(&home);
        let cost = measure(&command, &setting.home, &log)?;
        say(format!("  {source}, {what}: {}", cost.shown()));
        anyhow::Ok(cost)
    };
    let (first, unchanged) = (run("first")?, run("unchanged")?);
    let did = figures_in(&fs::read_to_string(&log)?);
    super::remove(&home)?;
    Ok(Turn { first, unchanged, did })
}

fn show(plugin: &[Turn], native: &[Turn]) {
    let of = |name: &str| plugin.last().and_then(|turn| turn.did.get(name)).copied().unwrap_or(0) as f64;
    let (gigabytes, millions) = (of("bytes") / 1e9, of("entries") / 1e6);
    let processor = |turns: &[Turn], of: Step, unit: f64| -> Vec<f64> {
        turns.iter().map(|turn| of(turn).processor.as_secs_f64() / unit).collect()
    };
    let wall =
        |turns: &[Turn], of: Step| spread(&turns.iter().map(|turn| of(turn).wall.as_secs_f64()).collect::<Vec<_>>(), 2);
    let (first, unchanged): (Step, Step) = (|turn| turn.first, |turn| turn.unchanged);
    let row = |name: &str, turns: &[Turn]| {
        vec![
            name.to_string(),
            spread(&processor(turns, first, gigabytes), 2),
            wall(turns, first),
            format!("{:.0}", median(turns.iter().map(|turn| turn.first.mebibytes()))),
            spread(&processor(turns, unchanged, millions), 1),
            wall(turns, unchanged),
        ]
    };
    let more = |of: Step| {
        let (with, without) = (median(processor(plugin, of, 1.0)), median(processor(native, of, 1.0)));
        format!("{:+.1} %", (with / without - 1.0) * 100.0)
    };
    let difference = vec!["the sandbox".into(), more(first), String::new(), String::new(), more(unchanged)];
    let head = ["", "first: CPU s/GB", "wall s", "peak memory MiB", "unchanged: CPU µs/entry", "wall s"];
    print(&head, vec![row("plugin", plugin), row("native", native), difference]);
    note_disturbed([plugin, native].into_iter().flatten().flat_map(Turn::costs));
}

/// What `dozo-bench load` times, in its words and in ours.
const LOAD_STEPS: [(&str, &str); 5] = [
    ("cold", "compile, load, instantiate, first call: nothing is cached"),
    ("engine", "start the engine"),
    ("load", "load from the cache, instantiate, first call"),
    ("call", "instantiate again, another call"),
    ("all", "engine, load, instantiate, first call"),
];

/// Times of each step in milliseconds.
fn loads(setting: &Setting, count: usize) -> Result<[Vec<f64>; 5]> {
    let mut times: [Vec<f64>; 5] = Default::default();
    for round in 0..=count {
        let said = figures_in(&output(&mut setting.command("load"))?);
        let step = |name: &str| said.get(name).map(|time| *time as f64 / 1e3).with_context(|| format!("no {name}"));
        let (engine, load, call) = (step("engine")?, step("load")?, step("call")?);
        // The first finds the cache empty.
        if round == 0 {
            times[0].push(load);
            continue;
        }
        for (values, time) in times[1..].iter_mut().zip([engine, load, call, engine + load]) {
            values.push(time);
        }
    }
    Ok(times)
}

impl Setting {
    fn command(&self, task: &str) -> Command {
        let mut command = Command::new(&self.bench);
        command.arg(task).arg("--plugin").arg(&self.plugin).arg("--cache").arg(self.home.join("cache"));
        command
    }
}

/// The words `name=number` in what `dozo-bench` said.
fn figures_in(text: &str) -> HashMap<String, u64> {
    let words = text.split_whitespace().filter_map(|word| word.split_once('='));
    words.filter_map(|(name, number)| Some((name.to_string(), number.parse().ok()?))).collect()
}
