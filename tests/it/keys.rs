//! `dozo key` and `dozo join`, as an operator uses them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::house::{House, Said, said};

/// A house with a directory that is backed up.
fn house() -> House {
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/old"), "old").unwrap();
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    house
}

/// A fresh age identity in a file of the house; returns its recipient.
pub(crate) fn identity(house: &House, file: &str) -> Option<String> {
    let Ok(output) = Command::new("age-keygen").output() else {
        eprintln!("SKIPPED: age-keygen is not installed");
        return None;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    house.write_secret(file, &text);
    text.lines().find_map(|line| line.strip_prefix("# public key: ")).map(str::to_string)
}

pub(crate) fn owner_string(house: &House) -> String {
    let text = fs::read_to_string(house.path("owner.key")).unwrap();
    text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_string()
}

fn restore(house: &House, key: &str, to: &str) -> Said {
    house.dozo(&["restore", "files", "--to", to, "--identity", key])
}

#[test]
fn an_owner_is_added_tested_and_takes_over() {
    let house = house();
    let Some(second) = identity(&house, "second.key") else { return };
    assert!(restore(&house, "second.key", "no").code != 0);
    house.dozo(&["key", "add", &second, "--identity", "owner.key"]).expect(0);
    let again = house.dozo(&["key", "add", &second, "--identity", "owner.key", "--json"]).expect(0).json();
    assert_eq!((&again["schema"], &again["written"]), (&"dozo/key-add/1".into(), &0.into()));
    let test = house.dozo(&["key", "test", "--identity", "second.key", "--json"]).expect(0).json();
    assert!(test["epochs"][0][1].as_str().unwrap().starts_with("packs/"), "{test}");

    let first = owner_string(&house);
    let removed = house.dozo(&["key", "remove", &first, "--identity", "second.key", "--json"]).expect(0).json();
    assert_eq!((&removed["epoch"], &removed["owners"]), (&2.into(), &serde_json::json!([second])));
    fs::write(house.path("tree/new"), "new").unwrap();
    house.dozo(&["run"]).expect(0);
    restore(&house, "second.key", "back").expect(0);
    let tree = house.path("tree").strip_prefix("/").unwrap().to_path_buf();
    assert_eq!(fs::read_to_string(house.path("back").join(&tree).join("new")).unwrap(), "new");
    assert_eq!(fs::read_to_string(house.path("back").join(&tree).join("old")).unwrap(), "old");
    assert!(restore(&house, "owner.key", "no").err.contains("this owner was removed on 2"));
    let last = house.dozo(&["key", "remove", &second, "--identity", "second.key"]).expect(2);
    assert!(last.err.contains("the last owner"), "{}", last.err);

    let rows = house.dozo(&["key", "owners", "--json"]).expect(0);
    assert_eq!(rows.out.lines().count(), 1);
    let row = rows.json();
    assert_eq!((&row["owner"], &row["epochs"]), (&second.into(), &serde_json::json!([1, 2])));
    assert!(row["tested"].is_string());
}

#[test]
fn another_machine_joins_and_goes_over_to_a_new_epoch() {
    let (house, tree) = (house(), "tree");
    // Another machine: another directory, with nothing but the owner's key.
    let there = House::bare();
    fs::copy(house.path("owner.key"), there.path("owner.key")).unwrap();
    let url = format!("file://{}", house.path("repository").display());
    let joined = there.dozo(&["join", &url, "--identity", "owner.key", "--host", "web-2", "--json"]).expect(0).json();
    assert_eq!((&joined["host"]["name"], &joined["epoch"]), (&"web-2".into(), &1.into()));
    let host_key = fs::metadata(there.path("host.key")).unwrap();
    assert_eq!(host_key.permissions().mode() & 0o777, 0o600);
    fs::create_dir(there.path(tree)).unwrap();
    fs::write(there.path(tree).join("there"), "there").unwrap();
    there.configure_files("theirs", tree);
    there.dozo(&["run"]).expect(0);
    there.dozo(&["join", "--identity", "owner.key"]).expect(2);

    house.dozo(&["key", "epoch", "--identity", "owner.key"]).expect(0);
    assert!(house.path("host.key.old").exists());
    let refreshed = there.dozo(&["key", "refresh", "--identity", "owner.key", "--json"]).expect(0).json();
    assert_eq!((&refreshed["epoch"], &refreshed["changed"]), (&2.into(), &true.into()));
    let again = there.dozo(&["key", "refresh", "--identity", "owner.key", "--json"]).expect(0).json();
    assert_eq!(again["changed"], false);
    fs::write(there.path(tree).join("more"), "more").unwrap();
    there.dozo(&["run"]).expect(0);
    house.dozo(&["restore", "theirs", "--to", "back", "--identity", "owner.key"]).expect(0);

    house.dozo(&["key", "host", "db-3", "--out", "db-3.key", "--identity", "owner.key"]).expect(0);
    house.dozo(&["key", "host", "db-3", "--out", "db-3.key", "--identity", "owner.key"]).expect(2);
    house.dozo(&["key", "host-remove", "web-2"]).expect(0);
    house.dozo(&["key", "host-remove", "nobody"]).expect(2);
    let rows = house.dozo(&["key", "hosts", "--json"]).expect(0);
    let rows: Vec<serde_json::Value> = rows.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert!(of("web-2")["removed"].is_string() && of("web-2")["snapshots"] == 2);
    assert!(of("db-3")["joined"].is_string() && of("db-3")["snapshots"] == 0);
}

#[test]
fn a_join_knows_its_repository_or_is_refused() {
    let (house, other) = (house(), House::new());
    let there = House::bare();
    let url = format!("file://{}", house.path("repository").display());
    // Another repository where the owner's was: the key pins its own.
    fs::copy(other.path("owner.key"), there.path("owner.key")).unwrap();
    there.dozo(&["join", &url, "--identity", "owner.key"]).expect(2);
    assert!(!there.path("dozo.toml").exists() && !there.path("host.key").exists(), "nothing is left of it");
    // A key that pins none needs the id.
    let text = fs::read_to_string(house.path("owner.key")).unwrap();
    let bare: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    there.write_secret("bare.key", &bare);
    let said = there.dozo(&["join", &url, "--identity", "bare.key"]).expect(2);
    assert!(said.err.contains("--repository-id ID"), "{}", said.err);
    let kit = house.dozo(&["key", "kit", "--json"]).expect(0).json();
    let id = kit["repository"].as_str().unwrap();
    there.dozo(&["join", &url, "--identity", "bare.key", "--repository-id", id]).expect(0);
}

#[test]
fn a_passphrase_is_an_owner_and_is_never_waited_for() {
    let house = house();
    let phrase = "correct horse battery staple";
    fs::write(house.path("phrase"), format!("{phrase}\n")).unwrap();
    let add = ["key", "add", "--passphrase", "safe", "--identity", "owner.key"];
    // Without a terminal there is an answer at once, and it says what to do.
    let mut detached = Command::new("setsid");
    detached.arg("--wait").arg(crate::house::binary()).args(add).current_dir(house.path(""));
    let Ok(output) = detached.output() else { panic!("setsid is part of util-linux") };
    let refused = said(output).expect(1);
    assert!(refused.err.contains("no terminal") && refused.err.contains("--new-passphrase-file"), "{}", refused.err);
    house.dozo(&[&add[..], &["--new-passphrase-file", "phrase"]].concat()).expect(0);
    let identity = ["--identity", "passphrase:safe", "--passphrase-file", "phrase"];
    house.dozo(&[&["restore", "files", "--to", "back"], &identity[..]].concat()).expect(0);
    fs::write(house.path("phrase"), "something else\n").unwrap();
    let wrong = house.dozo(&[&["restore", "files", "--to", "no"], &identity[..]].concat()).expect(1);
    assert!(wrong.err.contains("passphrase"), "{}", wrong.err);
    assert!(!wrong.err.contains("something else"));
}

/// The protocol of age's plugins in a few lines: a key of hardware that wraps nothing.
const TOY: &str = r#"#!/bin/sh
key=''
while read -r word command rest; do
    case $word,$last in
    '->',*) last="$command $rest"; [ "$command" != done ] || { read -r _; break; } ;;
    ?*,'wrap-file-key ' | ?*,'recipient-stanza 0 toy') key=$word ;;
    esac
done
case $1 in
*recipient-v1) printf -- '-> recipient-stanza 0 toy\n%s\n' "$key" ;;
*) [ -z "$key" ] || printf -- '-> file-key 0\n%s\n' "$key" ;;
esac
[ -z "$key" ] || { read -r _ok && read -r _; }
printf -- '-> done\n\n'
"#;
const TOY_RECIPIENT: &str = "age1toy1v3hh5mcdkpyg4";
const TOY_IDENTITY: &str = "AGE-PLUGIN-TOY-1V3HH5MCHVEDYR";

#[test]
fn a_hardware_key_is_an_owner_by_its_plugin() {
    let house = house();
    house.write_secret("toy.key", &format!("# a comment\n{TOY_IDENTITY}\n"));
    let add = ["key", "add", TOY_RECIPIENT, "--identity", "owner.key"];
    let missing = house.dozo(&add).expect(2);
    assert!(missing.err.contains("age-plugin-toy"), "{}", missing.err);
    fs::create_dir(house.path("bin")).unwrap();
    fs::write(house.path("bin/age-plugin-toy"), TOY).unwrap();
    fs::set_permissions(house.path("bin/age-plugin-toy"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", house.path("bin").display(), std::env::var("PATH").unwrap());
    let with = |arguments: &[&str]| said(house.command().env("PATH", &path).args(arguments).output().unwrap());
    with(&add).expect(0);
    with(&["key", "epoch", "--identity", "toy.key"]).expect(0);
    fs::write(house.path("tree/new"), "new").unwrap();
    with(&["run"]).expect(0);
    with(&["restore", "files", "--to", "back", "--identity", "toy.key"]).expect(0);
    let test = with(&["key", "test", "--identity", "toy.key", "--json"]).expect(0).json();
    assert_eq!((&test["owner"], test["epochs"].as_array().unwrap().len()), (&TOY_RECIPIENT.into(), 2));
}

#[test]
fn the_kit_says_what_to_do_and_holds_no_secret() {
    let house = house();
    house.dozo(&["key", "test", "--identity", "owner.key"]).expect(0);
    let printed = house.dozo(&["key", "kit"]).expect(0).out;
    house.dozo(&["key", "kit", "--out", "kit.txt"]).expect(0);
    house.dozo(&["key", "kit", "--out", "kit.txt"]).expect(2);
    let page = fs::read_to_string(house.path("kit.txt")).unwrap();
    assert_eq!(page.lines().skip(1).collect::<Vec<_>>(), printed.lines().skip(1).collect::<Vec<_>>());
    assert!(page.lines().count() < 60, "one page");
    let key: serde_json::Value = serde_json::from_slice(&fs::read(house.path("host.key")).unwrap()).unwrap();
    let secret = key["secret"].as_str().unwrap();
    assert!(!page.contains("AGE-SECRET-KEY") && !page.contains(secret));
    for needed in
        [key["repository"].as_str().unwrap(), &owner_string(&house), "apt-get install age zstd jq", "tested 2"]
    {
        assert!(page.contains(needed), "{needed} is not in\n{page}");
    }
    assert!(fs::read_to_string(house.path("recover.sh")).unwrap().starts_with("#!/bin/sh"));

    // Its commands, as they stand on the page, bring data back.
    let commands: Vec<&str> = page.lines().map(str::trim).filter(|line| line.starts_with("sh recover.sh")).collect();
    let [list, restore] = commands[..] else { panic!("{commands:?}") };
    let sh =
        |command: &str| said(Command::new("sh").arg("-c").arg(command).current_dir(house.path("")).output().unwrap());
    let listed = sh(list);
    if listed.err.contains("is needed") {
        eprintln!("SKIPPED: {}", listed.err);
        return;
    }
    let id = listed.expect(0).out.split('\t').nth(1).unwrap().to_string();
    sh(&restore.replace("SNAPSHOT", &id)).expect(0);
    let tree = house.path("tree").strip_prefix("/").unwrap().to_path_buf();
    assert_eq!(fs::read_to_string(house.path("restored").join(tree).join("old")).unwrap(), "old");
}
