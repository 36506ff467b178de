//! rustic, built by cargo.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Place, Tool, fetched, number};
use crate::shell::{output, run, say};

const VERSION: &str = "0.11.4";

pub(super) struct Rustic {
    name: String,
    place: Place,
    program: PathBuf,
}

impl Rustic {
    pub(super) fn find(place: Place) -> Result<Self> {
        say(format!("looking for rustic {VERSION}; the first time it is built, which takes a quarter of an hour"));
        let program = fetched("rustic.sh", &[VERSION])?;
        let name = format!("rustic {}", number(&output(Command::new(&program).arg("--version"))?));
        Ok(Rustic { name, place, program })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let home = &self.place.home;
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(home);
        command.env("RUSTIC_REPOSITORY", self.stored()).env("RUSTIC_CACHE_DIR", home.join("cache"));
        command.env("RUSTIC_PASSWORD", "of the benchmark");
        command.env("RUSTIC_NO_PROGRESS", "true").env("RUSTIC_LOG_LEVEL", "warn");
        // The user's own profiles are none of the benchmark's.
        command.env("HOME", home).env_remove("XDG_CONFIG_HOME");
        command
    }
}

impl Tool for Rustic {
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

    fn keeps_top(&self) -> bool {
        false
    }

    fn restore(&self, _name: &str) -> Command {
        let mut command = self.command(&["restore", "latest"]);
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
