//! pgBackRest, beside the server and as its user.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::super::server::Programs;
use super::{Tool, restored, source};
use crate::bench::peers::{number, unpacked};
use crate::shell::{output, run};

/// The release whose pgBackRest knows PostgreSQL 17.
const SUITE: &str = "trixie";

/// Level and cipher as the others have them, two processes for the machine's two cores, and what it has of late: small files
/// bundled, changed blocks instead of changed files. A full backup is no reason to delete the one before.
const SETTINGS: &str = "
compress-type=zst
compress-level=3
process-max=2
start-fast=y
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=of-the-benchmark
repo1-bundle=y
repo1-block=y
repo1-retention-full=9
log-level-console=warn
log-level-file=off
";

pub(super) struct PgBackRest<'a> {
    name: String,
    programs: &'a Programs,
    home: PathBuf,
    program: PathBuf,
}

impl<'a> PgBackRest<'a> {
    pub(super) fn find(programs: &'a Programs, homes: &Path) -> Result<Self> {
        // Where the server's user can get to it.
        let program =
            crate::bench::copied(&unpacked(SUITE, "pgbackrest", "pgbackrest")?, &homes.join("pgbackrest-program"))?;
        let name = format!("pgBackRest {}", number(&output(Command::new(&program).arg("version"))?));
        Ok(PgBackRest { name, programs, home: homes.join("pgbackrest"), program })
    }

    fn configuration(&self) -> PathBuf {
        self.home.join("pgbackrest.conf")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command =
            self.programs.as_user(&self.program, [format!("--config={}", self.configuration().display())]);
        command.arg("--stanza=bench").args(arguments);
        command
    }

    fn backup(&self, kind: &str) -> Command {
        self.command(&["backup", &format!("--type={kind}")])
    }
}

impl Tool for PgBackRest<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn home(&self) -> &Path {
        &self.home
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let (program, configuration) = (self.program.display(), self.configuration());
        let push = format!("'{program}' '--config={}' --stanza=bench archive-push %p", configuration.display());
        vec![("archive_mode", "on".into()), ("archive_command", push)]
    }

    fn prepare(&self) -> Result<()> {
        for directory in ["repository", "lock"] {
            self.programs.directory(&self.home.join(directory))?;
        }
        let paths = format!(
            "[global]\nrepo1-path={}\nlock-path={}\n{SETTINGS}\n[bench]\npg1-path={}\npg1-socket-path={}\npg1-port={}\npg1-user=postgres\n",
            self.stored().display(),
            self.home.join("lock").display(),
            source(&self.home).display(),
            self.programs.sockets().display(),
            self.programs.port(),
        );
        fs::write(self.configuration(), paths).context("write pgbackrest.conf")?;
        run(&mut self.command(&["stanza-create"]))
    }

    fn full(&self, _name: &str) -> Command {
        self.backup("full")
    }

    fn incremental(&self) -> Option<Command> {
        Some(self.backup("incr"))
    }

    fn restore(&self, _name: &str) -> Command {
        self.command(&["restore", &format!("--pg1-path={}", restored(&self.home).display())])
    }

    fn stored(&self) -> PathBuf {
        self.home.join("repository")
    }

    fn has_manifest(&self) -> bool {
        false
    }
}
