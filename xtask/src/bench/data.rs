//! What is backed up: data sets that every machine can make, that are the same each time, and that nobody changes meanwhile.
//! Each is made once and stays for the next run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use super::{made, peers, tree};
use crate::shell::{run, say};

/// A data set.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Data {
    /// A copy of some 2 GB of /usr
    Usr,
    /// The source of Linux 6.1, out of a Debian package
    Linux,
    /// One file of 20 GB
    Large,
    /// Millions of files of 0 to 200 bytes
    Many,
}

const WHOLE: &[&str] = &[
    "bin",
    "include",
    "share",
    "libexec",
    "local",
    "lib/gcc",
    "lib/python3",
    "lib/python3.11",
    "lib/postgresql",
    "lib/git-core",
];
const SMALL: &[&str] = &["share/doc", "share/perl", "libexec"];

/// The source of Linux as Debian has it: the suite, the package, and the file in it.
const LINUX: [&str; 3] = ["bookworm", "linux-source-6.1", "src/linux-source-6.1.tar.xz"];
const SMALL_LINUX: &str = "linux-source-6.1/Documentation";

const LARGE_BYTES: u64 = 20_000_000_000;
const SMALL_LARGE_BYTES: u64 = 200_000_000;
const MANY_FILES: u64 = 5_000_000;
const SMALL_MANY_FILES: u64 = 20_000;

impl Data {
    /// The data set below `home`, made if it is not there. `count` is how many files there are in `many`.
    pub(crate) fn make(self, home: &Path, small: bool, count: Option<u64>) -> Result<PathBuf> {
        let pick = |whole: u64, reduced: u64| if small { reduced } else { whole };
        let of_size = |name: &str| if small { format!("{name}-small") } else { name.to_string() };
        let count = count.unwrap_or_else(|| pick(MANY_FILES, SMALL_MANY_FILES));
        match self {
            Data::Usr => make(&home.join(of_size("tree")), |to| usr(to, if small { SMALL } else { WHOLE })),
            Data::Linux => make(&home.join(of_size("tree-linux")), |to| linux(to, small)),
            Data::Large => {
                make(&home.join(of_size("tree-large")), |to| made::large(to, pick(LARGE_BYTES, SMALL_LARGE_BYTES)))
            }
            Data::Many => make(&home.join(format!("tree-many-{count}")), |to| made::many(to, count)),
        }
    }
}

/// Stands beside a tree while it is not as it was made.
pub(crate) fn changed_mark(tree: &Path) -> PathBuf {
    tree::beside(tree, ".changed")
}

fn make(tree: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let mark = changed_mark(tree);
    if mark.exists() {
        say("an earlier run left the data changed: they are made again");
        super::remove(tree)?;
        fs::remove_file(&mark)?;
    }
    if !tree.exists() {
        say(format!("making the data in {}, for this run and the next", tree.display()));
        let new = tree::beside(tree, ".new");
        super::fresh(&new)?;
        fill(&new)?;
        fs::rename(&new, tree)?;
    }
    Ok(tree.to_path_buf())
}

fn usr(to: &Path, parts: &[&str]) -> Result<()> {
    let there = parts.iter().filter(|part| Path::new("/usr").join(part).exists());
    // What an ordinary user cannot read is left out.
    let copy = r#"set -o pipefail; tar -C /usr --ignore-failed-read -cf - "${@:2}" | tar -C "$1" -xf -"#;
    run(Command::new("bash").args(["-c", copy, "copy"]).arg(to).args(there))
}

fn linux(to: &Path, small: bool) -> Result<()> {
    let [suite, package, file] = LINUX;
    let archive = peers::packaged(suite, package, file)?;
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(to).args(["--strip-components=1", "-xJf"]).arg(archive);
    run(tar.args(small.then_some(SMALL_LINUX)))
}

/// A copy of a directory that somebody uses: what is measured changes it.
pub(crate) fn copy(directory: &Path, to: &Path) -> Result<PathBuf> {
    say(format!("copying {}", directory.display()));
    super::fresh(to)?;
    run(Command::new("cp").args(["-a", "--reflink=auto", "--"]).arg(directory.join(".")).arg(to))?;
    Ok(to.to_path_buf())
}
