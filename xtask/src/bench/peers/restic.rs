//! restic.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Place, Tool, installed, number, unpacked};
use crate::shell::{output, run};

/// The release whose restic is the one to compare with.
const SUITE: &str = "trixie";

pub(super) struct Restic {
    name: String,
    place: Place,
    program: PathBuf,
}

impl Restic {
    pub(super) fn find(place: Place) -> Result<Self> {
        let (name, program) = restic()?;
        Ok(Restic { name, place, program })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let home = &self.place.home;
        let mut command = Command::new(&self.program);
        command.arg("--quiet").args(arguments).current_dir(home);
        command.env("RESTIC_REPOSITORY", home.join("repository")).env("RESTIC_CACHE_DIR", home.join("cache"));
        command.env("RESTIC_PASSWORD", "of the benchmark");
        command
    }
}

impl Tool for Restic {
    fn name(&self) -> &str {
        &self.name
    }

    fn place(&self) -> &Place {
        &self.place
    }

    fn prepare(&self) -> Result<()> {
        run(&mut self.command(&["init"]))
    }

    fn backup(&self, _name: &str) -> Command {
        let mut command = self.command(&["backup"]);
        command.arg(&self.place.tree);
        command
    }

    fn is_incremental(&self) -> bool {
        true
    }

    fn restore(&self, _name: &str) -> Command {
        let mut command = self.command(&["restore", "latest", "--target"]);
        command.arg(self.place.restored());
        command
    }

    fn stored(&self) -> PathBuf {
        self.place.home.join("repository")
    }

    fn restored(&self) -> PathBuf {
        self.place.restored_whole()
    }
}

/// restic, with its version.
pub(crate) fn restic() -> Result<(String, PathBuf)> {
    let program = unpacked(SUITE, "restic", "restic").or_else(|why| installed("restic").ok_or(why))?;
    let name = format!("restic {}", number(&output(Command::new(&program).arg("version"))?));
    Ok((name, program))
}
