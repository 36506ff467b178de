//! The programs that back up a directory, side by side: how each is prepared, and the commands that are measured.

mod archive;
mod borg;
pub(crate) mod dozo;
mod restic;
mod rustic;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::shell::{output, root};

pub(crate) use restic::restic;

/// A program that can be compared.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// tar, zstd and age, in a pipe
    Tar,
    Restic,
    Borg,
    Rustic,
    Dozo,
}

/// Where a program works, and on what.
pub(crate) struct Place {
    /// Its own directory, empty before each turn.
    pub(crate) home: PathBuf,
    /// What it backs up.
    pub(crate) tree: PathBuf,
}

impl Place {
    fn restored(&self) -> PathBuf {
        self.home.join("restored")
    }

    /// Where the tree comes back for those who restore whole paths.
    fn restored_whole(&self) -> PathBuf {
        self.restored().join(self.tree.strip_prefix("/").unwrap_or(&self.tree))
    }
}

/// A program that backs up.
pub(crate) trait Tool {
    /// With its version.
    fn name(&self) -> &str;
    fn place(&self) -> &Place;
    /// Keys and an empty repository; not measured.
    fn prepare(&self) -> Result<()>;
    /// How long nothing may have changed before the first backup, for the second to take it as it is.
    fn rest(&self) -> Duration {
        Duration::ZERO
    }
    /// One backup; `name` is for those that want each to have one.
    fn backup(&self, name: &str) -> Command;
    /// Whether a second backup makes use of the first.
    fn is_incremental(&self) -> bool;
    /// Whether it keeps time, mode and owner of the directory itself, as of all that is below.
    fn keeps_top(&self) -> bool {
        true
    }
    /// Restores the last backup, which has this name.
    fn restore(&self, name: &str) -> Command;
    /// What it keeps backups in.
    fn stored(&self) -> PathBuf;
    /// Where the tree comes back.
    fn restored(&self) -> PathBuf;
}

impl Peer {
    /// What the table calls it if it is not there to be asked.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Tar => "tar, zstd, age",
            Peer::Restic => "restic",
            Peer::Borg => "borg",
            Peer::Rustic => "rustic",
            Peer::Dozo => "dozo",
        }
    }

    /// Finds it, or fetches or builds it. `dozo` is the host that is measured.
    pub(crate) fn find(self, homes: &Path, tree: &Path, dozo: &Path) -> Result<Box<dyn Tool>> {
        let place = |name: &str| Place { home: homes.join(name), tree: tree.to_path_buf() };
        Ok(match self {
            Peer::Tar => Box::new(archive::Archive::find(place("archive"))?),
            Peer::Restic => Box::new(restic::Restic::find(place("restic"))?),
            Peer::Borg => Box::new(borg::Borg::find(place("borg"))?),
            Peer::Rustic => Box::new(rustic::Rustic::find(place("rustic"))?),
            Peer::Dozo => Box::new(dozo::Dozo::find(place("dozo"), dozo)?),
        })
    }
}

/// This machine's own release.
pub(crate) const OWN_SUITE: &str = "own";

/// A program on PATH.
fn installed(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// A program on PATH, or out of a package of this machine's own release.
pub(crate) fn of_this_release(package: &str, program: &str) -> Result<PathBuf> {
    installed(program).map_or_else(|| unpacked(OWN_SUITE, package, program), Ok)
}

/// A program out of a Debian package.
pub(crate) fn unpacked(suite: &str, package: &str, program: &str) -> Result<PathBuf> {
    packaged(suite, package, &format!("bin/{program}"))
}

/// A file out of a Debian package, by the end of its path.
pub(crate) fn packaged(suite: &str, package: &str, file: &str) -> Result<PathBuf> {
    fetched("peer.sh", &[suite, package, file])
}

/// What a script of tests/tools fetches or builds, if it is not there yet.
fn fetched(script: &str, arguments: &[&str]) -> Result<PathBuf> {
    fetched_into(&super::home()?.join("tools"), script, arguments)
}

/// The same, in another place.
pub(crate) fn fetched_into(tools: &Path, script: &str, arguments: &[&str]) -> Result<PathBuf> {
    let script = root().join("tests/tools").join(script);
    let path = output(Command::new("bash").arg(script).arg(tools).args(arguments))?;
    Ok(PathBuf::from(path.trim()))
}

/// The first version number in what a program says of itself.
pub(crate) fn number(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    let numbers = words.map(|word| word.trim_start_matches('v')).filter(|word| word.contains('.'));
    numbers.filter(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_string).next().unwrap_or_default()
}
