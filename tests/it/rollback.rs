//! Stores that were put back, emptied, or not mounted: what a host remembers, what it refuses, and what it does not mistake for
//! a rollback.

use std::fs;
use std::path::Path;

use crate::house::House;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        match item.file_type().unwrap().is_dir() {
            true => copy(&item.path(), &to.join(item.file_name())),
            false => _ = fs::copy(item.path(), to.join(item.file_name())).unwrap(),
        }
    }
}

/// A house with two jobs, each of which ran once.
fn house() -> House {
    let house = House::new();
    house.configure("# role");
    for job in ["files", "others"] {
        fs::create_dir(house.path(job)).unwrap();
        fs::write(house.path(job).join("one"), "one").unwrap();
        house.configure_files(job, job);
    }
    house.dozo(&["run"]).expect(0);
    house.dozo(&["key", "test", "--identity", "owner.key"]).expect(0);
    house
}

/// The store as it is now, set aside; and back.
fn set_aside(house: &House, name: &str) {
    copy(&house.path("repository"), &house.path(name));
}

fn put_back(house: &House, name: &str) {
    fs::remove_dir_all(house.path("repository")).unwrap();
    copy(&house.path(name), &house.path("repository"));
}

fn may_delete(house: &House) {
    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    fs::write(house.path("dozo.toml"), text.replace("[repository]", "[repository]\nrole = \"maintain\"")).unwrap();
}

/// The names of all objects of a kind.
fn objects(house: &House, directory: &str) -> Vec<String> {
    fn walk(directory: &Path, found: &mut Vec<String>) {
        let Ok(items) = fs::read_dir(directory) else { return };
        for path in items.map(|item| item.unwrap().path()) {
            if path.is_dir() { walk(&path, found) } else { found.push(path.display().to_string()) }
        }
    }
    let mut found = Vec::new();
    walk(&house.path("repository").join(directory), &mut found);
    found.sort();
    found
}

#[test]
fn an_old_copy_of_the_store_is_refused_until_it_is_accepted() {
    let house = house();
    set_aside(&house, "old");
    house.dozo(&["run", "files"]).expect(0);
    house.dozo(&["run", "files"]).expect(0);
    put_back(&house, "old");
    may_delete(&house);
    let snapshots = objects(&house, "snapshots");
    // The job that lost nothing, too: it would go on in a store of which others are missing.
    for job in ["files", "others"] {
        let said = house.dozo(&["run", job]).expect(5);
        assert!(said.err.contains("the newest snapshot of `files` was number 3"), "{}", said.err);
        assert!(said.err.contains("and is number 1 now"), "{}", said.err);
        assert!(said.err.contains("dozo check --accept-rollback"), "{}", said.err);
    }
    house.dozo(&["prune", "--yes"]).expect(5);
    assert_eq!(objects(&house, "snapshots"), snapshots);
    for command in [&["verify"], &["check"]] {
        let said = house.dozo(command).expect(5);
        assert!(said.err.contains("alert: ") && said.err.contains("`files` was number 3"), "{command:?}: {}", said.err);
    }
    let said = house.dozo(&["status"]).expect(5);
    let line = said.out.lines().find(|line| line.starts_with("damaged: the store shows less than it did")).unwrap();
    assert!(line.contains("`files` was number 3") && line.contains("dozo check --accept-rollback"), "{line}");
    let status = house.dozo(&["status", "--json"]).expect(5).json();
    assert_eq!(status["rolled_back"][0]["shown"], 1, "{status}");
    assert!(status["findings"].as_array().unwrap().iter().any(|found| found["kind"] == "rolled-back"), "{status}");
    // Looking again does not make it right.
    house.dozo(&["run", "files"]).expect(5);

    // What is there can be had all the same.
    let said = house.restore("files", "back", &[]).expect(0);
    assert!(said.err.contains("note: ") && said.err.contains("number 3"), "{}", said.err);
    house.dozo(&["snapshots"]).expect(0);

    house.dozo(&["check", "--accept-rollback"]).expect(0);
    house.dozo(&["run"]).expect(0);
    // What was refused has to be done before all is well.
    house.dozo(&["status"]).expect(3);
    house.dozo(&["prune", "--yes"]).expect(0);
    house.dozo(&["verify"]).expect(0);
    assert!(!house.dozo(&["status"]).expect(0).out.contains("damaged"));
}

#[test]
fn a_newer_copy_is_none_and_a_job_that_is_gone_altogether_is_one() {
    let house = house();
    set_aside(&house, "old");
    house.dozo(&["run"]).expect(0);
    set_aside(&house, "new");
    put_back(&house, "old");
    house.dozo(&["check", "--accept-rollback"]).expect(0);
    put_back(&house, "new");
    house.dozo(&["run"]).expect(0);
    // All snapshots of one job, which is what a thief of the store's credentials would delete.
    let gone = objects(&house, "snapshots");
    let of_job = Path::new(&gone[0]).parent().unwrap();
    fs::remove_dir_all(of_job).unwrap();
    let said = house.dozo(&["run"]).expect(5);
    assert!(said.err.contains("was number 3") && said.err.contains("and is none now"), "{}", said.err);
}

#[test]
fn what_was_let_go_of_or_is_damaged_is_no_rollback() {
    let house = house();
    may_delete(&house);
    house.dozo(&["run", "files"]).expect(0);
    let rows = house.dozo(&["snapshots", "files", "--json"]).expect(0).out;
    let newest: serde_json::Value = serde_json::from_str(rows.lines().last().unwrap()).unwrap();
    let id = newest["id"].as_str().unwrap();
    let object = objects(&house, "snapshots").into_iter().find(|name| name.ends_with(id)).unwrap();
    let mut bytes = fs::read(&object).unwrap();
    bytes[300] ^= 1;
    fs::write(&object, bytes).unwrap();
    let said = house.dozo(&["status"]).expect(5);
    let line = "damaged: 1 object is damaged or missing: snapshots/";
    assert!(said.out.contains(line) && !said.out.contains("shows less than it did"), "{}", said.out);
    let unread = &house.dozo(&["status", "--json"]).expect(5).json()["findings"];
    assert!(unread.as_array().unwrap().iter().any(|found| found["kind"] == "unread"), "{unread}");
    house.dozo(&["run", "files"]).expect(0);
    house.dozo(&["run", "files"]).expect(0);

    // The newest is damaged, and given up: the record says so, so nothing was rolled back.
    let rows = house.dozo(&["snapshots", "files", "--json"]).expect(5).out;
    let newest: serde_json::Value = serde_json::from_str(rows.lines().last().unwrap()).unwrap();
    let id = newest["id"].as_str().unwrap();
    let object = objects(&house, "snapshots").into_iter().find(|name| name.ends_with(id)).unwrap();
    fs::write(&object, "not a document").unwrap();
    let first = objects(&house, "snapshots").into_iter().filter(|name| fs::read(name).unwrap().len() < 20).count();
    assert_eq!(first, 1);
    let damaged: Vec<String> = house.dozo(&["repair", "--json"]).json()["lost"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|lost| Some(lost[0].as_str()?.rsplit('-').next()?.to_string()))
        .collect();
    assert!(damaged.iter().any(|damaged| damaged == id), "{damaged:?}");
    let give_up: Vec<&str> = damaged.iter().flat_map(|id| ["--give-up", id]).collect();
    house.dozo(&[&["repair", "--yes"][..], &give_up].concat()).expect(0);
    assert!(!house.dozo(&["status"]).expect(0).out.contains("shows less"));
    house.dozo(&["run", "files"]).expect(0);
}

#[test]
fn a_disk_that_is_not_mounted_is_refused_and_left_alone() {
    let house = house();
    fs::rename(house.path("repository"), house.path("disk")).unwrap();
    fs::create_dir(house.path("repository")).unwrap();
    for command in [&["run"][..], &["status"], &["verify"], &["prune"], &["check", "--accept-rollback"]] {
        let said = house.dozo(command).expect(2);
        assert!(said.err.contains("file system mounted"), "{command:?}: {}", said.err);
    }
    assert_eq!(fs::read_dir(house.path("repository")).unwrap().count(), 0);
    fs::remove_dir(house.path("repository")).unwrap();
    house.dozo(&["run"]).expect(2);
    assert!(!house.path("repository").exists());
    fs::rename(house.path("disk"), house.path("repository")).unwrap();
    house.dozo(&["run"]).expect(0);
}

#[test]
fn a_memory_that_is_lost_or_broken_is_told_and_blocks_nothing() {
    let house = house();
    let files = || fs::read_dir(house.path("state/dozo/seen")).unwrap().map(|item| item.unwrap().path());
    let file = files().find(|file| file.extension().is_some_and(|ending| ending == "json")).unwrap();
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let said = house.dozo(&["run", "files"]).expect(0);
    assert!(said.err.contains("cannot be told this time"), "{}", said.err);
    assert!(!house.dozo(&["run", "files"]).expect(0).err.contains("cannot be told"));
    fs::remove_dir_all(house.path("state")).unwrap();
    let said = house.dozo(&["run", "files"]).expect(0);
    assert!(said.err.contains("this host remembers nothing of the repository"), "{}", said.err);
    assert!(!house.dozo(&["run", "files"]).expect(0).err.contains("remembers nothing"));
    // One that cannot be written: the snapshot is made, and the operator told.
    fs::remove_dir_all(house.path("state")).unwrap();
    fs::write(house.path("state"), "").unwrap();
    let said = house.dozo(&["run", "files"]).expect(0);
    assert!(said.err.contains("could not remember it"), "{}", said.err);
}

#[test]
fn two_hosts_and_a_mirror_that_lags() {
    let house = house();
    let url = format!("file://{}", house.path("repository").display());
    let other = House::bare();
    other
        .dozo(&["join", &url, "--identity", &house.path("owner.key").display().to_string(), "--host", "second"])
        .expect(0);
    fs::create_dir(other.path("files")).unwrap();
    fs::write(other.path("files/one"), "one").unwrap();
    other.configure_files("files", "files");
    other.dozo(&["run"]).expect(0);
    let nas = house.path("nas");
    fs::create_dir(&nas).unwrap();
    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    let mirrors = format!("[repository]\nmirrors = [{{ name = \"nas\", url = \"file://{}\" }}]", nas.display());
    fs::write(house.path("dozo.toml"), text.replace("[repository]", &mirrors)).unwrap();
    house.dozo(&["mirror", "--create"]).expect(0);
    // Side by side, and both remember.
    std::thread::scope(|scope| {
        for job in ["files", "others"] {
            let house = &house;
            scope.spawn(move || (0..2).for_each(|_| _ = house.dozo(&["run", job]).expect(0)));
        }
        scope.spawn(|| (0..2).for_each(|_| _ = other.dozo(&["run"]).expect(0)));
    });
    house.dozo(&["status"]).expect(0);
    other.dozo(&["status"]).expect(0);

    // The mirror shows less, as mirrors do: told, and read from.
    let said = house.dozo(&["restore", "files", "--from", "nas", "--to", "back", "--identity", "owner.key"]).expect(0);
    assert!(said.err.contains("shows less than it did") && said.err.contains("`files` was number 3"), "{}", said.err);
    house.dozo(&["verify", "--from", "nas"]).expect(0);

    // In the place of the repository it is refused, by each host, until each accepts it.
    house.dozo(&["run", "others"]).expect(0);
    fs::remove_dir_all(house.path("repository")).unwrap();
    fs::create_dir(house.path("repository")).unwrap();
    house.dozo(&["mirror", "--from", "nas", "--create"]).expect(0);
    for host in [&house, &other] {
        host.dozo(&["run"]).expect(5);
        host.dozo(&["check", "--accept-rollback"]).expect(0);
        host.dozo(&["run"]).expect(0);
    }
}
