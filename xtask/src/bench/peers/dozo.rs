//! dozo itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Place, Tool, number};
use crate::shell::output;

pub(super) struct Dozo {
    name: String,
    place: Place,
    program: PathBuf,
}

impl Dozo {
    pub(super) fn find(place: Place, program: &Path) -> Result<Self> {
        let name = format!("dozo {}", number(&output(Command::new(program).arg("--version"))?));
        Ok(Dozo { name, place, program: program.to_path_buf() })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        command(&self.program, &self.place.home, arguments)
    }
}

/// dozo with its configuration in `home`.
pub(crate) fn command(program: &Path, home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(home);
    // Compiled plugins stay from round to round.
    command.env("XDG_CACHE_HOME", home.with_extension("cache"));
    command.env("XDG_STATE_HOME", home.join("state"));
    command
}

/// A repository, and a job that is written in TOML.
pub(crate) fn prepare(program: &Path, home: &Path, job: &str) -> Result<()> {
    let url = format!("file://{}/repository", home.display());
    output(&mut command(program, home, &["init", &url, "--single-owner"]))?;
    let file = home.join("dozo.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    fs::write(&file, text + job)?;
    // Compiles the plugin, the first time.
    output(&mut command(program, home, &["config", "check"])).map(|_| ())
}

impl Tool for Dozo {
    fn name(&self) -> &str {
        &self.name
    }

    fn place(&self) -> &Place {
        &self.place
    }

    fn prepare(&self) -> Result<()> {
        let tree = self.place.tree.display().to_string();
        let job = format!(
            "\n[job.bench]\nplugin = \"filesystem\"\nconfig = {{ paths = [{tree:?}] }}\ngrant = {{ read = [{tree:?}] }}\n"
        );
        prepare(&self.program, &self.place.home, &job)
    }

    /// A file that changed within a minute before a run is read again by the next (`settle_seconds`).
    fn rest(&self) -> Duration {
        Duration::from_secs(62)
    }

    fn backup(&self, _name: &str) -> Command {
        self.command(&["run"])
    }

    fn is_incremental(&self) -> bool {
        true
    }

    fn restore(&self, _name: &str) -> Command {
        let mut command = self.command(&["restore", "bench", "--identity", "owner.key", "--to"]);
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
