//! `dozo.lock`, beside the configuration: the digests of the components that it may run. Bundled ones are part of the program
//! and need none.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use dozo_job::Error;
use dozo_job::port::ObjectId;
use serde::Deserialize;

use crate::ui::words;

/// A few lines for each plugin.
const FILE_BYTES_MAX: u64 = 1 << 20;

const HEAD: &str =
    "# Which components the configuration beside this file may run, by their SHA-256. Written by `dozo plugin add` and
# `dozo plugin lock`; keep it with the configuration. What is not here, or is not the same any more, is not run.
";

/// The lock of one configuration.
pub(crate) struct Lock {
    pub(crate) file: PathBuf,
    entries: BTreeMap<String, Locked>,
}

/// One component.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Locked {
    pub(crate) sha256: ObjectId,
    /// What it said of itself when it was locked; for people.
    pub(crate) version: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    plugin: BTreeMap<String, Locked>,
}

/// What the lock says of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Locked,
    Unlocked,
    /// It was this one.
    Changed(Locked),
}

impl Lock {
    /// The lock beside a configuration, `dozo.lock` for `dozo.toml`; an empty one if there is none yet.
    pub(crate) fn beside(config: &Path) -> Result<Self, Error> {
        let file = config.with_extension("lock");
        let what = || format!("read {}", file.display());
        let text = match fs::metadata(&file).map(|metadata| metadata.len()) {
            Ok(length) if length > FILE_BYTES_MAX => return Err(Error::invalid(format!("{}: it is too long", what()))),
            Ok(_) => fs::read_to_string(&file).map_err(|e| Error::io(what(), e))?,
            Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::io(what(), e)),
        };
        let text: Text = toml::from_str(&text).map_err(|e| {
            Error::invalid(what())
                .caused_by(e)
                .hinted("`dozo plugin lock` writes it anew: first look at who changed it, and remove it")
        })?;
        Ok(Lock { file, entries: text.plugin })
    }

    /// What it says of a component, by the name that the configuration has.
    pub(crate) fn standing(&self, name: &str, digest: ObjectId) -> Standing {
        match self.entries.get(name) {
            None => Standing::Unlocked,
            Some(locked) if locked.sha256 == digest => Standing::Locked,
            Some(locked) => Standing::Changed(locked.clone()),
        }
    }

    /// Refuses what is not locked, or not the same any more.
    pub(crate) fn admit(&self, name: &str, digest: ObjectId) -> Result<(), Error> {
        match self.standing(name, digest) {
            Standing::Locked => Ok(()),
            Standing::Unlocked => {
                Err(Error::not_granted(format!("the plugin `{name}` is not locked")).hinted(format!(
                    "`dozo plugin add {}` looks at it and puts its digest into {}",
                    words::quoted(name),
                    self.shown()
                )))
            }
            Standing::Changed(Locked { sha256, version }) => {
                let was = if version.is_empty() { String::new() } else { format!("{version}, ") };
                Err(Error::not_granted(format!("the plugin `{name}` changed since it was locked"))
                    .caused_by(Error::not_granted(format!("it was {was}sha256 {sha256}, and is sha256 {digest}")))
                    .hinted(format!(
                        "if it was you who changed it: `dozo plugin add {}`; if not, find out who did",
                        words::quoted(name)
                    )))
            }
        }
    }

    /// Locks a component; returns what was locked under the name before.
    pub(crate) fn insert(&mut self, name: &str, locked: Locked) -> Option<Locked> {
        self.entries.insert(name.to_string(), locked)
    }

    /// Lets go of those that are not among these names; returns them.
    pub(crate) fn keep_only(&mut self, names: &[String]) -> Vec<String> {
        let gone: Vec<String> = self.entries.keys().filter(|name| !names.contains(name)).cloned().collect();
        gone.iter().for_each(|name| drop(self.entries.remove(name)));
        gone
    }

    /// Replaces the file as a whole: a crash leaves the old one or the new one.
    pub(crate) fn write(&self) -> Result<(), Error> {
        let new = self.file.with_extension(format!("lock.new-{}", std::process::id()));
        let directory = self.file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let write = || {
            let mut open = File::create(&new)?;
            open.write_all(self.text().as_bytes())?;
            open.sync_all()?;
            fs::rename(&new, &self.file)?;
            File::open(directory)?.sync_all()
        };
        write().map_err(|e| {
            let _ = fs::remove_file(&new);
            Error::io(format!("write {}", self.file.display()), e)
        })
    }

    /// As it is written, in order of names.
    fn text(&self) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let entry = |(name, locked): (&String, &Locked)| {
            let Locked { sha256, version } = locked;
            format!("\n[plugin.{}]\nsha256 = \"{sha256}\"\nversion = {}\n", quoted(name), quoted(version))
        };
        HEAD.to_string() + &self.entries.iter().map(entry).collect::<String>()
    }

    fn shown(&self) -> String {
        self.file.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(byte: u8) -> Locked {
        Locked { sha256: ObjectId([byte; 32]), version: "0.1.0".into() }
    }

    fn lock(dir: &tempfile::TempDir) -> Lock {
        Lock::beside(&dir.path().join("dozo.toml")).unwrap()
    }

    #[test]
    fn what_is_written_is_read_in_order_and_with_every_name() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["z", "./a b.wasm", "/opt/\"quoted\"/x.wasm", "b"];
        let mut lock = lock(&dir);
        for (byte, name) in names.iter().enumerate() {
            assert_eq!(lock.insert(name, locked(byte as u8)), None);
        }
        lock.write().unwrap();
        let read = Lock::beside(&dir.path().join("dozo.toml")).unwrap();
        assert_eq!(read.entries, lock.entries);
        let text = fs::read_to_string(dir.path().join("dozo.lock")).unwrap();
        let order = ["a b.wasm", "/x.wasm", "\"b\"", "\"z\""].map(|name| text.find(name).unwrap());
        assert!(order.is_sorted(), "{text}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn what_is_not_locked_or_not_the_same_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut lock = lock(&dir);
        let refused = |lock: &Lock, byte: u8| lock.admit("x", ObjectId([byte; 32])).err().map(|e| e.chain());
        assert!(refused(&lock, 1).unwrap().contains("is not locked"));
        lock.insert("x", locked(1));
        assert_eq!(refused(&lock, 1), None);
        let changed = refused(&lock, 2).unwrap();
        assert!(changed.contains(&"01".repeat(32)) && changed.contains(&"02".repeat(32)), "{changed}");
        assert!(changed.contains("0.1.0"), "{changed}");
        assert_eq!(lock.keep_only(&["y".into()]), ["x"]);
        assert!(refused(&lock, 1).is_some());
    }

    #[test]
    fn a_lock_that_cannot_be_read_is_an_error_and_no_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["[plugin.x]\nsha256 = \"12\"\nversion = \"1\"", "[plugins.x]", "nonsense"] {
            fs::write(dir.path().join("dozo.lock"), text).unwrap();
            assert!(Lock::beside(&dir.path().join("dozo.toml")).is_err(), "{text}");
        }
    }
}
