//! `kill -9` at any moment: what a snapshot says it holds is there, and the next run or restore goes on. A few rounds here,
//! a hundred in `cargo xtask soak`.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::filesystem::{describe, plant, restored};
use crate::house::{House, soak};

/// Rounds of a normal run of the tests, and of a soak.
const ROUNDS: usize = 4;
const ROUNDS_SOAK: usize = 100;

/// Moments that differ from round to round and are the same in every run of the tests.
struct Moments(u64);

impl Moments {
    /// A moment before `end`.
    fn next(&mut self, end: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        end.mul_f64(((self.0 >> 33) % 1_000) as f64 / 1_000.0)
    }
}

/// A tree with much to read, some of it new in each round.
fn grow(house: &House, round: usize) {
    let noise = |n: u64| (0..200_000u64).flat_map(move |i| (i ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    for file in 0..8 {
        let bytes: Vec<u8> = noise(((round * 8 + file) as u64) << 32).collect();
        fs::write(house.path(format!("tree/noise-{}", (round * 8 + file) % 24)), bytes).unwrap();
    }
}

fn start(house: &House, arguments: &[&str]) -> Child {
    house.command().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Lets a command run for a while, then kills it. Whether it had ended by itself.
fn kill_after(mut child: Child, moment: Duration) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < moment {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap().code().is_some()
}

/// The lines about files; what a killed restore left under a temporary name is nobody's.
fn files(lines: &[String]) -> Vec<&String> {
    let named = lines.iter().filter(|line| !line.contains(".dozo-"));
    named.filter(|line| line.contains("bytes, sum")).collect()
}

#[test]
fn a_run_that_is_killed_leaves_only_whole_snapshots() {
    let house = House::new();
    plant(&house.path("tree"));
    house.configure_files("files", "tree");
    let begun = Instant::now();
    house.dozo(&["run"]).expect(0);
    let (took, mut moments, mut killed) = (begun.elapsed(), Moments(1), 0);
    for round in 0..soak(ROUNDS, ROUNDS_SOAK) {
        grow(&house, round);
        killed += usize::from(!kill_after(start(&house, &["run"]), moments.next(took)));
        house.dozo(&["verify", "--read-data", "--identity", "owner.key"]).expect(0);
    }
    assert!(killed > 0, "every run had ended before it was killed");
    house.dozo(&["run"]).expect(0);
    house.restore("files", "out", &[]).expect(0);
    assert_eq!(describe(&restored(&house, "out", "tree")), describe(&house.path("tree")));
}

#[test]
fn a_restore_that_is_killed_leaves_only_whole_files_and_can_go_on() {
    let house = House::new();
    plant(&house.path("tree"));
    (0..3).for_each(|round| grow(&house, round));
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    let begun = Instant::now();
    house.restore("files", "first", &[]).expect(0);
    let (took, mut moments, mut killed) = (begun.elapsed(), Moments(2), 0);
    let expected = describe(&house.path("tree"));
    for round in 0..soak(ROUNDS, ROUNDS_SOAK) {
        let name = format!("out-{round}");
        let to = house.path(&name).display().to_string();
        let arguments = ["restore", "files", "--identity", "owner.key", "--to", &to, "--conflict", "replace"];
        killed += usize::from(!kill_after(start(&house, &arguments), moments.next(took)));
        // What is there under its own name is whole, so that leaving it is right.
        house.restore("files", &name, &["--conflict", "skip"]).expect(0);
        let found = describe(&restored(&house, &name, "tree"));
        assert_eq!(files(&found), files(&expected), "round {round}");
        fs::remove_dir_all(house.path(&name)).unwrap();
    }
    assert!(killed > 0, "every restore had ended before it was killed");
}
