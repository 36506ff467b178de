//! docs/recover.sh with each kind of owner that the `age` program knows, over two epochs.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::{Rescue, find, output};
use crate::house::{House, said};

const PHRASE: &str = "correct horse battery staple";

/// A house whose second epoch began after its first snapshot, for its own owner and another.
fn two_epochs(add: &[&str]) -> House {
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/first"), "first epoch").unwrap();
    house.configure_files("files", "tree");
    house.dozo(&["run"]).expect(0);
    fs::write(house.path("phrase"), PHRASE).unwrap();
    house.dozo(&[&["key", "add", "--identity", "owner.key"], add].concat()).expect(0);
    house.dozo(&["key", "epoch", "--identity", "owner.key", "--passphrase-file", "phrase"]).expect(0);
    fs::write(house.path("tree/second"), "second epoch").unwrap();
    house.dozo(&["run"]).expect(0);
    house
}

fn check(house: &House, to: &str) {
    let tree = house.path(to).join(house.path("tree").strip_prefix("/").unwrap());
    for name in ["first", "second"] {
        assert_eq!(fs::read_to_string(tree.join(name)).unwrap(), format!("{name} epoch"));
    }
}

#[test]
fn an_age_key_and_ssh_keys() {
    let Some(rescue) = Rescue::new() else { return };
    let house = two_epochs(&["--passphrase", "safe", "--new-passphrase-file", "phrase"]);
    let newest = rescue.snapshots(&house).pop().unwrap();
    rescue.text(&house, &[&newest, "--all", house.path("own").to_str().unwrap()]).expect(0);
    check(&house, "own");
    if find("ssh-keygen").is_none() {
        eprintln!("SKIPPED: ssh-keygen is not installed");
        return;
    }
    for kind in ["ed25519", "rsa"] {
        let key = house.path(kind);
        output(Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(&key));
        let public = fs::read_to_string(key.with_extension("pub")).unwrap();
        house.dozo(&["key", "add", public.trim(), "--identity", "owner.key"]).expect(0);
        let to = house.path(format!("back-{kind}"));
        let arguments = [newest.as_str(), "--all", to.to_str().unwrap()];
        said(rescue.run(&house.path("repository"), &key, &arguments)).expect(0);
        check(&house, &format!("back-{kind}"));
    }
}

/// `age` asks for passphrases on a terminal, so the script gets one.
#[test]
fn a_passphrase_that_is_asked_for() {
    let Some(_rescue) = Rescue::new() else { return };
    if find("script").is_none() {
        eprintln!("SKIPPED: script is not installed");
        return;
    }
    let house = two_epochs(&["--passphrase", "safe", "--new-passphrase-file", "phrase"]);
    let recover = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recover.sh");
    let list = format!("sh '{}' repository -", recover.display());
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &list, "/dev/null"]).current_dir(house.path(""));
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{PHRASE}\n{PHRASE}\n").as_bytes()).unwrap();
    let said = said(child.wait_with_output().unwrap()).expect(0);
    assert_eq!(said.out.lines().filter(|line| line.contains("complete")).count(), 2, "{}", said.out);
}
