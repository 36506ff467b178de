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
    refused("eat-handles", "", &["hostile 0.1.0", "it wanted more than 100000 handles at once", "(`handles`)"]);
}

#[test]
fn asking_has_a_bound() {
    let house = House::new();
    house.configure_guest("eager", "hostile", "{ act = \"ask-and-ask\" }", "limits = { host_calls = 100000 }");
    let said = house.dozo(&["run"]);
    assert!(said.code != 0 && house.snapshots() == 0, "{}", said.err);
    assert!(
        said.err.contains("it asked the host more than 100000 times, which is its limit (`host_calls`)"),
        "{}",
        said.err
    );
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
fn what_is_left_out_of_the_log_is_counted() {
    let house = House::new();
    house.configure_guest("loud", "hostile", "{ act = \"flood-log-with-bytes\" }", "");
    let said = house.dozo(&["run"]).expect(0);
    // A line is cut, and counted whole: 10 MiB hold some 520 of 20 kB.
    let lines = said.err.lines().filter(|line| line.contains("line ")).count();
    assert!((500..530).contains(&lines), "{lines} lines");
    assert!(said.err.len() < 4 << 20, "{} bytes", said.err.len());
    assert!(said.err.contains("of the plugin's log lines were left out"), "{}", &said.err[said.err.len() - 1000..]);
}

#[test]
fn secrets_are_not_stored_as_facts() {
    let house = House::new();
    let config = "{ act = \"secret-in-facts\", secret = { env = \"SECRET\" } }";
    house.configure_guest("leaky", "hostile", config, "");
    let run = house.command().args(["run", "-vv", "--json"]).env("SECRET", "hunter2hunter2").output().unwrap();
    // Another value in its place would be a wrong fact, which a restore may need.
    let said = crate::house::said(run).expect(1);
    for text in [&said.out, &said.err] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(said.err.contains("holds a secret of this job"), "{}", said.err);
    assert_eq!(house.snapshots(), 0);
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
fn a_race_with_symlinks_leads_nowhere() {
    let house = House::new();
    let (inside, outside) = (house.path("granted/inside"), house.path("outside"));
    for (directory, file, text) in [(&inside, "file", "inside"), (&outside, "file", "outside"), (&outside, "more", "")]
    {
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(directory.join(file), text).unwrap();
    }
    let swap = house.path("granted/swap");
    let grant = format!("grant = {{ read = [\"{}\"] }}", house.path("granted").display());
    house.configure_guest("racer", "hostile", "{ act = \"race\" }", &grant);
    let done = std::sync::atomic::AtomicBool::new(false);
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (next, parked) = (house.path("granted/next"), house.path("granted/parked"));
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                // A directory can take no link's place, so there is none for a moment.
                std::fs::rename(&inside, &swap).unwrap();
                std::os::unix::fs::symlink("../outside", &next).unwrap();
                std::fs::rename(&swap, &inside).unwrap();
                std::fs::rename(&next, &swap).unwrap();
                std::fs::rename(&swap, &parked).unwrap();
                std::fs::remove_file(&parked).unwrap();
            }
        });
        let said = house.dozo(&["run", "-v"]);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        said
    });
    assert_eq!(said.code, 0, "{}", said.err);
    // Both happened, or nothing was tried.
    let line = said.err.lines().find(|line| line.contains("opened ")).unwrap_or_default();
    assert!(!line.contains("opened 0,") && !line.contains("refused 0"), "{line}");
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

/// The hostile guest with other bytes, under another name.
fn changed(house: &House, name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let file = house.path(format!("{name}.wasm"));
    std::fs::write(&file, change(std::fs::read(crate::house::guests().join("hostile.wasm")).unwrap())).unwrap();
    let named = file.display().to_string();
    house.configure(&format!("[job.{name}]\nplugin = {named:?}\nconfig = {{ act = \"good\" }}"));
    house.lock(&named, &file);
}

/// Every place of a text, with another of the same length.
fn replaced(mut bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes())).collect();
    assert!(!places.is_empty(), "no {from}");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

#[test]
fn a_component_of_another_track_is_refused_by_its_name() {
    let house = House::new();
    let source = |version: &str| format!("dozo:plugin/source@{version}");
    changed(&house, "future", |bytes| replaced(bytes, &source("0.1.0"), &source("9.9.0")));
    changed(&house, "greedy", |bytes| replaced(bytes, "dozo:plugin/snapshot@0.1.0", "dozo:plugin/snapshot@9.9.0"));
    changed(&house, "empty", |_| b"\0asm\x0d\0\x01\0".to_vec());
    for (job, words) in [
        ("future", ["it exports dozo:plugin/source@9.9.0", "which is neither a source nor a notifier of track 0.1"]),
        ("greedy", ["it needs something that this version of dozo does not offer", "snapshot@9.9.0"]),
        ("empty", ["not a plugin", "it exports nothing of `dozo:plugin`"]),
    ] {
        let said = house.dozo(&["run", job]).expect(2);
        for word in words.iter().chain(&[&*format!("{job}.wasm")]) {
            assert!(said.err.contains(word), "{job}: no {word:?} in\n{}", said.err);
        }
    }
}

#[test]
fn a_damaged_component_is_refused() {
    let house = House::new();
    let noise = |seed: u64| {
        let mut state = seed | 1;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        })
    };
    changed(&house, "header", |bytes| {
        bytes[..8].iter().copied().chain(noise(1).take(9_000).map(|n| n as u8)).collect()
    });
    for (n, part) in [9, 100, 500, 900, 999].into_iter().enumerate() {
        changed(&house, &format!("cut{n}"), |bytes| bytes[..bytes.len() * part / 1_000].to_vec());
    }
    for job in ["header", "cut0", "cut1", "cut2", "cut3", "cut4"] {
        let said = house.dozo(&["run", job]).expect(2);
        assert!(said.err.contains(&format!("{job}.wasm")), "{}", said.err);
        assert!(!said.err.contains("panicked"), "{}", said.err);
    }
    // One byte here and there: it may be refused, trap, or happen not to matter; the host goes on.
    for seed in 0..6u64 {
        let job = format!("flip{seed}");
        changed(&house, &job, |mut bytes| {
            let at = noise(seed + 77).next().unwrap_or(0) % bytes.len();
            bytes[at] ^= 1 << (seed % 8);
            bytes
        });
        let said = house.dozo(&["run", &job]);
        assert!((0..=5).contains(&said.code) && !said.err.contains("panicked"), "{job}: {} {}", said.code, said.err);
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

/// A house with a snapshot of the hostile guest.
fn to_restore() -> House {
    let house = House::new();
    house.configure_guest("guest", "hostile", "{ act = \"good\" }", "");
    house.dozo(&["run"]).expect(0);
    house
}

/// The guest misbehaves as it restores.
fn restore(house: &House, act: &str, more: &[&str]) -> crate::house::Said {
    let act = format!("act={act}");
    house.restore("guest", "out", &[&["--option", &act], more].concat())
}

#[test]
fn a_restore_that_reads_nothing_or_half_is_no_restore() {
    for act in ["restore-nothing", "restore-half"] {
        let house = to_restore();
        let said = restore(&house, act, &[]);
        assert_eq!(said.code, 5, "{}", said.err);
        assert!(said.err.contains("read only 0 of 1 files"), "{act}: {}", said.err);
    }
}

#[test]
fn a_restore_closes_what_it_writes() {
    let house = to_restore();
    let said = restore(&house, "restore-unclosed", &[]);
    let words = "it ended well without having seen a file that it began to write to its end";
    assert!(said.code != 0 && said.err.contains(words), "{}", said.err);
    assert!(!house.path("out").exists(), "nothing of it stays");
}

#[test]
fn a_restore_stays_in_its_target() {
    let house = to_restore();
    std::fs::create_dir(house.path("out")).unwrap();
    std::os::unix::fs::symlink("..", house.path("out/link")).unwrap();
    // It says that all is well, and the host knows better.
    let said = restore(&house, "restore-outside", &["--conflict", "replace"]).expect(3);
    for words in ["not restored: 5 entries", "leads out of the granted directory"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    restore(&house, "restore-outside", &["--conflict", "skip"]).expect(1);
    assert!(!house.path("outside").exists() && !std::path::Path::new("/etc/outside").exists());
}

/// The job's configuration has a secret that cannot be had any more, and the grant of a server that is there: a restore into a
/// directory needs the one as little as it gets the other.
#[test]
fn a_restore_into_a_directory_gets_nothing_of_the_job() {
    let house = to_restore();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let text = std::fs::read_to_string(house.path("dozo.toml")).unwrap();
    let table = "config = { act = \"good\", secret = { env = \"DOZO_TEST_SURELY_UNSET\" } }";
    let granted = format!("{table}\ngrant = {{ network = [{server:?}], read = [\"{}\"] }}", house.path("").display());
    let text = text.replace("config = { act = \"good\" }", &granted);
    assert!(text.contains("SURELY"), "{text}");
    std::fs::write(house.path("dozo.toml"), text).unwrap();
    restore(&house, "restore-connected", &["--option", &format!("server={server}")]).expect(0);
    assert!(house.path("out/good.txt").exists());
    assert!(listener.accept().is_err(), "the job's server was connected to");
    // What is not offered is said, with what is: nothing is left of the attempt but the directory.
    let said = house.restore("guest", "other", &[]).expect(1);
    assert!(said.err.contains("hostile restores only to do harm"), "{}", said.err);
}
