//! Where plugins come from, that nothing runs which was not locked, and that each has what its job grants and no more.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::house::{House, Said, binary, guests, said, sha256};

/// A house with a `plugin_dir` in which one guest lies under this name.
fn shelf(name: &str) -> (House, PathBuf) {
    let house = House::new();
    let file = house.path(format!("plugins/{name}.wasm"));
    fs::create_dir(house.path("plugins")).unwrap();
    fs::copy(guests().join("hostile.wasm"), &file).unwrap();
    // A key of the top level stands before every table.
    let config = house.path("dozo.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, format!("plugin_dir = \"plugins\"\n{text}")).unwrap();
    house.configure(&format!("[job.guest]\nplugin = {name:?}\nconfig = {{ act = \"good\" }}"));
    (house, file)
}

#[track_caller]
fn refused(said: Said, words: &[&str]) {
    let said = said.expect(2);
    words.iter().for_each(|word| assert!(said.err.contains(word), "no {word:?} in\n{}", said.err));
}

#[test]
fn nothing_runs_that_is_not_locked() {
    let (house, file) = shelf("guest");
    for command in [&["run"][..], &["config", "check"], &["plugin", "info", "guest"], &["check"]] {
        refused(house.dozo(command), &["the plugin `guest` is not locked", "`dozo plugin add guest`"]);
    }
    let listed = house.dozo(&["plugin", "list", "--json"]).expect(0);
    let line = listed.out.lines().find(|line| line.contains("\"guest\"")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["lock"], "not locked");
    assert!(line["version"].is_null(), "who it says it is would have taken running it: {line}");

    let said = house.dozo(&["plugin", "add", "guest"]).expect(0);
    assert!(said.out.contains("hostile 0.1.0: misbehaves on demand"), "{}", said.out);
    assert!(said.out.contains(&sha256(&file)), "{}", said.out);
    let report = house.dozo(&["run", "--json"]).expect(0);
    assert!(report.out.contains("\"complete\""), "{}", report.out);
    let snapshot = house.dozo(&["snapshots", "--json"]).json();
    assert_eq!(snapshot["snapshot"]["plugin"]["digest"], sha256(&file), "the snapshot names it to the byte");
}

#[test]
fn what_changed_since_it_was_locked_does_not_run() {
    let (house, file) = shelf("guest");
    house.dozo(&["plugin", "lock"]).expect(0);
    house.dozo(&["run"]).expect(0);
    let old = sha256(&file);
    // Another good component: only its digest speaks against it.
    fs::copy(guests().join("plain.wasm"), &file).unwrap();
    let words = ["`guest` changed since it was locked", &format!("0.1.0, sha256 {old}"), &sha256(&file), "plugin add"];
    refused(house.dozo(&["run"]), &words);
    refused(house.dozo(&["restore", "guest", "--to", "out", "--identity", "owner.key"]), &words);
    assert_eq!(house.snapshots(), 1);
    // Of one that traps when it is compiled or asked, nothing is compiled or asked.
    fs::write(&file, b"\0asm\x0d\0\x01\0nonsense").unwrap();
    refused(house.dozo(&["run"]), &["changed since it was locked"]);
    fs::copy(guests().join("plain.wasm"), &file).unwrap();
    let said = house.dozo(&["plugin", "lock"]).expect(0);
    assert!(said.out.contains("`guest` changed: it was 0.1.0"), "{}", said.out);
    house.dozo(&["plugin", "list"]).expect(0);
}

#[test]
fn the_lock_follows_the_configuration() {
    let (house, _) = shelf("guest");
    let path = guests().join("hostile.wasm").display().to_string();
    house.configure(&format!("[job.path]\nplugin = {path:?}\nconfig = {{ act = \"good\" }}"));
    let said = house.dozo(&["plugin", "lock"]).expect(0);
    assert!(said.out.contains("2 plugins locked"), "{}", said.out);
    house.dozo(&["run"]).expect(0);
    // A path from where the operator is, for what the configuration calls otherwise.
    let said = house.dozo(&["plugin", "add", "./plugins/guest.wasm"]).expect(0);
    assert!(said.out.contains("`guest` unchanged"), "{}", said.out);
    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    fs::write(house.path("dozo.toml"), text.split("[job.path]").next().unwrap()).unwrap();
    let said = house.dozo(&["plugin", "lock"]).expect(0);
    assert!(said.out.contains("hostile.wasm` removed") && said.out.contains("`guest` unchanged"), "{}", said.out);
    let lock = fs::read_to_string(house.path("dozo.lock")).unwrap();
    assert!(lock.contains("[plugin.\"guest\"]") && !lock.contains(&path), "{lock}");
}

#[test]
fn a_lock_that_somebody_broke_is_no_empty_lock() {
    let (house, _) = shelf("guest");
    house.dozo(&["plugin", "lock"]).expect(0);
    fs::write(house.path("dozo.lock"), "[plugin.guest]\nsha256 = \"12\"").unwrap();
    refused(house.dozo(&["run"]), &["dozo.lock"]);
}

#[test]
fn a_name_that_is_bundled_and_in_the_directory_is_nobodys() {
    let (house, _) = shelf("filesystem");
    let words = ["`filesystem` is bundled in this program, and", "hint: remove plugins/filesystem.wasm"];
    for command in [&["run"][..], &["config", "check"], &["plugin", "info", "filesystem"], &["plugin", "list"]] {
        refused(house.dozo(command), &words);
    }
    refused(house.dozo(&["plugin", "add", "filesystem"]), &words);
}

#[test]
fn what_is_no_source_is_told_for_what_it_is() {
    let (house, file) = shelf("guest");
    for (bytes, words) in [
        (&b"\x7fELF and so on"[..], "it is no WebAssembly file"),
        (b"", "it is no WebAssembly file"),
        (b"\0asm\x01\0\0\0", "it is a core module"),
        (b"\0asm\x0d\0\x01\0\xff\xff\xff", "it is not a component that this version can load"),
        (b"\0asm\x0d\0\x01\0", "it exports nothing of `dozo:plugin`"),
    ] {
        fs::write(&file, bytes).unwrap();
        refused(house.dozo(&["plugin", "add", "guest"]), &["plugins/guest.wasm", words]);
        assert!(!house.path("dozo.lock").exists(), "{words}");
    }
}

#[test]
fn one_file_is_an_installation() {
    let house = House::bare();
    let program = house.path("dozo");
    fs::copy(binary(), &program).unwrap();
    fs::create_dir(house.path("data")).unwrap();
    fs::write(house.path("data/a.txt"), "all of it").unwrap();
    // Nothing of the build's directory, and no compiled plugin of an earlier test.
    let dozo = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(house.path("")).env_clear();
        command.env("XDG_CACHE_HOME", house.path("cache")).env("XDG_STATE_HOME", house.path("state"));
        said(command.output().unwrap())
    };
    dozo(&["init", &format!("file://{}", house.path("repository").display()), "--single-owner"]).expect(0);
    let listed = dozo(&["plugin", "list"]).expect(0);
    assert!(listed.out.starts_with("filesystem ") && listed.out.contains("bundled"), "{}", listed.out);
    house.configure_files("data", "data");
    dozo(&["run"]).expect(0);
    // On another machine: the program, the owner's key, and no job.
    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    fs::write(house.path("dozo.toml"), text.split("[job.data]").next().unwrap()).unwrap();
    fs::remove_dir_all(house.path("cache")).unwrap();
    dozo(&["restore", "data", "--to", "out", "--identity", "owner.key"]).expect(0);
    let restored = house.path("out").join(house.path("data/a.txt").strip_prefix("/").unwrap());
    assert_eq!(fs::read_to_string(restored).unwrap(), "all of it");
    assert!(!house.path("dozo.lock").exists());
}

#[test]
fn what_is_not_granted_is_named_as_a_whole_and_the_line_makes_it_right() {
    let house = House::new();
    house.configure_guest("needy", "hostile", "{ act = \"needs-everything\" }", "");
    let lines = "grant = { read = [\"/srv/data\"], network = [\"db.internal:5432\"], \
                 programs = [\"/usr/bin/env --split-string=true **\"] }";
    for command in [&["run"][..], &["config", "check"], &["check"]] {
        refused(house.dozo(command), &["reading /srv/data, connecting to db.internal:5432, running", lines]);
    }
    assert_eq!(house.snapshots(), 0);
    let told = house.dozo(&["plugin", "info", &guests().join("hostile.wasm").display().to_string()]).expect(0);
    for word in ["db.internal:5432: NOT granted", "a program dials for itself", lines] {
        assert!(told.out.contains(word), "no {word:?} in\n{}", told.out);
    }
    house.configure(lines);
    house.dozo(&["config", "check"]).expect(0);
    let told = house.dozo(&["plugin", "info", &guests().join("hostile.wasm").display().to_string()]).expect(0);
    assert!(told.out.contains("db.internal:5432: granted") && !told.out.contains("NOT"), "{}", told.out);
}

#[test]
fn what_a_plugin_says_of_its_needs_does_not_reach_the_terminal_as_it_is() {
    let house = House::new();
    house.configure_guest("painter", "hostile", "{ act = \"needs-escape\" }", "");
    let said = house.dozo(&["config", "check"]).expect(2);
    assert!(said.err.contains("reading /srv/") && !said.err.contains('\u{1b}'), "{:?}", said.err);
}

#[test]
fn a_check_asks_each_source_and_goes_on_after_one_that_fails() {
    let house = House::new();
    house.configure_guest("a-closed", "hostile", "{ act = \"fail-check\" }", "");
    house.configure_guest(
        "b-open",
        "hostile",
        "{ act = \"good\", secret = { command = [\"echo\", \"hunter2\"] } }",
        "",
    );
    let said = house.dozo(&["check"]).expect(1);
    assert!(said.err.contains("`a-closed` would not run") && said.err.contains("does not let us in"), "{}", said.err);
    assert!(said.out.contains("b-open: ready\n  secret: it is [secret]"), "{}", said.out);
    assert!(!said.out.contains("hunter2") && !said.out.contains('\u{7}'), "{}", said.out);
    let said = house.dozo(&["check", "b-open", "--json"]).expect(0);
    assert_eq!(said.json()["schema"], "dozo/check-job/1");
    assert_eq!(house.snapshots(), 0);
}

#[test]
fn a_secret_goes_to_the_plugin_whose_table_names_it_and_to_no_other() {
    let house = House::new();
    for name in ["a", "b"] {
        let fetched = house.path(format!("fetched-{name}")).display().to_string();
        let script = format!("touch {fetched}; echo secret-of-{name}");
        let secret = format!("{{ command = [\"sh\", \"-c\", \"{script}\"] }}");
        house.configure_guest(name, "hostile", &format!("{{ act = \"tell-secrets\", secret = {secret} }}"), "");
    }
    house.dozo(&["run", "b"]).expect(0);
    assert!(!house.path("fetched-a").exists(), "no secret is fetched for a job that does not run");
    house.dozo(&["run", "a"]).expect(0);
    for (job, own, other) in [("a", "secret-of-a", "secret-of-b"), ("b", "secret-of-b", "secret-of-a")] {
        let told = house.dozo(&["cat", job, "secrets.txt", "--identity", "owner.key"]).expect(0);
        assert!(told.out.contains(own) && !told.out.contains(other), "{job}: {}", told.out);
    }
}

#[test]
fn limits_of_the_configuration_are_in_force() {
    let house = House::new();
    house.configure_guest("few", "hostile", "{ act = \"eat-handles\" }", "limits = { handles = 20 }");
    let said = house.dozo(&["run"]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert_eq!(house.snapshots(), 0);
    let told = house.dozo(&["plugin", "info", &guests().join("hostile.wasm").display().to_string()]).expect(0);
    assert!(told.out.contains("handles 20,"), "{}", told.out);
}
