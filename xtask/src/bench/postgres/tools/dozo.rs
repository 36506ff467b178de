//! dozo itself, by its plugin for PostgreSQL.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::super::cluster::{PASSWORD, ROLE};
use super::super::server::Programs;
use super::{Tool, restored};
use crate::bench::peers::{dozo, number};
use crate::shell::output;

pub(super) struct Dozo<'a> {
    name: String,
    programs: &'a Programs,
    home: PathBuf,
    program: PathBuf,
}

impl<'a> Dozo<'a> {
    pub(super) fn find(programs: &'a Programs, home: PathBuf, program: &Path) -> Result<Self> {
        let name = format!("dozo {}", number(&output(Command::new(program).arg("--version"))?));
        Ok(Dozo { name, programs, home, program: program.to_path_buf() })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        dozo::command(&self.program, &self.home, arguments)
    }
}

impl Tool for Dozo<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn home(&self) -> &Path {
        &self.home
    }

    fn prepare(&self) -> Result<()> {
        let password = self.home.join("password");
        fs::write(&password, PASSWORD).with_context(|| format!("write {}", password.display()))?;
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600))?;
        let (address, password) = (format!("127.0.0.1:{}", self.programs.port()), password.display().to_string());
        let job = format!(
            "\n[job.bench]\nplugin = \"postgres\"\n\
            config = {{ mode = \"physical\", url = \"postgres://{ROLE}@{address}/postgres\", \
            password = {{ file = {password:?} }} }}\ngrant = {{ network = [\"{address}\"] }}\n"
        );
        dozo::prepare(&self.program, &self.home, &job)
    }

    fn full(&self, _name: &str) -> Command {
        self.command(&["run", "--full"])
    }

    fn incremental(&self) -> Option<Command> {
        Some(self.command(&["run"]))
    }

    fn restore(&self, _name: &str) -> Command {
        let mut command = self.command(&["restore", "bench", "--identity", "owner.key", "--to"]);
        command.arg(restored(&self.home));
        command
    }

    fn stored(&self) -> PathBuf {
        self.home.join("repository")
    }

    fn has_manifest(&self) -> bool {
        true
    }
}
