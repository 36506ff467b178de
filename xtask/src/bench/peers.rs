//! The programs that back up a directory, side by side: how each is prepared, and the commands that are measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::{output, root, run};

/// The release whose restic is the one to compare with.
const SUITE_OF_RESTIC: &str = "trixie";

/// Where a program works, and on what.
pub(crate) struct Place {
    /// Its own directory, empty before each round.
    pub(crate) home: PathBuf,
    /// What it backs up.
    pub(crate) tree: PathBuf,
}

impl Place {
    fn restored(&self) -> PathBuf {
        self.home.join("restored")
    }

    /// Where the tree comes back for those who restore whole paths.
    fn restored_whole(&self) -> PathBuf {
        self.restored().join(self.tree.strip_prefix("/").unwrap_or(&self.tree))
    }
}

/// A program that backs up.
pub(crate) trait Tool {
    /// With its version.
    fn name(&self) -> &str;
    fn place(&self) -> &Place;
    /// Keys and an empty repository; not measured.
    fn prepare(&self) -> Result<()>;
    fn backup(&self) -> Command;
    /// Whether a second backup makes use of the first.
    fn is_incremental(&self) -> bool;
    fn restore(&self) -> Command;
    /// What it keeps the backup in.
    fn stored(&self) -> PathBuf;
    /// Where the tree comes back.
    fn restored(&self) -> PathBuf;
}

/// All of them; those that cannot be had here with the reason.
pub(crate) fn all(homes: &Path, tree: &Path, dozo: &Path) -> Vec<(&'static str, Result<Box<dyn Tool>>)> {
    let place = |name: &str| Place { home: homes.join(name), tree: tree.to_path_buf() };
    vec![
        ("tar, zstd, age", Archive::find(place("archive")).map(|tool| Box::new(tool) as Box<dyn Tool>)),
        ("restic", Restic::find(place("restic")).map(|tool| Box::new(tool) as Box<dyn Tool>)),
        ("dozo", Dozo::find(place("dozo"), dozo).map(|tool| Box::new(tool) as Box<dyn Tool>)),
    ]
}

/// A pipe, as an administrator would write it.
struct Archive {
    name: String,
    place: Place,
    zstd: PathBuf,
    age: PathBuf,
    keygen: PathBuf,
}

impl Archive {
    fn find(place: Place) -> Result<Self> {
        let zstd = installed("zstd").map_or_else(|| unpacked("own", "zstd", "zstd"), Ok)?;
        let age = installed("age").map_or_else(|| unpacked("own", "age", "age"), Ok)?;
        let keygen = installed("age-keygen").map_or_else(|| unpacked("own", "age", "age-keygen"), Ok)?;
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

    fn backup(&self) -> Command {
        // The default format of tar cuts times to seconds.
        self.pipe(r#"tar --format=posix -C "$TREE" -cf - . | "$ZSTD" -q -3 -T0 | "$AGE" -e -i key -o archive"#)
    }

    fn is_incremental(&self) -> bool {
        false
    }

    fn restore(&self) -> Command {
        self.pipe(r#"mkdir restored; "$AGE" -d -i key archive | "$ZSTD" -q -d | tar -C restored -xf -"#)
    }

    fn stored(&self) -> PathBuf {
        self.place.home.join("archive")
    }

    fn restored(&self) -> PathBuf {
        self.place.restored()
    }
}

struct Restic {
    name: String,
    place: Place,
    program: PathBuf,
}

impl Restic {
    fn find(place: Place) -> Result<Self> {
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

    fn backup(&self) -> Command {
        let mut command = self.command(&["backup"]);
        command.arg(&self.place.tree);
        command
    }

    fn is_incremental(&self) -> bool {
        true
    }

    fn restore(&self) -> Command {
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

struct Dozo {
    name: String,
    place: Place,
    program: PathBuf,
}

impl Dozo {
    fn find(place: Place, program: &Path) -> Result<Self> {
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

    fn backup(&self) -> Command {
        self.command(&["run"])
    }

    fn is_incremental(&self) -> bool {
        true
    }

    fn restore(&self) -> Command {
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

/// restic, with its version.
pub(crate) fn restic() -> Result<(String, PathBuf)> {
    let program = unpacked(SUITE_OF_RESTIC, "restic", "restic").or_else(|why| installed("restic").ok_or(why))?;
    let name = format!("restic {}", number(&output(Command::new(&program).arg("version"))?));
    Ok((name, program))
}

/// A program on PATH.
fn installed(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// A program out of a Debian package.
fn unpacked(suite: &str, package: &str, program: &str) -> Result<PathBuf> {
    let script = root().join("tests/tools/peer.sh");
    let tools = super::home()?.join("tools");
    let path = output(Command::new("bash").arg(script).arg(tools).args([suite, package, program]))?;
    Ok(PathBuf::from(path.trim()))
}

/// The first version number in what a program says of itself.
fn number(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    let numbers = words.map(|word| word.trim_start_matches('v')).filter(|word| word.contains('.'));
    numbers.filter(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_string).next().unwrap_or_default()
}
