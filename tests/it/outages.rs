//! Mirrors and prunes while the store goes away and comes back: what was done is done, the rest is done the next time, and
//! nothing that is to stay is lost. With credentials that may delete, and with some that may not.

use std::process::Stdio;
use std::time::Duration;

use crate::house::{House, said, soak};
use crate::server::{ADMIN, BACKUP, Kind, Server};
use crate::stores::{bucket_house, fill, keys, prove};

/// Rounds with outages in the midst of commands, for those who have time: how a command ends then hangs on the moment.
const OUTAGES_SOAK: usize = 40;

/// When the server crashes.
#[derive(Clone, Copy)]
enum Outage {
    /// Before the command begins.
    Before,
    /// So long after it began.
    Within(Duration),
}

/// A house that prunes without delay and has a mirror beside it.
fn keeper(server: &Server) -> House {
    let house = bucket_house(server, ADMIN, "");
    let mirror = format!("file://{}", house.path("nas").display());
    let line = format!("role = \"maintain\"\nmirrors = [{{ name = \"nas\", url = {mirror:?} }}]\n[repository.s3]");
    let text = std::fs::read_to_string(house.path("dozo.toml")).unwrap();
    std::fs::write(house.path("dozo.toml"), text.replace("[repository.s3]", &line)).unwrap();
    std::fs::create_dir(house.path("nas")).unwrap();
    house.dozo(&["init", "--single-owner"]).expect(0);
    fill(&house, 6);
    house
        .configure("retention = { last = 1, superseded_for = \"0d\" }\n[prune]\ngrace = \"1s\"\npack_age_min = \"1s\"");
    house
}

/// Some files with other contents: the packs of before are of no use to the next snapshot.
fn change(house: &House, round: usize) {
    for file in 0..3 {
        let file = house.path(format!("data/{}", (round + file) % 6));
        let mut bytes = std::fs::read(&file).unwrap();
        bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_mul(5).wrapping_add(round as u8 | 1));
        std::fs::write(file, bytes).unwrap();
    }
}

/// Runs a command about the time at which the server ends as a crash does, and is started again.
fn with_outage(server: &mut Server, house: &House, arguments: &[&str], outage: Outage) {
    let Outage::Within(after) = outage else {
        server.kill();
        server.again();
        house.dozo(arguments).expect(0);
        return;
    };
    let mut command = house.command();
    let child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(after);
    server.kill();
    std::thread::sleep(Duration::from_millis(300));
    server.again();
    let said = said(child.wait_with_output().unwrap());
    assert!([0, 1].contains(&said.code), "{arguments:?}\n{}\n{}", said.out, said.err);
}

/// How many packs the bucket holds, as far as the indexes know.
fn packs(house: &House) -> u64 {
    house.dozo(&["verify", "--json"]).expect(0).json()["packs"].as_u64().unwrap()
}

fn outages(kind: Kind) {
    let Some(mut server) = Server::start(kind) else { return };
    server.make_bucket("backups");
    let house = keeper(&server);
    for round in 0..=soak(0, OUTAGES_SOAK) {
        let outage = match round {
            0 => Outage::Before,
            round => Outage::Within(Duration::from_millis(40 + (round as u64 * 97) % 400)),
        };
        for _ in 0..2 {
            house.dozo(&["run"]).expect(0);
            change(&house, round);
        }
        house.dozo(&["run"]).expect(0);
        with_outage(&mut server, &house, &["mirror", "--create"], outage);
        house.dozo(&["mirror", "--create"]).expect(0);
        house.dozo(&["verify", "--from", "nas", "--read-data", "--identity", "owner.key"]).expect(0);
        let before = packs(&house);
        // Only what came more than a second ago is condemned.
        std::thread::sleep(Duration::from_secs(3));
        let prune = ["prune", "--yes", "--flood-explained", "--json"];
        with_outage(&mut server, &house, &prune, outage);
        house.dozo(&prune).expect(0);
        // The packs are condemned since a second by the store's clock, which may tell whole seconds alone.
        std::thread::sleep(Duration::from_secs(3));
        with_outage(&mut server, &house, &prune, outage);
        let last = house.dozo(&prune).expect(0);
        assert!(packs(&house) < before, "nothing was deleted: {}", last.out);
        // The newest, and the newest that was verified.
        assert!(house.snapshots() <= 2);
        prove(&house);
        std::fs::remove_dir_all(house.path("back")).unwrap();
    }
}

#[test]
fn mirrors_and_prunes_outlive_crashes_of_seaweedfs() {
    outages(Kind::Seaweed);
}

/// This one also ignores `If-None-Match`.
#[test]
fn mirrors_and_prunes_outlive_crashes_of_rclone() {
    outages(Kind::Rclone);
}

#[test]
fn without_the_right_to_delete_a_mirror_is_filled_and_a_prune_changes_nothing() {
    let Some(server) = Server::start(Kind::Seaweed) else { return };
    server.make_bucket("backups");
    server.forbid_deleting("backups");
    let house = keeper(&server);
    keys(&house, BACKUP);
    for round in 0..2 {
        house.dozo(&["run"]).expect(0);
        change(&house, round);
    }
    house.dozo(&["run"]).expect(0);
    let refused = house.dozo(&["prune", "--yes", "--flood-explained"]).expect(1);
    assert!(refused.err.contains("delete") && refused.err.contains("hint: "), "{}", refused.err);
    assert_eq!(house.snapshots(), 3);
    prove(&house);
    house.dozo(&["mirror", "--create"]).expect(0);
    house.dozo(&["verify", "--from", "nas", "--read-data", "--identity", "owner.key"]).expect(0);

    // The other way round: from a disk into the bucket.
    let disk = House::new();
    let s3 = format!(
        "s3 = {{ endpoint = {:?}, access_key = {{ file = \"access\" }}, secret_key = {{ file = \"secret\" }}, allow_http = true }}",
        server.endpoint()
    );
    keys(&disk, BACKUP);
    let text = std::fs::read_to_string(disk.path("dozo.toml")).unwrap();
    let mirrors = format!("mirrors = [{{ name = \"bucket\", url = \"s3://backups/mirror\", {s3} }}]");
    let with: Vec<&str> = text
        .lines()
        .flat_map(|line| match line.starts_with("key = ") {
            true => vec![line, &mirrors],
            false => vec![line],
        })
        .collect();
    std::fs::write(disk.path("dozo.toml"), with.join("\n") + "\n").unwrap();
    fill(&disk, 2);
    disk.dozo(&["run"]).expect(0);
    disk.dozo(&["mirror", "--create"]).expect(0);
    std::fs::remove_dir_all(disk.path("repository")).unwrap();
    disk.restore("files", "back", &["--from", "bucket"]).expect(0);
}
