//! dozo itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(&self.place.home);
        // Compiled plugins stay from round to round.
        command.env("XDG_CACHE_HOME", self.place.home.with_extension("cache"));
        command.env("XDG_STATE_HOME", self.place.home.join("state"));
        command
    }
}

impl Tool for Dozo {
    fn name(&self) -> &str {
        &self.name
    }

    fn place(&self) -> &Place {
        &self.place
    }

    fn prepare(&self) -> Result<()> {
        let home = &self.place.home;
        output(&mut self.command(&["init", &format!("file://{}/repository", home.display()), "--single-owner"]))?;
        let file = home.join("dozo.toml");
        let tree = self.place.tree.display().to_string();
        let job = format!(
            "\n[job.bench]\nplugin = \"filesystem\"\nconfig = {{ paths = [{tree:?}] }}\ngrant = {{ read = [{tree:?}] }}\n"
        );
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        fs::write(&file, text + &job)?;
        // Compiles the plugin, the first time.
        output(&mut self.command(&["config", "check"])).map(|_| ())
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
