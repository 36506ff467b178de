//! `kill -9` at any moment: what a snapshot says it holds is there, what an index names is not stored again, what a restore
//! gave its own name is whole, and the next run or restore goes on. A few kills here, a hundred of each command in
//! `cargo xtask soak`. Prints what the kills cost.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::filesystem::{describe, restored};
use crate::forest::Forest;
use crate::house::{House, Said, cache, soak};

/// Kills of each command in a normal run of the tests, and in a soak.
const KILLS: usize = 6;
const KILLS_SOAK: usize = 100;
/// Small and large files.
const FILES: (u64, u64) = (2_000, 4);
/// Every so many kills of a run, content is verified and an old snapshot is restored.
const LOOK_BACK: usize = 3;
const LOOK_BACK_SOAK: usize = 10;
/// What two runs of the same tree may differ by: which small chunks share a frame hangs on the moment.
const SLACK: u64 = 256 << 10;

/// Moments within the time that a command takes, from a seed.
struct Moments {
    seed: u64,
    took: Duration,
}

impl Moments {
    fn next(&mut self) -> Duration {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.took.mul_f64(((self.seed >> 33) % 1_000) as f64 / 1_000.0)
    }

    /// Starts a command and kills it, or tells that it had ended before its moment. That it took less time than was thought
    /// is minded, so that a loop until something was killed ends on machines of any speed.
    fn kill(&mut self, mut child: Child) -> bool {
        let (begun, moment) = (Instant::now(), self.next());
        while begun.elapsed() < moment {
            if child.try_wait().unwrap().is_some() {
                self.took = begun.elapsed();
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        kill(child)
    }
}

/// Whether the command was killed, and had not ended by itself.
fn kill(mut child: Child) -> bool {
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}

fn start(house: &House, arguments: &[&str]) -> Child {
    house.command().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A house whose job has a forest.
fn planted(files: (u64, u64), seed: u64) -> (House, Forest) {
    let house = House::new();
    let forest = Forest::plant(house.path("tree"), files, seed);
    house.configure_files("files", "tree");
    (house, forest)
}

/// Bytes below a directory in files whose path this holds for.
fn bytes_of(directory: &Path, counts: &dyn Fn(&str) -> bool) -> u64 {
    let items = fs::read_dir(directory).into_iter().flatten().map(|item| item.unwrap());
    items
        .map(|item| match item.file_type().unwrap().is_dir() {
            true => bytes_of(&item.path(), counts),
            false if counts(&item.path().display().to_string()) => item.metadata().unwrap().len(),
            false => 0,
        })
        .sum()
}

/// Bytes of packs.
#[derive(Clone, Copy, Debug, Default)]
struct Packs {
    /// All that are whole.
    whole: u64,
    /// Of these, those that an index names.
    indexed: u64,
    /// Of those that were being written, under names of the store's own.
    halves: u64,
}

impl Packs {
    fn of(house: &House) -> Self {
        let sum = |half: bool| {
            let of = |kind| bytes_of(&house.path("repository").join(kind), &|path| path.contains('#') == half);
            of("packs") + of("catalog")
        };
        // No owner's key was tried in these houses, which `status` reminds of.
        let usage = &house.dozo(&["status", "--space", "--json"]).expect(3).json()["usage"];
        let indexed = ["data", "catalog"].map(|kind| usage[kind]["bytes"].as_u64().unwrap());
        Packs { whole: sum(false), indexed: indexed.iter().sum(), halves: sum(true) }
    }
}

/// The same repository in another place, from before a kill: it tells what a run stores that nobody kills.
struct Twin {
    house: House,
    cache: PathBuf,
    packs: Packs,
}

impl Twin {
    fn of(house: &House) -> Self {
        let twin = House::bare();
        link_all(&house.path("repository"), &twin.path("repository"));
        for name in ["host.key", "owner.key"] {
            fs::copy(house.path(name), twin.path(name)).unwrap();
        }
        let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
        let [from, to] = [house, &twin].map(|house| house.path("repository").display().to_string());
        fs::write(twin.path("dozo.toml"), text.replace(&from, &to)).unwrap();
        Twin { house: twin, cache: twins_cache(house), packs: Packs::of(house) }
    }

    /// Runs the job and tells the bytes it stored, and the time it took.
    fn run(&self) -> (u64, Duration) {
        let begun = Instant::now();
        let mut command = self.house.command();
        command.env("XDG_CACHE_HOME", &self.cache).args(["run", "--json"]);
        let said = crate::house::said(command.output().unwrap());
        (stored(&said.expect(0)), begun.elapsed())
    }
}

/// A cache for the twins of a house, who never met a run that was killed there. Of the shared one it has the compiled plugins.
fn twins_cache(house: &House) -> PathBuf {
    let (cached, plugins) = (house.path("twins"), house.path("twins/dozo/plugins"));
    if !plugins.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&plugins).unwrap();
        for item in fs::read_dir(cache().join("dozo/plugins")).unwrap().map(|item| item.unwrap()) {
            fs::copy(item.path(), plugins.join(item.file_name())).unwrap();
        }
    }
    cached
}

/// Another name for each object: none is ever changed.
fn link_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap().map(|item| item.unwrap()) {
        let there = to.join(item.file_name());
        match item.file_type().unwrap().is_dir() {
            true => link_all(&item.path(), &there),
            false => fs::hard_link(item.path(), there).unwrap(),
        }
    }
}

fn stored(said: &Said) -> u64 {
    said.json()["bytes_stored"].as_u64().unwrap()
}

/// What kills cost, in bytes.
#[derive(Debug, Default)]
struct Cost {
    kills: usize,
    /// What runs would have stored that nobody kills.
    uninterrupted: u64,
    /// What killed runs left in packs, of this what an index names, and what was half written.
    left: u64,
    indexed: u64,
    halves: u64,
    /// What the runs after them stored.
    resumed: u64,
}

impl Cost {
    /// Runs the job once more after a kill, and beside it in the twin.
    fn resume(&mut self, house: &House, twin: &Twin) -> Resumed {
        let left = Packs::of(house);
        let indexed = left.indexed - twin.packs.indexed;
        let (uninterrupted, took) = twin.run();
        let stored = stored(&house.dozo(&["run", "--json"]).expect(0));
        self.kills += 1;
        self.uninterrupted += uninterrupted;
        self.left += left.whole - twin.packs.whole;
        self.indexed += indexed;
        self.halves += left.halves - twin.packs.halves;
        self.resumed += stored;
        assert!(
            stored + indexed <= uninterrupted + SLACK,
            "{stored} bytes were stored when {indexed} were in the index, of {uninterrupted} that are stored in all"
        );
        Resumed { indexed, stored, uninterrupted, took }
    }

    fn print(&self) {
        let Cost { kills, uninterrupted, left, indexed, halves, resumed } = self;
        let again = (left + resumed).saturating_sub(*uninterrupted);
        eprintln!(
            "{kills} kills: {uninterrupted} bytes are stored if nobody kills; killed runs left {left} in packs ({indexed} \
             of it indexed, {halves} more half written), the next ones stored {resumed}: {again} bytes twice"
        );
    }
}

/// What was stored after one kill.
struct Resumed {
    /// By the run that was killed, and named in an index.
    indexed: u64,
    /// By the run after it.
    stored: u64,
    /// By a run that nobody kills, and how long that took.
    uninterrupted: u64,
    took: Duration,
}

/// What each snapshot must hold, in the order in which they came.
#[derive(Default)]
struct Told(Vec<(String, Vec<String>)>);

impl Told {
    /// A snapshot that is not known holds the tree as it is now.
    fn learn(&mut self, house: &House) {
        let said = house.dozo(&["snapshots", "--json"]).expect(0);
        for line in said.out.lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let id = row["id"].as_str().unwrap();
            if self.0.iter().all(|(known, _)| known != id) {
                self.0.push((id.to_string(), describe(&house.path("tree"))));
            }
        }
    }

    /// Restores the one that came so many before the newest, and compares.
    fn prove(&self, house: &House, before: usize) {
        let (snapshot, expected) = &self.0[self.0.len() - 1 - before % self.0.len()];
        house.restore(snapshot, "back", &[]).expect(0);
        assert!(describe(&restored(house, "back", "tree")) == *expected, "{snapshot}");
        fs::remove_dir_all(house.path("back")).unwrap();
    }
}

#[test]
fn a_run_that_is_killed_leaves_only_whole_snapshots() {
    let (house, mut forest) = planted(FILES, 1);
    let (mut told, mut cost) = (Told::default(), Cost::default());
    house.dozo(&["run"]).expect(0);
    told.learn(&house);
    forest.change_all();
    let mut moments = Moments { seed: 1, took: Twin::of(&house).run().1 };
    while cost.kills < soak(KILLS, KILLS_SOAK) {
        forest.change_all();
        let twin = Twin::of(&house);
        let killed = moments.kill(start(&house, &["run"]));
        // Also one that was killed may have put its snapshot.
        told.learn(&house);
        if !killed {
            continue;
        }
        house.dozo(&["verify"]).expect(0);
        told.prove(&house, 0);
        moments.took = cost.resume(&house, &twin).took;
        told.learn(&house);
        if cost.kills % soak(LOOK_BACK, LOOK_BACK_SOAK) == 0 {
            house.dozo(&["verify", "--read-data", "--identity", "owner.key"]).expect(0);
            told.prove(&house, 1 + moments.seed as usize);
        }
    }
    cost.print();
}

/// Here the tree is small enough that its first index is the one behind its last pack; in a soak it has more packs than two
/// indexes name, and a run is killed in their midst.
#[test]
fn what_an_index_names_is_not_stored_again() {
    let (house, mut forest) = planted((FILES.0, soak(4, 120) as u64), 3);
    let (mut moments, mut cost) = (Moments { seed: 3, took: Duration::from_millis(50) }, Cost::default());
    house.dozo(&["run"]).expect(0);
    forest.change_all();
    while cost.kills < soak(2, 10) {
        let (twin, snapshots) = (Twin::of(&house), house.snapshots());
        let child = start(&house, &["run"]);
        while indexes(&house) == indexes(&twin.house) {
            std::thread::sleep(Duration::from_micros(200));
        }
        if cost.kills % 2 == 1 {
            std::thread::sleep(moments.next());
        }
        if kill(child) && house.snapshots() == snapshots {
            let Resumed { indexed, stored, uninterrupted, .. } = cost.resume(&house, &twin);
            assert!(indexed > 0 && stored < uninterrupted, "{indexed} indexed, {stored} of {uninterrupted} stored");
            house.dozo(&["verify", "--read-data", "--identity", "owner.key"]).expect(0);
        }
        forest.change_all();
    }
    house.restore("files", "back", &[]).expect(0);
    cost.print();
}

/// How many indexes there are.
fn indexes(house: &House) -> usize {
    let items = fs::read_dir(house.path("repository/index")).into_iter().flatten();
    items.filter(|item| !item.as_ref().unwrap().file_name().to_string_lossy().contains('#')).count()
}

/// Lines of what is no directory, and of what a killed restore left under a name of its own.
fn split(lines: &[String]) -> (BTreeSet<&String>, BTreeSet<&String>) {
    // A directory has nothing behind its time.
    let named = lines.iter().filter(|line| !line.ends_with(' '));
    named.partition(|line| !line.contains(".dozo-"))
}

/// A directory that is restored into, over and over.
struct Target {
    house: House,
    forest: Forest,
    /// What was in it before, and what is to be.
    old: Vec<String>,
    new: Vec<String>,
    /// Files under temporary names that were left in all.
    left: usize,
}

impl Target {
    fn described(&self) -> Vec<String> {
        let directory = restored(&self.house, "out", "tree");
        if directory.exists() { describe(&directory) } else { Vec::new() }
    }

    /// Empties it, or lets the tree become another than the one it holds.
    fn prepare(&mut self, fresh: bool) {
        if fresh {
            fs::remove_dir_all(self.house.path("out")).unwrap();
        } else {
            self.forest.change();
            self.house.dozo(&["run"]).expect(0);
        }
        (self.old, self.new) = (self.described(), describe(&self.house.path("tree")));
    }

    /// Begins a restore and kills it, or tells that it had ended.
    fn kill(&self, moments: &mut Moments) -> bool {
        let to = self.house.path("out").display().to_string();
        let arguments = ["restore", "files", "--identity", "owner.key", "--to", &to, "--conflict", "replace"];
        moments.kill(start(&self.house, &arguments))
    }

    /// Whatever has its own name is whole: content, mode and times are those of one snapshot.
    fn is_whole(&self) {
        let (old, new, found) = (split(&self.old).0, split(&self.new).0, self.described());
        let torn: Vec<_> =
            split(&found).0.into_iter().filter(|line| !old.contains(line) && !new.contains(line)).collect();
        assert!(torn.is_empty(), "{torn:#?}");
    }

    /// A restore that nobody kills, and one before it that leaves what is there.
    fn complete(&mut self, fresh: bool) {
        if fresh {
            // What is there under its own name is whole, so that leaving it is right.
            self.house.restore("files", "out", &["--conflict", "skip"]).expect(0);
            assert!(split(&self.described()).0 == split(&self.new).0, "what a restore with `skip` completed");
        }
        self.house.restore("files", "out", &["--conflict", "replace"]).expect(0);
        let found = self.described();
        let missing: Vec<_> = self.new.iter().filter(|line| found.binary_search(line).is_err()).collect();
        assert!(missing.is_empty(), "{missing:#?}");
        if fresh {
            let more = found.iter().filter(|line| !line.contains(".dozo-")).count();
            assert_eq!(more, self.new.len());
        }
        self.left += split(&found).1.len();
    }
}

#[test]
fn a_restore_that_is_killed_leaves_only_whole_files_and_can_go_on() {
    let (house, forest) = planted(FILES, 2);
    house.dozo(&["run"]).expect(0);
    let begun = Instant::now();
    house.restore("files", "out", &[]).expect(0);
    let took = begun.elapsed();
    let mut moments = Moments { seed: 2, took };
    let mut target = Target { house, forest, old: Vec::new(), new: Vec::new(), left: 0 };
    let mut kills = 0;
    for round in 0..soak(KILLS, KILLS_SOAK) / 2 {
        let fresh = round % 2 == 0;
        target.prepare(fresh);
        while !target.kill(&mut moments) {
            target.prepare(fresh);
        }
        target.is_whole();
        // The one that goes on is killed as well.
        while !target.kill(&mut moments) {}
        target.is_whole();
        target.complete(fresh);
        kills += 2;
        moments.took = took;
    }
    eprintln!("{kills} kills of a restore left {} files under temporary names", target.left);
}
