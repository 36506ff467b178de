//! Output that cannot be written, and signals that are ignored, change nothing of the work: every job runs, every notifier
//! hears of it, and the exit code says what is missing.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::house::{House, Said, binary, is_root, said};

/// A house with three jobs of a file each.
fn three() -> House {
    let house = House::new();
    for job in ["a", "b", "c"] {
        std::fs::create_dir(house.path(job)).unwrap();
        std::fs::write(house.path(job).join("x"), job).unwrap();
        house.configure_files(job, job);
    }
    house
}

fn to(path: impl AsRef<Path>) -> Stdio {
    File::options().write(true).open(path).unwrap().into()
}

#[test]
fn a_full_standard_output_keeps_no_job_from_running() {
    let house = three();
    for arguments in [&["run"][..], &["run", "--json"]] {
        let before = house.snapshots();
        let said = said(house.command().args(arguments).stdout(to("/dev/full")).output().unwrap()).expect(1);
        assert_eq!(house.snapshots(), before + 3, "{}", said.err);
        assert!(said.err.contains("error: the output could not be written to standard output"), "{}", said.err);
        assert!(said.err.contains("caused by: No space left on device"), "{}", said.err);
    }
    // A listing that is not whole does not look like one, and the worse exit code is kept.
    said(house.command().args(["snapshots"]).stdout(to("/dev/full")).output().unwrap()).expect(1);
    said(house.command().args(["--help"]).stdout(to("/dev/full")).output().unwrap()).expect(1);
    std::fs::remove_dir_all(house.path("repository/packs")).unwrap();
    said(house.command().args(["verify"]).stdout(to("/dev/full")).output().unwrap()).expect(5);
}

/// For cron, which mails what is printed.
#[test]
fn a_quiet_run_prints_what_is_wrong_and_nothing_else() {
    let house = three();
    let silent = |arguments: &[&str]| {
        let said = house.dozo(arguments).expect(0);
        assert_eq!((said.out.as_str(), said.err.as_str()), ("", ""), "{arguments:?}");
    };
    silent(&["run", "--quiet"]);
    silent(&["verify", "-q"]);
    silent(&["restore", "a", "--to", "out", "--identity", "owner.key", "-q"]);
    // What was asked for is no result.
    assert!(house.dozo(&["snapshots", "-q"]).expect(0).out.contains(" a "));
    std::fs::remove_dir_all(house.path("b")).unwrap();
    let said = house.dozo(&["run", "-q"]);
    assert!(said.code != 0 && said.out.is_empty(), "{}", said.out);
    assert!(said.err.contains("the job `b` did not run") && !said.err.contains("snapshot "), "{}", said.err);
    std::fs::remove_dir_all(house.path("repository/packs")).unwrap();
    assert!(house.dozo(&["verify", "-q"]).expect(5).out.contains("DAMAGED"));
    house.dozo(&["run", "-q", "--json"]).expect(2);
}

/// Whoever is to be told is told, and every command ends with what it did.
#[test]
fn a_full_standard_output_keeps_nobody_from_being_told_and_nothing_from_being_done() {
    let house = three();
    let file = crate::house::guests().join("contract.wasm").display().to_string();
    house.configure(&format!(
        "[notify.log]\nplugin = {file:?}\nconfig = {{ manner = \"log\" }}\non = [\"failure\", \"success\"]"
    ));
    house.lock(&file, Path::new(&file));
    std::fs::write(house.path("dozo.toml"), {
        let text = std::fs::read_to_string(house.path("dozo.toml")).unwrap();
        text.replacen("[repository]", "[repository]\nrole = \"maintain\"", 1)
    })
    .unwrap();
    house.configure("[job.gone]\nplugin = \"no-such-plugin\"");
    let full = |arguments: &[&str]| said(house.command().args(arguments).stdout(to("/dev/full")).output().unwrap());
    let run = full(&["run"]).expect(2);
    let told = |kind: &str, job: &str| {
        let is_it = |line: &str| line.contains(&format!("TOLD {kind}: ")) && line.contains(&format!(": {job} "));
        assert!(run.err.lines().any(is_it), "{kind} of {job}: {}", run.err);
    };
    for job in ["a", "b", "c"] {
        told("success", job);
    }
    told("failure", "gone");
    assert_eq!(house.snapshots(), 3);
    let restore = ["restore", "a", "--to", "out", "--identity", "owner.key"];
    for command in [
        &restore[..],
        &["prune", "--yes"],
        &["prune"],
        &["repair", "--yes"],
        &["verify"],
        &["status"],
        &["check", "a"],
        &["ls", "a"],
        &["hold", "a", "--why", "a reason"],
        &["key", "kit"],
        &["key", "owners"],
    ] {
        let said = full(command).expect(1);
        assert!(said.err.contains("the output could not be written to standard output"), "{command:?}: {}", said.err);
    }
    let back = house.path("out").join(house.path("a").strip_prefix("/").unwrap());
    assert_eq!(std::fs::read_to_string(back.join("x")).unwrap(), "a");
    // Content is no line, and no less to be missed.
    let x = house.path("a/x").display().to_string();
    let cat = ["cat", "a", &x, "--identity", "owner.key"];
    full(&cat).expect(1);
    let nowhere = Stdio::from(File::open("/dev/null").unwrap());
    said(house.command().args(cat).stdout(nowhere).output().unwrap()).expect(1);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    said(house.command().args(cat).stdout(writer).output().unwrap()).expect(0);
    assert_eq!(house.dozo(&cat).expect(0).out, "a");
    // A new repository is one, whatever could be printed of it.
    let other = House::bare();
    let url = format!("file://{}", other.path("r").display());
    let init = ["init", &url, "--single-owner"];
    said(other.command().args(init).stdout(to("/dev/full")).output().unwrap()).expect(1);
    other.dozo(&["snapshots"]).expect(0);
    assert!(other.path("owner.key").exists());
}

/// What is no place to write to is one that cannot be written to; that nobody reads is none.
#[test]
fn standard_output_that_is_read_only_closed_or_left_keeps_no_job_from_running() {
    let house = three();
    let shell = |redirection: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec \"$0\" run {redirection}")]).arg(binary()).current_dir(house.path("."));
        shell.env("XDG_CACHE_HOME", crate::house::cache()).env("XDG_STATE_HOME", house.path("state"));
        said(shell.output().unwrap())
    };
    let said = shell("1</dev/null").expect(1);
    assert!(said.err.contains("could not be written to standard output"), "{}", said.err);
    assert_eq!(house.snapshots(), 3);
    shell(">&-").expect(0);
    assert_eq!(house.snapshots(), 6);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    crate::house::said(house.command().arg("run").stdout(writer).output().unwrap()).expect(0);
    assert_eq!(house.snapshots(), 9);
}

/// A log on a disk that is full, with as much in it as there is to say.
#[test]
fn a_full_log_ends_nothing() {
    let house = three();
    house.configure("[job.gone]\nplugin = \"no-such-plugin\"");
    for (arguments, code) in [(&["run", "a", "b", "c", "-vv"][..], 0), (&["run", "-vv"], 2)] {
        let before = house.snapshots();
        let mut command = house.command();
        let output = command.args(arguments).stderr(to("/dev/full")).output().unwrap();
        assert_eq!((output.status.code(), house.snapshots()), (Some(code), before + 3), "{arguments:?}");
    }
    let output = house.command().args(["run", "a"]).stdout(to("/dev/full")).stderr(to("/dev/full")).output().unwrap();
    assert_eq!((output.status.code(), house.snapshots()), (Some(1), 7));
}

/// A real disk that is full, under the log and the output.
#[test]
fn a_full_disk_under_the_log_ends_nothing() {
    if !is_root("a full disk under the log") {
        return;
    }
    let house = three();
    let small = house.path("small");
    std::fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"]).arg(&small).status().unwrap();
    assert!(mounted.success());
    let fill = std::fs::write(small.join("filling"), vec![0; 1 << 20]);
    let (out, err) = (File::create(small.join("out")), File::create(small.join("err")));
    let status = house.command().args(["run", "-vv"]).stdout(out.unwrap()).stderr(err.unwrap()).status();
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
    assert!(fill.is_err(), "it was not full");
    assert_eq!((status.unwrap().code(), house.snapshots()), (Some(1), 3));
}

/// A house whose job says that it has begun, and ends when it may.
fn slow() -> House {
    let house = House::new();
    std::fs::create_dir(house.path("data")).unwrap();
    std::fs::write(house.path("data/x"), "x").unwrap();
    house.configure_files("files", "data");
    let script = "touch begun; for n in $(seq 600); do test -e go && exit 0; sleep 0.1; done; exit 1";
    let file = house.path("before.sh");
    std::fs::write(&file, format!("cd {:?} && {script}\n", house.path("."))).unwrap();
    let text = std::fs::read_to_string(house.path("dozo.toml")).unwrap();
    let before = format!("[job.files]\nbefore = [\"/bin/sh {}\"]\n", file.display());
    std::fs::write(house.path("dozo.toml"), text.replace("[job.files]\n", &before)).unwrap();
    house
}

/// Starts a run that ignores signals as a shell would have it, and sends it one in its midst.
fn signalled(house: &House, ignored: &str, signal: &str) -> Said {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("trap '' {ignored}; exec \"$0\" run")]).arg(binary()).current_dir(house.path("."));
    shell.env("XDG_CACHE_HOME", crate::house::cache()).env("XDG_STATE_HOME", house.path("state"));
    shell.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = shell.spawn().unwrap();
    wait_for(&house.path("begun"));
    send(&child, signal);
    std::thread::sleep(Duration::from_millis(200));
    std::fs::write(house.path("go"), "").unwrap();
    said(child.wait_with_output().unwrap())
}

fn wait_for(file: &Path) {
    let begun = Instant::now();
    while !file.exists() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{} does not come", file.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn send(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_signal_that_the_parent_ignores_stays_ignored() {
    // `nohup`, `&` in a script, and a service manager's own.
    for signal in ["HUP", "INT", "TERM"] {
        let house = slow();
        signalled(&house, signal, signal).expect(0);
        assert_eq!(house.snapshots(), 1, "{signal}");
    }
}

#[test]
fn a_signal_that_nobody_ignores_ends_the_run_whatever_others_are_ignored() {
    for (ignored, signal) in [("HUP", "INT"), ("INT", "HUP"), ("HUP", "TERM"), ("PIPE", "TERM")] {
        let house = slow();
        let said = signalled(&house, ignored, signal).expect(130);
        assert!(said.err.contains("interrupted"), "{}", said.err);
        assert_eq!(house.snapshots(), 0, "{signal}");
    }
}
