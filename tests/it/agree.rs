//! Commands agree on what is damaged: what one calls damage, no other passes over, and a plan counts what it names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::house::House;

/// What there is in a repository that was pruned, and in which somebody holds a snapshot.
const KINDS: [&str; 8] =
    ["packs", "catalog", "index", "snapshots", "records/hold", "records/run", "leases", "tombstones"];

fn house() -> House {
    let house = House::new();
    fs::create_dir(house.path("data")).unwrap();
    house.configure_files("files", "data");
    house.configure("[defaults]\nretention = { last = 2, superseded_for = \"0d\" }\n[prune]\npack_age_min = \"1s\"");
    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    fs::write(house.path("dozo.toml"), text.replacen("[repository]", "[repository]\nrole = \"maintain\"", 1)).unwrap();
    for round in 0..4 {
        fs::write(house.path("data/changing"), format!("{round}")).unwrap();
        house.dozo(&["run"]).expect(0);
    }
    house.dozo(&["hold", "files", "--why", "the audit"]).expect(0);
    std::thread::sleep(std::time::Duration::from_secs(2));
    house.dozo(&["prune", "--yes"]).expect(0);
    house
}

fn newest(directory: &Path) -> PathBuf {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut todo = vec![directory.to_path_buf()];
    while let Some(directory) = todo.pop() {
        for item in fs::read_dir(directory).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() { todo.push(path) } else { found.push(path) }
        }
    }
    found.sort_by_key(|path| (fs::metadata(path).unwrap().modified().unwrap(), path.clone()));
    found.pop().unwrap()
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn verify_repair_status_and_prune_agree_on_each_kind_of_object() {
    let house = house();
    let (repository, whole) = (house.path("repository"), house.path("whole"));
    copy(&repository, &whole);
    house.dozo(&["verify", "--scrub"]).expect(0);
    assert_eq!(house.dozo(&["repair"]).expect(0).out, "nothing to repair\n");
    for kind in KINDS {
        for how in ["flip", "truncate"] {
            let case = format!("{kind} {how}");
            copy(&whole, &repository);
            let object = newest(&repository.join(kind));
            let mut bytes = fs::read(&object).unwrap();
            match how {
                "flip" => *bytes.last_mut().unwrap() ^= 1,
                _ => bytes.truncate(bytes.len() / 2),
            }
            fs::write(&object, bytes).unwrap();
            let name = object.strip_prefix(&repository).unwrap().display().to_string();

            let verify = house.dozo(&["verify", "--scrub"]);
            assert!(verify.code == 5 && verify.out.contains(&name), "{case}: {}{}", verify.out, verify.err);
            let repair = house.dozo(&["repair"]);
            let is_named = repair.out.contains(&name) && !repair.out.contains("nothing to repair");
            assert!(is_named && [0, 5].contains(&repair.code), "{case}: {} {}{}", repair.code, repair.out, repair.err);
            let status = house.dozo(&["status"]);
            assert!([3, 5].contains(&status.code), "{case}: {}", status.out);
            let prune = house.dozo(&["prune"]);
            let going = prune.out.lines().filter(|line| line.starts_with("delete ")).count();
            let counted = prune.out.lines().find(|line| line.contains(" to delete, "));
            let is_counted = |line: &str| line.starts_with(&format!("{going} snapshot"));
            assert!(counted.is_none_or(is_counted), "{case}: {}", prune.out);
            assert!(prune.code != 0 || counted.is_some(), "{case}: {}", prune.out);
        }
    }
    // What was put back is whole to everybody.
    copy(&whole, &repository);
    house.dozo(&["verify", "--scrub"]).expect(0);
    assert_eq!(house.dozo(&["repair"]).expect(0).out, "nothing to repair\n");
}
