//! The house's own rules, as far as they can be seen in the files.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut todo = vec![root().join(folder)];
    while let Some(directory) = todo.pop() {
        for item in fs::read_dir(directory).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The code of a file without its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn knowledge_has_one_direction() {
    for (manifest, forbidden) in [
        ("host/repository", &["dozo-job", "dozo-plugin", "wasmtime", "clap", "toml", "indicatif"][..]),
        ("host/job", &["dozo-plugin", "wasmtime", "clap", "toml", "indicatif", "object_store", "age"][..]),
        ("host/plugin", &["dozo-repository", "clap", "toml", "indicatif", "object_store", "age"][..]),
        (
            "host/kit",
            &["dozo", "wasmtime", "clap", "toml", "indicatif", "object_store", "age", "getrandom", "jiff"][..],
        ),
        ("host/cli", &["wasmtime", "object_store", "age", "zstd"][..]),
        ("sdk", &["dozo-repository", "dozo-job", "dozo-plugin", "wasmtime", "tokio"][..]),
    ] {
        let text = fs::read_to_string(root().join(manifest).join("Cargo.toml")).unwrap();
        let dependencies = text.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
        for name in forbidden {
            let named = dependencies.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(name));
            assert!(!named, "{manifest} must not know {name}");
        }
    }
}

#[test]
fn the_format_is_pure() {
    for (file, text) in sources("host/repository/src/format") {
        for word in ["tokio", "async fn", "object_store", "std::fs", "Timestamp::now"] {
            assert!(!code(&text).contains(word), "{file} must not know {word}");
        }
    }
}

#[test]
fn clock_environment_and_chance_stay_in_the_binary() {
    let rooms =
        ["host/repository/src", "host/job/src", "host/plugin/src", "host/kit/src"].into_iter().flat_map(sources);
    for (file, text) in rooms.filter(|(file, _)| !file.contains("/tests/")) {
        for word in
            ["Timestamp::now", "SystemTime::now", "std::env::var", "TimeZone::system", "getrandom", "thread_rng"]
        {
            assert!(!code(&text).contains(word), "{file} must not use {word}");
        }
    }
}

#[test]
fn files_are_small_and_say_what_they_are() {
    for (file, text) in ["host", "sdk", "plugins", "tests", "xtask"].into_iter().flat_map(sources) {
        let lines = code(&text).lines().count();
        assert!(lines <= 500, "{file} has {lines} lines: one thought each");
        let tests_of_a_module = file.ends_with("/tests.rs");
        assert!(text.starts_with("//!") || tests_of_a_module, "{file} does not say what it is");
    }
}

#[test]
fn names_escape_alike_on_both_sides() {
    let host = fs::read_to_string(root().join("host/repository/src/format/path.rs")).unwrap();
    let guest = fs::read_to_string(root().join("sdk/src/escape.rs")).unwrap();
    for rule in [r"'%' | '/' | '\0'..='\x1f' | '\x7f'", "\"%2E\".repeat(name.len())"] {
        assert!(host.contains(rule) && guest.contains(rule), "the two escapes differ in {rule}");
    }
}
