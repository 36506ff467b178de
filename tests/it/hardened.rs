//! Services that were hardened, or have next to nothing: no code in memory that was written, little address space, no HOME, a cache
//! that nobody can write to. What can be done is done, and what cannot says what is to be changed.

use std::fs;
use std::process::Command;

use crate::house::{House, Said, binary, cache, is_root, said};

/// As `MemoryDenyWriteExecute=yes` has it: a kernel that refuses to make memory executable, for a process and all that it starts.
const DENY: &str = "import ctypes, os, sys
if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0) != 0: sys.exit(77)
os.execvp(sys.argv[1], sys.argv[1:])";

fn house() -> House {
    let house = House::new();
    fs::create_dir(house.path("data")).unwrap();
    fs::write(house.path("data/file"), "x").unwrap();
    house.configure_files("files", "data");
    house.dozo(&["run"]).expect(0);
    house
}

/// dozo, started by a program before it; of the environment, it has where programs are.
fn bare(house: &House, before: &[&str], arguments: &[&str]) -> Said {
    let mut command = Command::new(before[0]);
    command.args(&before[1..]).arg(binary()).args(arguments).current_dir(house.path("")).env_clear();
    said(command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).output().unwrap())
}

/// The same with a cache and a memory that can be written.
fn through(house: &House, before: &[&str], arguments: &[&str]) -> Said {
    let (cache, state) = (format!("XDG_CACHE_HOME={}", cache().display()), house.path("state").display().to_string());
    let state = format!("XDG_STATE_HOME={state}");
    bare(house, &[&["env", &cache, &state], before].concat(), arguments)
}

#[test]
fn no_code_in_memory_that_was_written_is_said() {
    let house = house();
    let python = ["python3", "-c", DENY];
    if said(Command::new("python3").args(["-c", DENY, "true"]).output().unwrap()).code != 0 {
        eprintln!("SKIPPED: this kernel has no PR_SET_MDWE");
        return;
    }
    for command in [&["run"][..], &["check"], &["restore", "files", "--to", "out", "--identity", "owner.key"]] {
        let said = through(&house, &python, command);
        assert_eq!(said.code, 1, "{command:?}: {}{}", said.out, said.err);
        assert!(said.err.contains("hint: set `MemoryDenyWriteExecute=no`"), "{command:?}: {}", said.err);
    }
    // What needs no plugin works.
    for command in [&["snapshots"][..], &["ls", "files"], &["verify"]] {
        through(&house, &python, command).expect(0);
    }
}

#[test]
fn little_address_space_is_enough_or_is_named() {
    let house = house();
    let limited = |mebibytes: u64, arguments: &[&str]| {
        let limit = format!("--as={}", mebibytes << 20);
        through(&house, &["prlimit", &limit], arguments)
    };
    for command in [&["run"][..], &["restore", "files", "--to", "out", "--identity", "owner.key"]] {
        limited(4096, command).expect(0);
    }
    // However little there is, nothing is the program's own fault.
    for mebibytes in [300, 700] {
        let said = limited(mebibytes, &["run"]);
        assert!(said.code == 0 || said.err.contains("ulimit -v"), "{mebibytes} MiB: {} {}", said.code, said.err);
    }
}

/// Another user, whose HOME is root's, or none, and a cache that is somebody else's.
#[test]
fn a_user_with_nothing_restores_and_is_told_what_a_run_needs() {
    if !is_root("becoming another user") {
        return;
    }
    let house = house();
    let owned = Command::new("chown").args(["-R", "4711:4711"]).arg(house.path("")).status().unwrap();
    assert!(owned.success());
    let user = ["setpriv", "--reuid=4711", "--regid=4711", "--clear-groups", "env"];
    let restore = |to: &'static str| ["restore", "files", "--to", to, "--identity", "owner.key"];
    for (number, environment) in
        [&["HOME=/root"][..], &[], &["HOME=/nonexistent"], &["XDG_CACHE_HOME=/proc"]].iter().enumerate()
    {
        let before = [&user[..], environment].concat();
        let to = ["out-0", "out-1", "out-2", "out-3"][number];
        let said = bare(&house, &before, &restore(to));
        assert_eq!(said.code, 0, "{environment:?}: {}", said.err);
        assert!(house.path(to).exists());
        let said = bare(&house, &before, &["run"]);
        if environment.is_empty() {
            // Beside the key is a place.
            assert_eq!(said.code, 0, "{}", said.err);
            assert!(house.path("dozo-cache").is_dir());
        } else {
            assert_ne!(said.code, 0, "{environment:?}: {}", said.err);
            assert!(said.err.contains("set `cache_dir` in the configuration"), "{environment:?}: {}", said.err);
        }
        let check = bare(&house, &before, &["check", "files"]);
        assert_eq!(check.code, said.code, "{environment:?}: {}", check.err);
    }
}

#[test]
fn a_cache_on_a_read_only_file_system_keeps_nobody_from_restoring() {
    if !is_root("mounting a file system") {
        return;
    }
    let house = house();
    let cache = house.path("cache");
    fs::create_dir(&cache).unwrap();
    let script = format!(
        "mount -t tmpfs -o ro none {cache} && exec env XDG_CACHE_HOME={cache} XDG_STATE_HOME={cache} \"$@\"",
        cache = cache.display()
    );
    let before = ["unshare", "-m", "sh", "-c", &script, "sh"];
    bare(&house, &before, &["restore", "files", "--to", "out", "--identity", "owner.key"]).expect(0);
    bare(&house, &before, &["snapshots"]).expect(0);
    let said = bare(&house, &before, &["run"]).expect(1);
    assert!(
        said.err.contains("set `cache_dir` in the configuration") && said.err.contains("Read-only file system"),
        "{}",
        said.err
    );
}

/// A disk of the cache that is full: what is compiled or remembered there can be done without.
#[test]
fn a_cache_on_a_full_file_system_keeps_nobody_from_restoring() {
    if !is_root("mounting a file system") {
        return;
    }
    let house = house();
    let cache = house.path("cache");
    fs::create_dir(&cache).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=64k none {cache} && mkdir -m 700 {cache}/dozo && head -c 1000000 /dev/zero > {cache}/full; \
         exec env XDG_CACHE_HOME={cache} XDG_STATE_HOME={state} \"$@\"",
        cache = cache.display(),
        state = house.path("state").display()
    );
    let before = ["unshare", "-m", "sh", "-c", &script, "sh"];
    let restored = bare(&house, &before, &["restore", "files", "--to", "out", "--identity", "owner.key"]).expect(0);
    assert!(restored.err.contains("`cache_dir`"), "{}", restored.err);
    bare(&house, &before, &["snapshots"]).expect(0);
    let run = bare(&house, &before, &["run"]);
    assert!(run.code == 0 || run.code == 1 && run.err.contains("set `cache_dir`"), "{}: {}", run.code, run.err);
}

/// Few open files, as some services have: enough, or said to be too few, and nothing that looks like a snapshot.
#[test]
fn few_open_files_are_enough_or_are_named() {
    let house = house();
    for files in [16, 24, 32, 48, 64, 128] {
        let limit = format!("--nofile={files}:{files}");
        let (before, to) = (house.snapshots(), format!("out-{files}"));
        let limited = |arguments: &[&str]| through(&house, &["prlimit", &limit], arguments);
        let run = limited(&["run", "--full"]);
        assert_eq!(house.snapshots() - before, usize::from(run.code == 0), "{files}: {}", run.err);
        let restore = limited(&["restore", "files", "--to", &to, "--identity", "owner.key"]);
        for said in [run, restore] {
            let is_named = said.err.contains("Too many open files") && !said.err.contains("panicked");
            assert!(said.code == 0 || is_named && files < 128, "{files}: {} {}", said.code, said.err);
        }
    }
    house.dozo(&["verify", "--scrub"]).expect(0);
}
