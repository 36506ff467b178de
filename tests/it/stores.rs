//! Stores over a network: real servers, real credentials, crashes, lines that are slow, and what the operator reads when
//! something is wrong.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::house::{House, Said, said};
use crate::server::{ADMIN, BACKUP, Kind, READER, Server};

/// A house whose store is a bucket of the server.
pub(crate) fn bucket_house(server: &Server, (access, secret): (&str, &str), more: &str) -> House {
    let house = House::bare();
    keys(&house, (access, secret));
    let endpoint = server.endpoint();
    let http = if endpoint.starts_with("http:") { "allow_http = true" } else { "" };
    let text = format!(
        "[repository]\nurl = \"s3://backups/deep/dozo\"\nkey = \"host.key\"\n{more}\n[repository.s3]\nendpoint = \
         \"{endpoint}\"\naccess_key = {{ file = \"access\" }}\nsecret_key = {{ file = \"secret\" }}\n{http}\n"
    );
    std::fs::write(house.path("dozo.toml"), text).unwrap();
    house
}

/// The credentials that the house's configuration refers to.
pub(crate) fn keys(house: &House, (access, secret): (&str, &str)) {
    house.write_secret("access", access);
    house.write_secret("secret", secret);
}

/// Files that do not compress, so that their bytes go over the line.
pub(crate) fn fill(house: &House, mebibytes: usize) {
    std::fs::create_dir(house.path("data")).unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for file in 0..mebibytes {
        let words = (0..(1 << 17)).flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        std::fs::write(house.path(format!("data/{file}")), words.collect::<Vec<u8>>()).unwrap();
    }
    house.configure_files("files", "data");
}

/// Verifies everything, restores everything, compares.
pub(crate) fn prove(house: &House) {
    house.dozo(&["verify", "--read-data", "--identity", "owner.key"]).expect(0);
    house.restore("files", "back", &[]).expect(0);
    let back = house.path("back").join(house.path("data").strip_prefix("/").unwrap());
    let mut count = 0;
    for item in std::fs::read_dir(house.path("data")).unwrap() {
        let file = item.unwrap();
        assert!(same(&file.path(), &back.join(file.file_name())), "{:?} differs", file.file_name());
        count += 1;
    }
    assert!(count > 0);
}

fn same(left: &Path, right: &Path) -> bool {
    std::fs::read(left).unwrap() == std::fs::read(right).unwrap()
}

/// No message shows a credential or what could be used as one.
#[track_caller]
fn tells_nothing(said: &Said) {
    for secret in [ADMIN.0, ADMIN.1, BACKUP.1, "wrong-secret", "X-Amz-Signature", "x-amz-signature", "Signature="] {
        assert!(!said.err.contains(secret) && !said.out.contains(secret), "{secret} in\n{}{}", said.out, said.err);
    }
}

/// What a check says of the store; what it says of jobs comes behind.
#[track_caller]
fn checked(house: &House, code: i32) -> serde_json::Value {
    let said = house.dozo(&["check", "--json"]).expect(code);
    serde_json::from_str(said.out.lines().next().unwrap()).unwrap()
}

#[test]
fn a_host_that_may_not_delete_backs_up_and_restores() {
    let Some(server) = Server::start(Kind::Seaweed) else { return };
    server.make_bucket("backups");
    server.forbid_deleting("backups");
    let house = bucket_house(&server, BACKUP, "");
    fill(&house, 3);
    house.dozo(&["init", "--single-owner"]).expect(0);
    house.dozo(&["run"]).expect(0);
    house.dozo(&["run"]).expect(0);
    prove(&house);

    // Twice, because the second time the probe is there already.
    for _ in 0..2 {
        let found = checked(&house, 0);
        assert_eq!((&found["write"], &found["delete"]), (&true.into(), &false.into()), "{found}");
        assert_eq!(found["create_only"], true, "{found}");
        assert!(found["skew_seconds"].as_i64().unwrap().abs() < 60, "{found}");
    }
    keys(&house, ADMIN);
    assert_eq!(checked(&house, 0)["delete"], true);
    keys(&house, READER);
    let found = checked(&house, 1);
    assert_eq!((&found["write"], &found["delete"]), (&false.into(), &serde_json::Value::Null), "{found}");
    assert!(house.dozo(&["run"]).expect(1).err.contains("the credentials do not permit this"));
    house.dozo(&["verify"]).expect(0);
    locked(&server, &house);
    wrong(&server, &house);
}

/// The lock that a bucket lays on objects is seen.
fn locked(server: &Server, house: &House) {
    server.make_locked_bucket("locked");
    keys(house, ADMIN);
    let text = std::fs::read_to_string(house.path("dozo.toml")).unwrap();
    std::fs::write(house.path("locked.toml"), text.replace("s3://backups", "s3://locked")).unwrap();
    // The store is examined, and the repository that the key is for is not there.
    let found = house.dozo(&["check", "--config", "locked.toml"]).expect(2);
    assert!(found.err.contains("there is no repository in s3://locked"), "{}", found.err);
    assert!(found.out.contains("lock: governance until 20"), "{}", found.out);
    assert!(found.out.contains("can be brought back"), "{}", found.out);
}

/// What can be wrong on the way to a bucket.
fn wrong(server: &Server, house: &House) {
    let said = |who: (&str, &str), from: &str, to: &str| {
        keys(house, who);
        let text = std::fs::read_to_string(house.path("dozo.toml")).unwrap();
        assert!(text.contains(from));
        std::fs::write(house.path("other.toml"), text.replace(from, to)).unwrap();
        let said = house.dozo(&["snapshots", "--config", "other.toml"]);
        tells_nothing(&said);
        said
    };
    let endpoint = server.endpoint();
    let refused = said(ADMIN, &endpoint, "http://127.0.0.1:1");
    assert!(refused.err.contains("caused by: Connection refused"), "{}", refused.err);
    assert!(refused.err.contains("hint: is the address of the store right"), "{}", refused.err);
    refused.expect(1);

    let nowhere = said(ADMIN, &endpoint, "http://store.invalid");
    assert!(nowhere.err.contains("hint: is the address of the store right"), "{}", nowhere.err);
    nowhere.expect(1);

    let bucket = said(ADMIN, "s3://backups", "s3://backup");
    assert!(bucket.err.contains("404 NoSuchBucket") && bucket.err.contains("dozo makes no buckets"), "{}", bucket.err);
    bucket.expect(2);

    let prefix = said(ADMIN, "deep/dozo", "deep");
    assert!(prefix.err.contains("there is no repository in s3://backups/deep"), "{}", prefix.err);
    prefix.expect(2);

    let secret = said((ADMIN.0, "wrong-secret"), "backups", "backups");
    assert!(
        secret.err.contains("403 SignatureDoesNotMatch") && secret.err.contains("hint: the secret"),
        "{}",
        secret.err
    );
    secret.expect(1);

    let access = said(("AKNOBODY", "wrong-secret"), "backups", "backups");
    assert!(access.err.contains("403 InvalidAccessKeyId") && access.err.contains("does not know"), "{}", access.err);
    access.expect(1);

    let tls = said(ADMIN, &endpoint, &endpoint.replace("http:", "https:"));
    assert!(tls.err.contains("hint: it does not speak TLS"), "{}", tls.err);
    tls.expect(2);

    // Even who asks for everything to be logged is told nothing.
    keys(house, (ADMIN.0, "wrong-secret"));
    let logged = house.command().args(["snapshots"]).env("DOZO_LOG", "trace").output().unwrap();
    tells_nothing(&crate::house::said(logged));
}

#[test]
fn a_run_outlives_a_crash_of_the_store() {
    let Some(mut server) = Server::start(Kind::Seaweed) else { return };
    server.make_bucket("backups");
    let house = bucket_house(&server, ADMIN, "limit_upload = \"6MiB\"");
    fill(&house, 24);
    house.dozo(&["init", "--single-owner"]).expect(0);
    let mut run = house.command();
    let run = run.arg("run").stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut run = run.spawn().unwrap();
    // In the middle of the packs: at this rate they take four seconds.
    std::thread::sleep(Duration::from_secs(2));
    assert!(run.try_wait().unwrap().is_none(), "the run ended before the crash");
    server.kill();
    std::thread::sleep(Duration::from_secs(1));
    server.again();
    said(run.wait_with_output().unwrap()).expect(0);
    prove(&house);
}

#[test]
fn a_store_that_ignores_create_only_works_and_check_says_so() {
    let Some(server) = Server::start(Kind::Rclone) else { return };
    server.make_bucket("backups");
    let house = bucket_house(&server, ADMIN, "requests = 2");
    fill(&house, 3);
    house.dozo(&["init", "--single-owner"]).expect(0);
    house.dozo(&["run"]).expect(0);
    prove(&house);
    house.dozo(&["key", "test", "--identity", "owner.key"]).expect(0);
    let found = house.dozo(&["check"]).expect(0);
    assert!(found.out.contains("create only: no: this store overwrites"), "{}", found.out);
    assert!(found.out.contains("delete: yes"), "{}", found.out);
    assert!(found.out.contains("clock: the store's and this machine's agree"), "{}", found.out);
}

#[test]
fn a_limited_line_is_limited_in_both_directions() {
    let Some(server) = Server::start(Kind::Rclone) else { return };
    server.make_bucket("backups");
    let house = bucket_house(&server, ADMIN, "limit_upload = \"4MiB\"\nlimit_download = \"4MiB\"");
    fill(&house, 12);
    house.dozo(&["init", "--single-owner"]).expect(0);
    let timed = |command: &dyn Fn() -> Said| {
        let begun = Instant::now();
        command().expect(0);
        begun.elapsed().as_secs_f64()
    };
    let upload = timed(&|| house.dozo(&["run"]));
    let download = timed(&|| house.restore("files", "back", &[]));
    eprintln!("12 MiB at 4 MiB/s: up {upload:.1} s, down {download:.1} s");
    for seconds in [upload, download] {
        assert!((2.8..60.0).contains(&seconds), "12 MiB at 4 MiB/s took {seconds} s");
    }
}

#[test]
fn a_certificate_is_believed_only_if_it_is_named() {
    let Some(server) = Server::start(Kind::RcloneTls) else { return };
    server.make_bucket("backups");
    let house = bucket_house(&server, ADMIN, "");
    let refused = house.dozo(&["init", "--single-owner"]).expect(2);
    assert!(
        refused.err.contains("UnknownIssuer") || refused.err.contains("invalid peer certificate"),
        "{}",
        refused.err
    );
    assert!(refused.err.contains("hint: ") && refused.err.contains("`ca`"), "{}", refused.err);
    house.configure(&format!("ca = {:?}", server.authority().display().to_string()));
    house.dozo(&["init", "--single-owner"]).expect(0);
    house.dozo(&["check"]).expect(0);
}

#[test]
fn credentials_in_a_configuration_are_refused_and_not_shown() {
    let house = House::bare();
    let check = |text: &str| {
        std::fs::write(house.path("dozo.toml"), format!("[repository]\nkey = \"host.key\"\n{text}\n")).unwrap();
        let said = house.dozo(&["config", "check"]);
        assert!(!said.err.contains("hunter2"), "{}", said.err);
        said
    };
    let url = "url = \"s3://backups/dozo\"\n[repository.s3]\nendpoint = \"https://s3.example.net\"\n";
    for (text, complaint) in [
        ("url = \"s3://AK:hunter2@backups/dozo\"".into(), "does not belong into `url`"),
        (
            format!("{url}access_key = \"hunter2\"\nsecret_key = {{ env = \"S\" }}"),
            "`access_key`: a secret is written out",
        ),
        (format!("{url}secret_key = {{ env = \"S\" }}"), "wants an `access_key` beside it"),
        (url.replace("https://s3", "http://s3"), "goes without TLS"),
        (url.replace("https://s3", "https://AK:hunter2@s3"), "does not belong into `endpoint`"),
        ("url = \"file:///b\"\n[repository.s3]\n".into(), "this table is not for stores of the kind `file`"),
        ("url = \"s3:///dozo\"".into(), "this names no bucket"),
        ("url = \"s3://b/a/../c?x=1\"".into(), "means nothing here"),
        ("url = \"memory://\"".into(), "stores of the kind `memory` are not known"),
        ("limit_upload = \"0\"\nurl = \"s3://b\"".into(), "this must be more than nothing"),
    ] {
        let said = check(&text);
        assert!(said.err.contains(complaint), "{text}\n{}", said.err);
        said.expect(2);
    }
    for text in ["url = \"s3://backups\"", "url = \"gs://b/p\"", "url = \"az://c/p\"\nazure = { account = \"a\" }", url]
    {
        check(text).expect(0);
    }
}

#[test]
fn a_directory_is_its_owners_alone() {
    let house = House::new();
    fill(&house, 1);
    house.dozo(&["run"]).expect(0);
    let mut todo = vec![house.path("repository")];
    let mut files = 0;
    while let Some(path) = todo.pop() {
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o077, 0, "{} is open to others", path.display());
        match metadata.is_dir() {
            true => todo.extend(std::fs::read_dir(&path).unwrap().map(|item| item.unwrap().path())),
            false => files += 1,
        }
    }
    assert!(files > 4);
}
