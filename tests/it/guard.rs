//! Backups that know what they should look like: what is much smaller than the last good one is kept, told, and has nothing
//! deleted, until somebody says that it is right. And what has no end ends no job.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::filesystem::{describe, restored};
use crate::house::{House, guests, is_root};

/// A directory with so many small files, which changed long ago for whoever compares times.
fn fill(directory: &Path, files: usize) {
    fs::create_dir_all(directory).unwrap();
    (0..files).for_each(|n| fs::write(directory.join(format!("f{n}")), format!("file {n}")).unwrap());
}

/// Something mounted on a directory until this is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn mount(arguments: &[&str], point: PathBuf) -> Self {
        fs::create_dir_all(&point).unwrap();
        let mount = Command::new("mount").args(arguments).arg(&point).status().unwrap();
        assert!(mount.success());
        Mounted(point)
    }

    /// A file system in memory.
    fn memory(point: PathBuf) -> Self {
        Mounted::mount(&["-t", "tmpfs", "none"], point)
    }

    /// The same file system in another place too: a disk that is taken out and put in again.
    fn again(&self, point: PathBuf) -> Self {
        Mounted::mount(&["--bind", self.0.to_str().unwrap()], point)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// The report of a run, which ended so.
#[track_caller]
fn run(house: &House, code: i32) -> Value {
    house.dozo(&["run", "--json"]).expect(code).json()
}

fn reasons(report: &Value) -> Vec<&str> {
    report["suspicious"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap()).collect()
}

/// The ids of all snapshots, oldest first, and whether each is suspicious.
fn listed(house: &House) -> Vec<(String, bool)> {
    let lines = house.dozo(&["snapshots", "--json"]).expect(0).out;
    let read = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    read.map(|row| (row["id"].as_str().unwrap().to_string(), row["suspicious"].as_bool().unwrap())).collect()
}

/// What a prune would delete, by the beginnings of ids; and all that it says.
fn doomed(house: &House) -> (Vec<String>, String) {
    let said = house.dozo(&["prune"]).expect(0);
    let lines = said.out.lines().filter(|line| line.starts_with("delete"));
    (lines.filter_map(|line| line.split_whitespace().nth(1)).map(str::to_string).collect(), said.err)
}

/// One snapshot is kept of the job's, at once.
const RETENTION: &str = "[defaults]\nretention = { last = 1, superseded_for = \"0d\" }";

/// F9.
#[test]
fn a_mount_that_is_gone_is_suspicious() {
    if !is_root("mounting a file system") {
        return;
    }
    let house = House::new();
    let up = house.path("tree/up");
    fs::create_dir_all(house.path("tree")).unwrap();
    fs::write(house.path("tree/conf"), "c").unwrap();
    house.configure(RETENTION);
    house.configure_files("files", "tree");
    let disk = Mounted::memory(house.path("disk"));
    fill(&disk.0, 200);
    let mounted = disk.again(up.clone());
    std::thread::sleep(std::time::Duration::from_millis(3_100));
    let full = run(&house, 0);
    assert_eq!(full["suspicious"], Value::Array(vec![]));
    let before = describe(&house.path("tree"));

    drop(mounted);
    for _ in 0..2 {
        let report = run(&house, 3);
        assert_eq!(report["outcome"], "complete");
        let reasons = reasons(&report);
        assert!(reasons[0].starts_with("3 entries, where the last good snapshot ("), "{reasons:?}");
        let gone = "tree/up, which is another file system than before, is empty, and had 200 entries";
        assert!(reasons.iter().any(|reason| reason.ends_with(gone)), "{reasons:?}");
    }
    let good = full["snapshot"].as_str().unwrap().to_string();
    assert_eq!(listed(&house).iter().map(|(_, suspicious)| *suspicious).collect::<Vec<_>>(), [false, true, true]);
    let status = house.dozo(&["status"]).expect(3);
    assert!(status.out.contains("2 newer ones are suspicious"), "{}", status.out);
    let line = status.out.lines().find(|line| line.starts_with("alert: files: the 2 newest snapshots are suspicious"));
    let line = line.unwrap_or_else(|| panic!("{}", status.out));
    assert!(line.contains("3 entries, where the last") && line.contains("`dozo accept "), "{line}");
    let found = &house.dozo(&["status", "--json"]).expect(3).json()["findings"];
    assert!(found.as_array().unwrap().iter().all(|found| found["kind"] != "partial"), "{found}");
    let shown = house.dozo(&["snapshots"]).expect(0);
    assert!(shown.out.matches("suspicious").count() == 2 && shown.err.contains("hint: is the "), "{}", shown.err);
    let (going, said) = doomed(&house);
    assert!(!going.contains(&good[..8].to_string()) && said.contains("2 snapshots are suspicious"), "{going:?} {said}");
    let back = house.restore("files", "out", &[]).expect(0);
    assert!(back.err.contains("note: 2 newer snapshots are suspicious, so this is"), "{}", back.err);
    assert_eq!(describe(&restored(&house, "out", "tree")), before);

    // The disk is back: nothing of it is read again, and the suspicious ones go.
    let mounted = disk.again(up);
    let report = run(&house, 0);
    assert_eq!((&report["previous"], &report["suspicious"]), (&full["snapshot"], &Value::Array(vec![])));
    assert!(report["entries_kept"].as_u64().unwrap() >= 200, "{report}");
    assert_eq!(doomed(&house).0.len(), 3, "last = 1");
    let status = house.dozo(&["status"]);
    assert!(!status.out.contains("suspicious"), "{}", status.out);
    drop(mounted);
}

/// The mount is the granted directory itself: to the plugin that is another source.
#[test]
fn a_path_that_is_not_mounted_is_another_file_system_than_before() {
    if !is_root("mounting a file system") {
        return;
    }
    let house = House::new();
    let data = house.path("data");
    fill(&data, 1);
    house.configure_files("files", "data");
    let disk = Mounted::memory(data.clone());
    fill(&data, 12);
    run(&house, 0);
    drop(disk);
    let report = run(&house, 3);
    let reasons = reasons(&report);
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].ends_with("data, which is another file system than before, has 1 entry, and had 12 entries"));

    // Another disk with the same content is none.
    let disk = Mounted::memory(data.clone());
    fill(&data, 12);
    run(&house, 0);
    // A disk that was made anew has but what its file system puts there.
    (0..12).for_each(|n| fs::remove_file(data.join(format!("f{n}"))).unwrap());
    fs::create_dir(data.join("lost+found")).unwrap();
    let toml = fs::read_to_string(house.path("dozo.toml")).unwrap();
    fs::write(house.path("dozo.toml"), toml.replace("allow_empty = true", "allow_empty = false")).unwrap();
    let said = house.dozo(&["run"]).expect(1);
    assert!(said.err.contains("data has nothing in it but lost+found: is its file system mounted?"), "{}", said.err);
    drop(disk);
}

#[test]
fn a_directory_that_was_emptied_is_suspicious_until_it_is_accepted() {
    let house = House::new();
    fill(&house.path("tree/archive"), 100);
    fill(&house.path("tree/live"), 10);
    house.configure(RETENTION);
    house.configure_files("files", "tree");
    run(&house, 0);
    let accept = house.dozo(&["accept", "files"]).expect(2);
    assert!(accept.err.contains("is not suspicious: there is nothing to accept"), "{}", accept.err);
    fs::remove_dir_all(house.path("tree/archive")).unwrap();
    let said = house.dozo(&["run"]).expect(3);
    assert!(
        said.out.contains("files: suspicious snapshot") && said.err.contains("suspicious: 12 entries"),
        "{}",
        said.err
    );
    assert!(said.err.contains("`dozo accept"), "{}", said.err);
    let smaller = listed(&house)[1].0.clone();
    assert!(doomed(&house).0.is_empty());

    let accepted = house.dozo(&["accept", "files", "--why", "the archive moved away", "--json"]).expect(0).json();
    assert_eq!((&accepted["schema"], &accepted["snapshot"]), (&"dozo/accept/1".into(), &smaller.as_str().into()));
    house.dozo(&["accept", &smaller[..8]]).expect(2);
    assert!(listed(&house).iter().all(|(_, suspicious)| !suspicious));
    // It is the last good one now, and what the next is compared with.
    let report = run(&house, 0);
    assert_eq!(report["previous"], smaller.as_str());
    assert_eq!(doomed(&house).0.len(), 2);
    house.dozo(&["verify"]).expect(0);
}

#[test]
fn the_limit_is_the_operators() {
    for (guard, code) in [("guard = false", 0), ("guard = \"90%\"", 0), ("guard = \"20%\"", 3), ("", 3)] {
        let house = House::new();
        fill(&house.path("tree"), 100);
        house.configure_files("files", "tree");
        house.configure(guard);
        run(&house, 0);
        (40..100).for_each(|n| fs::remove_file(house.path(format!("tree/f{n}"))).unwrap());
        let report = run(&house, code);
        assert_eq!(reasons(&report).is_empty(), code == 0, "{guard}");
        // And a handful of files is nothing.
        let house = House::new();
        fill(&house.path("tree"), 19);
        house.configure_files("files", "tree");
        house.configure(guard);
        run(&house, 0);
        (1..19).for_each(|n| fs::remove_file(house.path(format!("tree/f{n}"))).unwrap());
        run(&house, 0);
    }
}

/// A database is one entry of so many bytes.
#[test]
fn content_that_shrank_is_suspicious_and_told() {
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/database"), vec![7; 12 << 20]).unwrap();
    house.configure_files("db", "tree");
    let file = guests().join("contract.wasm").display().to_string();
    house.configure(&format!("[notify.log]\nplugin = {file:?}\nconfig = {{ manner = \"log\" }}"));
    house.lock(&file, Path::new(&file));
    house.dozo(&["run"]).expect(0);
    fs::write(house.path("tree/database"), vec![7; 1 << 20]).unwrap();
    let said = house.dozo(&["run"]).expect(3);
    assert!(
        said.err.contains("TOLD suspicious") && said.err.contains("much smaller than before: 1.0 MiB"),
        "{}",
        said.err
    );
    fs::write(house.path("tree/database"), vec![7; 12 << 20]).unwrap();
    let said = house.dozo(&["run"]).expect(0);
    assert!(said.err.contains("TOLD recovered"), "{}", said.err);
}

/// F23: one code and one message for a source that is away.
#[test]
fn a_source_that_is_away_is_one_error_however_it_is_away() {
    let house = House::new();
    let tree = house.path("tree");
    fs::create_dir(&tree).unwrap();
    let (parent, shown) = (house.path("").display().to_string(), tree.display().to_string());
    house.configure(&format!(
        "[job.own]\nplugin = \"filesystem\"\nconfig = {{ paths = [{shown:?}] }}\ngrant = {{ read = [{shown:?}] }}\n\
         [job.below]\nplugin = \"filesystem\"\nconfig = {{ paths = [{shown:?}] }}\ngrant = {{ read = [{parent:?}] }}"
    ));
    for command in ["run", "check"] {
        for job in ["own", "below"] {
            let said = house.dozo(&[command, job]).expect(1);
            let expected = format!("{shown} is empty: is its file system mounted?");
            assert!(said.err.contains(&expected), "{command} {job}: {}", said.err);
        }
    }
    fs::remove_dir(&tree).unwrap();
    for command in ["run", "check"] {
        for job in ["own", "below"] {
            let said = house.dozo(&[command, job]).expect(1);
            let expected = format!("{shown} is not there: is its file system mounted?");
            assert!(said.err.contains(&expected), "{command} {job}: {}", said.err);
        }
    }
    assert_eq!(house.snapshots(), 0);
}

/// F15: files that say they are empty, and go on for ever.
#[test]
fn what_the_kernel_makes_up_ends_no_job() {
    let house = House::new();
    house.configure(
        "[job.self]\nplugin = \"filesystem\"\nconfig = { paths = [\"/proc/self\"], exclude = [\"/proc/self/task\", \
         \"/proc/self/net\", \"/proc/self/map_files\"] }\ngrant = { read = [\"/proc\"] }\nlimits = { wall = \"5m\" }",
    );
    let said = house.dozo(&["run"]).expect(2);
    assert!(said.err.contains("/proc/self is a symlink to"), "{}", said.err);
    // By its number a process is a directory.
    let mut child = Command::new("sleep").arg("300").spawn().unwrap();
    let toml = fs::read_to_string(house.path("dozo.toml")).unwrap();
    fs::write(house.path("dozo.toml"), toml.replace("/proc/self", &format!("/proc/{}", child.id()))).unwrap();
    let report = house.dozo(&["run", "--json"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let report = report.expect(3).json();
    let omitted = report["omitted"].to_string();
    assert!(omitted.contains("/pagemap") && omitted.contains("and does not end 32.0 MiB behind that"), "{omitted}");
    let cat = format!("proc/{}/status", child.id());
    let status = house.dozo(&["cat", "self", &cat, "--identity", "owner.key"]).expect(0).out;
    assert!(status.starts_with("Name:\tsleep"), "{status}");
}

/// Special file systems below a path are named, and not gone into unless that is asked for.
#[test]
fn special_file_systems_below_a_path_are_named() {
    if !is_root("mounting a file system") {
        return;
    }
    let house = House::new();
    fill(&house.path("tree"), 2);
    let proc = house.path("tree/proc");
    fs::create_dir(&proc).unwrap();
    let mounted = Mounted::mount(&["-t", "proc", "none"], proc.clone());
    house.configure_files("files", "tree");
    let report = run(&house, 0);
    assert_eq!(report["entries"], 4, "the directory stays: {report}");
    let notes = report["notes"].to_string();
    let expected = format!("{} (proc)", proc.display());
    assert!(notes.contains("the kernel makes up") && notes.contains(&expected), "{notes}");
    drop(mounted);
    // One that is small enough to be gone into when it is asked for.
    let mounted = Mounted::mount(&["-t", "mqueue", "none"], proc);
    let toml = fs::read_to_string(house.path("dozo.toml")).unwrap();
    fs::write(house.path("dozo.toml"), toml.replace("settle_seconds", "special_file_systems = true, settle_seconds"))
        .unwrap();
    let report = run(&house, 0);
    assert!(!report["notes"].to_string().contains("makes up"), "{report}");
    drop(mounted);
}

/// A file that somebody writes to all the time is taken as it was when it was opened, and noted once.
#[test]
fn a_file_that_grows_for_ever_is_read_to_an_end_and_noted_once() {
    let house = House::new();
    let log = house.path("tree/log");
    fill(&house.path("tree"), 1);
    // So long that it is written to while it is read.
    fs::write(&log, vec![b'x'; 32 << 20]).unwrap();
    house.configure_files("files", "tree");
    let (over, path) = (Arc::new(AtomicBool::new(false)), log.clone());
    let stop = over.clone();
    let writer = std::thread::spawn(move || {
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        while !stop.load(Ordering::Relaxed) {
            file.write_all(b"more").unwrap();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    // On a machine that has other things to do the writer may rest while its file is read.
    let mut torn = false;
    for _ in 0..20 {
        let report = house.dozo(&["run", "--json"]).expect(0).json();
        let notes: Vec<&str> = report["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
        let about: Vec<&str> = notes.iter().copied().filter(|note| note.contains("log")).collect();
        assert!(
            about.len() <= 1 && about.iter().all(|note| note.ends_with(&format!("`{}`", log.display()))),
            "{notes:?}"
        );
        torn |= about.iter().any(|note| note.starts_with("written to while they were read: a torn copy"));
        if torn {
            break;
        }
    }
    over.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert!(torn, "no run met the writer");
}
