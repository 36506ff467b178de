//! What the documents show must be so: every configuration in them is checked by the program.

use std::fs;
use std::path::{Path, PathBuf};

use crate::house::House;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The fenced blocks of a language in a document.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find(&format!("```{language}\n")) {
        let block = &rest[begin + language.len() + 4..];
        let end = block.find("\n```").unwrap();
        found.push(block[..=end].to_string());
        rest = &block[end + 4..];
    }
    found
}

/// The configuration, with a repository if it shows only a job, passes.
fn check(name: &str, text: &str) {
    let house = House::new();
    let whole = if text.contains("[repository]") {
        text.to_string()
    } else {
        format!("[repository]\nurl = \"file:///backup/dozo\"\nkey = \"host.key\"\n{text}")
    };
    // A program that not every machine has: here, that one is there is enough.
    let whole = whole.replace("/usr/bin/btrfs", "/usr/bin/env");
    let file = house.path("shown.toml");
    fs::write(&file, whole).unwrap();
    let said = house.dozo(&["config", "check", "--config", &file.display().to_string()]);
    assert_eq!(said.code, 0, "{name}:\n{text}\n{}", said.err);
}

#[test]
fn every_example_passes_the_check() {
    let mut count = 0;
    for item in fs::read_dir(root().join("examples")).unwrap() {
        let path = item.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            check(&path.display().to_string(), &fs::read_to_string(&path).unwrap());
            count += 1;
        }
    }
    assert!(count > 0);
}

#[test]
fn every_configuration_in_the_documents_passes_the_check() {
    for name in ["README.md", "docs/GUIDE.md"] {
        let shown = blocks(&fs::read_to_string(root().join(name)).unwrap(), "toml");
        assert!(!shown.is_empty());
        shown.iter().for_each(|block| check(name, block));
    }
}

#[test]
fn the_commands_in_the_documents_exist() {
    let manual = fs::read_to_string(root().join("docs/cli.md")).unwrap();
    for name in ["README.md", "docs/GUIDE.md", "docs/PLUGINS.md"] {
        for block in blocks(&fs::read_to_string(root().join(name)).unwrap(), "console") {
            for line in block.lines().filter_map(|line| line.strip_prefix("$ dozo ")) {
                // What a line says behind `#` is for people.
                let mut words = line.split(" #").next().unwrap_or_default().split_whitespace();
                let command = words.next().unwrap();
                assert!(manual.contains(&format!("## `dozo {command}`")), "{name} shows `dozo {command}`");
                for option in words.filter_map(|word| word.strip_prefix("--")) {
                    let option = option.split(['=', '[']).next().unwrap();
                    assert!(manual.contains(&format!("--{option}")), "{name} shows --{option}");
                }
            }
        }
    }
}

#[test]
fn what_the_documents_show_of_plugins_is_compiled() {
    let document = fs::read_to_string(root().join("docs/PLUGINS.md")).unwrap();
    let sdk = fs::read_to_string(root().join("sdk/src/lib.rs")).unwrap();
    // As documentation tests of the SDK: `cargo test --doc`.
    assert!(sdk.contains("#[doc = include_str!(\"../../docs/PLUGINS.md\")]"));
    assert!(blocks(&document, "rust,no_run").len() > 4);
    assert_eq!(blocks(&document, "rust").len(), 0, "one that runs needs a host around it");
    assert_eq!(blocks(&document, "rust,ignore").len(), 1, "the macro of a test alone is not compiled");
}

/// Every source file below a directory.
fn sources(directory: &Path, text: &mut String) {
    for item in fs::read_dir(directory).unwrap() {
        let path = item.unwrap().path();
        match path.is_dir() {
            true if path.file_name().is_some_and(|name| name != "target") => sources(&path, text),
            false if path.extension().is_some_and(|ending| ending == "rs") => {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
            _ => {}
        }
    }
}

#[test]
fn every_rule_of_the_format_has_its_tests() {
    let format = fs::read_to_string(root().join("docs/FORMAT.md")).unwrap();
    let (_, proofs) = format.split_once("## 17. Proofs").unwrap();
    let mut tests = String::new();
    ["host", "tests"].iter().for_each(|directory| sources(&root().join(directory), &mut tests));
    let mut count = 0;
    for row in proofs.lines().filter(|line| line.contains('`')) {
        let named: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        let missing: Vec<&&str> = named.iter().filter(|name| !tests.contains(&format!("fn {name}("))).collect();
        assert!(missing.is_empty(), "there is no test {missing:?}");
        count += 1;
    }
    assert!(count > 20);
}
