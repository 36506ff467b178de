//! borg, built by pip.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Place, Tool, fetched, number};
use crate::shell::{output, run};

const VERSION: &str = "1.4.5";

pub(super) struct Borg {
    name: String,
    place: Place,
    packages: PathBuf,
}

impl Borg {
    pub(super) fn find(place: Place) -> Result<Self> {
        let packages = fetched("borg.sh", &[VERSION])?;
        let name = format!("borg {}", number(&output(borg(&packages).arg("--version"))?));
        Ok(Borg { name, place, packages })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let home = &self.place.home;
        let mut command = borg(&self.packages);
        command.args(arguments).current_dir(home);
        command.env("BORG_REPO", self.stored()).env("BORG_BASE_DIR", home).env("BORG_PASSPHRASE", "of the benchmark");
        command
    }
}

/// The Python that the packages were built for.
fn borg(packages: &Path) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-m", "borg"]).env("PYTHONPATH", packages);
    command
}

impl Tool for Borg {
    fn name(&self) -> &str {
        &self.name
    }

    fn place(&self) -> &Place {
        &self.place
    }

    fn prepare(&self) -> Result<()> {
        // It restores into the directory that it is started in.
        std::fs::create_dir(self.place.restored())?;
        run(&mut self.command(&["--error", "init", "--encryption", "repokey-blake2"]))
    }

    fn backup(&self, name: &str) -> Command {
        let mut command = self.command(&["create", "--compression", "zstd,3"]);
        command.arg(format!("::{name}")).arg(&self.place.tree);
        command
    }

    fn is_incremental(&self) -> bool {
        true
    }

    fn restore(&self, name: &str) -> Command {
        let mut command = self.command(&["extract"]);
        command.arg(format!("::{name}")).current_dir(self.place.restored());
        command
    }

    fn stored(&self) -> PathBuf {
        self.place.home.join("repository")
    }

    fn restored(&self) -> PathBuf {
        self.place.restored_whole()
    }
}
