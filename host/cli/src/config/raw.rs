//! The configuration as it is written. Every key is documented here, and nowhere else; `dozo config schema` prints it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::guard::GuardSchema;
use super::place::{self, ConfigError};
use super::raw_grant::{GrantTable, LimitsTable};
use super::raw_notify::NotifyTable;
use super::raw_store::{AzureTable, GcsTable, S3Table};
use super::retention::RetentionTable;

/// The configuration of one dozo host.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "dozo configuration")]
pub(crate) struct Config {
    /// Where snapshots go.
    pub(crate) repository: RepositoryTable,
    /// Directory of plugins, `NAME.wasm`, beside those that are bundled in the program. What lies there is run only if
    /// `dozo.lock` has its digest. Default: none.
    pub(crate) plugin_dir: Option<PathBuf>,
    /// Private directory for compiled plugins, for what was read of indexes, and for temporary files. Default: `dozo` in
    /// the user's cache directory, `/var/cache/dozo` for root; without a HOME, `dozo-cache` beside `key`.
    pub(crate) cache_dir: Option<PathBuf>,
    /// Where this host remembers the newest snapshot of each job, by which it finds out that a store was rolled back. Worth
    /// keeping. Default: `/var/lib/dozo` for root, `~/.local/state/dozo` for others.
    pub(crate) state_dir: Option<PathBuf>,
    /// What counts for every job that does not say otherwise.
    #[serde(default)]
    pub(crate) defaults: DefaultsTable,
    /// Jobs of other hosts that are run no more, as `HOST/JOB` or by name: `dozo status` shows them and judges them no more.
    /// Jobs of this host that are not configured any more are retired without a word.
    #[serde(default)]
    pub(crate) retired: Vec<String>,
    /// How the repository is tidied.
    #[serde(default)]
    pub(crate) prune: PruneTable,
    /// What is backed up, by name.
    #[serde(default)]
    pub(crate) job: BTreeMap<String, JobTable>,
    /// Who is told what became of it, by name.
    #[serde(default)]
    pub(crate) notify: BTreeMap<String, NotifyTable>,
}

/// A repository and the keys to it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RepositoryTable {
    /// `file:///absolute/directory`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`.
    pub(crate) url: String,
    /// The repository's id, 64 digits: whatever else lies there is refused. Reading with an owner's key alone, and `dozo join`,
    /// take it where that key does not say it, as those of age and SSH do not. Default: what the keys say.
    pub(crate) id: Option<String>,
    /// This host's key file, made by `dozo init` or `dozo join`: it writes and lists, it does not read content. Default:
    /// `host.key` beside the configuration.
    #[serde(default = "default_key")]
    pub(crate) key: PathBuf,
    /// An owner's key file, which reads content. Only where this host may restore; `--identity` names it elsewhere.
    pub(crate) identity: Option<PathBuf>,
    /// This host's name, for people. Default: the machine's.
    pub(crate) host: Option<String>,
    /// What this host may do in the store. Default: `"backup"`.
    #[serde(default)]
    pub(crate) role: Role,
    /// More stores of the same repository, which `dozo mirror` fills.
    #[serde(default)]
    pub(crate) mirrors: Vec<MirrorTable>,
    /// Bytes in a second towards a networked store, such as `"10MiB"`. Default: as many as the line takes.
    #[schemars(with = "Option<String>")]
    pub(crate) limit_upload: Option<bytesize::ByteSize>,
    /// Bytes in a second from a networked store. Default: as many as the line takes.
    #[schemars(with = "Option<String>")]
    pub(crate) limit_download: Option<bytesize::ByteSize>,
    /// Requests to the store at the same time. Default: 16.
    pub(crate) requests: Option<u16>,
    /// How an `s3://` store is reached.
    pub(crate) s3: Option<S3Table>,
    /// How a `gs://` store is reached.
    pub(crate) gcs: Option<GcsTable>,
    /// How an `az://` store is reached.
    pub(crate) azure: Option<AzureTable>,
}

fn default_key() -> PathBuf {
    "host.key".into()
}

/// Another store of the repository.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MirrorTable {
    /// What commands call it.
    pub(crate) name: String,
    /// Where it lies, as `url` of the repository.
    pub(crate) url: String,
    /// Bytes in a second towards it. Default: as many as the line takes.
    #[schemars(with = "Option<String>")]
    pub(crate) limit_upload: Option<bytesize::ByteSize>,
    /// Bytes in a second from it. Default: as many as the line takes.
    #[schemars(with = "Option<String>")]
    pub(crate) limit_download: Option<bytesize::ByteSize>,
    /// Requests to it at the same time. Default: 16.
    pub(crate) requests: Option<u16>,
    /// How long it may lack a snapshot, such as `"26h"`, before `dozo status` alerts. Default: `"50h"`.
    #[schemars(with = "Option<String>")]
    pub(crate) expect_every: Option<jiff::SignedDuration>,
    /// How an `s3://` store is reached.
    pub(crate) s3: Option<S3Table>,
    /// How a `gs://` store is reached.
    pub(crate) gcs: Option<GcsTable>,
    /// How an `az://` store is reached.
    pub(crate) azure: Option<AzureTable>,
}

/// What counts for every job that does not say otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DefaultsTable {
    /// Where days begin for retention, and in which zone times are shown and typed, such as `"Asia/Tokyo"`. Default: UTC for
    /// retention, never the machine's zone; the machine's for times.
    pub(crate) timezone: Option<String>,
    /// Which snapshots are kept. Default: all.
    pub(crate) retention: Option<RetentionTable>,
    /// From which drop on a snapshot is suspicious. Default: `"50%"`.
    #[schemars(with = "Option<GuardSchema>")]
    pub(crate) guard: Option<toml::Value>,
    /// How old the newest complete snapshot of a job may be, such as `"26h"`, before `dozo status` alerts. Default: what the
    /// job's history says is usual.
    #[schemars(with = "Option<String>")]
    pub(crate) expect_every: Option<jiff::SignedDuration>,
}

/// How the repository is tidied, on the host whose `role` is `"maintain"`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PruneTable {
    /// Which snapshots are kept of jobs that this configuration does not have: those of other hosts. Default: all.
    pub(crate) others: Option<RetentionTable>,
    /// How long packs are condemned before they are deleted, such as `"24h"` (the default).
    #[schemars(with = "Option<String>")]
    pub(crate) grace: Option<jiff::SignedDuration>,
    /// Packs that came to the store more recently are left alone, such as `"168h"` (the default): as long as the longest
    /// run, or what an interrupted run stored is lost to the next.
    #[schemars(with = "Option<String>")]
    pub(crate) pack_age_min: Option<jiff::SignedDuration>,
}

/// What a host may do in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Write and list. Its credentials need no right to delete.
    #[default]
    Backup,
    /// Also delete: prune, compact, repair.
    Maintain,
}

/// One source, what it may do, and what is asked of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobTable {
    /// The name of a plugin that is bundled or in `plugin_dir`, or a path (with `/`) to a component.
    pub(crate) plugin: String,
    /// Words that every snapshot of this job carries.
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    /// Which snapshots of this job are kept. It takes the place of the one in `[defaults]` as a whole.
    pub(crate) retention: Option<RetentionTable>,
    /// A snapshot with entries or bytes that fell by more than this since the last good one is *suspicious*, such as `"50%"`
    /// (the default); `false`: none is. Small drops, of fewer than 20 entries and 4 MiB, count for nothing. The run ends with
    /// exit code 3, and nothing is deleted because of the snapshot until `dozo accept` says that it is right.
    #[schemars(with = "Option<GuardSchema>")]
    pub(crate) guard: Option<toml::Value>,
    /// This job's zone. Default: what `[defaults]` says.
    pub(crate) timezone: Option<String>,
    /// How old this job's newest complete snapshot may be, such as `"26h"`, before `dozo status` alerts. Default: what
    /// `[defaults]` says.
    #[schemars(with = "Option<String>")]
    pub(crate) expect_every: Option<jiff::SignedDuration>,
    /// The plugin's own table: `dozo plugin info NAME` prints its schema.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub(crate) config: toml::Table,
    /// Questions to the source in its own language, by name: `documents = "SELECT count(*) FROM documents"`. Each run asks them
    /// of what it backs up; the answers are in the snapshot, readable by every host.
    #[serde(default)]
    pub(crate) probe: BTreeMap<String, String>,
    /// What the plugin may reach. Nothing else.
    #[serde(default)]
    pub(crate) grant: GrantTable,
    /// What the plugin may use.
    #[serde(default)]
    pub(crate) limits: LimitsTable,
    /// Programs that run before the job, one after the other, with their arguments in shell quoting and without a shell: to take
    /// a snapshot of the file system, to stop an application. Each has ten minutes; if one fails, the job does not run.
    #[serde(default)]
    pub(crate) before: Vec<String>,
    /// Programs that run after the job, whatever became of it and of those before. One that fails makes `dozo run` fail.
    #[serde(default)]
    pub(crate) after: Vec<String>,
    /// Directories of `grant.read` that are read at another place, where `before` put a snapshot of their file system. In the
    /// backup they have the paths that they always have.
    #[serde(default)]
    pub(crate) read_at: BTreeMap<PathBuf, PathBuf>,
    /// Where `dozo restore --to NAME` goes, beside directories: a server, with a configuration and grants of its own.
    #[serde(default)]
    pub(crate) target: BTreeMap<String, TargetTable>,
}

/// What a restore may go to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetTable {
    /// The plugin's own table, of the same keys as the job's.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub(crate) config: toml::Table,
    /// What the plugin may reach while it restores. Nothing else.
    #[serde(default)]
    pub(crate) grant: GrantTable,
}

/// Mistakes of shape that are looked for in one file.
const MISTAKES_MAX: usize = 20;

/// The same with all mistakes of its shape: what is wrong is left out, and the rest is read again.
pub(super) fn parse_all(file: &Path, text: &str) -> Result<Config, Vec<ConfigError>> {
    let (mut mistakes, mut left) = (Vec::new(), text.to_string());
    while mistakes.len() < MISTAKES_MAX {
        let error = match toml::from_str::<Config>(&left) {
            Ok(config) if mistakes.is_empty() => return Ok(config),
            Ok(_) => break,
            // What was left out is missing, perhaps.
            Err(error) if !mistakes.is_empty() && error.message().starts_with("missing field") => break,
            Err(error) => error,
        };
        mistakes.push(place::from_toml(file, text, &error));
        match error.span().and_then(|span| place::without_lines(&left, span)) {
            Some(rest) => left = rest,
            None => break,
        }
    }
    Err(mistakes)
}

/// Parses the text of a configuration.
pub(super) fn parse(file: &Path, text: &str) -> Result<Config, ConfigError> {
    toml::from_str(text).map_err(|error| place::from_toml(file, text, &error))
}

impl Config {
    /// The plugins that it names, each once, in order.
    pub(crate) fn plugins(&self) -> impl Iterator<Item = &str> {
        let jobs = self.job.values().map(|job| job.plugin.as_str());
        let names: BTreeSet<&str> = jobs.chain(self.notify.values().map(|notify| notify.plugin.as_str())).collect();
        names.into_iter()
    }

    /// The schema that editors and `dozo config schema` use.
    pub(crate) fn schema() -> serde_json::Value {
        schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>().to_value()
    }
}
