//! The peer: restic, told the same times.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use super::keeper::Kept;

#[derive(Clone)]
pub(super) struct Restic {
    program: PathBuf,
    home: PathBuf,
}

impl Restic {
    pub(super) fn new(program: &Path, home: &Path) -> Result<Self> {
        let restic = Restic { program: program.into(), home: home.into() };
        restic.perform(&["init"])?;
        Ok(restic)
    }

    pub(super) fn run(&self, tree: &Path, now: Timestamp) -> Result<Duration> {
        let time = now.strftime("%Y-%m-%d %H:%M:%S").to_string();
        self.perform(&["backup", "--host", "bench", "--time", &time, &tree.display().to_string()])
    }

    /// Both at once, as its manual has it.
    pub(super) fn tidy(&self, kept: Kept) -> Result<Duration> {
        let counts = [kept.hourly, kept.daily, kept.weekly, kept.monthly].map(|count| count.to_string());
        let names = ["--keep-hourly", "--keep-daily", "--keep-weekly", "--keep-monthly"];
        let rules = names.into_iter().zip(&counts).flat_map(|(name, count)| [name, count]);
        let arguments: Vec<&str> = ["forget", "--prune"].into_iter().chain(rules).collect();
        self.perform(&arguments)
    }

    pub(super) fn bytes(&self) -> Result<u64> {
        stored(&self.home.join("repository"))
    }

    fn perform(&self, arguments: &[&str]) -> Result<Duration> {
        let began = Instant::now();
        let mut command = Command::new(&self.program);
        command.arg("--quiet").args(arguments).env("TZ", "UTC").env("RESTIC_PASSWORD", "of the benchmark");
        command.env("RESTIC_REPOSITORY", self.home.join("repository"));
        command.env("RESTIC_CACHE_DIR", self.home.join("cache"));
        let output = command.output().context("start restic")?;
        if !output.status.success() {
            bail!("restic {}: {}", arguments[0], String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(began.elapsed())
    }
}

fn stored(place: &Path) -> Result<u64> {
    let metadata = std::fs::symlink_metadata(place)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    std::fs::read_dir(place)?.map(|item| stored(&item?.path())).sum()
}
