//! What people hear of other work than runs: damage, mirrors, prunes, repairs, verifications, and of their being well again.

use super::slack::Slack;
use super::{dozo, header, house};
use crate::house::House;

/// Puts lines into `[repository]`.
fn repository(house: &House, lines: &str) {
    let file = house.path("dozo.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("[repository]", &format!("[repository]\n{lines}"), 1)).unwrap();
}

fn mirror(house: &House) -> String {
    format!("mirrors = [{{ name = \"nas\", url = \"file://{}\" }}]", house.path("nas").display())
}

fn headers(slack: &Slack) -> Vec<String> {
    slack.messages().iter().map(|message| header(&message.json).to_string()).collect()
}

fn rot(house: &House) {
    for directory in std::fs::read_dir(house.path("repository/packs")).unwrap() {
        for pack in std::fs::read_dir(directory.unwrap().path()).unwrap() {
            let pack = pack.unwrap().path();
            let mut bytes = std::fs::read(&pack).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&pack, bytes).unwrap();
        }
    }
}

#[test]
fn damage_is_told_and_that_it_is_over_only_when_it_is() {
    let slack = Slack::start();
    // Also to who wants to hear of one job alone: what is about no job is about all.
    let house = house(&slack, "good", "jobs = [\"db\"]");
    repository(&house, "role = \"maintain\"");
    dozo(&house, &slack, &["run"]).expect(0);
    dozo(&house, &slack, &["verify", "--scrub"]).expect(0);
    assert_eq!(headers(&slack), [""; 0], "all is as it always was");
    rot(&house);
    dozo(&house, &slack, &["verify", "--scrub"]).expect(5);
    let text = slack.messages()[0].json.to_string();
    assert!(header(&slack.messages()[0].json).ends_with(": backups are damaged"), "{text}");
    for words in ["the repository is damaged", "packs/", "dozo repair", "do not have the digest", "*Hint*"] {
        assert!(text.contains(words), "no {words} in {text}");
    }
    // What looks less deep is no recovery. A repair that cannot help is told.
    dozo(&house, &slack, &["verify"]).expect(5);
    dozo(&house, &slack, &["repair"]).expect(5);
    assert_eq!(headers(&slack).len(), 2, "a plan is for whoever asked for it");
    dozo(&house, &slack, &["repair", "--yes"]).expect(5);
    assert!(headers(&slack)[2].ends_with(": the repair is not complete"), "{:?}", headers(&slack));
    dozo(&house, &slack, &["run", "--full"]).expect(0);
    dozo(&house, &slack, &["repair", "--yes"]).expect(0);
    dozo(&house, &slack, &["verify", "--scrub"]).expect(0);
    let headers = headers(&slack);
    assert_eq!(headers.len(), 5, "{headers:?}");
    assert!(headers[3..].iter().all(|header| header.ends_with(": well again")), "{headers:?}");
    dozo(&house, &slack, &["verify", "--scrub"]).expect(0);
    assert_eq!(slack.messages().len(), 5, "once");
}

/// What to do is to be done there, with the configuration that was named.
#[test]
fn damage_in_a_mirror_is_told_with_what_to_do_there() {
    let slack = Slack::start();
    let house = house(&slack, "good", "");
    std::fs::create_dir(house.path("nas")).unwrap();
    repository(&house, &format!("{}\nrole = \"maintain\"", mirror(&house)));
    dozo(&house, &slack, &["run"]).expect(0);
    dozo(&house, &slack, &["mirror", "--create"]).expect(0);
    // Neither side has it whole: the repair at the mirror fails.
    rot(&house);
    for pack in std::fs::read_dir(house.path("nas/packs")).unwrap() {
        std::fs::remove_dir_all(pack.unwrap().path()).unwrap();
    }
    let file = house.path("dozo.toml").canonicalize().unwrap().display().to_string();
    dozo(&house, &slack, &["--config", &file, "verify", "--from", "nas"]).expect(5);
    dozo(&house, &slack, &["--config", &file, "repair", "--at", "nas", "--yes"]).expect(5);
    let messages = slack.messages();
    assert_eq!(messages.len(), 2);
    for message in messages {
        let text = message.json.to_string();
        assert!(text.contains(&format!("dozo --config {file} repair --at nas")), "{text}");
        assert!(!text.contains("dozo repair`"), "{text}");
    }
}

/// Somebody else at work is no failure, and what is mistyped is for whoever typed it.
#[test]
fn a_run_that_is_kept_away_is_not_told() {
    let slack = Slack::start();
    let house = house(&slack, "good", "");
    let waits = format!(
        "before = [\"/bin/sh -c 'touch {0}/begun; while test -e {0}/wait; do sleep 0.05; done'\"]",
        house.path(".").display()
    );
    super::act(&house, "[job.db]", &format!("[job.db]\n{waits}"));
    std::fs::write(house.path("wait"), "").unwrap();
    let mut first = house.command().arg("run").env("WEBHOOK", slack.webhook()).spawn().unwrap();
    for _ in 0..1_200 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        if house.path("begun").exists() {
            break;
        }
    }
    dozo(&house, &slack, &["run"]).expect(6);
    std::fs::remove_file(house.path("wait")).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(0));
    dozo(&house, &slack, &["verify", "--read-data"]).expect(2);
    dozo(&house, &slack, &["run"]).expect(0);
    assert_eq!(headers(&slack), [""; 0], "neither a failure nor a recovery");
}

#[test]
fn a_mirror_that_is_not_filled_is_told_and_then_that_it_is() {
    let slack = Slack::start();
    let house = house(&slack, "good", "");
    repository(&house, &mirror(&house));
    dozo(&house, &slack, &["run"]).expect(0);
    dozo(&house, &slack, &["mirror"]).expect(2);
    std::fs::create_dir(house.path("nas")).unwrap();
    dozo(&house, &slack, &["mirror", "--create"]).expect(0);
    dozo(&house, &slack, &["mirror"]).expect(0);
    let headers = headers(&slack);
    assert_eq!(headers.len(), 2, "{headers:?}");
    assert!(headers[0].ends_with(": a mirror is not complete") && headers[1].ends_with(": well again"), "{headers:?}");
    let text = slack.messages()[0].json.to_string();
    assert!(text.contains("the mirror `nas` could not be filled") && text.contains("dozo mirror"), "{text}");
}

/// A repository that cannot be reached at night: each command says so.
#[test]
fn work_that_cannot_begin_is_told() {
    let slack = Slack::start();
    let house = house(&slack, "good", "");
    repository(&house, &format!("{}\nrole = \"maintain\"", mirror(&house)));
    dozo(&house, &slack, &["run"]).expect(0);
    std::fs::rename(house.path("repository"), house.path("away")).unwrap();
    for command in [&["verify"][..], &["mirror"], &["prune", "--yes"], &["repair", "--yes"], &["run"]] {
        dozo(&house, &slack, command).expect(2);
    }
    // Plans, and what was mistyped, are for whoever typed it.
    for command in [&["prune"][..], &["repair"], &["verify", "dbs"], &["verify", "--from", "nobody"]] {
        dozo(&house, &slack, command).expect(2);
    }
    let headers = headers(&slack);
    let endings = ["verification failed", "a mirror is not complete", "the prune failed", "the repair is not complete"];
    assert_eq!(headers.len(), 5, "{headers:?}");
    headers.iter().zip(endings).for_each(|(header, ending)| assert!(header.ends_with(ending), "{header}"));
}

#[test]
fn who_wants_to_hear_of_runs_alone_does() {
    let slack = Slack::start();
    let house = house(&slack, "good", "on = [\"failure\", \"success\"]");
    dozo(&house, &slack, &["run"]).expect(0);
    std::fs::rename(house.path("repository"), house.path("away")).unwrap();
    dozo(&house, &slack, &["verify"]).expect(2);
    assert_eq!(headers(&slack).len(), 1);
}

/// A service that is down changes nothing of what the work returns, and is said. That it is not reached through a proxy is
/// said where one is set.
#[test]
fn a_service_that_is_down_changes_nothing() {
    let slack = Slack::start();
    let house = house(&slack, "good", "");
    slack.stop();
    std::fs::rename(house.path("repository"), house.path("away")).unwrap();
    let mut command = house.command();
    command.args(["verify"]).env("WEBHOOK", slack.webhook()).env("https_proxy", "http://127.0.0.1:1");
    let said = crate::house::said(command.output().unwrap()).expect(2);
    assert!(said.err.contains("`ops` told nobody of the failure of `dozo verify`"), "{}", said.err);
    assert!(said.err.contains("https_proxy is set") && said.err.contains("they connect directly"), "{}", said.err);
    std::fs::rename(house.path("away"), house.path("repository")).unwrap();
    let mut check = house.command();
    check.arg("check").env("WEBHOOK", slack.webhook()).env("HTTPS_PROXY", "http://127.0.0.1:1");
    let said = crate::house::said(check.output().unwrap());
    assert!(said.err.contains("HTTPS_PROXY is set"), "{}", said.err);
}
