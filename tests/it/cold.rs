//! Content in cold storage: what is never read, what is said, what is asked for and how often. The server is ours
//! ([`crate::glacier`]), because none that can be had here has such storage.

use std::time::Duration;

use crate::glacier::{Glacier, Lies, reads_and_thaws};
use crate::house::{House, Said};
use crate::server::ADMIN;

/// A house whose packs of content go where the server says, with several of them.
fn house(glacier: &Glacier, more: &str) -> House {
    let house = House::bare();
    house.write_secret("access", ADMIN.0);
    house.write_secret("secret", ADMIN.1);
    let endpoint = glacier.endpoint();
    let text = format!(
        "[repository]\nurl = \"s3://backups/deep/dozo\"\nkey = \"host.key\"\nrole = \"maintain\"\n[repository.s3]\n\
         endpoint = \"{endpoint}\"\naccess_key = {{ file = \"access\" }}\nsecret_key = {{ file = \"secret\" }}\n\
         allow_http = true\n{more}\n"
    );
    std::fs::write(house.path("dozo.toml"), text).unwrap();
    house.dozo(&["init", "--single-owner"]).expect(0);
    std::fs::create_dir(house.path("data")).unwrap();
    house.configure_files("files", "data");
    for run in 0..3 {
        std::fs::write(house.path(format!("data/{run}")), format!("what came with run {run}")).unwrap();
        house.dozo(&["run"]).expect(0);
    }
    assert!(glacier.packs(Lies::Warm).0 >= 3, "each run stored a pack");
    house
}

fn restore(house: &House, to: &str, more: &[&str]) -> Said {
    house.restore("files", to, more)
}

#[track_caller]
fn is_back(house: &House, to: &str) {
    let data = house.path("data");
    for run in 0..3 {
        let back = house.path(to).join(data.strip_prefix("/").unwrap()).join(run.to_string());
        assert_eq!(std::fs::read_to_string(back).unwrap(), format!("what came with run {run}"));
    }
}

#[test]
fn runs_and_whatever_needs_no_content_never_read_it() {
    let glacier = Glacier::start();
    let house = house(&glacier, "storage_class = \"DEEP_ARCHIVE\"");
    assert_eq!(glacier.packs(Lies::Cold), (3, 3), "packs of content alone, and all of them");
    assert_eq!(reads_and_thaws(&glacier.asked()).0, 0, "three runs and an init");
    // Everything is read from the source, and found again in the store.
    house.dozo(&["run", "--full"]).expect(0);
    for command in [
        &["verify"][..],
        &["key", "test", "--identity", "owner.key"],
        &["status", "--space"],
        &["snapshots"],
        &["ls", "files", "-r"],
        &["prune", "--yes"],
        &["prune", "--yes", "--compact", "--identity", "owner.key"],
        &["repair"],
        &["check"],
    ] {
        house.dozo(command).expect(0);
        let asked = glacier.asked();
        let (reads, thaws) = reads_and_thaws(&asked);
        let probes = if command[0] == "key" { 3 } else { 0 };
        assert!(reads <= probes && thaws.is_empty(), "{command:?} read {reads} packs: {asked:?}");
    }
}

#[test]
fn packs_that_are_mostly_dead_stay_where_they_are_cold() {
    let glacier = Glacier::start();
    let house = house(&glacier, "");
    house.configure(
        "[prune]\npack_age_min = \"0s\"\n[defaults]\nretention = { last = 1, superseded_for = \"0d\" }\nguard = false",
    );
    // One pack with two files, of which the larger one goes.
    let noise: Vec<u8> = (0..100_000_u32).flat_map(|n| (n.wrapping_mul(n) >> 3).to_le_bytes()).collect();
    std::fs::write(house.path("data/large"), &noise).unwrap();
    std::fs::write(house.path("data/small"), "what stays").unwrap();
    house.dozo(&["run"]).expect(0);
    std::fs::remove_file(house.path("data/large")).unwrap();
    house.dozo(&["run"]).expect(0);
    glacier.lay(Lies::Cold);
    glacier.asked();
    let compact = ["prune", "--yes", "--compact", "--identity", "owner.key", "--json"];
    let said = house.dozo(&compact).expect(0).json();
    assert_eq!((&said["compacted"]["packs_cold"], &said["compacted"]["packs"]), (&1.into(), &0.into()), "{said}");
    let asked = glacier.asked();
    let (reads, thaws) = reads_and_thaws(&asked);
    assert!(reads == 1 && thaws.is_empty(), "one look: {asked:?}");
    // The same where it is warm: so the first could have been otherwise.
    glacier.lay(Lies::Warm);
    let said = house.dozo(&compact).expect(0).json();
    assert_eq!((&said["compacted"]["packs_cold"], &said["compacted"]["packs"]), (&0.into(), &1.into()), "{said}");
}

#[test]
fn without_the_operators_word_nothing_is_asked_for() {
    let glacier = Glacier::start();
    let house = house(&glacier, "");
    glacier.lay(Lies::Cold);
    glacier.asked();
    let said = restore(&house, "back", &[]).expect(2);
    assert!(said.err.contains("3 packs") && said.err.contains("lie in cold storage"), "{}", said.err);
    assert!(said.err.contains("`--thaw`") && said.err.contains("7 days"), "{}", said.err);
    assert!(!house.path("back").exists(), "the restore had not begun");
    let identity = ["--identity", "owner.key"];
    house.dozo(&[&["verify", "--read-data"][..], &identity].concat()).expect(2);
    house.dozo(&["verify", "--scrub"]).expect(2);
    let path = house.path("data/1").display().to_string();
    let said = house.dozo(&[&["cat", "files", &path][..], &identity].concat()).expect(2);
    assert!(said.err.contains("1 pack ("), "{}", said.err);
    let asked = glacier.asked();
    assert!(reads_and_thaws(&asked).1.is_empty());
    let leases: Vec<_> = asked.iter().filter(|a| a.name.contains("leases/") && a.method == "PUT").collect();
    // Put, named tombstones, released.
    assert_eq!(leases.len(), 9, "each lease was released: {leases:?}");
}

#[test]
fn all_is_asked_for_before_the_first_is_waited_for() {
    let glacier = Glacier::start();
    let house = house(&glacier, "thaw = { tier = \"bulk\", days = 3, wait = \"1s\" }");
    glacier.lay(Lies::Cold);
    glacier.asked();
    // Nothing arrives: the wait has an end, and what was asked for stays asked for.
    let said = restore(&house, "back", &["--thaw"]).expect(1);
    assert!(said.err.contains("3 packs are still on their way"), "{}", said.err);
    let asked = glacier.asked();
    let (_, thaws) = reads_and_thaws(&asked);
    assert_eq!(thaws.len(), 3, "{thaws:?}");
    assert!(thaws.iter().all(|thaw| thaw.status == 202 && thaw.body.contains("<Days>3</Days>")), "{thaws:?}");
    assert!(thaws.iter().all(|thaw| thaw.body.contains("<Tier>Bulk</Tier>")), "{thaws:?}");
    assert_eq!(glacier.packs(Lies::OnItsWay), (3, 3));

    // Begun again: waited for, and not asked for twice; without the word, told.
    let said = restore(&house, "back", &[]).expect(1);
    assert!(said.err.contains("are on their way out of cold storage"), "{}", said.err);
    restore(&house, "back", &["--thaw"]).expect(1);
    assert!(reads_and_thaws(&glacier.asked()).1.is_empty());
    // A target that will not do is told before anybody waits.
    std::fs::create_dir(house.path("back")).unwrap();
    std::fs::write(house.path("back/mine"), "").unwrap();
    assert!(restore(&house, "back", &["--thaw"]).expect(2).err.contains("is not empty"));
    std::fs::remove_file(house.path("back/mine")).unwrap();

    glacier.arrive();
    restore(&house, "back", &[]).expect(0);
    is_back(&house, "back");
}

#[test]
fn what_arrives_while_it_is_waited_for_is_restored() {
    let glacier = Glacier::start();
    let house = house(&glacier, "");
    glacier.lay(Lies::Cold);
    glacier.be_busy(2);
    glacier.asked();
    let said = std::thread::scope(|scope| {
        let restore = scope.spawn(|| restore(&house, "back", &["--thaw=bulk"]));
        // The last request comes before the first pack.
        while glacier.packs(Lies::OnItsWay).1 < 3 && !restore.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
        }
        glacier.arrive();
        restore.join().unwrap()
    });
    let said = said.expect(0);
    assert!(said.err.contains("asking the store to bring back 3 packs"), "{}", said.err);
    is_back(&house, "back");
    let asked = glacier.asked();
    let (_, thaws) = reads_and_thaws(&asked);
    let done: Vec<_> = thaws.iter().filter(|thaw| thaw.status == 202).collect();
    assert_eq!((thaws.len(), done.len()), (5, 3), "two were refused by a busy server: {thaws:?}");
    house.dozo(&["verify", "--read-data", "--identity", "owner.key"]).expect(0);
}

#[test]
fn only_what_is_needed_is_brought_back() {
    let glacier = Glacier::start();
    let house = house(&glacier, "");
    glacier.lay(Lies::Cold);
    glacier.hurry();
    let path = house.path("data/1").display().to_string();
    let said = house.dozo(&["cat", "files", &path, "--identity", "owner.key", "--thaw"]).expect(0);
    assert_eq!(said.out, "what came with run 1");
    assert_eq!(glacier.packs(Lies::Thawed), (3, 1));
    house.dozo(&["verify", "--read-data", "--identity", "owner.key", "--thaw"]).expect(0);
    assert_eq!(glacier.packs(Lies::Thawed), (3, 3));
    house.dozo(&["verify", "--read-data", "--identity", "owner.key"]).expect(0);
}
