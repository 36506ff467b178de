//! A place to try dozo in: a temporary directory with a repository, keys, and a configuration.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A temporary directory in which dozo was initialised.
pub(crate) struct House {
    dir: tempfile::TempDir,
}

/// What a command printed, and how it ended.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// The one JSON line that was printed.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        let line = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {:?}\n{}", self.out, self.err))
    }

    /// The command must have ended so.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
}

impl House {
    /// A fresh repository.
    pub(crate) fn new() -> Self {
        let house = House { dir: tempfile::tempdir().unwrap() };
        let url = format!("file://{}", house.path("repository").display());
        house.dozo(&["init", &url, "--single-owner"]).expect(0);
        house
    }

    /// A directory with nothing in it yet.
    pub(crate) fn bare() -> Self {
        House { dir: tempfile::tempdir().unwrap() }
    }

    /// A path in the directory.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Writes a file that only its owner can read, as one with a secret must be.
    pub(crate) fn write_secret(&self, name: &str, text: &str) {
        let file = self.path(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// Adds text to the configuration.
    pub(crate) fn configure(&self, text: &str) {
        let file = self.path("dozo.toml");
        let old = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{old}\n{text}")).unwrap();
    }

    /// Adds a job of the filesystem plugin for a directory of the house.
    pub(crate) fn configure_files(&self, job: &str, directory: &str) {
        let path = self.path(directory);
        let shown = path.display();
        self.configure(&format!(
            "[job.{job}]\nplugin = \"filesystem\"\nconfig = {{ paths = [\"{shown}\"], settle_seconds = 2, allow_empty = true }}\ngrant = {{ read = [\"{shown}\"] }}"
        ));
    }

    /// Adds a job of one of the tests' own guests, with what else its table shall hold, and locks it.
    pub(crate) fn configure_guest(&self, job: &str, guest: &str, config: &str, more: &str) {
        let file = guests().join(format!("{guest}.wasm")).display().to_string();
        self.configure(&format!("[job.{job}]\nplugin = {file:?}\nconfig = {config}\n{more}"));
        self.lock(&file, Path::new(&file));
    }

    /// Puts a component's digest into the lock under a name, as an operator could by hand: some of these never say who they
    /// are, which `dozo plugin add` would ask.
    pub(crate) fn lock(&self, name: &str, file: &Path) {
        let lock = self.path("dozo.lock");
        let old = std::fs::read_to_string(&lock).unwrap_or_default();
        let head = format!("[plugin.{name:?}]");
        if !old.contains(&head) {
            let sha256 = sha256(file);
            std::fs::write(&lock, format!("{old}\n{head}\nsha256 = \"{sha256}\"\nversion = \"\"\n")).unwrap();
        }
    }

    /// Runs dozo in the directory.
    pub(crate) fn dozo(&self, arguments: &[&str]) -> Said {
        said(self.command().args(arguments).output().unwrap())
    }

    /// A command of dozo, to be run in another way.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.dir.path()).env("XDG_CACHE_HOME", cache()).env_remove("DOZO_LOG").env("TZ", "UTC");
        command.env("XDG_STATE_HOME", self.path("state"));
        command
    }

    /// Restores the newest snapshot of a job into a directory of the house.
    pub(crate) fn restore(&self, snapshot: &str, to: &str, more: &[&str]) -> Said {
        let to = self.path(to).display().to_string();
        self.dozo(&[&["restore", snapshot, "--to", &to, "--identity", "owner.key"], more].concat())
    }

    /// How many snapshots there are.
    pub(crate) fn snapshots(&self) -> usize {
        self.dozo(&["snapshots", "--json"]).expect(0).out.lines().count()
    }
}

/// What a process printed, and how it ended.
pub(crate) fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The binary under test.
pub(crate) fn binary() -> PathBuf {
    built("DOZO_TEST_BINARY", "../target/debug/dozo")
}

/// The directory of the components that the binary has inside.
pub(crate) fn bundle() -> PathBuf {
    guests().with_file_name("bundle")
}

/// The SHA-256 of a file, as coreutils have it.
pub(crate) fn sha256(file: &Path) -> String {
    let said = said(Command::new("sha256sum").arg(file).output().unwrap()).expect(0);
    said.out.split_whitespace().next().unwrap().trim_start_matches('\\').to_string()
}

/// The directory of the tests' own components.
pub(crate) fn guests() -> PathBuf {
    built("DOZO_TEST_GUESTS", "../target/guests")
}

/// Compiled components are shared by all tests: what is compiled once is tested often enough.
pub(crate) fn cache() -> PathBuf {
    guests().join("cache")
}

fn built(variable: &str, default: &str) -> PathBuf {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let path = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(default));
    path.canonicalize()
        .unwrap_or_else(|_| panic!("{} is not built: run the tests with `cargo xtask test`", path.display()))
}

/// How often to do something: a soak has time (`cargo xtask soak`).
pub(crate) fn soak(normal: usize, long: usize) -> usize {
    if std::env::var_os("DOZO_SOAK").is_some() { long } else { normal }
}

/// Whether this test runs as root; one that needs it says loudly that it does not.
pub(crate) fn is_root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: {what} needs root");
    }
    root
}
