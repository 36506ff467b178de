//! Leases whose holders are dead, what killed writes leave, and stores in which nothing can be written: who goes on, what a plan
//! still tells, and what a message says to do.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::house::{House, Said, is_root, said};

/// A house that may delete, with a job of some megabytes.
fn house() -> House {
    let house = House::new();
    maintain(&house);
    fs::create_dir(house.path("data")).unwrap();
    fs::write(house.path("data/x"), noise(1, 24 << 20)).unwrap();
    house.configure_files("files", "data");
    house
}

fn maintain(house: &House) {
    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    fs::write(house.path("dozo.toml"), text.replacen("[repository]", "[repository]\nrole = \"maintain\"", 1)).unwrap();
}

fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let items = fs::read_dir(directory).into_iter().flatten().map(|item| item.unwrap().path());
    items.flat_map(|path| if path.is_dir() { files(&path) } else { BTreeSet::from([path]) }).collect()
}

/// The leases in the store. One that is still being written (a name with `#`) is none yet.
fn leases(house: &House) -> usize {
    files(&house.path("repository/leases")).iter().filter(|path| !path.display().to_string().contains('#')).count()
}

/// Starts a command and returns as soon as its lease is in the store, or it ended.
fn with_its_lease(house: &House, arguments: &[&str]) -> Child {
    let before = leases(house);
    let mut child = house.command().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while leases(house) == before && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(120));
        std::thread::sleep(Duration::from_micros(200));
    }
    child
}

/// Kills a command as soon as its lease is in the store. False if it ended before.
fn killed(house: &House, arguments: &[&str]) -> bool {
    let mut child = with_its_lease(house, arguments);
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Whether each thread of it stands still.
fn stands(child: &Child) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    // A thread that ends while it is looked at has no state.
    let states = threads.flatten().flat_map(|thread| fs::read_to_string(thread.path().join("stat")));
    states.into_iter().all(|stat| stat.rsplit(')').next().unwrap().starts_with(" T"))
}

/// A run that was stopped while it held its lease.
fn stopped(house: &House) -> Child {
    let before = leases(house);
    for _ in 0..50 {
        let mut child = with_its_lease(house, &["run", "--full"]);
        if child.try_wait().unwrap().is_some() {
            continue;
        }
        signal(&child, "-STOP");
        let begun = Instant::now();
        // One that ended is a zombie: it does not stand, and has no lease.
        while !stands(&child) && leases(house) > before {
            assert!(begun.elapsed() < Duration::from_secs(120));
            std::thread::sleep(Duration::from_millis(1));
        }
        if leases(house) > before {
            return child;
        }
        signal(&child, "-CONT");
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    }
    panic!("no run was stopped while it held its lease");
}

/// The same command as another machine would run it: one that does not know what became of the first.
fn elsewhere(house: &House, arguments: &[&str]) -> Said {
    said(house.command().env("XDG_STATE_HOME", house.path("other-state")).args(arguments).output().unwrap())
}

/// Kills a command in its midst, until its lease keeps others away; returns what it tells them.
fn kept_away(house: &House, arguments: &[&str]) -> Said {
    for _ in 0..50 {
        if !killed(house, arguments) {
            continue;
        }
        let kept = elsewhere(house, arguments);
        if kept.code == 6 {
            return kept;
        }
        // It had just released its lease.
        kept.expect(0);
    }
    panic!("{arguments:?} was never killed while it held its lease");
}

/// The option that the hint says.
fn ignore(said: &Said) -> Vec<String> {
    let hint = said.err.lines().find(|line| line.starts_with("hint: ")).unwrap();
    let option = hint.split('`').find(|part| part.starts_with("--ignore-lease ")).unwrap();
    option.split(' ').map(str::to_string).collect()
}

#[test]
fn a_command_that_was_killed_on_this_host_keeps_nobody_waiting() {
    let house = house();
    house.dozo(&["run"]).expect(0);
    for command in [&["prune", "--yes"][..], &["repair", "--yes"], &["run", "--full"]] {
        kept_away(&house, command);
        house.dozo(command).expect(0);
        // The dead one was released on its behalf: nobody else waits either.
        elsewhere(&house, command).expect(0);
    }
}

/// Whatever it was that was killed: those who only read, or mirror, keep a prune waiting before it deletes.
#[test]
fn whoever_was_killed_on_this_host_keeps_no_prune_from_deleting() {
    let house = house();
    house.configure("[defaults]\nguard = false\nretention = { last = 1, superseded_for = \"0d\" }\n[prune]\ngrace = \"1s\"\npack_age_min = \"1s\"");
    mirrored(&house);
    house.dozo(&["run"]).expect(0);
    let restore = ["restore", "files", "--to", "out", "--conflict", "replace", "--identity", "owner.key"];
    let mut seed = 1;
    let mut next = || {
        seed += 1;
        fs::write(house.path("data/x"), noise(seed, 24 << 20)).unwrap();
        house.dozo(&["run"]).expect(0);
        std::thread::sleep(Duration::from_secs(2));
    };
    for command in [&restore[..], &["mirror"], &["verify", "--scrub"]] {
        // It began before the packs were condemned, so for whoever does not know that it is dead it keeps them.
        let keeps = (0..10).any(|_| {
            next();
            let is_killed = killed(&house, command);
            elsewhere(&house, &["prune", "--yes"]).expect(0);
            std::thread::sleep(Duration::from_secs(2));
            is_killed && elsewhere(&house, &["prune"]).expect(0).out.contains(" at work")
        });
        assert!(keeps, "{command:?} was never killed while it held its lease");
        let done = house.dozo(&["prune", "--yes"]).expect(0);
        assert!(!done.out.contains(" 0 packs (0 B) deleted"), "{command:?}: {}", done.out);
        house.dozo(command).expect(0);
    }
}

/// A house with a mirror beside it.
fn mirrored(house: &House) {
    has_mirror(house);
    house.dozo(&["mirror", "--create"]).expect(0);
}

/// The same, of which nothing was made yet.
fn has_mirror(house: &House) {
    fs::create_dir(house.path("nas")).unwrap();
    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    let mirrors =
        format!("[repository]\nmirrors = [{{ name = \"nas\", url = \"file://{}\" }}]", house.path("nas").display());
    fs::write(house.path("dozo.toml"), text.replacen("[repository]", &mirrors, 1)).unwrap();
}

/// The cache of a container goes with it; what the host remembers does not.
#[test]
fn a_run_whose_cache_is_gone_is_known_to_be_dead() {
    let house = house();
    kept_away(&house, &["run", "--full"]);
    let mut command = house.command();
    command.arg("run").env("XDG_CACHE_HOME", house.path("new-cache"));
    said(command.output().unwrap()).expect(0);
}

/// Where nobody can know that the holder is dead, the operator may say so; the hint says what must be known first.
#[test]
fn the_operators_word_passes_a_lease_over() {
    let house = house();
    house.dozo(&["run"]).expect(0);
    for command in [&["prune", "--yes"][..], &["run", "--full"]] {
        let kept = kept_away(&house, command);
        assert!(kept.err.contains("within 30 minutes"), "{}", kept.err);
        assert!(kept.err.contains("Only if nothing of it can be running any more"), "{}", kept.err);
        let option = ignore(&kept);
        let option: Vec<&str> = option.iter().map(String::as_str).collect();
        elsewhere(&house, &[command, &["--ignore-lease", &"0".repeat(32)]].concat()).expect(6);
        elsewhere(&house, &[command, &option].concat()).expect(0);
    }
    house.dozo(&["run", "--ignore-lease", "12ab"]).expect(2);
}

/// A second run of a job on this host, and one that lives elsewhere, are not taken for dead.
#[test]
fn who_lives_is_not_passed_over() {
    let house = house();
    house.dozo(&["run"]).expect(0);
    let child = stopped(&house);
    house.dozo(&["run"]).expect(6);
    elsewhere(&house, &["run"]).expect(6);
    signal(&child, "-CONT");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

fn grow_old(file: &Path) {
    let old = SystemTime::now() - Duration::from_secs(2 * 86_400);
    File::options().write(true).open(file).unwrap().set_modified(old).unwrap();
}

#[test]
fn what_killed_writes_left_goes_when_it_is_old() {
    let house = house();
    house.dozo(&["run"]).expect(0);
    let repository = house.path("repository");
    let left = ["packs/ab/cd#1", "catalog/ab/cd#12", "leases/ab#3", "index/12#1", "dozo.json#1"];
    for name in left {
        fs::create_dir_all(repository.join(name).parent().unwrap()).unwrap();
        fs::write(repository.join(name), "half of it").unwrap();
        grow_old(&repository.join(name));
    }
    // Somebody's own, in a directory of theirs; and what is being written now.
    for name in ["mine/a#1", "packs/ab/new#1"] {
        fs::create_dir_all(repository.join(name).parent().unwrap()).unwrap();
        fs::write(repository.join(name), "mine").unwrap();
    }
    grow_old(&repository.join("mine/a#1"));
    let plan = house.dozo(&["prune"]).expect(0);
    assert!(plan.out.contains("5 files that killed writes left to delete"), "{}", plan.out);
    assert!(left.iter().all(|name| repository.join(name).exists()), "a plan deletes nothing");
    let done = house.dozo(&["prune", "--yes"]).expect(0);
    assert!(done.out.contains("5 left-over files removed"), "{}", done.out);
    let there: Vec<PathBuf> =
        files(&repository).into_iter().filter(|path| path.display().to_string().contains('#')).collect();
    assert_eq!(there, [repository.join("mine/a#1"), repository.join("packs/ab/new#1")]);
    house.dozo(&["verify", "--scrub"]).expect(0);
}

/// Nobody prunes a mirror here, and nobody else looks into it.
#[test]
fn what_killed_writes_left_in_a_mirror_goes_with_the_next_mirroring() {
    let house = house();
    mirrored(&house);
    let nas = house.path("nas");
    let (old, new, mine) = (nas.join("packs/ab/cd#1"), nas.join("packs/ab/new#1"), nas.join("mine/a#1"));
    for path in [&old, &new, &mine] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "half of it").unwrap();
    }
    [&old, &mine].into_iter().for_each(|path| grow_old(path));
    house.dozo(&["run"]).expect(0);
    let said = house.dozo(&["mirror"]).expect(0);
    assert!(said.out.contains("1 left-over file removed"), "{}", said.out);
    assert_eq!([&old, &new, &mine].map(|path| path.exists()), [false, true, true]);
    assert_eq!(house.dozo(&["mirror", "--json"]).expect(0).json()["leftovers"], 0);
    house.dozo(&["verify", "--scrub", "--from", "nas"]).expect(0);
}

/// A repository on a small file system, unmounted at the end.
struct Small(House);

impl Small {
    fn new(kib: u32) -> Self {
        let house = House::bare();
        fs::create_dir(house.path("small")).unwrap();
        let size = format!("size={kib}k,mode=700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(house.path("small")).status();
        assert!(mounted.unwrap().success());
        let small = Small(house);
        small.0.dozo(&["init", &format!("file://{}", small.0.path("small/r").display()), "--single-owner"]).expect(0);
        maintain(&small.0);
        fs::create_dir(small.0.path("data")).unwrap();
        small.0.configure_files("files", "data");
        small.0.configure("[prune]\ngrace = \"1s\"\npack_age_min = \"1s\"\n[defaults]\nretention = { last = 1, superseded_for = \"0d\" }");
        for seed in 0..3 {
            fs::write(small.0.path("data/x"), noise(seed, 1 << 20)).unwrap();
            small.0.dozo(&["run"]).expect(0);
        }
        small
    }

    /// Not a byte is free from here on.
    fn fill(&self) {
        let full = fs::write(self.0.path("small/filling"), vec![7; 64 << 20]);
        assert!(full.is_err(), "it was not full");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path("small")).status();
    }
}

#[test]
fn plans_need_no_room_and_no_right_to_write() {
    if !is_root("a store that is full, or read-only") {
        return;
    }
    let small = Small::new(16 << 10);
    std::thread::sleep(Duration::from_secs(2));
    let plans = |what: &str| {
        let plan = small.0.dozo(&["prune"]).expect(0);
        assert!(plan.out.contains("2 snapshots to delete, 1 stay"), "{what}: {}", plan.out);
        let back = plan.out.lines().find(|line| line.contains(" to condemn ")).unwrap();
        assert!(back.contains("a prune after 20") && back.contains("the space is back"), "{what}: {back}");
        assert!(plan.err.contains("nothing was deleted"), "{what}: {}", plan.err);
        let repair = small.0.dozo(&["repair"]).expect(0);
        assert_eq!(repair.out, "nothing to repair\n", "{what}");
        small.0.dozo(&["verify"]).expect(0);
        small.0.dozo(&["snapshots"]).expect(0);
        // And whatever else only reads; the data are wanted most when nothing works any more.
        small.0.dozo(&["ls", "files", "-r"]).expect(0);
        let to = format!("out-{what}");
        small.0.restore("files", &to, &[]).expect(0);
        let back = small.0.path(to).join(small.0.path("data/x").strip_prefix("/").unwrap());
        assert_eq!(fs::read(back).unwrap(), noise(2, 1 << 20), "{what}");
        small.0.restore("files", "planned", &["--dry-run"]).expect(0);
        let status = small.0.dozo(&["status"]).expect(3);
        assert!(status.out.contains("files "), "{what}: {}", status.out);
    };
    small.fill();
    plans("full");
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(small.0.path("small")).status().unwrap();
    assert!(remounted.success());
    plans("read-only");
    let refused = small.0.dozo(&["prune", "--yes"]);
    assert!(refused.code == 1 && refused.err.contains("hint: it is mounted read-only"), "{}", refused.err);
}

/// Deleting on a store that is full makes its own room where it can, and says exactly what is missing where it cannot.
#[test]
fn a_full_store_is_pruned_or_says_what_is_missing() {
    if !is_root("a store that is full") {
        return;
    }
    let small = Small::new(16 << 10);
    let left = small.0.path("small/r/packs/ab/cd#1");
    fs::create_dir_all(left.parent().unwrap()).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    small.fill();
    let said = small.0.dozo(&["prune", "--yes"]).expect(1);
    assert!(said.err.contains("there is no room to begin"), "{}", said.err);
    assert!(said.err.contains("hint: the lease, and new indexes and records, are written before"), "{}", said.err);
    assert!(said.err.contains("about 1 MiB free"), "{}", said.err);
    // What a killed write left is room.
    fs::remove_file(small.0.path("small/filling")).unwrap();
    fs::write(&left, vec![0; 1 << 20]).unwrap();
    grow_old(&left);
    small.fill();
    small.0.dozo(&["prune", "--yes"]).expect(0);
    std::thread::sleep(Duration::from_secs(2));
    let done = small.0.dozo(&["prune", "--yes"]).expect(0);
    assert!(!done.out.contains("0 packs (0 B) deleted"), "{}", done.out);
    fs::write(small.0.path("data/x"), noise(9, 1 << 20)).unwrap();
    small.0.dozo(&["run"]).expect(0);
}

/// Records that cannot be read: verify and repair agree, and a plan counts what it deletes.
#[test]
fn a_damaged_record_is_damage_to_everybody() {
    let house = house();
    house.configure("[defaults]\nguard = false\nretention = { last = 1, superseded_for = \"0d\" }");
    for seed in 2..4 {
        house.dozo(&["run"]).expect(0);
        fs::write(house.path("data/x"), noise(seed, 1 << 20)).unwrap();
    }
    house.dozo(&["run"]).expect(0);
    house.dozo(&["hold", "files", "--why", "the audit"]).expect(0);
    has_mirror(&house);
    for (kind, exit) in [("hold", 5), ("run", 0)] {
        let records = house.path(format!("repository/records/{kind}"));
        let record = files(&records).into_iter().next().unwrap();
        let mut bytes = fs::read(&record).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&record, bytes).unwrap();
        let name = record.strip_prefix(house.path("repository")).unwrap().display().to_string();
        assert!(house.dozo(&["verify"]).expect(5).out.contains(&name));
        let repair = house.dozo(&["repair"]).expect(5);
        assert!(repair.out.contains(&name) && !repair.out.contains("nothing to repair"), "{}", repair.out);
        assert!(repair.out.contains("--give-up"), "{}", repair.out);
        let plan = house.dozo(&["prune", "--all"]).expect(exit);
        let deleted = plan.out.lines().filter(|line| line.starts_with("delete ")).count();
        let counted = plan.out.lines().find(|line| line.contains("to delete, ")).unwrap();
        assert!(counted.starts_with(&format!("{deleted} snapshot")), "{}", plan.out);
        assert_eq!(deleted, if exit == 5 { 0 } else { 2 }, "{}", plan.out);
        house.dozo(&["repair", "--give-up", &name, "--yes"]).expect(0);
        house.dozo(&["verify"]).expect(0);
        assert_eq!(house.dozo(&["repair"]).expect(0).out, "nothing to repair\n");
    }
    // Where a mirror has the record, it comes back.
    house.dozo(&["hold", "files", "--why", "the audit"]).expect(0);
    house.dozo(&["mirror", "--create"]).expect(0);
    let record = files(&house.path("repository/records/hold")).into_iter().next().unwrap();
    let whole = fs::read(&record).unwrap();
    fs::write(&record, &whole[..whole.len() / 2]).unwrap();
    house.dozo(&["verify"]).expect(5);
    house.dozo(&["repair", "--yes"]).expect(0);
    assert_eq!(fs::read(&record).unwrap(), whole);
    house.dozo(&["verify"]).expect(0);
}
