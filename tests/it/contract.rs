//! The functions of the contract, used by a real guest: what it writes must be what comes back.

use std::fs;
use std::process::Command;

use crate::house::{House, Said};

const LONG: usize = 40 << 20;

/// The guest's own noise.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A house with a granted directory that holds one file, and a job for the guest.
fn house(act: &str) -> House {
    let house = House::new();
    fs::create_dir(house.path("granted")).unwrap();
    fs::write(house.path("granted/file"), noise(9_000_000, 7)).unwrap();
    configure(&house, act);
    house
}

/// Sets the act of the job.
fn configure(house: &House, act: &str) {
    configure_with(house, act, "");
}

/// The same, with more in the job's table.
fn configure_with(house: &House, act: &str, more: &str) {
    let granted = house.path("granted").display().to_string();
    house.write_secret("password", "hunter2hunter2");
    let config = format!("{{ act = {act:?}, file = \"{granted}/file\", password = {{ file = \"password\" }} }}");
    let file = house.path("dozo.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.split("\n[job.").next().unwrap()).unwrap();
    // What the guest backs up is something else with each act.
    let more = format!("guard = false\ngrant = {{ read = [{granted:?}] }}\nlimits = {{ stall = \"2s\" }}\n{more}");
    house.configure_guest("job", "contract", &config, &more);
}

fn run(house: &House, act: &str) -> Said {
    configure(house, act);
    house.dozo(&["run", "--json"])
}

/// Restores with an act of the guest's, which is an option: into a directory, no configuration comes along.
fn restore(house: &House, act: &str, to: &str, more: &[&str]) -> Said {
    let act = format!("act={act}");
    house.restore("job", to, &[&["--option", &act], more].concat())
}

#[track_caller]
fn content(house: &House, path: &str) -> Vec<u8> {
    let output = house.command().args(["cat", "job", path, "--identity", "owner.key"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn bytes_that_the_plugin_makes_come_back() {
    for act in ["write", "produce"] {
        let house = house(act);
        run(&house, act).expect(0);
        assert!(content(&house, "written") == noise(LONG, 1), "{act}");
    }
}

#[test]
fn streams_side_by_side_are_not_mixed() {
    let house = house("many-streams");
    run(&house, "many-streams").expect(0);
    for n in 0..8 {
        assert!(content(&house, &format!("stream-{n}")) == noise(LONG / 8, n), "stream {n}");
    }
}

#[test]
fn contents_that_are_handed_on_come_back() {
    let house = house("hand-on");
    run(&house, "hand-on").expect(0);
    for path in ["file", "head-and-rest"] {
        assert!(content(&house, path) == noise(9_000_000, 7), "{path}");
    }
}

#[test]
fn a_stream_of_the_hosts_own_is_recognised_and_another_is_piped() {
    let mut calls = Vec::new();
    for act in ["stream-back", "stream-through"] {
        let house = house(act);
        let report = run(&house, act).expect(0).json();
        assert!(content(&house, "file") == noise(9_000_000, 7), "{act}");
        calls.push(report["usage"]["memory_bytes"].as_u64().unwrap());
    }
    assert!(calls[0] <= calls[1], "what is spliced needs no more memory of the plugin: {calls:?}");
}

#[test]
fn entries_of_a_batch_fail_alone() {
    let house = house("put-contents");
    let report = run(&house, "put-contents").expect(3).json();
    assert_eq!(report["omitted"][0][0], "gone");
    assert_eq!(report["entries"], 1);
    assert!(report["notes"].to_string().contains("vanished while the run went on: `/also-gone`"), "{report}");
    assert!(content(&house, "file") == noise(9_000_000, 7));
    // The host's own word: who deletes what a snapshot lacks must know that something may have had another name.
    let snapshot = house.dozo(&["snapshots", "--json"]).expect(0).json();
    let attributes = snapshot["snapshot"]["attributes"].to_string();
    assert!(attributes.contains(r#"["dozo.vanished","1"]"#), "{attributes}");
}

#[test]
fn a_run_builds_on_the_one_before() {
    let house = house("first");
    run(&house, "first").expect(0);
    let report = run(&house, "grow").expect(0).json();
    assert_eq!(report["entries_kept"], 1);
    let expected = [&noise(5_000_000, 3)[1_000_000..3_000_000], b"new end"].concat();
    assert!(content(&house, "base") == expected);
    assert_eq!(content(&house, "dir/a"), b"dir/a");
    house.dozo(&["verify", "--read-data", "--identity", "owner.key"]).expect(0);
}

#[test]
fn a_whole_directory_is_kept_if_it_has_as_many_entries_as_expected() {
    let house = house("first");
    run(&house, "first").expect(0);
    assert_eq!(run(&house, "keep-under").expect(0).json()["entries_kept"], 3);
    let said = run(&house, "keep-under-wrong").expect(5);
    assert!(said.json()["error"]["message"].as_str().unwrap().contains("has 3 entries under `dir`"), "{}", said.out);
}

#[test]
fn waiting_is_no_standstill() {
    let house = house("wait");
    run(&house, "wait").expect(0);
}

#[test]
fn every_way_to_restore_writes_the_same() {
    let house = house("first");
    run(&house, "first").expect(0);
    for act in ["plain", "through-memory", "streaming", "attributes"] {
        restore(&house, act, act, &[]).expect(0);
        assert!(fs::read(house.path(act).join("base")).unwrap() == noise(5_000_000, 3), "{act}");
        assert_eq!(fs::read(house.path(act).join("dir/b")).unwrap(), b"dir/b", "{act}");
    }
    run(&house, "write").expect(0);
    restore(&house, "wrong-offset", "wrong-offset", &[]).expect(0);
    let left = fs::read_dir(house.path("plain")).unwrap().count();
    assert_eq!(left, 3, "no temporary file is left");
}

#[test]
fn what_the_plugin_notes_is_in_the_report() {
    let house = house("note");
    let report = run(&house, "note").expect(0).json();
    let notes: Vec<&str> = report["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
    assert!(notes[0].starts_with("the password is ") && notes[1] == "note 0", "{notes:?}");
    assert!(!notes[0].contains("hunter2") && !notes[0].contains('\u{1b}'), "{notes:?}");
    assert_eq!(notes[99..101], ["note 98", "11 more notes of the plugin are left out"]);
}

#[test]
fn probes_are_answered_in_the_snapshot() {
    let house = house("answer");
    let probes = "[job.job.probe]\ndocuments = \"how many?\"\nunanswered = \"why?\"\nrefused = \"who?\"\n";
    configure_with(&house, "answer", probes);
    let said = house.dozo(&["run"]).expect(0);
    assert!(said.out.contains("\n  documents: how many? …\n"), "{}", said.out);
    assert!(said.err.contains("note: the plugin did not answer the probe `unanswered`"), "{}", said.err);
    assert!(
        said.err.contains("note: the probe `refused` was not answered: the role may not; hint: GRANT it\n"),
        "{}",
        said.err
    );
    assert_eq!(said.err.matches("probe").count(), 2, "each is reported once: {}", said.err);
    // `check` asks the same questions for real.
    let said = house.dozo(&["check", "job"]).expect(0);
    assert!(said.out.contains("\n  probe documents: 42 to how many?\n"), "{}", said.out);
    assert!(said.err.contains("note: the job `job`: the probe `refused` is not answered: "), "{}", said.err);
    assert!(said.err.contains("the role may not") && said.err.contains("hint: GRANT it"), "{}", said.err);
    let report = house.dozo(&["run", "--json"]).expect(0).json();
    assert_eq!(report["answers"], serde_json::json!([["documents", "how many?\nand more"]]));
    let snapshot = house.dozo(&["snapshots", "--json"]).expect(0).json();
    assert_eq!(snapshot["snapshot"]["answers"], report["answers"]);
    configure_with(&house, "answer", "[job.job.probe]\n\"a b\" = \"?\"\n");
    let said = house.dozo(&["config", "check"]).expect(2);
    assert!(said.err.contains("`a b` cannot be the name of a probe"), "{}", said.err);
}

#[test]
fn a_restore_is_narrowed_to_what_it_needs() {
    let house = house("first");
    run(&house, "first").expect(0);
    let report = restore(&house, "narrow", "narrow", &["--json"]).expect(0).json();
    assert_eq!((&report["entries"], &report["files"], &report["files_read"]), (&3.into(), &2.into(), &2.into()));
    assert_eq!(report["bytes"], 10);
    assert_eq!(fs::read_dir(house.path("narrow")).unwrap().count(), 1);
    for act in ["narrow-and-forget", "read-before-narrow"] {
        let said = restore(&house, act, act, &[]).expect(5);
        assert!(said.err.contains("read only 1 of 2 files"), "{act}: {}", said.err);
    }
    restore(&house, "narrow-late", "narrow-late", &[]).expect(0);
}

/// `base` has five million bytes, and there is room for four: whether that is too little, the plugin decides.
#[test]
fn room_is_looked_for_when_it_is_known_what_is_needed() {
    if !crate::house::is_root("mounting a file system") {
        return;
    }
    let house = house("first");
    run(&house, "first").expect(0);
    let point = house.path("out");
    fs::create_dir(&point).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=4m", "none"];
    assert!(Command::new("mount").args(mount).arg(&point).status().unwrap().success());
    let refused = house.restore("job", "out", &[]);
    let left = fs::read_dir(&point).unwrap().count();
    let elsewhere = house.restore("job", "out", &["--map", "big=elsewhere"]);
    let narrowed = restore(&house, "narrow", "out", &["--conflict", "skip"]);
    assert!(Command::new("umount").arg(&point).status().unwrap().success());
    assert_eq!((refused.code, left), (2, 0), "{}", refused.err);
    assert!(refused.err.contains("caused by: there is no room for the restore: it takes 4.8 MiB"), "{}", refused.err);
    // Together there is room, and only the plugin knows what goes where.
    assert!(!elsewhere.err.contains("there is no room") && elsewhere.code == 3, "{}", elsewhere.err);
    narrowed.expect(0);
}

#[test]
fn a_restore_goes_into_several_directories() {
    let house = house("first");
    run(&house, "first").expect(0);
    let options = ["--option", "colour=a=b", "--option", "act=maps", "--map", "big=over/there"];
    let restore = |to: &str, more: &[&str]| {
        let to = ["restore", "job", "--to", to, "--identity", "owner.key"];
        house.dozo(&[&to[..], more].concat())
    };
    restore("out", &options).expect(0);
    assert!(fs::read(house.path("over/there/base")).unwrap() == noise(5_000_000, 3));
    assert!(fs::read(house.path("out/big/base")).unwrap() == noise(5_000_000, 3), "the link is absolute");
    assert_eq!(fs::read(house.path("out/dir/b")).unwrap(), b"dir/b");

    let refused = |to: &str, more: &[&str], why: &str| {
        let said = restore(to, more).expect(2);
        assert!(said.err.contains(why), "{more:?}: {}", said.err);
    };
    refused("new", &options, "over/there is not empty");
    refused("new", &["--map", "big=new"], "is to take two things");
    refused("new", &["--map", "big=a", "--map", "big=b"], "says twice where `big` goes");
    refused("new", &["--option", "map:big=a"], "hint: `--map 'big=a'` also grants writing there");
    refused("new", &["--map", "big"], "there is no `=`");
    restore("out", &[&options[..], &["--conflict", "replace"]].concat()).expect(0);
}

/// A house with two snapshots that cover a day each.
fn two_windows() -> House {
    let house = house("first");
    run(&house, "window 2026-11-20T00:00:00Z 2026-11-20T23:00:00Z").expect(0);
    run(&house, "window 2026-11-21T00:00:00Z 2026-11-21T23:00:00Z").expect(0);
    configure_with(&house, "first", "timezone = \"Asia/Tokyo\"");
    house
}

#[test]
fn a_job_is_recovered_from_the_newest_snapshot_that_covers_the_moment() {
    let house = two_windows();
    for (number, (at, day, moment)) in [
        ("2026-11-20T12:00:00.1234567Z", "2026-11-20", "Moment::Time(\"2026-11-20T12:00:00.123456Z\")"),
        ("2026-11-20 12:00 Asia/Tokyo", "2026-11-20", "Moment::Time(\"2026-11-20T03:00:00Z\")"),
        ("2026-11-21T09:00+09:00", "2026-11-21", "Moment::Time(\"2026-11-21T00:00:00Z\")"),
        ("16/B374D848", "2026-11-21", "Moment::Position(\"16/B374D848\")"),
        ("before the change", "2026-11-21", "Moment::Name(\"before the change\")"),
        ("latest", "2026-11-21", "Moment::Latest"),
    ]
    .into_iter()
    .enumerate()
    {
        let to = format!("out-{number}");
        let said = restore(&house, "moment", &to, &["--at", at]).expect(0);
        let read = |name: &str| fs::read_to_string(house.path(&to).join(name)).unwrap();
        assert_eq!((read("window")[7..17].to_string(), read("moment")), (day.into(), moment.into()), "{at}");
        assert_eq!(said.out.contains(", for recovery to "), at != "latest", "{}", said.out);
    }
    let said = house.restore("job", "json", &["--at", "lsn:16/B374D848", "--json"]).expect(0);
    assert_eq!(said.json()["at"], serde_json::json!({ "position": "16/B374D848" }));
    let said = house.restore("job", "without", &["--json"]).expect(0);
    assert_eq!(said.json()["at"], "latest");
}

#[test]
fn a_moment_that_nothing_covers_is_refused_before_anything_is_made() {
    let house = two_windows();
    let refused = |snapshot: &str, at: &str| house.restore(snapshot, "out", &["--at", at]).expect(2).err;
    let err = refused("job", "2026-11-22T12:00:00Z");
    assert!(err.contains("no snapshot of the job `job` can be recovered to 2026-11-22 21:00:00 +09:00"), "{err}");
    assert!(
        err.contains("it recovers to 2026-11-21 09:00:00 +09:00") && err.contains("it recovers to 2026-11-20"),
        "{err}"
    );
    // The snapshot that was named is the one.
    let oldest = house.dozo(&["snapshots", "--json"]).out.lines().next().unwrap().to_string();
    let oldest: serde_json::Value = serde_json::from_str(&oldest).unwrap();
    let id = &oldest["id"].as_str().unwrap()[..8];
    let err = refused(id, "2026-11-21T12:00:00Z");
    assert!(
        err.contains(&format!("the snapshot {id} of ")) && err.contains("hint: it recovers to 2026-11-20"),
        "{err}"
    );
    assert!(!house.path("out").exists());
    house.restore(id, "out", &["--at", "2026-11-20T12:00:00Z"]).expect(0);
    assert!(refused("job", "2026-11-31").contains("is not a time"));
    // A source that knows no moments says so.
    run(&house, "first").expect(0);
    let said = house.restore("job", "other", &["--at", "latest"]).expect(1);
    assert!(said.err.contains("there is no window in this snapshot"), "{}", said.err);
}

#[test]
fn sources_of_jobs_that_cannot_run_let_go() {
    let house = house("first");
    fs::rename(house.path("repository"), house.path("gone")).unwrap();
    let said = house.dozo(&["run"]);
    assert!(said.code != 0 && said.err.contains("ABANDONED"), "{}", said.err);
    configure(&house, "cannot-abandon");
    let said = house.dozo(&["run"]);
    assert!(
        said.code != 0 && said.err.contains("note: the job `job` could not clean up at its source"),
        "{}",
        said.err
    );
    assert!(said.err.contains("the source is gone too"), "{}", said.err);
}

/// Secrets in a map, a pair, a table that may be missing, and enums of both kinds.
const DEEP: &str = "deep = { tokens = { a = { env = \"S1\" }, b = { env = \"S2\" } }, pair = [\"user\", { env = \"S3\" }], \
     login = { user = \"u\", password = { env = \"S4\" } }, access = { token = { env = \"S5\" } }, \
     tagged = [{ kind = \"password\", value = { env = \"S6\" } }, { kind = \"key\", value = \"/etc/key\" }] }";

#[test]
fn secrets_are_put_in_place_at_any_depth_and_are_never_told() {
    let house = house("deep-secrets");
    let secret = |n: u32| format!("s3cr3t-number-{n}");
    let config = |deep: &str| {
        let file = house.path("dozo.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.split("\n[job.").next().unwrap()).unwrap();
        house.configure_guest("job", "contract", &format!("{{ act = \"deep-secrets\", {deep} }}"), "");
    };
    let dozo = |arguments: &[&str]| {
        let mut command = house.command();
        command.args(arguments).envs((1..=6).map(|n| (format!("S{n}"), secret(n))));
        crate::house::said(command.output().unwrap())
    };
    config(DEEP);
    let said = dozo(&["run", "-v"]).expect(3);
    assert_eq!(said.err.matches("[secret] [secret] [secret] [secret] [secret] [secret] of").count(), 3, "{}", said.err);
    assert!(said.err.contains("/etc/key") && !said.err.contains("s3cr3t"), "{}", said.err);
    // The plugin had them: what it stored is content.
    let stored = String::from_utf8(content(&house, "secrets")).unwrap();
    assert_eq!(stored, (1..=6).map(secret).collect::<Vec<_>>().join("\n"));

    // Written out, each is refused, and neither the message nor the line of the file that it shows has it.
    for n in 1..=6 {
        config(&DEEP.replace(&format!("{{ env = \"S{n}\" }}"), "\"hunter2-hunter2\""));
        for command in [&["config", "check"][..], &["run"], &["check", "job"], &["run", "--json"]] {
            let said = dozo(command).expect(2);
            assert!(said.err.contains("a secret is written out in the configuration"), "S{n}: {}", said.err);
            assert!(!said.err.contains("hunter2") && !said.out.contains("hunter2"), "S{n}: {}", said.err);
        }
    }
    // With another mistake beside it, or in another shape, too.
    for (from, to) in [
        ("kind = \"password\", value = { env = \"S6\" }", "kind = \"pasword\", value = \"hunter2-hunter2\""),
        ("user = \"u\", password = { env = \"S4\" }", "usr = \"u\", password = \"hunter2-hunter2\""),
        ("{ env = \"S4\" }", "{ plain = \"hunter2-hunter2\" }"),
        ("{ env = \"S4\" }", "[\"hunter2-hunter2\"]"),
        ("{ env = \"S1\" }", "123454321"),
    ] {
        config(&DEEP.replace(from, to));
        let said = dozo(&["config", "check"]).expect(2);
        assert!(!said.err.contains("hunter2") && !said.err.contains("12345"), "{to}: {}", said.err);
    }
    // And where the file is not even TOML.
    config(&DEEP.replace("password = { env = \"S4\" }", "password = \"hunter2-hunter2\" oops"));
    let said = dozo(&["config", "check"]).expect(2);
    assert!(!said.err.contains("hunter2"), "{}", said.err);
}

#[test]
fn a_schema_with_a_secret_that_cannot_be_put_in_its_place_is_refused() {
    let house = House::new();
    house.configure_guest("job", "misplaced", "{ tokens = { token1 = { env = \"HOME\" } } }", "");
    let component = crate::house::guests().join("misplaced.wasm").display().to_string();
    let words = "a secret is marked where none can be put, at `/properties/tokens/patternProperties/^token`";
    for command in [
        &["run"][..],
        &["config", "check"],
        &["check"],
        &["plugin", "info", &component],
        &["plugin", "add", &component],
    ] {
        let said = house.dozo(command).expect(2);
        assert!(said.err.contains(words), "{command:?}: {}", said.err);
    }
    fs::write(house.path("kit.toml"), "config = { tokens = {} }").unwrap();
    let said = house.dozo(&["plugin", "test", &component, "--config", "kit.toml"]).expect(1);
    assert!(said.out.contains(words), "{}", said.out);
}
