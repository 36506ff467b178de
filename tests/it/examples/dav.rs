//! `examples/plugins/carddav`, written in Python, against Radicale.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Running, example, passes};
use crate::house::{House, guests, said, sha256};
use crate::ports::free_port;

/// Python packages that are installed for the tests alone; none, loudly, where they cannot be had.
fn python(packages: &[&str]) -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/python.sh");
    let said =
        said(Command::new("bash").arg(tools).arg(guests().with_file_name("servers")).args(packages).output().unwrap());
    if said.code == 0 {
        return Some(said.out.trim().into());
    }
    eprintln!("SKIPPED: {packages:?} cannot be had: {}", said.err.trim());
    None
}

/// The component, built as its README says, unless this very source was built before.
fn component() -> Option<PathBuf> {
    let source = example("carddav/app.py");
    // What it was built from, and against.
    let contract = ["types", "snapshot", "reach", "source", "world"]
        .map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../wit/v0.1/{name}.wit")));
    let sums: String = [source.clone()].iter().chain(&contract).map(|file| sha256(file)[..8].to_string()).collect();
    let built = guests().join(format!("carddav-{sums}.wasm"));
    if built.exists() {
        return Some(built);
    }
    let packages = python(&["componentize-py==0.25.1"])?;
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/v0.1");
    let new = tempfile::tempdir_in(guests()).unwrap();
    let mut command = Command::new(packages.join("bin/componentize-py"));
    command.env("PYTHONPATH", &packages).env("PYTHONDONTWRITEBYTECODE", "1").arg("-d").arg(wit).args([
        "-w",
        "source-plugin",
        "componentize",
        "app",
        "-p",
    ]);
    command.arg(source.parent().unwrap()).arg("-o").arg(new.path().join("new.wasm"));
    said(command.output().unwrap()).expect(0);
    fs::rename(new.path().join("new.wasm"), &built).unwrap();
    Some(built)
}

/// A Radicale over a directory of the house, with a calendar and an address book of alice's.
fn start(house: &House, name: &str) -> Option<Running> {
    let packages = python(&["radicale==3.9.0"])?;
    let home = house.path(name);
    for (collection, tag) in [("cards", "VADDRESSBOOK"), ("calendar", "VCALENDAR")] {
        let collection = home.join("collection-root/alice").join(collection);
        fs::create_dir_all(&collection).unwrap();
        fs::write(collection.join(".Radicale.props"), format!("{{\"tag\": \"{tag}\"}}")).unwrap();
    }
    fs::write(home.join("users"), "alice:s3cr3t-word\n").unwrap();
    let port = free_port();
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages).args(["-m", "radicale", "--config", ""]);
    command.arg(format!("--server-hosts=127.0.0.1:{port}"));
    command.args(["--auth-type=htpasswd", "--auth-htpasswd-encryption=plain"]);
    command.arg(format!("--auth-htpasswd-filename={}", home.join("users").display()));
    command.arg(format!("--storage-filesystem-folder={}", home.display()));
    Some(Running::wait(command.stderr(Stdio::null()).spawn().unwrap(), port))
}

fn card(house: &House, server: &str, name: &str, text: &str) {
    let file = house.path(server).join("collection-root/alice/cards").join(format!("{name}.vcf"));
    fs::write(file, format!("BEGIN:VCARD\r\nVERSION:3.0\r\nUID:{name}\r\nFN:{text}\r\nN:{text};;;;\r\nEND:VCARD\r\n"))
        .unwrap();
}

/// Names and contents of alice's cards, with the order of lines that each server makes its own left out.
fn cards(house: &House, server: &str) -> Vec<(String, Vec<String>)> {
    let directory = house.path(server).join("collection-root/alice/cards");
    let mut cards: Vec<_> = fs::read_dir(directory).unwrap().map(|item| item.unwrap().path()).collect();
    cards.retain(|card| card.extension().is_some_and(|ending| ending == "vcf"));
    cards.sort();
    let read = |card: &PathBuf| {
        let mut lines: Vec<String> = fs::read_to_string(card).unwrap().lines().map(str::to_string).collect();
        lines.sort();
        (card.file_name().unwrap().to_string_lossy().into_owned(), lines)
    };
    cards.iter().map(read).collect()
}

#[test]
fn calendars_and_cards_are_backed_up_by_a_plugin_in_python_and_restored() {
    let house = House::new();
    let (Some(component), Some(server), Some(copy)) = (component(), start(&house, "server"), start(&house, "copy"))
    else {
        return;
    };
    (0..20).for_each(|n| card(&house, "server", &format!("c{n}"), &format!("Person {n}")));
    card(&house, "server", "100% strange", "Somebody");
    house.write_secret("password", "s3cr3t-word");
    let table = |server: &Running| {
        format!(
            "config = {{ url = \"{}/alice/\", user = \"alice\", password = {{ file = \"password\" }} }}\n\
             grant = {{ network = [\"{}\"] }}",
            server.url(),
            server.target()
        )
    };
    let change = "cd server/collection-root/alice/cards; sed -i s/Person/Name/ c3.vcf; rm c4.vcf";
    let fixture = format!("fixture.change = [\"sh\", \"-c\", {change:?}]");
    passes(&house, &component, &format!("{fixture}\n{}\n[restore]\n{}", table(&server), table(&copy)), &[]);

    let fresh = start(&house, "fresh").unwrap();
    house.configure(&format!(
        "[job.contacts]\nplugin = {:?}\n{}\n[job.contacts.target.fresh]\n{}",
        component.display().to_string(),
        table(&server),
        table(&fresh)
    ));
    house.dozo(&["plugin", "lock"]).expect(0);
    let report = house.dozo(&["run", "--json"]).expect(0).json();
    assert_eq!(report["entries"], 20, "{report}");
    card(&house, "server", "c7", "Another");
    let report = house.dozo(&["run", "--json"]).expect(0).json();
    assert_eq!((&report["entries"], &report["entries_kept"]), (&20.into(), &19.into()), "{report}");
    house.dozo(&["restore", "contacts", "--to", "fresh", "--identity", "owner.key"]).expect(0);
    assert_eq!(cards(&house, "fresh"), cards(&house, "server"));
    // A directory is a directory: it is refused for what it is, and nothing is put to the server.
    fs::rename(house.path("server/collection-root/alice/cards/c7.vcf"), house.path("c7.vcf")).unwrap();
    let said = house.dozo(&["restore", "contacts", "--to", "./out", "--identity", "owner.key"]).expect(1);
    assert!(said.err.contains("it restores to a server: name a target"), "{}", said.err);
    assert!(!house.path("server/collection-root/alice/cards/c7.vcf").exists());
    fs::rename(house.path("c7.vcf"), house.path("server/collection-root/alice/cards/c7.vcf")).unwrap();
    // What the server refuses is told as what it is.
    house.write_secret("password", "wrong");
    let said = house.dozo(&["run"]).expect(1);
    assert!(said.err.contains("401") && !said.err.contains("wrong"), "{}", said.err);
}
