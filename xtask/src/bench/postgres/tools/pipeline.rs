//! A pipe, as an administrator would write it: pg_basebackup, zstd, age.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::super::cluster::{PASSWORD, ROLE};
use super::super::server::Programs;
use super::Tool;
use crate::bench::peers::{number, of_this_release};
use crate::shell::output;

/// The programs.
pub(super) struct Pipeline<'a> {
    name: String,
    programs: &'a Programs,
    home: PathBuf,
    zstd: PathBuf,
    age: PathBuf,
    keygen: PathBuf,
}

impl<'a> Pipeline<'a> {
    pub(super) fn find(programs: &'a Programs, home: PathBuf) -> Result<Self> {
        let (zstd, age) = (of_this_release("zstd", "zstd")?, of_this_release("age", "age")?);
        let keygen = of_this_release("age", "age-keygen")?;
        let version = |program: &Path| Ok::<_, anyhow::Error>(number(&output(Command::new(program).arg("--version"))?));
        let of_postgres = version(&programs.path("pg_basebackup"))?;
        let name = format!("pg_basebackup {of_postgres}, zstd {} -3 -T0, age {}", version(&zstd)?, version(&age)?);
        Ok(Pipeline { name, programs, home, zstd, age, keygen })
    }

    fn pipe(&self, script: &str, name: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("set -o pipefail; {script}"), "pipe", name]).current_dir(&self.home);
        command.env("ZSTD", &self.zstd).env("AGE", &self.age);
        command.env("PG_BASEBACKUP", self.programs.path("pg_basebackup"));
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.programs.port().to_string());
        command.env("PGUSER", ROLE).env("PGPASSWORD", PASSWORD);
        command
    }
}

impl Tool for Pipeline<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn home(&self) -> &Path {
        &self.home
    }

    fn prepare(&self) -> Result<()> {
        std::fs::create_dir(self.stored())?;
        output(Command::new(&self.keygen).args(["-o", "key"]).current_dir(&self.home)).map(|_| ())
    }

    fn full(&self, name: &str) -> Command {
        let script =
            r#""$PG_BASEBACKUP" -Ft -X fetch -c fast -D - | "$ZSTD" -q -3 -T0 | "$AGE" -e -i key -o "archives/$1""#;
        self.pipe(script, name)
    }

    fn incremental(&self) -> Option<Command> {
        None
    }

    fn restore(&self, name: &str) -> Command {
        let script = r#""$AGE" -d -i key "archives/$1" | "$ZSTD" -q -d | tar -C restored --numeric-owner -xf -"#;
        self.pipe(script, name)
    }

    fn stored(&self) -> PathBuf {
        self.home.join("archives")
    }

    fn has_manifest(&self) -> bool {
        true
    }
}
