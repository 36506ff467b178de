//! `kit.toml`: what the author of a plugin tries it with. The same tables as a job's, and `[restore]` for a target of its own.
//! `{here}` in a text is the directory of the file, because a plugin's tests lie wherever they were cloned to.

use std::path::{Path, PathBuf};

use dozo_job::{Error, Kind};
use dozo_kit::{GrantList, KitConfig, Previous, RestoreTarget};
use serde::Deserialize;

use super::raw::{GrantTable, LimitsTable};
use super::validate::Owned;
use super::{FILE_BYTES_MAX, Secrecy, place};

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
    /// A throw-away target of restores.
    restore: Option<RestoreTable>,
    /// Whether a second run takes over what has not changed.
    #[serde(default)]
    previous: PreviousWord,
}

/// `[restore]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RestoreTable {
    #[serde(default)]
    config: toml::Table,
    #[serde(default)]
    grant: GrantTable,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PreviousWord {
    #[default]
    Used,
    Unused,
}

/// Reads what a plugin is tried with: a file, or nothing at all.
pub(crate) fn read(file: Option<&Path>, schema: &str) -> anyhow::Result<KitConfig> {
    let Some(file) = file else { return kit_config(Path::new("kit.toml"), "", schema) };
    let failed = |e| Error::io(format!("read {}", file.display()), e).with_kind(Kind::Invalid);
    if std::fs::metadata(file).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(Error::invalid(format!("{} is too long for a kit.toml", file.display())).into());
    }
    let text = std::fs::read_to_string(file).map_err(failed)?;
    let here = std::path::absolute(file).map_err(failed)?;
    let here = here.parent().unwrap_or(Path::new("/")).display().to_string();
    kit_config(file, &text.replace(HERE, &here), schema)
}

fn kit_config(file: &Path, text: &str, schema: &str) -> anyhow::Result<KitConfig> {
    let parsed: KitFile = toml::from_str(text).map_err(|error| place::from_toml(file, text, &error))?;
    let at = |keys: &'static [&'static str]| Owned { file, text, keys, plugin: "this one" };
    let config = at(&["config"]).resolve(&parsed.config, schema, Secrecy::Fetch)?;
    let pretended = at(&["config"]).resolve(&parsed.config, schema, Secrecy::Pretend)?;
    let restore = match &parsed.restore {
        None => None,
        Some(restore) => {
            let resolved = at(&["restore", "config"]).resolve(&restore.config, schema, Secrecy::Fetch)?;
            Some((RestoreTarget { config: resolved.json, grants: grants(&restore.grant) }, resolved.secrets))
        }
    };
    let (restore, more) = restore.map_or((None, None), |(restore, secrets)| (Some(restore), Some(secrets)));
    Ok(KitConfig {
        config: config.json,
        pretended: pretended.json,
        secrets: config.secrets.and(more.unwrap_or_default()),
        grants: grants(&parsed.grant),
        limits: parsed.limits.limits(&dozo_kit::limits::usage(), |key, message| {
            place::fault(file, text, &["limits", key], message)
        })?,
        restore,
        previous: match parsed.previous {
            PreviousWord::Used => Previous::Used,
            PreviousWord::Unused => Previous::Unused,
        },
    })
}

fn grants(table: &GrantTable) -> GrantList {
    let read: Vec<PathBuf> = table.read.clone();
    GrantList { read, ..GrantList::default() }
}
