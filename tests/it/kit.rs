//! The conformance kit: the filesystem plugin passes it, every guest that lies fails it where it lies, and the crate that
//! `dozo plugin new` makes builds, passes, and backs something up.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::house::{House, Said, binary, bundle, guests, said};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The kit's report of a component.
fn kit(house: &House, component: &Path, config: &Path) -> (Said, Value) {
    let (component, config) = (component.display().to_string(), config.display().to_string());
    let said = house.dozo(&["plugin", "test", &component, "--config", &config, "--json"]);
    let report = said.json();
    assert_eq!(report["schema"], "dozo/kit/1", "{report}");
    (said, report)
}

/// The names of the cases with a verdict.
fn cases<'a>(report: &'a Value, verdict: &str) -> BTreeSet<&'a str> {
    let cases = report["cases"].as_array().unwrap().iter().filter(|case| case["verdict"] == verdict);
    cases.map(|case| case["name"].as_str().unwrap()).collect()
}

fn filesystem() -> PathBuf {
    bundle().join("filesystem.wasm")
}

/// A guest of the tests with a configuration; returns what failed and what the kit printed.
#[track_caller]
fn fails(guest: &str, config: &str, expected: &[&str]) {
    let house = House::bare();
    fs::write(house.path("kit.toml"), config).unwrap();
    let (said, report) = kit(&house, &guests().join(format!("{guest}.wasm")), &house.path("kit.toml"));
    let failed = cases(&report, "failed");
    assert_eq!(failed, expected.iter().copied().collect(), "{config}:\n{}", text(&report));
    assert_eq!(said.code, i32::from(!expected.is_empty()), "{}", said.err);
    // Whoever reads why must also read what to do.
    for case in report["cases"].as_array().unwrap().iter().filter(|case| case["verdict"] == "failed") {
        assert!(case["why"].as_str().is_some_and(|why| why.len() > 10), "{case}");
        assert!(case["advice"].as_str().is_some_and(|advice| advice.len() > 10), "{case}");
    }
}

fn text(report: &Value) -> String {
    serde_json::to_string_pretty(&report["cases"]).unwrap()
}

#[test]
fn the_filesystem_plugin_passes_with_a_tree_of_everything() {
    let house = House::bare();
    let tree = house.path("data");
    fs::create_dir_all(tree.join("deep/er")).unwrap();
    fs::create_dir(tree.join("empty")).unwrap();
    fs::write(tree.join("small.txt"), "small").unwrap();
    fs::write(tree.join("100% \u{1}"), "a strange name").unwrap();
    fs::write(
        tree.join("deep/er/large"),
        (0..3_000_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect::<Vec<_>>(),
    )
    .unwrap();
    fs::hard_link(tree.join("small.txt"), tree.join("deep/linked")).unwrap();
    std::os::unix::fs::symlink("../small.txt", tree.join("deep/link")).unwrap();
    fs::create_dir(house.path("other")).unwrap();
    let grants = "[grant]\nread = [\"{here}/data\", \"{here}/other\"]\n";
    let change = "echo more >> data/small.txt; rm data/deep/link; echo new > data/new";
    let fixture = format!("[fixture]\nchange = [\"/bin/sh\", \"-c\", {change:?}]\n");
    let config = format!("[config]\npaths = [\"{{here}}/data\"]\nsettle_seconds = 0\n{grants}{fixture}");
    fs::write(house.path("kit.toml"), config).unwrap();
    // What changed in the very second in which a run begins is read again by the next.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (said, report) = kit(&house, &filesystem(), &house.path("kit.toml"));
    assert_eq!((said.code, cases(&report, "failed").len()), (0, 0), "{}", text(&report));
    assert_eq!(cases(&report, "skipped"), BTreeSet::from(["bad-line"]), "{}", text(&report));
    assert!(text(&report).contains("is granted and not needed"), "one grant is too many: {}", text(&report));
}

#[test]
fn a_guest_that_never_sees_a_change_fails() {
    let tables = "config = { act = \"stale\", path = \"{here}/data/file\" }\ngrant = { read = [\"{here}/data\"] }\n";
    let change = |script: &str| format!("{tables}fixture.change = [\"/bin/sh\", \"-c\", {script:?}]\n");
    let house = |script: &str, change: &str| {
        let house = House::bare();
        fs::create_dir(house.path("data")).unwrap();
        let fixture = format!(
            "fixture.before = [\"/bin/sh\", \"-c\", {script:?}]\nfixture.after = [\"/bin/rm\", \"data/file\"]\n"
        );
        fs::write(house.path("kit.toml"), format!("{change}{fixture}")).unwrap();
        let (_, report) = kit(&house, &guests().join("hostile.wasm"), &house.path("kit.toml"));
        assert!(!house.path("data/file").exists(), "`after` was not run");
        (cases(&report, "failed").into_iter().map(String::from).collect::<Vec<_>>(), text(&report))
    };
    let make = "echo something > data/file";
    let (failed, text) = house(make, &change("echo more >> data/file"));
    assert_eq!(failed, ["changed"], "{text}");
    assert!(text.contains("is not as a full one: `stale`"), "{text}");
    // A change that the plugin cannot see proves nothing.
    let (failed, text) = house(make, &change("echo elsewhere > data/other"));
    assert!(failed == ["changed"] && text.contains("is as before"), "{text}");
    let (failed, text) = house(make, &change("echo no >&2; exit 4"));
    assert!(failed == ["changed"] && text.contains("exit status: 4: no"), "{text}");
}

#[test]
fn contents_that_vary_are_said_to() {
    let config = "config = { act = \"random-bytes\" }\nfixture.change = [\"/bin/true\"]\n";
    // What differs between the first two is not looked at again, which is enough for a content that differs always.
    let house = House::bare();
    for (contents, said) in
        [("", "the source changes by itself"), ("contents = \"vary\"", "their bytes are not compared")]
    {
        fs::write(house.path("kit.toml"), format!("{config}{contents}")).unwrap();
        let (_, report) = kit(&house, &guests().join("hostile.wasm"), &house.path("kit.toml"));
        assert_eq!(cases(&report, "failed"), BTreeSet::from(["changed"]), "{}", text(&report));
        assert!(text(&report).contains(said) && text(&report).contains("is as before"), "{}", text(&report));
    }
}

#[test]
fn the_filesystem_plugin_passes_with_its_own_file() {
    let (said, report) = kit(&House::bare(), &filesystem(), &root().join("plugins/filesystem/kit.toml"));
    assert_eq!((said.code, cases(&report, "failed").len()), (0, 0), "{}", text(&report));
}

#[test]
fn the_kit_file_of_the_documents_works() {
    let document = fs::read_to_string(root().join("docs/PLUGINS.md")).unwrap();
    let (_, shown) = document.split_once("```toml\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let house = House::bare();
    fs::create_dir(house.path("data")).unwrap();
    fs::write(house.path("data/a.txt"), "a").unwrap();
    fs::write(house.path("kit.toml"), shown).unwrap();
    let (said, report) = kit(&house, &filesystem(), &house.path("kit.toml"));
    assert_eq!((said.code, cases(&report, "failed").len()), (0, 0), "{}", text(&report));
    assert!(text(&report).contains("of 64 MiB used"), "{}", text(&report));
}

#[test]
fn a_guest_that_behaves_passes() {
    fails("hostile", "config = { act = \"good\" }", &[]);
}

#[test]
fn guests_that_lie_fail_where_they_lie() {
    for act in ["trap", "lie-about-bytes", "drop-writer", "end-early", "ignore-error", "same-path-twice"] {
        fails("hostile", &format!("config = {{ act = {act:?} }}"), &["backup"]);
    }
    fails("hostile", "config = { act = \"ignore-previous\" }", &["previous"]);
    fails("hostile", "config = { act = \"ok-after-cut\" }", &["interrupted-backup"]);
    // Whatever is compared with the first backup differs from it.
    let compared = ["full-again", "incremental", "interrupted-backup", "slow-store", "cancelled", "memory"];
    fails("hostile", "config = { act = \"another-name-every-time\" }", &compared);
}

#[test]
fn a_guest_that_needs_what_nobody_granted_fails() {
    fails("hostile", "config = { act = \"needs-network\" }", &["requires", "backup"]);
    fails("hostile", "config = { act = \"needs-trap\" }", &["requires", "backup"]);
}

#[test]
fn a_restore_that_reads_nothing_fails() {
    let config = "config = { act = \"good\" }\nrestore = { config = { act = \"restore-nothing\" } }";
    fails("hostile", config, &["restore"]);
}

/// A server that sends the same 300,000 bytes to whoever asks, with their length; returns where it listens.
fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            std::thread::spawn(move || {
                let _ = connection.read(&mut [0; 4096]);
                let head = "HTTP/1.1 200 OK\r\ncontent-length: 300000\r\nconnection: close\r\n\r\n";
                let _ = connection.write_all(head.as_bytes());
                let _ = connection.write_all(&[b'd'; 300_000]);
            });
        }
    });
    address
}

#[test]
fn a_bad_line_finds_whoever_takes_a_cut_for_the_end() {
    let server = server();
    let tried_with =
        |act: &str| format!("config = {{ act = {act:?}, path = {server:?} }}\ngrant = {{ network = [{server:?}] }}");
    fails("hostile", &tried_with("download"), &[]);
    fails("hostile", &tried_with("download-what-comes"), &["bad-line"]);
}

#[test]
fn a_guest_that_is_stuck_fails() {
    fails("hostile", "config = { act = \"loop\" }\nlimits = { stall = \"1s\" }", &["backup"]);
    fails("mute", "", &["load"]);
}

#[test]
fn a_schema_that_says_nothing_fails() {
    fails("plain", "previous = \"unused\"", &["description", "configuration"]);
}

#[test]
fn people_read_what_failed_and_what_to_do() {
    let house = House::bare();
    fs::write(house.path("kit.toml"), "config = { act = \"ok-after-cut\" }").unwrap();
    let component = guests().join("hostile.wasm").display().to_string();
    let said = house.dozo(&["plugin", "test", &component, "--config", "kit.toml"]).expect(1);
    for words in ["FAILED   interrupted-backup", "what to do: ", "passed   backup", "1 failed"] {
        assert!(said.out.contains(words), "no {words:?} in\n{}", said.out);
    }
}

#[test]
fn a_mistake_in_the_file_is_shown_in_its_place() {
    let house = House::bare();
    let component = filesystem().display().to_string();
    for (text, place) in [
        ("[confg]\n", "kit.toml:1:2"),
        ("[config]\npaths = 7\n", "kit.toml:2:9"),
        ("[config]\npaths = [\"/srv\"]\n[limits]\nmemory = \"1MiB\"\n", "kit.toml:4:10"),
    ] {
        fs::write(house.path("kit.toml"), text).unwrap();
        let said = house.dozo(&["plugin", "test", &component, "--config", "kit.toml"]).expect(2);
        assert!(said.err.contains(place), "no {place} in\n{}", said.err);
    }
    house.dozo(&["plugin", "test", "./nothing.wasm"]).expect(2);
}

/// Cargo in a crate that `dozo plugin new` made: with the crates that the workspace has, because nothing is fetched here.
fn cargo(directory: &Path, arguments: &[&str]) -> Said {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(directory).env("CARGO_NET_OFFLINE", "true");
    // Its dependencies are compiled once for all runs of the tests.
    command.env("CARGO_TARGET_DIR", guests().join("../scaffold")).env("DOZO", binary()).env_remove("RUSTFLAGS");
    // Its lints are its author's, and half the time is optimising.
    command.env_remove("RUSTC_WORKSPACE_WRAPPER").env("CARGO_PROFILE_RELEASE_LTO", "off");
    command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    said(command.output().unwrap())
}

#[test]
fn a_new_notifier_builds_and_passes() {
    let house = House::bare();
    let sdk = root().join("sdk").display().to_string();
    house.dozo(&["plugin", "new", "my-notifier", "--notifier", "--sdk", &sdk]).expect(0);
    let directory = house.path("my-notifier");
    fs::copy(root().join("Cargo.lock"), directory.join("Cargo.lock")).unwrap();
    let tested = cargo(&directory, &["test", "--quiet"]);
    assert_eq!(tested.code, 0, "{}\n{}", tested.out, tested.err);
    let built = guests().join("../scaffold/wasm32-wasip2/release/my_notifier.wasm").canonicalize().unwrap();
    let (_, report) = kit(&house, &built, &directory.join("kit.toml"));
    assert!(cases(&report, "passed").contains("notify"), "{}", text(&report));
}

#[test]
fn a_new_plugin_builds_passes_and_backs_something_up() {
    let house = House::new();
    let sdk = root().join("sdk").display().to_string();
    house.dozo(&["plugin", "new", "my-source", "--sdk", &sdk]).expect(0);
    house.dozo(&["plugin", "new", "my-source", "--sdk", &sdk]).expect(2);
    house.dozo(&["plugin", "new", "My Source"]).expect(2);
    let directory = house.path("my-source");
    fs::copy(root().join("Cargo.lock"), directory.join("Cargo.lock")).unwrap();

    // The test of the crate builds the component and runs the kit.
    let tested = cargo(&directory, &["test", "--quiet"]);
    assert_eq!(tested.code, 0, "{}\n{}", tested.out, tested.err);
    assert!(tested.out.contains("1 passed"), "{}", tested.out);

    let built = guests().join("../scaffold/wasm32-wasip2/release/my_source.wasm").canonicalize().unwrap();
    let job = fs::read_to_string(directory.join("dozo.toml")).unwrap();
    let named = "./target/wasm32-wasip2/release/my_source.wasm";
    assert!(job.contains(named), "{job}");
    let built = built.display().to_string();
    house.configure(&job.replace(named, &built));
    house.dozo(&["plugin", "add", &built]).expect(0);
    house.dozo(&["run"]).expect(0);
    let text = house.dozo(&["cat", "my-source", "greeting.txt", "--identity", "owner.key"]).expect(0);
    assert_eq!(text.out, "hello, world");
    house.restore("my-source", "out", &[]).expect(0);
    assert_eq!(fs::read_to_string(house.path("out/greeting.txt")).unwrap(), "hello, world");

    // A plugin that breaks its word fails its own test.
    let source = directory.join("src/lib.rs");
    let honest = fs::read_to_string(&source).unwrap();
    fs::write(&source, honest.replace("writer.finish()?;", "let _ = writer.finish();")).unwrap();
    let tested = cargo(&directory, &["test", "--quiet"]);
    assert_ne!(tested.code, 0, "{}", tested.out);
    assert!(tested.out.contains("FAILED   interrupted-backup"), "{}\n{}", tested.out, tested.err);
}
