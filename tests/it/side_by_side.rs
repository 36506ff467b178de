//! Several hosts, a reader and a pruner in one bucket, all at once: what is listed restores, and is what its host had. A
//! third of a minute here, ten minutes in `cargo xtask soak`.

use std::collections::HashMap;
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::filesystem::describe;
use crate::house::{House, soak};
use crate::server::{ADMIN, BACKUP, Kind, Server};
use crate::stores::bucket_house;

const SECONDS: usize = 20;
const SECONDS_SOAK: usize = 600;

/// How long the reader rests between two restores.
const REST: Duration = Duration::from_millis(400);

/// What each snapshot must hold, by id.
type Told = Mutex<HashMap<String, Vec<String>>>;

/// A host that backs up a tree of its own.
struct Host<'a> {
    house: House,
    name: &'a str,
    seed: u64,
}

impl Host<'_> {
    /// The tree in another state: some new files, some changed, some gone.
    fn change(&mut self) {
        let tree = self.house.path("tree");
        fs::create_dir_all(&tree).unwrap();
        for _ in 0..4 {
            let file = tree.join((self.chance() % 24).to_string());
            match self.chance() % 4 {
                0 if file.exists() => fs::remove_file(file).unwrap(),
                _ => {
                    let (words, length) = (self.chance(), 1 + self.chance() % 40_000);
                    let bytes = (0..length).flat_map(|i| (i ^ words).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
                    fs::write(file, bytes.collect::<Vec<u8>>()).unwrap();
                }
            }
        }
    }

    fn chance(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.seed >> 33
    }

    /// Backs up once.
    fn run(&self, told: &Told) {
        let report = self.house.dozo(&["run", "--json"]).expect(0).json();
        let snapshot = report["snapshot"].as_str().unwrap().to_string();
        told.lock().unwrap().insert(snapshot, describe(&self.house.path("tree")));
    }

    /// Backs up again and again. Returns how many runs there were.
    fn write(&mut self, until: Instant, told: &Told) -> usize {
        let mut runs = 0;
        while Instant::now() < until {
            self.change();
            self.run(told);
            runs += 1;
        }
        runs
    }
}

/// The ids of all snapshots, each with the name of its host.
fn listed(house: &House) -> Vec<(String, String)> {
    let said = house.dozo(&["snapshots", "--json"]).expect(0);
    let rows = said.out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_string();
    rows.map(|row| (text(&row["id"]), text(&row["snapshot"]["host"]["name"]))).collect()
}

/// Restores snapshots while others come and go. Returns what was restored.
fn read(house: &House, trees: &HashMap<&str, String>, until: Instant) -> Vec<(String, Vec<String>)> {
    let mut read = Vec::new();
    while Instant::now() < until {
        let all = listed(house);
        if all.is_empty() {
            continue;
        }
        let (snapshot, host) = &all[(read.len() * 7 + 3) % all.len()];
        let said = house.restore(snapshot, "read", &[]);
        if said.code == 0 {
            read.push((snapshot.clone(), describe(&house.path("read").join(&trees[host.as_str()][1..]))));
        } else {
            // It may have gone since it was listed, and for no other reason.
            assert!(listed(house).iter().all(|(id, _)| id != snapshot), "{snapshot}: {}", said.err);
        }
        let _ = fs::remove_dir_all(house.path("read"));
        // Packs go while nobody reads: beside readers without a pause they would all stay.
        std::thread::sleep(REST);
    }
    read
}

/// What prunes did.
#[derive(Debug, Default)]
struct Pruned {
    prunes: u64,
    snapshots: u64,
    packs: u64,
    compacted: u64,
}

/// Prunes again and again, with the shortest times that the configuration takes.
fn prune(house: &House, until: Instant) -> Pruned {
    let mut pruned = Pruned::default();
    while Instant::now() < until {
        let mut arguments = vec!["prune", "--yes", "--flood-explained", "--json"];
        if pruned.prunes % 3 == 2 {
            arguments.extend(["--compact", "--identity", "owner.key"]);
        }
        let report = house.dozo(&arguments).expect(0).json();
        pruned.prunes += 1;
        pruned.snapshots += report["pruned"]["snapshots"].as_u64().unwrap();
        pruned.packs += report["pruned"]["packs"].as_u64().unwrap();
        pruned.compacted += report["compacted"]["packs"].as_u64().unwrap_or(0);
    }
    pruned
}

/// A machine that joins the repository with credentials of its own.
fn joined(server: &Server, first: &House, name: &str, who: (&str, &str), more: &str) -> House {
    let house = bucket_house(server, who, &format!("host = {name:?}\n{more}"));
    fs::copy(first.path("owner.key"), house.path("owner.key")).unwrap();
    house.dozo(&["join", "--identity", "owner.key"]).expect(0);
    house
}

#[test]
fn two_hosts_a_reader_and_a_pruner_share_a_bucket() {
    let Some(server) = Server::start(Kind::Seaweed) else { return };
    server.make_bucket("backups");
    server.forbid_deleting("backups");
    let web = bucket_house(&server, BACKUP, "host = \"web\"");
    web.dozo(&["init", "--single-owner"]).expect(0);
    let database = joined(&server, &web, "database", BACKUP, "");
    let keeper = joined(&server, &web, "keeper", ADMIN, "role = \"maintain\"");
    keeper.configure(
        "[prune]\ngrace = \"1s\"\npack_age_min = \"1s\"\n[prune.others]\nlast = 3\nsuperseded_for = \"0d\"\n",
    );
    let reader = joined(&server, &web, "reader", BACKUP, "");
    let mut hosts = [Host { house: web, name: "web", seed: 1 }, Host { house: database, name: "database", seed: 2 }];
    let told = Told::default();
    for host in &mut hosts {
        host.change();
        host.house.configure_files("files", "tree");
        // Where no run ever came to its end, a prune is refused: it could not tell what is alive.
        host.run(&told);
    }
    let trees = hosts.iter().map(|host| (host.name, host.house.path("tree").display().to_string())).collect();
    let until = Instant::now() + Duration::from_secs(soak(SECONDS, SECONDS_SOAK) as u64);
    let (runs, pruned, read) = std::thread::scope(|scope| {
        let writers: Vec<_> = hosts.iter_mut().map(|host| scope.spawn(|| host.write(until, &told))).collect();
        let pruner = scope.spawn(|| prune(&keeper, until));
        let read = read(&reader, &trees, until);
        let runs: usize = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        (runs, pruner.join().unwrap(), read)
    });
    let told = told.into_inner().unwrap();
    eprintln!("{runs} runs, {} restores, {pruned:?}", read.len());
    assert!(runs > 4 && !read.is_empty() && pruned.snapshots > 0, "{pruned:?}");
    for (snapshot, found) in &read {
        assert_eq!(found, &told[snapshot], "{snapshot} as it was read in between");
    }
    all_is_there(&reader, &hosts, &told);
    // What the last ones condemned goes, and takes nothing with it.
    std::thread::sleep(Duration::from_secs(2));
    let last = prune(&keeper, Instant::now() + Duration::from_millis(1));
    // On a machine that is busy each prune may have met somebody at work, and put its packs off until now.
    assert!(pruned.packs + last.packs > 0, "{pruned:?}, {last:?}");
    all_is_there(&reader, &hosts, &told);
}

/// Every snapshot verifies to the last byte and restores what its host had.
fn all_is_there(reader: &House, hosts: &[Host<'_>], told: &HashMap<String, Vec<String>>) {
    reader.dozo(&["verify", "--read-data", "--identity", "owner.key"]).expect(0);
    let all = listed(reader);
    assert!(all.len() >= hosts.len());
    for (snapshot, name) in all {
        let host = hosts.iter().find(|host| host.name == name).unwrap();
        reader.restore(&snapshot, "back", &[]).expect(0);
        let back = reader.path("back").join(host.house.path("tree").strip_prefix("/").unwrap());
        assert_eq!(describe(&back), told[&snapshot], "{snapshot}");
        fs::remove_dir_all(reader.path("back")).unwrap();
    }
}
