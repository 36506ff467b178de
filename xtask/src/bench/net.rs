//! What the network costs a plugin: the same bytes from the same server on this machine, by a plugin's connection and its HTTP,
//! beside a socket without a plugin and beside curl, all in one run. The work is done by `dozo-bench`, each time in a fresh
//! process; the server is one too.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use super::measure::{Cost, measure, note_disturbed, undisturbed};
use super::table::{print, spread};
use super::{NetOptions, home, say_machine};
use crate::build;
use crate::shell::say;

const ROUNDS: usize = 7;
const BYTES: u64 = 2 << 30;
const BYTES_SMALL: u64 = 64 << 20;

/// What `dozo-bench` calls a way, and what a table does.
const WAYS: [(&str, &str); 6] = [
    ("socket", "a socket, read in pieces of 256 KiB"),
    ("net-hand-on", "`net`, handed on: no byte in the plugin"),
    ("net-read", "`net`, read by the plugin"),
    ("curl", "curl to /dev/null"),
    ("http-hand-on", "`http`, handed on: no byte in the plugin"),
    ("http-read", "`http`, read by the plugin"),
];

/// Programs, places, and the server.
struct Setting {
    bench: PathBuf,
    guest: PathBuf,
    home: PathBuf,
    server: Server,
    bytes: u64,
}

/// Ends with whoever started it.
struct Server {
    child: Child,
    addresses: HashMap<String, String>,
}

pub(crate) fn net(options: &NetOptions) -> Result<()> {
    build::guests()?;
    let (built, home) = (build::bench(options.profile())?, home()?.join("net"));
    super::fresh(&home)?;
    let bench = home.join("dozo-bench");
    std::fs::copy(&built, &bench).with_context(|| format!("copy {}", built.display()))?;
    let bytes = if options.small { BYTES_SMALL } else { BYTES };
    let server = Server::start(&bench, bytes)?;
    let guest = build::target().join("guests").join("reach.wasm");
    let setting = Setting { bench, guest, home, server, bytes };
    let rounds = options.rounds.unwrap_or(if options.small { 1 } else { ROUNDS }).max(1);
    // Compiled once, before anything is measured.
    setting.take("net-hand-on")?;
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); WAYS.len()];
    for round in 0..rounds {
        say(format!("\nround {} of {rounds}", round + 1));
        for number in 0..WAYS.len() {
            // Who goes first has the quieter or the noisier moment: in turn.
            let way = (number + round) % WAYS.len();
            costs[way].push(undisturbed(|| setting.take(WAYS[way].0), |cost| vec![*cost])?);
        }
    }
    super::remove(&setting.home)?;
    say("");
    say_machine();
    say(format!(
        "data: {} MiB over loopback, start of the process included; medians of {rounds} (from–to)\n",
        bytes >> 20
    ));
    let row = |(way, costs): (&(&str, &str), &Vec<Cost>)| {
        let gigabytes = bytes as f64 / 1e9;
        let of = |figure: fn(&Cost) -> f64| costs.iter().map(figure).collect::<Vec<_>>();
        let speed: Vec<f64> = of(|cost| cost.wall.as_secs_f64()).iter().map(|wall| gigabytes * 1e3 / wall).collect();
        let cpu: Vec<f64> = of(|cost| cost.processor.as_secs_f64()).iter().map(|cpu| cpu / gigabytes).collect();
        vec![way.1.to_string(), spread(&speed, 0), spread(&cpu, 2), spread(&of(Cost::mebibytes), 0)]
    };
    print(&["", "MB/s", "CPU s/GB", "peak memory MiB"], WAYS.iter().zip(&costs).map(row).collect());
    note_disturbed(costs.into_iter().flatten());
    Ok(())
}

impl Setting {
    fn take(&self, way: &str) -> Result<Cost> {
        let address =
            |name: &str| self.server.addresses.get(name).with_context(|| format!("the server names no {name}"));
        let command = if way == "curl" {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--output", "/dev/null"]);
            curl.arg(format!("http://{}/", address("http")?));
            curl
        } else {
            let to = address(if way.starts_with("http") { "http" } else { "net" })?;
            let mut command = Command::new(&self.bench);
            command.args(["net", "--way", way, "--to", to, "--bytes", &self.bytes.to_string()]);
            command.arg("--guest").arg(&self.guest).arg("--cache").arg(self.home.join("cache"));
            command
        };
        let cost = measure(&command, &self.home, &self.home.join(format!("{way}.log")))?;
        say(format!("  {way}: {}", cost.shown()));
        Ok(cost)
    }
}

impl Server {
    fn start(bench: &Path, bytes: u64) -> Result<Self> {
        let mut command = Command::new(bench);
        command.args(["serve", "--bytes", &bytes.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("start the server")?;
        let said = child.stdout.take().context("the server has an output")?;
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line).context("hear the server's addresses")?;
        let words = line.split_whitespace().filter_map(|word| word.split_once('='));
        let addresses = words.map(|(name, address)| (name.to_string(), address.to_string())).collect();
        Ok(Server { child, addresses })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
