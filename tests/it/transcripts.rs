//! What an operator types and reads, kept as files in tests/transcripts. `DOZO_WRITE_TRANSCRIPTS=1` writes them anew;
//! read what it wrote as a user would.
//!
//! A line that begins with `$ ` is run by a shell in a fresh directory, with `dozo` on the path and the tests' own components
//! in `$GUESTS`; what follows is what it
//! printed, standard output and standard error together, and `? N` if it ended with another status than 0. What differs
//! between runs is replaced: the directory by `DIR`, the program's by `BIN`, ids by `ID`, times by `TIME`, durations by
//! `TOOK`, sizes by `SIZE`. One whose first line begins with `# Needs root` is skipped by others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::house::{binary, guests, is_root};

#[test]
fn transcripts_are_as_they_were() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|item| item.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let checks: Vec<_> = files.iter().map(|file| scope.spawn(|| check(file))).collect();
        checks.into_iter().filter_map(|check| check.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is not as it was in a transcript.
fn check(file: &Path) -> Option<String> {
    let expected = fs::read_to_string(file).unwrap();
    if expected.starts_with("# Needs root") && !is_root(&format!("the transcript {}", file.display())) {
        return None;
    }
    let found = play(&expected);
    if std::env::var_os("DOZO_WRITE_TRANSCRIPTS").is_some() {
        fs::write(file, found).unwrap();
        return None;
    }
    (found != expected).then(|| format!("--- {}\n{}", file.display(), difference(&expected, &found)))
}

/// Runs the commands of a transcript; returns the transcript that this gives.
fn play(transcript: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut out = String::new();
    // Between a command and the next, or a comment, stands output: it is replaced.
    for line in transcript.lines() {
        if line.starts_with("# ") || line.is_empty() && !out.ends_with("\n\n") {
            out.push_str(line);
            out.push('\n');
        } else if let Some(command) = line.strip_prefix("$ ") {
            out.push_str(&format!("$ {command}\n{}", run(command, dir.path())));
        }
    }
    out.trim_end().to_string() + "\n"
}

fn run(command: &str, dir: &Path) -> String {
    let path = format!("{}:{}", binary().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("exec 2>&1; {command}")).current_dir(dir);
    shell.env("PATH", path).env("TZ", "UTC").env("DIR", dir).env("XDG_CACHE_HOME", dir.join(".cache"));
    shell.env("XDG_STATE_HOME", dir.join(".state")).env("GUESTS", guests());
    let output = shell.env_remove("DOZO_LOG").output().unwrap();
    let mut text = normal(&String::from_utf8_lossy(&output.stdout), dir);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    match output.status.code() {
        Some(0) => text,
        code => text + &format!("? {}\n", code.map_or("signal".to_string(), |code| code.to_string())),
    }
}

/// Replaces what differs from run to run. Empty lines, and comments, are kept apart from those between commands.
fn normal(text: &str, dir: &Path) -> String {
    let (dir, bin) = (dir.display().to_string(), binary().parent().unwrap().display().to_string());
    let text = text.replace(&dir, "DIR").replace(dir.trim_start_matches('/'), "DIR").replace(&bin, "BIN");
    let lines = text.lines().map(|line| {
        let words: Vec<String> = line.split(' ').map(word).collect();
        let line = words.join(" ");
        let line = measures(&line);
        if line.is_empty() || line.starts_with("# ") { format!("·{line}") } else { line }
    });
    lines.map(|line| line + "\n").collect()
}

fn word(word: &str) -> String {
    // Names of objects: packs/12/34…, snapshots/…/…/TIME-….
    if let Some((kind, rest)) = word.split_once('/')
        && ["packs", "catalog", "index", "snapshots", "records", "leases", "tombstones", "damage", "keys"]
            .contains(&kind)
        && rest.len() > 20
    {
        let end = rest.chars().last().filter(|c| [':', ','].contains(c));
        return format!("{kind}/ID{}", end.map(String::from).unwrap_or_default());
    }
    let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if core.starts_with("age1") && core.len() > 60 {
        return word.replace(core, "age1ID");
    }
    // No word of eight letters has but those from a to f, and now and then an id has no digit.
    let hex = core.len() >= 8 && core.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    let date = core.len() == 10 && core.as_bytes()[4] == b'-' && core.as_bytes()[7] == b'-';
    let clock = core.len() == 8 && core.as_bytes()[2] == b':' && core.as_bytes()[5] == b':';
    match (hex, date || clock) {
        (true, _) => word.replace(core, "ID"),
        (_, true) => word.replace(core, "TIME"),
        _ => word.to_string(),
    }
}

/// `in 1.2 s`, `in 850 ms` and `after 1.2 s` become `in TOOK` and `after TOOK`; `2.5 KiB` becomes `SIZE`, because age puts
/// some random bytes into each header.
fn measures(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < words.len() {
        let number = words.get(at + 1).is_some_and(|w| w.parse::<f64>().is_ok());
        let unit = words.get(at + 2).map(|w| w.trim_end_matches([':', ',']));
        if ["in", "after"].contains(&words[at]) && number && unit.is_some_and(|u| u == "s" || u == "ms") {
            let tail = &words[at + 2][unit.map_or(0, str::len)..];
            out.push(format!("{} TOOK{tail}", words[at]));
            at += 3;
        } else if words.get(at + 1).is_some_and(|w| w.starts_with("KiB") || w.starts_with("MiB")) {
            let (open, tail) = (if words[at].starts_with('(') { "(" } else { "" }, &words[at + 1][3..]);
            out.push(format!("{open}SIZE{tail}"));
            at += 2;
        } else {
            out.push(words[at].to_string());
            at += 1;
        }
    }
    out.join(" ")
}

/// The first lines that differ.
fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let at = expected.iter().zip(&found).position(|(a, b)| a != b).unwrap_or(expected.len().min(found.len()));
    let show = |lines: &[&str], sign: &str| {
        lines.iter().skip(at).take(6).map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    format!("line {}:\n{}{}", at + 1, show(&expected, "-"), show(&found, "+"))
}
