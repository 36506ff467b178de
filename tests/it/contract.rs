//! The functions of the contract, used by a real guest: what it writes must be what comes back.

use std::fs;

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
    let granted = house.path("granted").display().to_string();
    let config = format!("{{ act = {act:?}, file = \"{granted}/file\" }}");
    let file = house.path("dozo.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.split("\n[job.").next().unwrap()).unwrap();
    let more = format!("grant = {{ read = [{granted:?}] }}\nlimits = {{ stall = \"2s\" }}");
    house.configure_guest("job", "contract", &config, &more);
}

fn run(house: &House, act: &str) -> Said {
    configure(house, act);
    house.dozo(&["run", "--json"])
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
    assert!(report["notes"].to_string().contains("vanished while the run went on: `also-gone`"), "{report}");
    assert!(content(&house, "file") == noise(9_000_000, 7));
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
        configure(&house, act);
        house.restore("job", act, &[]).expect(0);
        assert!(fs::read(house.path(act).join("base")).unwrap() == noise(5_000_000, 3), "{act}");
        assert_eq!(fs::read(house.path(act).join("dir/b")).unwrap(), b"dir/b", "{act}");
    }
    run(&house, "write").expect(0);
    configure(&house, "wrong-offset");
    house.restore("job", "wrong-offset", &[]).expect(0);
    let left = fs::read_dir(house.path("plain")).unwrap().count();
    assert_eq!(left, 3, "no temporary file is left");
}
