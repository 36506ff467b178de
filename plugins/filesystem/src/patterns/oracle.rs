//! Held against another implementation of `.gitignore` on random patterns and trees, and against itself on random bytes.

use std::time::{Duration, Instant};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::{Key, Patterns};
use crate::config::tests::config;
use crate::selection::Selection;

/// How long a soak goes on, if `DOZO_SOAK_SECONDS` does not say.
const SECONDS_SOAK: u64 = 600;

/// What both know, in our words and in theirs: with them `[!a]` matches a `/` too.
fn name_pattern() -> impl Strategy<Value = (String, String)> {
    let same = |text: &'static str| (text, text);
    let pieces = [
        same("a"),
        same("b"),
        same(".c"),
        same("*"),
        same("?"),
        same("[ab]"),
        same("[a-c]"),
        ("[!a]", "[!a/]"),
        same("{a,bc}"),
        same("{b,[ac]}"),
        same(r"\a"),
        same(r"\*"),
    ];
    vec(select(pieces.to_vec()), 1..4).prop_map(|mut pieces| {
        // Three stars are one thing to us and another to them.
        pieces.dedup_by(|a, b| a.0 == "*" && b.0 == "*");
        pieces.into_iter().unzip()
    })
}

fn part() -> impl Strategy<Value = (String, String)> {
    prop_oneof![4 => name_pattern(), 1 => Just(("**".to_string(), "**".to_string()))]
}

fn pattern() -> impl Strategy<Value = (String, String)> {
    let join = |begin: &'static str| {
        move |parts: Vec<(String, String)>| {
            let (ours, theirs): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
            (format!("{begin}{}", ours.join("/")), format!("{begin}{}", theirs.join("/")))
        }
    };
    let whole = prop_oneof![
        // Theirs may have a `/` in a class, which would make it a path.
        2 => name_pattern().prop_map(|(ours, theirs)| (ours, format!("**/{theirs}"))),
        2 => vec(part(), 1..4).prop_map(join("/")),
        1 => vec(part(), 1..3).prop_map(join("**/")),
    ];
    (prop::bool::weighted(0.4), whole, any::<bool>()).prop_map(|(takes_back, (ours, theirs), directories)| {
        let around =
            |pattern| format!("{}{pattern}{}", if takes_back { "!" } else { "" }, if directories { "/" } else { "" });
        (around(ours), around(theirs))
    })
}

fn tree() -> impl Strategy<Value = Vec<(String, bool)>> {
    let name = select(vec!["a", "b", "c", "ab", "bc", "a.c", ".c", "abc", "*", "aa"]);
    let path = vec(name, 1..5).prop_map(|names| names.join("/"));
    vec((path, any::<bool>()), 1..12)
}

fn oracle(patterns: &[(String, String)]) -> Gitignore {
    let mut builder = GitignoreBuilder::new("/");
    for (_, theirs) in patterns {
        builder.add_line(None, theirs).unwrap();
    }
    builder.build().unwrap()
}

/// A path and all directories above it, outermost first.
fn from_above(path: &str, is_directory: bool) -> Vec<(&str, bool)> {
    path.match_indices('/').map(|(at, _)| (&path[..at], true)).chain([(path, is_directory)]).collect()
}

/// The selection by these patterns without those that are refused for their uselessness, which must make no difference.
fn ours(key: Key, root: &str, patterns: &[(String, String)]) -> Selection {
    let mut ours: Vec<String> = patterns.iter().map(|(ours, _)| ours.clone()).collect();
    loop {
        let (include, exclude) =
            if key == Key::Include { (ours.as_slice(), &[][..]) } else { (&[][..], ours.as_slice()) };
        let error = match config(&[format!("/{root}")], include, exclude).selection() {
            Ok(selection) => return selection,
            Err(error) => error.message().to_string(),
        };
        let refused = |pattern: &String| {
            let why = error.split_once(&format!(": `{pattern}` ")).map_or("", |(_, why)| why);
            ["takes nothing back", "lies in none", "is one of the paths"].iter().any(|begin| why.starts_with(begin))
        };
        let number = ours.iter().position(refused).unwrap_or_else(|| panic!("{error}"));
        ours.remove(number);
    }
}

type Case = (Vec<(String, String)>, &'static str, Vec<(String, bool)>);

fn same_as_gitignore((patterns, root, tree): Case) -> Result<(), TestCaseError> {
    let theirs = oracle(&patterns);
    let (exclude, include) = (ours(Key::Exclude, root, &patterns), ours(Key::Include, root, &patterns));
    for (path, is_directory) in tree {
        let path = if root.is_empty() { path } else { format!("{root}/{path}") };
        let above = from_above(&path, is_directory);
        let below_root = || above.iter().filter(|(path, _)| path.len() > root.len());
        let out = below_root().any(|(path, is_directory)| theirs.matched(path, *is_directory).is_ignore());
        let taken = below_root().all(|(path, is_directory)| exclude.takes(path, *is_directory));
        prop_assert_eq!(taken, !out, "exclude, {} {}", path, is_directory);
        let mut from_below = above.iter().rev().map(|(path, is_directory)| theirs.matched(path, *is_directory));
        let chosen = from_below.find(|matched| !matched.is_none()).is_some_and(|matched| matched.is_ignore());
        // Without a pattern that is of use everything is included.
        let chosen = chosen || is_directory || include.include.is_none();
        prop_assert_eq!(include.takes(&path, is_directory), chosen, "include, {} {}", path, is_directory);
    }
    Ok(())
}

/// Names that are awkward in every way.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop_oneof![any::<u8>(), select(b"%25FFa.*?[]{},\\!#\n\xc3\xa9".to_vec()),];
    let possible = |name: &Vec<u8>| !name.iter().any(|byte| matches!(byte, b'/' | 0)) && name != b"." && name != b"..";
    vec(bytes, 1..12).prop_filter("names of files", possible)
}

fn quoted(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_alphanumeric() || c == '%' { vec![c] } else { vec!['\\', c] }).collect()
}

fn matches(pattern: &str, path: &str) -> bool {
    let read = Patterns::new(Key::Exclude, &[pattern.to_string()], &["srv".to_string()]);
    read.unwrap_or_else(|error| panic!("{pattern:?}: {error:?}")).verdict(path, false).is_some()
}

fn names_match_themselves((name, other): (Vec<u8>, Vec<u8>)) -> Result<(), TestCaseError> {
    let printed = dozo_sdk::escape(&name);
    let path = format!("srv/{printed}");
    // As it is printed; the only other name that this may match is the one that is called so.
    let pattern = quoted(&printed);
    prop_assert!(matches(&pattern, &path), "{} does not match {}", pattern, path);
    let literally = other == printed.as_bytes();
    let path_of_other = format!("srv/{}", dozo_sdk::escape(&other));
    prop_assert_eq!(matches(&pattern, &path_of_other), other == name || literally, "{} {}", pattern, path_of_other);
    // As it is, where it is text.
    if let Ok(text) = std::str::from_utf8(&name) {
        let pattern = format!("/srv/{}", quoted(text).replace('%', r"\%"));
        prop_assert!(matches(&pattern, &path), "{} does not match {}", pattern, path);
        prop_assert_eq!(matches(&pattern, &path_of_other), other == name);
    }
    // By the number of its characters, of which a byte that is in none is one.
    let units: usize = name.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum();
    prop_assert!(matches(&"?".repeat(units), &path));
    prop_assert!(!matches(&"?".repeat(units + 1), &path) && (units == 1 || !matches(&"?".repeat(units - 1), &path)));
    Ok(())
}

/// A path that is stored, or any text: what is not as it should be must not stop a run either.
fn nothing_panics((patterns, path): (Vec<String>, String)) -> Result<(), TestCaseError> {
    for key in [Key::Include, Key::Exclude, Key::Tolerate] {
        for roots in [&["".to_string()][..], &["srv".to_string(), "a/b".to_string()]] {
            if let Ok(read) = Patterns::new(key, &patterns, roots) {
                read.verdict_from_above(&path, false);
                read.verdict_from_above(&path, true);
            }
        }
    }
    Ok(())
}

/// Tries a property some hundred times; a soak, for as long as there is.
fn hold<S: Strategy>(strategy: S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let seconds = std::env::var("DOZO_SOAK_SECONDS").ok().map(|seconds| seconds.parse::<u64>().unwrap());
    let soak = std::env::var_os("DOZO_SOAK").map(|_| Duration::from_secs(seconds.unwrap_or(SECONDS_SOAK)));
    let until = Instant::now() + soak.unwrap_or_default();
    let mut cases = 0_u64;
    loop {
        let config = ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() };
        TestRunner::new(config).run(&strategy, &property).unwrap_or_else(|error| panic!("{error}"));
        cases += 512;
        if Instant::now() >= until {
            break;
        }
    }
    println!("{cases} cases");
}

#[test]
fn patterns_choose_as_gitignore_does() {
    hold((vec(pattern(), 0..5), select(vec!["", "a", "a/bc"]), tree()), same_as_gitignore);
}

#[test]
fn any_name_can_be_written_as_a_pattern() {
    hold((name(), name()), names_match_themselves);
}

#[test]
fn no_pattern_stops_a_run() {
    let pattern = prop_oneof![
        2 => "[a%F2.*?\\[\\]{},!^#/\\\\é-]{0,12}",
        1 => any::<String>(),
    ];
    let path = prop_oneof!["[a-c%F25./é]{0,20}", any::<String>()];
    hold((vec(pattern, 0..4), path), nothing_panics);
}
