//! `kit.toml`: what the author of a plugin tries it with. The same tables as a job's, and `[restore]` for a target of its own.
//! `{here}` in a text is the directory of the file, because a plugin's tests lie wherever they were cloned to.

use std::path::{Path, PathBuf};

use dozo_job::{Error, Kind};
use dozo_kit::{Contents, Fixture, GrantList, KitConfig, Previous, Service};
use dozo_plugin::Secrets;
use serde::Deserialize;

use super::raw_grant::{GrantTable, LimitsTable};
use super::{Config, ConfigError, FILE_BYTES_MAX, Loaded, PluginTable, Secrecy, TargetTable, place};

/// Stands for the directory of the file.
const HERE: &str = "{here}";

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct KitFile {
    /// The plugin's own table.
    #[serde(default)]
    config: toml::Table,
    /// What it may reach.
    #[serde(default)]
    grant: GrantTable,
    /// What it may use.
    #[serde(default)]
    limits: LimitsTable,
    /// A throw-away service to restore to.
    restore: Option<TargetTable>,
    /// Whether a second run takes over what has not changed.
    #[serde(default)]
    previous: PreviousWord,
    /// Whether the same source gives the same bytes.
    #[serde(default)]
    contents: ContentsWord,
    /// Commands around the trial.
    #[serde(default)]
    fixture: FixtureTable,
}

/// Commands, each a program and its arguments.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FixtureTable {
    before: Vec<String>,
    change: Vec<String>,
    after: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ContentsWord {
    #[default]
    Same,
    Vary,
    History,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PreviousWord {
    #[default]
    Used,
    Unused,
}

/// Reads what a plugin with this schema is tried with: a file, or nothing at all.
pub(crate) fn read(file: Option<&Path>, schema: &str) -> anyhow::Result<KitConfig> {
    let Some(file) = file else { return Ok(kit_config(Path::new("kit.toml"), String::new(), schema)?) };
    let failed = |e| Error::io(format!("read {}", file.display()), e).with_kind(Kind::Invalid);
    if std::fs::metadata(file).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(Error::invalid(format!("{} is too long for a kit.toml", file.display())).into());
    }
    let text = std::fs::read_to_string(file).map_err(failed)?;
    let whole = file.canonicalize().map_err(failed)?;
    let here = whole.parent().unwrap_or(Path::new("/")).display().to_string();
    Ok(kit_config(file, text.replace(HERE, &here), schema)?)
}

fn kit_config(file: &Path, text: String, schema: &str) -> Result<KitConfig, ConfigError> {
    let kit: KitFile = toml::from_str(&text).map_err(|error| place::from_toml(file, &text, &error))?;
    // The tables are a job's, and so is whoever reads them and complains; there is no host around them.
    let tables = Loaded { file: file.to_path_buf(), text, config: Config::default() };
    let table = PluginTable { keys: &[], config: &kit.config, grant: &kit.grant, limits: &kit.limits };
    let config = tables.resolve(table, schema, Secrecy::Fetch)?;
    let pretended = tables.resolve(table, schema, Secrecy::Pretend)?;
    let restored = kit.restore.as_ref();
    let restored = restored.map(|it| PluginTable { keys: &["restore"], config: &it.config, grant: &it.grant, ..table });
    let (service, more) = service(&tables, restored, schema)?;
    Ok(KitConfig {
        config: config.json,
        pretended: pretended.json,
        secrets: config.secrets.and(more),
        grants: grants(&tables, table)?,
        limits: tables.limits_or(&dozo_kit::limits::usage(), table)?,
        service,
        previous: match kit.previous {
            PreviousWord::Used => Previous::Used,
            PreviousWord::Unused => Previous::Unused,
        },
        contents: match kit.contents {
            ContentsWord::Same => Contents::Same,
            ContentsWord::Vary => Contents::Vary,
            ContentsWord::History => Contents::History,
        },
        fixture: fixture(file, kit.fixture),
    })
}

/// Commands run beside the file.
fn fixture(file: &Path, table: FixtureTable) -> Fixture {
    let FixtureTable { before, change, after } = table;
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Fixture { before, change, after, directory: directory.to_path_buf() }
}

/// The service that is restored to, and the secrets that it has beside the others.
fn service(
    tables: &Loaded,
    table: Option<PluginTable<'_>>,
    schema: &str,
) -> Result<(Option<Service>, Secrets), ConfigError> {
    let Some(table) = table else { return Ok((None, Secrets::default())) };
    let resolved = tables.resolve(table, schema, Secrecy::Fetch)?;
    let target = Service { config: resolved.json, grants: grants(tables, table)? };
    Ok((Some(target), resolved.secrets))
}

fn grants(tables: &Loaded, table: PluginTable<'_>) -> Result<GrantList, ConfigError> {
    let (network, programs) = tables.written(table)?;
    let read: Vec<PathBuf> = table.grant.read.clone();
    Ok(GrantList { read, network, programs })
}
