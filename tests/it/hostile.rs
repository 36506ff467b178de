//! Plugins that misbehave: each leaves no snapshot, an error that names it, and a host that goes on.

use std::time::{Duration, Instant};

use crate::house::{House, Said};

/// Runs an act beside a good job; the hostile one comes first.
fn run(act: &str, more: &str) -> (House, Said) {
    let house = House::new();
    house.configure_guest(
        "a-hostile",
        "hostile",
        &format!("{{ act = {act:?}, {more} }}"),
        "limits = { stall = \"2s\", wall = \"20s\" }",
    );
    house.configure_guest("b-good", "hostile", "{ act = \"good\" }", "");
    let said = house.dozo(&["run", "-v"]);
    (house, said)
}

/// The act must fail, with these words; the other job must be there, and whole.
#[track_caller]
fn refused(act: &str, more: &str, words: &[&str]) -> Said {
    let (house, said) = run(act, more);
    assert!([1, 2, 5].contains(&said.code), "exit {} of {act}\n{}", said.code, said.err);
    for word in words.iter().chain(&["`a-hostile` failed"]) {
        assert!(said.err.contains(word), "{act}: no {word:?} in\n{}", said.err);
    }
    assert_eq!(house.snapshots(), 1, "{act}: only the good job may have a snapshot\n{}", said.err);
    let listed = house.dozo(&["snapshots", "--json"]).json();
    assert_eq!(listed["snapshot"]["job"]["name"], "b-good");
    house.dozo(&["verify", "--read-data", "--identity", "owner.key"]).expect(0);
    said
}

#[test]
fn the_good_act_is_good() {
    let (house, said) = run("good", "");
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(house.snapshots(), 2);
    house.dozo(&["cat", "a-hostile", "good.txt", "--identity", "owner.key"]).expect(0);
}

#[test]
fn a_trap_is_named_with_its_last_words() {
    let words = ["the plugin hostile 0.1.0 trapped", "unreachable", "these are my last words", "the plugin has a bug"];
    refused("trap", "", &words);
}

#[test]
fn a_trap_in_the_middle_of_a_stream_leaves_nothing() {
    refused("trap-mid-stream", "", &["hostile 0.1.0 trapped", "in the middle of a stream"]);
}

#[test]
fn an_endless_loop_is_stopped() {
    let begun = Instant::now();
    refused("loop", "", &["hostile 0.1.0 was stopped", "asked nothing of the host for 2 s", "about to loop"]);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn a_sleeping_plugin_is_stopped() {
    refused("stall", "", &["was stopped", "asked nothing of the host for 2 s"]);
}

#[test]
fn a_plugin_that_waits_for_nothing_is_stopped() {
    refused("wait-for-ever", "", &["was stopped", "asked nothing of the host for 2 s"]);
}

#[test]
fn the_deadline_stands_whatever_the_plugin_does() {
    let house = House::new();
    let limits = "limits = { stall = \"1h\", wall = \"1s\" }";
    house.configure_guest("slow", "hostile", "{ act = \"loop\" }", limits);
    let said = house.dozo(&["run"]).expect(1);
    assert!(said.err.contains("took longer than its limit of 1 s"), "{}", said.err);
}

#[test]
fn memory_has_a_bound() {
    refused("eat-memory", "", &["asked for", "MiB of memory; its limit is 256 MiB"]);
}

#[test]
fn handles_have_a_bound() {
    refused("eat-handles", "", &["hostile 0.1.0"]);
}

#[test]
fn a_dropped_writer_fails_the_run() {
    refused("drop-writer", "", &["neither finished nor omitted `half.txt`"]);
}

#[test]
fn a_dropped_writer_that_was_omitted_makes_it_partial() {
    let (house, said) = run("drop-and-omit", "");
    assert_eq!(said.code, 3, "{}", said.err);
    assert!(said.err.contains("/half.txt: locked"), "{}", said.err);
    assert_eq!(house.snapshots(), 2);
    let listed = house.dozo(&["ls", "a-hostile"]).expect(0);
    assert_eq!(listed.out, "good.txt\n");
}

#[test]
fn a_wrong_count_of_bytes_is_noticed() {
    refused("lie-about-bytes", "", &["`lie.txt` has 1000 bytes, but the plugin says that it wrote 2000"]);
}

#[test]
fn a_stream_that_ends_early_is_no_success() {
    refused("end-early", "", &["neither finished nor omitted `dump.sql`"]);
}

#[test]
fn an_error_that_the_plugin_ignores_is_not_forgotten() {
    refused("ignore-error", "", &["neither finished nor omitted `never/stored`"]);
}

#[test]
fn forged_paths_are_refused() {
    for path in ["../etc/passwd", "/etc/passwd", "a/../../b", "a//b", "", "a%2fb", "a\nb", "."] {
        refused(&format!("forge:{path}"), "", &["the path `"]);
    }
}

#[test]
fn the_same_path_twice_is_refused() {
    refused("same-path-twice", "", &["two entries have the path `twice`"]);
}

#[test]
fn its_own_errors_are_told_with_its_name() {
    refused("fail", "", &["the plugin hostile 0.1.0 failed", "the source said no"]);
}

#[test]
fn a_snapshot_of_omissions_alone_is_none() {
    // The guest stores something good first, so this one is partial.
    let (_, said) = run("omit-everything", "");
    assert_eq!(said.code, 3, "{}", said.err);
}

#[test]
fn batches_and_attributes_have_bounds() {
    refused("huge-batch", "", &["a batch of 5000 entries"]);
    refused("huge-attribute", "", &["the value of an attribute has 1048576 bytes"]);
}

#[test]
fn a_flood_of_log_lines_is_cut_off() {
    let said = refused("flood-log", "", &["the flood is over"]);
    let lines = said.err.lines().filter(|line| line.contains("line ")).count();
    assert!((1_000..=10_000).contains(&lines), "{lines} lines");
}

#[test]
fn secrets_are_never_told() {
    for act in ["secret-in-error", "secret-in-log"] {
        let house = House::new();
        let config = format!("{{ act = {act:?}, secret = {{ env = \"SECRET\" }} }}");
        house.configure_guest("leaky", "hostile", &config, "");
        let said =
            crate::house::said(house.command().args(["run", "-vv"]).env("SECRET", "hunter2hunter2").output().unwrap());
        assert_eq!(said.code, 1, "{}", said.err);
        assert!(said.err.contains("[secret]"), "{}", said.err);
        assert!(!said.err.contains("hunter2") && !said.out.contains("hunter2"), "{}", said.err);
    }
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let said = refused("escape-in-error", "", &["wiped your screen"]);
    assert!(!said.err.contains('\u{1b}') && !said.err.contains('\u{7}'));
}

#[test]
fn nothing_is_read_that_was_not_granted() {
    let house = House::new();
    std::fs::create_dir(house.path("granted")).unwrap();
    std::fs::write(house.path("granted/a.txt"), "a").unwrap();
    std::fs::write(house.path("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("../secret", house.path("granted/link")).unwrap();
    std::os::unix::fs::symlink("..", house.path("granted/up")).unwrap();
    let config = format!("{{ act = \"read-host\", path = \"{}\" }}", house.path("secret").display());
    let grant = format!("grant = {{ read = [\"{}\"] }}", house.path("granted").display());
    house.configure_guest("curious", "hostile", &config, &grant);
    house.dozo(&["run"]).expect(0);
    assert!(house.path("granted/a.txt").exists() && !house.path("granted/made").exists());
}

#[test]
fn nobody_is_connected_to() {
    let house = House::new();
    house.configure_guest("talkative", "hostile", "{ act = \"connect\" }", "");
    house.dozo(&["run"]).expect(0);
}

#[test]
fn the_environment_is_empty() {
    let house = House::new();
    house.configure_guest("nosy", "hostile", "{ act = \"environment\" }", "");
    house.dozo(&["run"]).expect(0);
}

#[test]
fn what_a_plugin_needs_and_was_not_granted_is_named_before_anything_runs() {
    let house = House::new();
    house.configure_guest("needy", "hostile", "{ act = \"needs-network\" }", "");
    let said = house.dozo(&["config", "check"]).expect(2);
    assert!(said.err.contains("grant = { network = [\"db.internal:5432\"] }"), "{}", said.err);
    house.configure_guest("rude", "hostile", "{ act = \"needs-trap\" }", "");
    let said = house.dozo(&["run", "rude"]).expect(2);
    assert!(said.err.contains("no needs for you"), "{}", said.err);
}

#[test]
fn a_plugin_that_never_says_who_it_is_is_given_up() {
    let house = House::new();
    house.configure_guest("silent", "mute", "{}", "");
    house.configure_guest("well", "hostile", "{ act = \"good\" }", "");
    let begun = Instant::now();
    let said = house.dozo(&["run"]).expect(1);
    assert!(said.err.contains("mute.wasm") && said.err.contains("took longer than its limit of 10 s"), "{}", said.err);
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(house.snapshots(), 1);
}

#[test]
fn what_is_no_component_is_refused() {
    let house = House::new();
    std::fs::write(house.path("text.wasm"), "not wasm").unwrap();
    std::fs::write(house.path("module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    for (file, hint) in [("text", "it is no WebAssembly file"), ("module", "it is a core module")] {
        let path = house.path(format!("{file}.wasm"));
        house.configure(&format!("[job.{file}]\nplugin = \"{}\"", path.display()));
        let said = house.dozo(&["run", file]).expect(2);
        assert!(said.err.contains(hint) && said.err.contains(&path.display().to_string()), "{}", said.err);
    }
}

#[test]
fn a_source_without_async_works_too() {
    let house = House::new();
    house.configure_guest("plain", "plain", "{}", "");
    house.dozo(&["run"]).expect(0);
    let said = house.dozo(&["cat", "plain", "plain.txt", "--identity", "owner.key"]).expect(0);
    assert_eq!(said.out.len(), 64 << 20);
    assert!(said.out.bytes().all(|b| b == b'p'));
}

#[test]
fn a_restore_that_reads_nothing_or_half_is_no_restore() {
    for act in ["restore-nothing", "restore-half"] {
        let house = House::new();
        house.configure_guest("guest", "hostile", &format!("{{ act = {act:?} }}"), "");
        // The act means nothing to a backup; a second entry makes a half.
        let said = house.dozo(&["run"]);
        assert_eq!(said.code, 2, "{}", said.err);
        let text = std::fs::read_to_string(house.path("dozo.toml")).unwrap();
        std::fs::write(house.path("dozo.toml"), text.replace(act, "good")).unwrap();
        house.dozo(&["run"]).expect(0);
        let text = std::fs::read_to_string(house.path("dozo.toml")).unwrap();
        std::fs::write(house.path("dozo.toml"), text.replace("\"good\"", &format!("{act:?}"))).unwrap();
        let said = house.restore("guest", "out", &[]);
        if act == "restore-nothing" {
            assert_eq!(said.code, 5, "{}", said.err);
            assert!(said.err.contains("read only 0 of 1 files"), "{}", said.err);
        } else {
            assert_eq!(said.code, 0, "one of one is all: {}", said.err);
        }
    }
}

#[test]
fn a_restore_stays_in_its_target() {
    let house = House::new();
    house.configure_guest("guest", "hostile", "{ act = \"good\" }", "");
    house.dozo(&["run"]).expect(0);
    let text = std::fs::read_to_string(house.path("dozo.toml")).unwrap();
    std::fs::write(house.path("dozo.toml"), text.replace("\"good\"", "\"restore-outside\"")).unwrap();
    std::fs::create_dir(house.path("out")).unwrap();
    std::os::unix::fs::symlink("..", house.path("out/link")).unwrap();
    house.restore("guest", "out", &["--conflict", "skip"]).expect(0);
    assert!(!house.path("outside").exists() && !std::path::Path::new("/etc/outside").exists());
}
