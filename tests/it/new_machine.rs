//! The first hour of a bad day: another machine, with nothing but the recovery kit, an owner's key and the store's credentials.
//! One command lists, one restores; nothing is written down, here or there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::house::{House, Said, guests, said};
use crate::server::{ADMIN, Kind, READER, Server};
use crate::stores::{bucket_house, fill};

/// A machine that has what lies in the safe: the files that `key kit --out` wrote, and the owner's key.
fn new_machine(house: &House) -> House {
    let there = House::bare();
    for item in fs::read_dir(house.path("kit")).unwrap() {
        let file = item.unwrap();
        fs::copy(file.path(), there.path(file.file_name())).unwrap();
    }
    fs::copy(house.path("owner.key"), there.path("owner.key")).unwrap();
    there
}

/// Runs a line of the kit as it stands there, in a shell, with these variables.
fn typed(there: &House, line: &str, variables: &[(&str, &str)]) -> Said {
    let path = format!("{}:{}", crate::house::binary().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(line).current_dir(there.path("")).env("PATH", path).env("TZ", "UTC");
    shell
        .env("XDG_CACHE_HOME", crate::house::cache())
        .env("XDG_STATE_HOME", there.path("state"))
        .env_remove("DOZO_LOG");
    said(shell.envs(variables.iter().copied()).output().unwrap())
}

/// The lines of the kit that begin so.
fn lines(page: &str, begin: &str) -> Vec<String> {
    page.lines().map(str::trim).filter(|line| line.starts_with(begin)).map(str::to_string).collect()
}

fn make_kit(house: &House) -> String {
    fs::create_dir(house.path("kit")).unwrap();
    house.dozo(&["key", "kit", "--out", "kit/kit.txt"]).expect(0);
    fs::read_to_string(house.path("kit/kit.txt")).unwrap()
}

/// Every file below a directory, with its bytes.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut todo) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(directory) = todo.pop() {
        for item in fs::read_dir(directory).unwrap() {
            let path = item.unwrap().path();
            match path.is_dir() {
                true => todo.push(path),
                false => _ = found.insert(path.display().to_string(), fs::read(&path).unwrap()),
            }
        }
    }
    found
}

fn tree_of(house: &House, name: &str) -> String {
    house.path(name).strip_prefix("/").unwrap().display().to_string()
}

#[test]
fn the_kit_alone_lists_and_restores_from_a_bucket() {
    let Some(server) = Server::start(Kind::Seaweed) else { return };
    server.make_bucket("backups");
    let house = bucket_house(&server, ADMIN, "");
    fill(&house, 2);
    house.dozo(&["init", "--single-owner"]).expect(0);
    house.dozo(&["run"]).expect(0);
    let page = make_kit(&house);
    let there = new_machine(&house);
    for credentials in [READER, ADMIN] {
        let variables = [("AWS_ACCESS_KEY_ID", credentials.0), ("AWS_SECRET_ACCESS_KEY", credentials.1)];
        let [list] = &lines(&page, "dozo snapshots")[..] else { panic!("{page}") };
        let listed = typed(&there, list, &variables).expect(0);
        assert!(listed.out.contains("files"), "{}", listed.out);
        let [restore] = &lines(&page, "dozo restore")[..] else { panic!("{page}") };
        let restore = restore.replace("JOB", "files").replace("restored", credentials.0);
        let restored = typed(&there, &restore, &variables).expect(0);
        // Who may not write reads all the same, and is told what that means.
        assert_eq!(restored.err.contains("without a lease"), credentials == READER, "{}", restored.err);
        let back = there.path(credentials.0).join(tree_of(&house, "data"));
        assert_eq!(fs::read(back.join("1")).unwrap(), fs::read(house.path("data/1")).unwrap());
        // The same commands, of which the kit shows but two.
        let options = list.strip_prefix("dozo snapshots").unwrap();
        typed(&there, &format!("dozo ls files -r {options}"), &variables).expect(0);
        typed(
            &there,
            &format!("dozo cat 'files:/{}' 1 {options} | cmp - {}/1", tree_of(&house, "data"), back.display()),
            &variables,
        )
        .expect(0);
        let verified = typed(&there, &format!("dozo verify --read-data {options}"), &variables).expect(0);
        assert!(!verified.err.contains("could not be recorded"), "{}", verified.err);
    }
    assert!(!there.path("dozo.toml").exists() && !there.path("host.key").exists(), "nothing is written down");

    // The address may come from the environment, as with other programs of S3.
    let id = lines(&page, "repository")[0].rsplit(' ').next().unwrap().to_string();
    let bare = format!(
        "dozo snapshots --repository s3://backups/deep/dozo --repository-id {id} --allow-http --identity owner.key"
    );
    let endpoint = server.endpoint();
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
        let variables =
            [("AWS_ACCESS_KEY_ID", READER.0), ("AWS_SECRET_ACCESS_KEY", READER.1), (name, endpoint.as_str())];
        assert!(typed(&there, &bare, &variables).expect(0).out.contains("files"));
    }
    let variables = [
        ("AWS_ACCESS_KEY_ID", READER.0),
        ("AWS_SECRET_ACCESS_KEY", READER.1),
        ("AWS_ENDPOINT_URL", "http://nowhere.invalid:9000"),
    ];
    let nowhere = typed(&there, &bare, &variables).expect(1);
    assert!(nowhere.err.contains("at nowhere.invalid:9000"), "{}", nowhere.err);

    // What the environment says when the configuration is written stands in it: cron has another environment.
    let join = format!("dozo join s3://backups/deep/dozo --allow-http --repository-id {id} --identity owner.key");
    let other = new_machine(&house);
    typed(
        &other,
        &join,
        &[("AWS_ACCESS_KEY_ID", ADMIN.0), ("AWS_SECRET_ACCESS_KEY", ADMIN.1), ("AWS_ENDPOINT_URL", &endpoint)],
    )
    .expect(0);
    assert!(fs::read_to_string(other.path("dozo.toml")).unwrap().contains(&format!("endpoint = \"{endpoint}\"")));
    fs::remove_file(other.path("host.key")).unwrap();
    let named =
        typed(&other, &format!("dozo join --repository-id {id} --identity owner.key --host web-9"), &[]).expect(2);
    assert!(named.err.contains("write `host = \"web-9\"` into its [repository]"), "{}", named.err);

    // A host writes: who may not write is none, and nothing of the attempt is left.
    let join = format!(
        "dozo join s3://backups/deep/dozo --endpoint {endpoint} --allow-http --repository-id {id} --identity owner.key"
    );
    let reader = [("AWS_ACCESS_KEY_ID", READER.0), ("AWS_SECRET_ACCESS_KEY", READER.1)];
    let refused = typed(&there, &join, &reader).expect(1);
    assert!(refused.err.contains("hint: a host writes") && refused.err.contains("dozo restore"), "{}", refused.err);
    assert!(!there.path("dozo.toml").exists() && !there.path("host.key").exists(), "nothing is left of it");
    let admin = [("AWS_ACCESS_KEY_ID", ADMIN.0), ("AWS_SECRET_ACCESS_KEY", ADMIN.1)];
    typed(&there, &join, &admin).expect(0);
    assert!(fs::read_to_string(there.path("dozo.toml")).unwrap().contains(&format!("endpoint = \"{endpoint}\"")));
    typed(&there, "dozo snapshots", &admin).expect(0);
}

#[test]
fn a_kit_of_a_store_with_its_own_authority_has_the_certificates() {
    let Some(server) = Server::start(Kind::RcloneTls) else { return };
    server.make_bucket("backups");
    let house = bucket_house(&server, ADMIN, "");
    house.configure(&format!("ca = {:?}", server.authority().display().to_string()));
    fill(&house, 1);
    house.dozo(&["init", "--single-owner"]).expect(0);
    house.dozo(&["run"]).expect(0);
    let page = make_kit(&house);
    assert!(page.contains("SHA-256"), "{page}");
    let there = new_machine(&house);
    fs::remove_file(server.authority()).unwrap();
    let variables = [("AWS_ACCESS_KEY_ID", ADMIN.0), ("AWS_SECRET_ACCESS_KEY", ADMIN.1)];
    let [list] = &lines(&page, "dozo snapshots")[..] else { panic!("{page}") };
    assert!(list.contains("--ca store-ca.pem"), "{list}");
    assert!(typed(&there, list, &variables).expect(0).out.contains("files"));
    // A directory of the provider's own naming.
    let wrong = typed(&there, &list.replace(" --ca store-ca.pem", ""), &variables).expect(2);
    assert!(wrong.err.contains("`--ca FILE`"), "{}", wrong.err);
}

#[test]
fn the_kit_of_a_directory_with_an_odd_name_can_be_typed() {
    let house = House::bare();
    fs::create_dir_all(house.path("My Backup #1, it's 100%")).unwrap();
    let directory = house.path("My Backup #1, it's 100%/r");
    // A path is as good as its URL.
    house.dozo(&["init", &directory.display().to_string(), "--single-owner"]).expect(0);
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/file"), "content").unwrap();
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    let page = make_kit(&house);
    assert!(page.contains("My%20Backup%20%231"), "{page}");
    let there = new_machine(&house);
    let before = files(&directory);
    let [list] = &lines(&page, "dozo snapshots")[..] else { panic!("{page}") };
    assert!(typed(&there, list, &[]).expect(0).out.contains("files"));
    assert_eq!(before, files(&directory), "a listing writes nothing");
    let [restore] = &lines(&page, "dozo restore")[..] else { panic!("{page}") };
    typed(&there, &restore.replace("JOB", "files"), &[]).expect(0);
    let file = there.path("restored").join(tree_of(&house, "tree")).join("file");
    assert_eq!(fs::read_to_string(&file).unwrap(), "content");

    // And without dozo.
    fs::remove_dir_all(there.path("restored")).unwrap();
    let [list, restore] = &lines(&page, "sh recover.sh")[..] else { panic!("{page}") };
    let listed = typed(&there, list, &[]);
    if listed.err.contains("is needed") {
        eprintln!("SKIPPED: {}", listed.err);
        return;
    }
    let id = listed.expect(0).out.split('\t').nth(1).unwrap().to_string();
    typed(&there, &restore.replace("SNAPSHOT", &id), &[]).expect(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "content");
}

#[test]
fn an_owners_key_opens_where_the_hosts_is_gone() {
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/file"), "content").unwrap();
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    fs::remove_file(house.path("host.key")).unwrap();
    for command in [&["snapshots"][..], &["ls", "files"], &["verify"]] {
        let refused = house.dozo(command).expect(2);
        assert!(refused.err.contains("`--identity FILE` reads") && !refused.err.contains("init"), "{}", refused.err);
        house.dozo(&[command, &["--identity", "owner.key"]].concat()).expect(0);
    }
    let restored = house.restore("files", "back", &[]).expect(0);
    assert!(restored.err.contains("note: there is no host key"), "{}", restored.err);
    let run = house.dozo(&["run"]).expect(2);
    assert!(run.err.contains("`dozo join --identity FILE`"), "{}", run.err);

    // A key that pins nothing needs the id, here too: the configuration has it.
    let text = fs::read_to_string(house.path("owner.key")).unwrap();
    let bare: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    house.write_secret("bare.key", &bare);
    house.dozo(&["snapshots", "--identity", "bare.key"]).expect(0);
    let pin = text.lines().find_map(|line| line.strip_prefix("# dozo repository: ")).unwrap();
    let config = fs::read_to_string(house.path("dozo.toml")).unwrap();
    fs::write(house.path("dozo.toml"), config.replace(&format!("id = \"{pin}\"\n"), "")).unwrap();
    let unpinned = house.dozo(&["snapshots", "--identity", "bare.key"]).expect(2);
    assert!(unpinned.err.contains("--repository-id ID"), "{}", unpinned.err);
    house.dozo(&["snapshots", "--identity", "bare.key", "--repository-id", pin]).expect(0);
}

/// GUIDE: keep a copy of `dozo.toml` beside the owner's key. Whoever made that with `age-keygen` needs nothing else.
#[test]
fn a_configuration_and_any_owners_key_are_enough() {
    let house = House::new();
    let Some(second) = crate::keys::identity(&house, "second.key") else { return };
    house.dozo(&["key", "add", &second, "--identity", "owner.key"]).expect(0);
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/file"), "content").unwrap();
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    let there = House::bare();
    for file in ["dozo.toml", "second.key"] {
        fs::copy(house.path(file), there.path(file)).unwrap();
    }
    there.dozo(&["snapshots", "--identity", "second.key"]).expect(0);
    there.dozo(&["restore", "files", "--to", "back", "--identity", "second.key"]).expect(0);
    assert_eq!(fs::read_to_string(there.path("back").join(tree_of(&house, "tree")).join("file")).unwrap(), "content");
    there.dozo(&["join", "--identity", "second.key"]).expect(0);
    there.dozo(&["snapshots"]).expect(0);
    // Whoever joins is told in a file of their own which repository it was.
    let (new, url) = (House::bare(), format!("file://{}", house.path("repository").display()));
    fs::copy(house.path("owner.key"), new.path("owner.key")).unwrap();
    new.dozo(&["join", &url, "--identity", "owner.key"]).expect(0);
    let id = |house: &House| {
        let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
        text.lines().find(|line| line.starts_with("id = ")).unwrap().to_string()
    };
    assert_eq!(id(&new), id(&house));
}

#[test]
fn an_id_that_is_not_the_keys_is_refused() {
    let house = House::new();
    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    let id = text.lines().find(|line| line.starts_with("id = ")).unwrap();
    let with = |line: &str| fs::write(house.path("dozo.toml"), text.replace(id, line)).unwrap();
    with(&format!("id = \"{}\"", "0".repeat(64)));
    let other = house.dozo(&["snapshots"]).expect(2);
    assert!(other.err.contains("this is the id of another repository than that of this host's key"), "{}", other.err);
    assert!(other.err.contains("dozo.toml:") && other.err.contains("hint: "), "{}", other.err);
    with("id = \"0123\"");
    let wrong = house.dozo(&["config", "check"]).expect(2);
    assert!(wrong.err.contains("that has 64 digits"), "{}", wrong.err);
    // One that is there cannot become a new one.
    with(id);
    fs::remove_file(house.path("host.key")).unwrap();
    fs::rename(house.path("owner.key"), house.path("kept.key")).unwrap();
    let init = house.dozo(&["init", "--single-owner"]).expect(2);
    assert!(init.err.contains("`dozo join --identity FILE`") && init.err.contains("take out `id`"), "{}", init.err);
}

/// The kit has the component of a plugin that is not inside dozo, and a restore runs none but the one that made the snapshot.
#[test]
fn the_kit_has_the_components_of_other_plugins() {
    let house = House::new();
    house.write_secret("password", "hunter2hunter2");
    house.configure_guest("db", "contract", "{ act = \"note\", password = { file = \"password\" } }", "");
    house.dozo(&["run"]).expect(0);
    let page = make_kit(&house);
    let there = new_machine(&house);
    let [line] = &lines(&page, "its component is ")[..] else { panic!("{page}") };
    let component = line.rsplit(' ').next().unwrap().trim_end_matches('`');
    assert_eq!(fs::read(there.path(component)).unwrap(), fs::read(guests().join("contract.wasm")).unwrap());
    let [restore] = &lines(&page, "dozo restore")[..] else { panic!("{page}") };
    let restore = restore.replace("JOB", "db");
    let without = typed(&there, &restore, &[]).expect(2);
    assert!(without.err.contains("hint: `--plugin FILE` with its component"), "{}", without.err);
    typed(&there, &format!("{restore} --plugin {component}"), &[]).expect(0);
    assert!(fs::read_dir(there.path("restored")).unwrap().count() > 0);
    // One byte more, and it is another.
    let mut bytes = fs::read(there.path(component)).unwrap();
    bytes.push(0);
    fs::write(there.path("other.wasm"), bytes).unwrap();
    let other = restore.replace("restored", "again");
    let refused = typed(&there, &format!("{other} --plugin other.wasm"), &[]).expect(2);
    assert!(refused.err.contains("is not the component that made the snapshot"), "{}", refused.err);
    assert!(!there.path("again").exists(), "nothing is made for what is not restored");
    // Of one that is gone, the page says what to keep.
    let text = fs::read_to_string(house.path("dozo.toml")).unwrap();
    fs::write(house.path("dozo.toml"), text.split("[job.db]").next().unwrap()).unwrap();
    let page = house.dozo(&["key", "kit"]).expect(0).out;
    assert!(page.contains("NOT inside dozo: keep its component, for `dozo restore … --plugin FILE`"), "{page}");
}

#[test]
fn hints_of_a_new_machine_lead_to_the_data() {
    let house = House::new();
    let there = House::bare();
    fs::copy(house.path("owner.key"), there.path("owner.key")).unwrap();
    let url = format!("file://{}", house.path("repository").display());
    for command in [&["snapshots"][..], &["ls", "x"], &["cat", "x", "y"], &["verify"], &["restore", "x", "--to", "y"]] {
        let refused = there.dozo(command).expect(2);
        assert!(refused.err.contains("there is no configuration"), "{}", refused.err);
        assert!(refused.err.contains("hint: `--repository URL --identity FILE`"), "{}", refused.err);
        assert!(refused.err.contains("`dozo join") && !refused.err.contains("init"), "{}", refused.err);
    }
    let keyless = there.dozo(&["snapshots", "--repository", &url]).expect(2);
    assert!(keyless.err.contains("`--identity FILE`"), "{}", keyless.err);
    there.dozo(&["snapshots", "--repository", &url, "--identity", "owner.key"]).expect(0);
    let both = ["snapshots", "--repository", &url, "--identity", "owner.key", "--config", "x.toml"];
    assert!(there.dozo(&both).expect(2).err.contains("leave out one"));
    let alone = there.dozo(&["snapshots", "--endpoint", "https://s3.example.net"]).expect(2);
    assert!(alone.err.contains("add `--repository URL`"), "{}", alone.err);
    let none = there.dozo(&["snapshots", "--repository", &url, "--identity", "owner.key", "--region", "eu"]).expect(2);
    assert!(none.err.contains("`--region` means nothing for file://"), "{}", none.err);

    // What is wrong with a URL is said of the URL, not of a file that is not there.
    for (url, hint) in [
        ("sftp://me@host/backup", "mount it"),
        ("http://host:9000/bucket", "`endpoint`"),
        ("file:relative", "/relative`"),
        ("me@host:/backup", "mount it"),
        ("s3:https://host/bucket", "s3://BUCKET/PREFIX"),
    ] {
        for command in [
            &["init", url, "--single-owner"][..],
            &["join", url, "--identity", "owner.key"],
            &["snapshots", "--repository", url, "--identity", "owner.key"],
        ] {
            let refused = there.dozo(command).expect(2);
            assert!(refused.err.contains(hint) && !refused.err.contains("dozo.toml"), "{url}: {}", refused.err);
        }
    }
    assert!(!there.path("dozo.toml").exists());
}

#[test]
fn directories_above_a_store_are_made_on_demand_alone() {
    let house = House::new();
    let there = House::bare();
    let url = format!("file://{}", there.path("mnt/nas/dozo").display());
    let refused = there.dozo(&["init", &url, "--single-owner"]).expect(2);
    assert!(
        refused.err.contains("is its file system mounted?") && refused.err.contains("`--parents`"),
        "{}",
        refused.err
    );
    assert_eq!(fs::read_dir(there.path("")).unwrap().count(), 0, "nothing is left of it");
    there.dozo(&["init", &url, "--single-owner", "--parents"]).expect(0);

    let mirror = house.path("mnt/copy");
    house.configure(&format!("[[repository.mirrors]]\nname = \"nas\"\nurl = \"file://{}\"", mirror.display()));
    let missing = house.dozo(&["mirror", "nas"]).expect(2);
    assert!(missing.err.contains("mounted") && !missing.err.contains("init"), "{}", missing.err);
    let refused = house.dozo(&["mirror", "nas", "--create"]).expect(2);
    assert!(refused.err.contains("`--parents`"), "{}", refused.err);
    fs::create_dir(house.path("mnt")).unwrap();
    house.dozo(&["mirror", "nas", "--create"]).expect(0);
    // A repository that is not mounted: never a new one.
    fs::rename(house.path("repository"), house.path("away")).unwrap();
    let gone = house.dozo(&["snapshots"]).expect(2);
    assert!(gone.err.contains("mounted") && !gone.err.contains("init"), "{}", gone.err);
    house.dozo(&["mirror", "--from", "nas", "--create"]).expect(0);
    house.dozo(&["verify", "--scrub"]).expect(0);
}

#[test]
fn files_that_are_no_keys_are_left_alone() {
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/file"), "content").unwrap();
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    let restore = |key: &str| house.dozo(&["restore", "files", "--to", "back", "--identity", key]);
    fs::write(house.path("public.pub"), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW me@host\n").unwrap();
    for (file, what) in [
        ("/etc/passwd", "is no key of dozo, of age or of SSH"),
        ("/bin/sh", "is no key of dozo, of age or of SSH"),
        ("dozo.toml", "is no"),
        ("public.pub", "is no key"),
        ("host.key", "it is a host's key"),
    ] {
        let refused = restore(file).expect(2);
        assert!(refused.err.contains(what) && !refused.err.contains("chmod"), "{file}: {}", refused.err);
    }
    fs::copy(house.path("owner.key"), house.path("it's open.key")).unwrap();
    fs::set_permissions(house.path("it's open.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let open = restore("it's open.key").expect(2);
    assert!(open.err.contains("chmod 600 \"it's open.key\""), "{}", open.err);

    // A key that is not where it was said to be: who reads, and that theirs is looked for.
    let owner = crate::keys::owner_string(&house);
    let gone = restore("nowhere.key").expect(2);
    assert!(gone.err.contains(&owner) && gone.err.contains("`dozo key owners`"), "{}", gone.err);
    // Of another repository: which.
    let other = House::new();
    fs::copy(other.path("owner.key"), house.path("other.key")).unwrap();
    let other = restore("other.key").expect(1);
    assert!(
        other.err.contains("belongs to another repository") && other.err.contains("the key is for"),
        "{}",
        other.err
    );
    // A stranger's: whose it should be.
    if let Some(second) = crate::keys::identity(&house, "second.key") {
        let stranger = restore("second.key").expect(1);
        assert!(stranger.err.contains(&owner), "{}", stranger.err);
        house.dozo(&["key", "add", &second, "--identity", "owner.key"]).expect(0);
        house.dozo(&["key", "remove", &owner, "--identity", "second.key"]).expect(0);
        let removed = restore("owner.key").expect(1);
        assert!(removed.err.contains("this owner was removed on 2"), "{}", removed.err);
    }
    assert!(!house.path("back").exists(), "nothing was restored, and nothing is left");
}
