//! A pipe, as an administrator would write it: tar, zstd, age.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{Place, Tool, number, of_this_release};
use crate::shell::output;

/// The three programs.
pub(super) struct Archive {
    name: String,
    place: Place,
    zstd: PathBuf,
    age: PathBuf,
    keygen: PathBuf,
}

impl Archive {
    pub(super) fn find(place: Place) -> Result<Self> {
        let zstd = of_this_release("zstd", "zstd")?;
        let age = of_this_release("age", "age")?;
        let keygen = of_this_release("age", "age-keygen")?;
        let tar = number(&output(Command::new("tar").arg("--version"))?);
        let of_zstd = number(&output(Command::new(&zstd).arg("--version"))?);
        let of_age = number(&output(Command::new(&age).arg("--version"))?);
        let name = format!("tar {tar}, zstd {of_zstd} -3 -T0, age {of_age}");
        Ok(Archive { name, place, zstd, age, keygen })
    }

    fn pipe(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("set -o pipefail; {script}")]).current_dir(&self.place.home);
        command.env("ZSTD", &self.zstd).env("AGE", &self.age).env("TREE", &self.place.tree);
        command
    }
}

impl Tool for Archive {
    fn name(&self) -> &str {
        &self.name
    }

    fn place(&self) -> &Place {
        &self.place
    }

    fn prepare(&self) -> Result<()> {
        output(Command::new(&self.keygen).args(["-o", "key"]).current_dir(&self.place.home)).map(|_| ())
    }

    fn backup(&self, _name: &str) -> Command {
        // The default format of tar cuts times to seconds.
        self.pipe(r#"tar --format=posix -C "$TREE" -cf - . | "$ZSTD" -q -3 -T0 | "$AGE" -e -i key -o archive"#)
    }

    fn is_incremental(&self) -> bool {
        false
    }

    fn restore(&self, _name: &str) -> Command {
        self.pipe(r#"mkdir restored; "$AGE" -d -i key archive | "$ZSTD" -q -d | tar -C restored -xf -"#)
    }

    fn stored(&self) -> PathBuf {
        self.place.home.join("archive")
    }

    fn restored(&self) -> PathBuf {
        self.place.restored()
    }
}
