//! The configuration file: read as a whole, checked as a whole, before anything runs. Every complaint names its place.

mod aws;
mod bucket_url;
mod expect;
mod grants;
mod guard;
pub(crate) mod kit;
mod masked;
mod mirrors;
mod place;
mod raw;
mod raw_grant;
mod raw_notify;
mod raw_store;
mod repository_id;
mod retention;
mod secret_command;
mod secret_file;
mod secrets;
mod store;
mod store_url;
mod table;
mod toml_words;
mod typed;
mod validate;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dozo_job::Kind;

pub(crate) use aws::endpoint_of_environment;
pub(crate) use grants::{Granted, Need, NeedKind};
pub(crate) use mirrors::mirror_store;
pub(crate) use place::{ConfigError, did_you_mean};
pub(crate) use raw::{Config, JobTable, MirrorTable, Role, TargetTable};
pub(crate) use raw_notify::NotifyTable;
pub(crate) use retention::is_place;
pub(crate) use secrets::Secrecy;
pub(crate) use store::StoreTables;
pub(crate) use store_url::url_of;
pub(crate) use table::PluginTable;
pub(crate) use validate::ResolvedConfig;

/// Where a configuration is looked for if nobody says.
const DEFAULT_FILES: [&str; 2] = ["dozo.toml", "/etc/dozo/dozo.toml"];
/// Where there may be a repository already, `init` is the wrong word.
const NO_CONFIGURATION: &str = "`dozo join URL --identity FILE` where there is a repository, `dozo init URL` for a new one; \
                                `--config FILE` names another";
/// Larger files are no configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A configuration and the text it came from.
pub(crate) struct Loaded {
    pub(crate) file: PathBuf,
    pub(crate) text: String,
    pub(crate) config: Config,
}

impl Loaded {
    /// Reads the file that was named, or the first of the usual ones that is there.
    pub(crate) fn read(named: Option<&Path>) -> anyhow::Result<Self> {
        let (file, text) = read_text(named)?;
        let config = raw::parse(&file, &text)?;
        let loaded = Loaded { file, text, config };
        match loaded.mistakes().into_iter().next() {
            Some(mistake) => Err(mistake.into()),
            None => Ok(loaded),
        }
    }

    /// The same with all mistakes of its shape, not the first alone; those of its content, [`mistakes`](Self::mistakes) has.
    pub(crate) fn read_with_mistakes(named: Option<&Path>) -> anyhow::Result<Result<Self, Vec<ConfigError>>> {
        let (file, text) = read_text(named)?;
        Ok(raw::parse_all(&file, &text).map(|config| Loaded { file, text, config }))
    }

    /// All that is wrong with the file by itself, before any plugin is asked.
    pub(crate) fn mistakes(&self) -> Vec<ConfigError> {
        let checks = [self.check_names(), self.check_retention(), self.check_mirrors(), self.check_notifiers()];
        let values = [self.repository_id().err(), self.check_guards().err(), self.check_expectations().err()];
        checks.into_iter().flatten().chain(values.into_iter().flatten()).collect()
    }

    /// Whether there is a configuration where one is looked for.
    pub(crate) fn is_there(named: Option<&Path>) -> bool {
        named.is_some() || usual().is_some()
    }

    /// The same, but none where nobody named a file and there is none: for commands that can do without.
    pub(crate) fn read_if_any(named: Option<&Path>) -> anyhow::Result<Option<Self>> {
        if named.is_none() && usual().is_none() { Ok(None) } else { Loaded::read(named).map(Some) }
    }

    /// A path of the configuration: relative ones are relative to its file.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        match self.file.parent() {
            Some(parent) => parent.join(path),
            None => path.to_path_buf(),
        }
    }

    /// A complaint about the value at a path of keys.
    pub(crate) fn fault(&self, keys: &[&str], message: impl Into<String>) -> ConfigError {
        place::fault(&self.file, &self.text, keys, message.into())
    }

    /// The same, with the values at some paths of keys not shown.
    fn fault_hiding(&self, keys: &[String], message: String, hidden: &[Vec<String>]) -> ConfigError {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        place::fault_hiding(&self.file, &self.text, (&keys, hidden), message)
    }

    /// The jobs that were named, or all in order of their names.
    pub(crate) fn jobs<'a>(&'a self, named: &'a [String]) -> anyhow::Result<Vec<(&'a str, &'a JobTable)>> {
        if named.is_empty() {
            if self.config.job.is_empty() {
                let message = format!("there is no job in {}", self.file.display());
                return Err(self
                    .fault(&[], message)
                    .hinted("add a table `[job.NAME]`, as docs/GUIDE.md shows it under The configuration")
                    .into());
            }
            return Ok(self.config.job.iter().map(|(name, job)| (name.as_str(), job)).collect());
        }
        named.iter().map(|name| self.job(name).map(|job| (name.as_str(), job))).collect()
    }

    /// The job of this name.
    pub(crate) fn job(&self, name: &str) -> anyhow::Result<&JobTable> {
        self.config.job.get(name).ok_or_else(|| {
            let known = self.config.job.keys().map(String::as_str);
            let error = self.fault(&[], format!("there is no job `{name}` in {}", self.file.display()));
            error.hinted(place::did_you_mean(name, known)).into()
        })
    }

    /// Names stand in messages, files and records.
    fn check_names(&self) -> Vec<ConfigError> {
        let jobs = self.config.job.keys().map(|name| (vec!["job", name], "a job"));
        let notifiers = self.config.notify.keys().map(|name| (vec!["notify", name], "a notifier"));
        let probes =
            self.config.job.iter().flat_map(|(job, table)| {
                table.probe.keys().map(move |name| (vec!["job", job, "probe", name], "a probe"))
            });
        let all = jobs.chain(notifiers).chain(probes);
        all.filter_map(|(keys, what)| self.check_name(&keys, what).err()).collect()
    }

    /// The last of the keys.
    fn check_name(&self, keys: &[&str], what: &str) -> Result<(), ConfigError> {
        let name = keys.last().copied().unwrap_or_default();
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !name.is_empty() && name.len() <= 64 && plain {
            return Ok(());
        }
        let message = format!("`{name}` cannot be the name of {what}");
        Err(self.fault(keys, message).hinted("letters, digits, `-`, `_` and `.`, at most 64"))
    }
}

/// The file that was named, or the first of the usual ones that is there, and what stands in it.
fn read_text(named: Option<&Path>) -> anyhow::Result<(PathBuf, String)> {
    let file = find(named)?;
    let what = || format!("read the configuration {}", file.display());
    let failed = |e| dozo_job::Error::io(what(), e).with_kind(Kind::Invalid);
    let length = std::fs::metadata(&file).map_err(failed)?.len();
    if length > FILE_BYTES_MAX {
        let why = format!("{}: {length} bytes are too many for a configuration", file.display());
        return Err(dozo_job::Error::invalid(why).into());
    }
    let text = std::fs::read_to_string(&file).map_err(failed)?;
    Ok((file, text))
}

fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named.to_path_buf());
    }
    let Some(file) = usual() else {
        let message = format!("there is no configuration: neither {} nor {}", DEFAULT_FILES[0], DEFAULT_FILES[1]);
        return Err(dozo_job::Error::invalid(message).hinted(NO_CONFIGURATION).into());
    };
    refuse_anothers(file)?;
    Ok(file.to_path_buf())
}

/// A configuration names programs, which run as whoever reads it. One that merely lies where a command was typed, and that
/// another user wrote or can write, is not obeyed, as git does not obey another user's repository.
fn refuse_anothers(file: &Path) -> anyhow::Result<()> {
    let failed =
        |e| dozo_job::Error::io(format!("read the configuration {}", file.display()), e).with_kind(Kind::Invalid);
    let metadata = std::fs::metadata(file).map_err(failed)?;
    let (owner, this) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if [0, this].contains(&owner) && metadata.mode() & 0o002 == 0 {
        return Ok(());
    }
    let why = match metadata.mode() & 0o002 {
        0 => format!("{} belongs to another user (uid {owner}, and this is uid {this})", file.display()),
        _ => format!("{} can be written by every user", file.display()),
    };
    let hint = format!("if you trust it, name it: `--config {}`", file.display());
    Err(dozo_job::Error::invalid(why).hinted(hint).into())
}

fn usual() -> Option<&'static Path> {
    DEFAULT_FILES.iter().map(Path::new).find(|file| file.exists())
}

/// Where a new configuration goes if nobody says.
pub(crate) fn default_file() -> PathBuf {
    DEFAULT_FILES[0].into()
}
