//! `dozo status` judges: each thing that is not as it should be has a line with what to do, an entry in JSON, and an exit code.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::house::{House, Said, is_root};

/// A house with a job that ran, and an owner's key that was tried: there is nothing to complain of.
fn well() -> House {
    let house = House::new();
    std::fs::create_dir(house.path("data")).unwrap();
    std::fs::write(house.path("data/x"), "x").unwrap();
    house.configure_files("files", "data");
    house.dozo(&["run"]).expect(0);
    house.dozo(&["key", "test", "--identity", "owner.key"]).expect(0);
    house.dozo(&["status"]).expect(0);
    house
}

/// Puts a line at the end of a table of the configuration.
fn into_table(house: &House, head: &str, line: &str) {
    let file = house.path("dozo.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(head), "{text}");
    std::fs::write(&file, text.replacen(head, &format!("{head}\n{line}"), 1)).unwrap();
}

fn findings(said: &Said) -> Vec<Value> {
    said.json()["findings"].as_array().unwrap().clone()
}

/// The one finding there is, in both forms.
#[track_caller]
fn finds(house: &House, code: i32, kind: &str, words: &[&str]) -> Value {
    let said = house.dozo(&["status", "--json"]).expect(code);
    let found = findings(&said);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["kind"], kind);
    let text = house.dozo(&["status"]).expect(code).out;
    let line = text.lines().find(|line| line.starts_with("alert: ") || line.starts_with("damaged: ")).unwrap();
    words.iter().for_each(|word| assert!(line.contains(word), "no {word} in {line}"));
    found[0].clone()
}

#[test]
fn a_job_that_never_ran_is_an_alert_and_one_that_is_gone_is_not() {
    let house = well();
    house.configure_files("late", "data");
    let found = finds(&house, 3, "never-run", &["alert: late: ", "it has never run", "`dozo run late`"]);
    assert_eq!((&found["job"], &found["damage"]), (&"late".into(), &false.into()));
    house.dozo(&["run", "late"]).expect(0);
    house.dozo(&["status"]).expect(0);
    // Renamed: the old one is retired, also when its last run failed.
    let file = house.path("dozo.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("[job.late]", "[job.new]")).unwrap();
    house.dozo(&["run", "new"]).expect(0);
    let said = house.dozo(&["status"]).expect(0);
    assert!(said.out.lines().any(|line| line.starts_with("late ") && line.ends_with("  retired")), "{}", said.out);
}

/// Nobody else can tell of a run that was killed, and of one that runs not all is known.
#[test]
fn a_run_that_was_killed_is_an_alert_until_one_ends_and_one_that_runs_is_shown() {
    let house = well();
    let waits = format!(
        "before = [\"/bin/sh -c 'touch {0}/begun; while test -e {0}/wait; do sleep 0.05; done'\"]",
        house.path(".").display()
    );
    into_table(&house, "[job.files]", &waits);
    std::fs::write(house.path("wait"), "").unwrap();
    let mut killed = house.command().arg("run").stderr(std::process::Stdio::null()).spawn().unwrap();
    for _ in 0..1_200 {
        std::thread::sleep(Duration::from_millis(50));
        if house.path("begun").exists() {
            break;
        }
    }
    let row = |said: &Said| said.out.lines().find(|line| line.starts_with("files ")).unwrap().to_string();
    let running = house.dozo(&["status"]).expect(0);
    assert!(row(&running).contains("  running since "), "{}", running.out);
    // Another run that is kept away is no failure of the backup.
    let busy = house.dozo(&["run"]).expect(6);
    assert!(busy.err.contains("is running already on this host"), "{}", busy.err);
    let json = house.dozo(&["status", "--json"]).expect(0);
    assert_eq!(findings(&json), [] as [Value; 0]);
    killed.kill().unwrap();
    killed.wait().unwrap();
    std::fs::remove_file(house.path("wait")).unwrap();
    let found =
        finds(&house, 3, "interrupted", &["alert: files: the run that began 0 min ago did not", "`dozo run files`"]);
    assert!(found["at"].is_string(), "{found}");
    let next = house.dozo(&["run"]).expect(0);
    assert!(next.err.contains("note: the job `files`: the run that began at "), "{}", next.err);
    let said = house.dozo(&["status"]).expect(0);
    assert!(!row(&said).contains("running"), "{}", said.out);
    assert!(!house.dozo(&["run"]).expect(0).err.contains("did not come to its end"), "it is said once");
}

#[test]
fn a_run_that_failed_is_an_alert_until_one_ends_well() {
    let house = well();
    std::fs::rename(house.path("data"), house.path("away")).unwrap();
    house.dozo(&["run"]).expect(1);
    let found =
        finds(&house, 3, "failed", &["alert: files: the last run failed, 0 min ago: ", "data", "`dozo check files`"]);
    assert!(found["at"].is_string(), "{found}");
    // Another host, or one whose memory is gone, knows it by the record.
    std::fs::remove_dir_all(house.path("state/dozo/outcomes")).unwrap();
    std::fs::rename(house.path("away"), house.path("data")).unwrap();
    house.dozo(&["run"]).expect(0);
    house.dozo(&["status"]).expect(0);
    // One that could not even begin leaves no record.
    std::fs::rename(house.path("repository"), house.path("elsewhere")).unwrap();
    house.dozo(&["run"]).expect(2);
    std::fs::rename(house.path("elsewhere"), house.path("repository")).unwrap();
    finds(&house, 3, "failed", &["files: the last run failed", "open the store"]);
}

#[test]
fn a_run_that_lacks_something_is_an_alert() {
    let house = well();
    house.configure_guest("db", "hostile", "{ act = \"drop-and-omit\" }", "");
    house.dozo(&["run", "db"]).expect(3);
    let said = house.dozo(&["status", "--json"]).expect(3);
    let kinds: Vec<Value> = findings(&said).iter().map(|found| found["kind"].clone()).collect();
    assert_eq!(kinds, ["partial", "no-complete-snapshot"]);
}

#[test]
fn a_snapshot_that_is_older_than_expected_is_an_alert() {
    let house = well();
    into_table(&house, "[job.files]", "expect_every = \"1s\"");
    std::thread::sleep(Duration::from_secs(2));
    finds(&house, 3, "overdue", &["alert: files: the newest complete snapshot is 0 min old", "expected every"]);
    let file = house.path("dozo.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    for (every, code) in [("26h", 0), ("0s", 2), ("-1h", 2)] {
        std::fs::write(&file, text.replace("\"1s\"", &format!("{every:?}"))).unwrap();
        house.dozo(&["status"]).expect(code);
    }
}

#[test]
fn damage_that_is_recorded_is_an_alert_with_the_exit_code_of_damage() {
    let house = well();
    rot(&house, "repository");
    house.dozo(&["verify", "--scrub"]).expect(5);
    let said = house.dozo(&["status", "--json"]).expect(5);
    let kinds: Vec<Value> = findings(&said).iter().map(|found| found["kind"].clone()).collect();
    assert_eq!(kinds, ["damage", "verify"], "{}", said.out);
    // What looks less deep does not make it well.
    house.dozo(&["verify"]).expect(5);
    house.dozo(&["verify", "--scrub", "files"]).expect(5);
    house.dozo(&["status"]).expect(5);
}

/// A run stored again what was damaged: nothing is lost, also before anybody has cleared up.
#[test]
fn damage_that_a_run_has_healed_is_an_alert_until_a_verification_found_all_whole() {
    let house = well();
    let entries = |said: &Said| said.json()["entries"].clone();
    let whole = entries(&house.dozo(&["verify", "--json"]).expect(0));
    rot(&house, "repository");
    house.dozo(&["verify", "--scrub"]).expect(5);
    house.dozo(&["run", "--full"]).expect(0);
    house.dozo(&["status"]).expect(5);
    let verified = house.dozo(&["verify", "--scrub"]).expect(0);
    assert!(verified.out.contains("superseded: packs/"), "{}", verified.out);
    house.dozo(&["status"]).expect(0);
    // Another host, which has verified nothing, knows it by the record.
    std::fs::remove_dir_all(house.path("state/dozo/outcomes")).unwrap();
    let status = house.dozo(&["status", "--json"]).expect(0);
    assert_eq!(status.json()["damaged_packs"], 0, "{}", status.out);
    assert!(whole.as_u64() > Some(0), "{whole}");
    // What is damaged since then is an alert as ever.
    rot(&house, "repository");
    house.dozo(&["verify", "--scrub"]).expect(5);
    house.dozo(&["status"]).expect(5);
}

/// Whoever mistypes something is told so, and nobody else: the work was never begun.
#[test]
fn what_is_mistyped_is_no_alert() {
    let house = well();
    for command in [
        &["verify", "--read-data"][..],
        &["verify", "--read-data", "--identity", "nothing-here"],
        &["verify", "--read-data=0"],
        &["verify", "--from", "nobody"],
        &["verify", "no-such-job"],
        &["mirror", "nobody"],
        &["prune", "--yes"],
        &["repair", "--yes", "--at", "nobody"],
        &["repair", "--yes", "--give-up", "nothing"],
        &["repair", "--yes", "--identity", "nothing-here"],
    ] {
        house.dozo(command).expect(2);
        house.dozo(&["status"]).expect(0);
    }
    // A key that the configuration names is to be there: the next verification would fail as this one did.
    into_table(&house, "[repository]", "identity = \"lost.key\"");
    house.dozo(&["verify", "--read-data"]).expect(2);
    finds(&house, 3, "verify", &["alert: the last verification failed", "lost.key", "`dozo verify`"]);
}

/// A mirror is repaired where it is, and is looked at by nobody else: what was found there stays an alert until then.
#[test]
fn damage_in_a_mirror_is_an_alert_until_it_is_made_well() {
    let house = well();
    let mirror = format!(
        "role = \"maintain\"\nmirrors = [{{ name = \"nas\", url = \"file://{}\" }}]",
        house.path("nas").display()
    );
    into_table(&house, "[repository]", &mirror);
    house.dozo(&["mirror", "--create"]).expect(0);
    rot(&house, "nas");
    let verified = house.dozo(&["verify", "--scrub", "--from", "nas"]).expect(5);
    assert!(verified.out.contains("`dozo repair --at nas` copies it back from the repository"), "{}", verified.out);
    assert!(!(verified.out + &verified.err).contains("the next run"), "it brings nothing to the mirror");
    let words = ["damaged: the last verification of `nas` found damage", "packs/", "`dozo repair --at nas`"];
    finds(&house, 5, "verify", &words);
    let mirrored = house.dozo(&["mirror"]).expect(5);
    assert!(mirrored.out.contains("it was found damaged in the mirror"), "{}", mirrored.out);
    assert!(mirrored.err.contains("`dozo repair --at nas`"), "{}", mirrored.err);
    let found = findings(&house.dozo(&["status", "--json"]).expect(5));
    assert!(found.len() == 2 && found.iter().all(|found| found["damage"] == true), "{found:?}");
    house.dozo(&["repair", "--at", "nas", "--yes"]).expect(0);
    house.dozo(&["mirror"]).expect(0);
    house.dozo(&["status"]).expect(0);
    house.dozo(&["verify", "--scrub", "--from", "nas"]).expect(0);

    // What a mirroring brings back is well without a repair.
    std::fs::remove_dir_all(house.path("nas/index")).unwrap();
    std::fs::create_dir(house.path("nas/index")).unwrap();
    house.dozo(&["verify", "--from", "nas"]).expect(5);
    house.dozo(&["status"]).expect(5);
    house.dozo(&["mirror"]).expect(0);
    house.dozo(&["status"]).expect(0);
}

/// What is to be typed finds the same configuration.
#[test]
fn commands_name_the_configuration_that_was_named() {
    let house = well();
    let file = house.path("dozo.toml").canonicalize().unwrap();
    house.configure_files("late", "data");
    let named = |arguments: &[&str]| {
        let mut command = house.command();
        command.current_dir("/").arg("--config").arg(&file).args(arguments);
        crate::house::said(command.output().unwrap())
    };
    let typed = format!("dozo --config {} run late", file.display());
    let status = named(&["status"]).expect(3);
    assert!(status.out.contains(&format!("`{typed}`")), "{}", status.out);
    let json = named(&["status", "--json"]).expect(3).json();
    assert_eq!(json["findings"][0]["advice"], format!("`{typed}`"), "{json}");
    let owner = house.path("owner.key").display().to_string();
    let unknown = named(&["restore", "lat", "--to", "x", "--identity", &owner]).expect(2);
    let list = format!("`dozo --config {} snapshots`", file.display());
    assert!(unknown.err.contains(&list), "{}", unknown.err);
}

/// Ten percent of two packs are one, and the next time the other.
#[test]
fn a_percentage_reads_a_pack_at_least_and_goes_round() {
    let house = well();
    let read = || {
        let said = house.dozo(&["verify", "--read-data=10%", "--identity", "owner.key"]).expect(0);
        assert!(said.out.contains("1 of 2 packs ("), "{}", said.out);
    };
    read();
    read();
    let records = house.path("repository/records/verification");
    let names: Vec<_> = std::fs::read_dir(records).unwrap().collect();
    assert_eq!(names.len(), 2, "each leaves its record, for the next to go on behind it");
}

/// A mirror that was never made says how to make one.
#[test]
fn a_mirror_that_is_not_there_says_how_one_is_made() {
    let house = well();
    let mirror = format!("mirrors = [{{ name = \"nas\", url = \"file://{}\" }}]", house.path("nas").display());
    into_table(&house, "[repository]", &mirror);
    for (command, code) in [("mirror", 2), ("check", 2)] {
        let said = house.dozo(&[command]).expect(code);
        assert!(said.err.contains("`dozo mirror nas --create` makes a new one"), "{}", said.err);
    }
    std::fs::create_dir(house.path("nas")).unwrap();
    for command in ["mirror", "check"] {
        let said = house.dozo(&[command]).expect(2);
        assert!(said.err.contains("--create` makes a new one"), "{}", said.err);
    }
}

/// A byte of each pack.
fn rot(house: &House, store: &str) {
    for pack in packs_of(house, store) {
        let mut bytes = std::fs::read(&pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&pack, bytes).unwrap();
    }
}

fn packs(house: &House) -> Vec<std::path::PathBuf> {
    packs_of(house, "repository")
}

fn packs_of(house: &House, store: &str) -> Vec<std::path::PathBuf> {
    let directories = std::fs::read_dir(house.path(store).join("packs")).unwrap();
    directories
        .flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap())
        .map(|pack| pack.unwrap().path())
        .collect()
}

#[test]
fn a_prune_that_fails_is_an_alert() {
    let house = well();
    into_table(&house, "[repository]", "role = \"maintain\"");
    std::fs::rename(house.path("repository"), house.path("elsewhere")).unwrap();
    house.dozo(&["prune", "--yes"]).expect(2);
    std::fs::rename(house.path("elsewhere"), house.path("repository")).unwrap();
    finds(&house, 3, "prune", &["alert: the last prune failed", "open the store", "`dozo prune --yes`"]);
    house.dozo(&["prune", "--yes"]).expect(0);
    house.dozo(&["status"]).expect(0);
}

#[test]
fn a_mirror_that_lacks_snapshots_is_an_alert() {
    let house = well();
    let mirror = format!(
        "mirrors = [{{ name = \"nas\", url = \"file://{}\", expect_every = \"2s\" }}]",
        house.path("nas").display()
    );
    into_table(&house, "[repository]", &mirror);
    std::thread::sleep(Duration::from_secs(3));
    finds(&house, 3, "mirror", &["alert: this host has never done the mirroring to `nas`", "`dozo mirror nas`"]);
    house.dozo(&["mirror"]).expect(2);
    finds(&house, 3, "mirror", &["the last mirroring to `nas` failed"]);
    std::fs::create_dir(house.path("nas")).unwrap();
    house.dozo(&["mirror", "--create"]).expect(0);
    std::thread::sleep(Duration::from_secs(3));
    house.dozo(&["status"]).expect(0);
    house.dozo(&["status", "--copies"]).expect(0);
    house.dozo(&["run"]).expect(0);
    let said = house.dozo(&["status", "--copies", "--json"]).expect(3);
    assert_eq!(findings(&said)[0]["kind"], "copies", "{}", said.out);
    std::thread::sleep(Duration::from_secs(3));
    finds(&house, 3, "mirror", &["the last mirroring to `nas` on this host is 0 min ago"]);
}

#[test]
fn a_store_that_is_nearly_full_is_an_alert() {
    if !is_root("a file system that is nearly full") {
        return;
    }
    let house = House::bare();
    let small = house.path("small");
    std::fs::create_dir(&small).unwrap();
    let mut mount = Command::new("mount");
    let mounted = mount.args(["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs"]).arg(&small).status().unwrap();
    assert!(mounted.success());
    let done = std::panic::catch_unwind(|| {
        house.dozo(&["init", &format!("file://{}", house.path("small/r").display()), "--single-owner"]).expect(0);
        std::fs::create_dir(house.path("data")).unwrap();
        house.configure_files("files", "data");
        let noise = |seed: u8, bytes: usize| -> Vec<u8> {
            let mut state = u64::from(seed) + 1;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as u8
            };
            (0..bytes).map(|_| next()).collect()
        };
        for seed in 0..2 {
            std::fs::write(house.path(format!("data/{seed}")), noise(seed, 2 << 20)).unwrap();
            house.dozo(&["run"]).expect(0);
        }
        house.dozo(&["key", "test", "--identity", "owner.key"]).expect(0);
        house.dozo(&["status"]).expect(0);
        std::fs::write(house.path("small/other"), noise(9, 2 << 20)).unwrap();
        finds(&house, 3, "room", &["alert: the store is nearly full", "dozo prune"]);
    });
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
    done.unwrap();
}

/// One bad pack may touch hundreds of entries: that is some lines for people, by job and path, and all of it in JSON.
#[test]
fn a_bad_pack_is_named_in_some_lines() {
    let house = House::new();
    std::fs::create_dir(house.path("data")).unwrap();
    for file in 0..21 {
        std::fs::write(house.path(format!("data/f{file}")), format!("file {file}")).unwrap();
    }
    house.configure_files("files", "data");
    for round in 0..4 {
        std::fs::write(house.path("data/changing"), format!("{round}")).unwrap();
        house.dozo(&["run"]).expect(0);
    }
    // The pack of the first run has the files that are in all snapshots.
    let pack = packs(&house).into_iter().max_by_key(|pack| std::fs::metadata(pack).unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&pack, bytes).unwrap();
    let said = house.dozo(&["verify", "--scrub"]).expect(5);
    assert!(said.out.lines().count() < 20, "{}", said.out);
    assert!(said.out.contains("damaged: files: 2") && said.out.contains("in 4 snapshots"), "{}", said.out);
    assert!(said.out.contains("more: `--json` lists them"), "{}", said.out);
    let json = house.dozo(&["verify", "--scrub", "--json"]).expect(5).json();
    let named = json["damaged"].as_array().unwrap().len();
    assert!(named >= 21 * 4 && named as u64 == json["damaged_count"].as_u64().unwrap(), "{named}");
    // A restore of what is in it names some, and a repair and a run one object.
    let restore = house.restore("files", "out", &[]).expect(5);
    assert!(restore.err.contains("not restored: 2") && restore.err.contains("and more: `--json`"), "{}", restore.err);
    assert!(restore.err.lines().count() < 40, "{}", restore.err);
    let repair = house.dozo(&["repair"]).expect(5);
    assert!(repair.out.lines().count() < 10, "{}", repair.out);
    let run = house.dozo(&["run"]);
    assert!(run.out.lines().count() + run.err.lines().count() < 20, "{}{}", run.out, run.err);
}
