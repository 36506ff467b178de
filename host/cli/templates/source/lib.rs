//! @NAME@: a source for dozo. It backs up texts that stand in its configuration; put your own source in their place.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use dozo_sdk::prelude::*;

/// What the operator writes into `[job.NAME.config]`; these comments are their manual.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Texts to back up, by name.
    texts: BTreeMap<String, String>,
}

struct Plugin;

impl Source for Plugin {
    type Config = Config;
    const INFO: Info =
        Info { name: "@NAME@", version: env!("CARGO_PKG_VERSION"), summary: "texts that stand in the configuration" };

    /// What the operator must grant: `host:port`, absolute directories, command lines. Nothing is there without.
    fn needs(config: &Config) -> Result<Needs> {
        if config.texts.is_empty() {
            return Err(Error::Invalid("texts is empty: there is nothing to back up".into()));
        }
        Ok(Needs::default())
    }

    /// Asked by `dozo check`: is the source there, and may we read it? Facts for people.
    async fn check(config: Config) -> Result<Vec<(String, String)>> {
        Self::needs(&config)?;
        Ok(vec![("texts".into(), config.texts.len().to_string())])
    }

    async fn backup(config: Config, backup: Backup) -> Result<()> {
        // What this source is, so that another's snapshots are never taken for its own.
        backup.identify("@NAME@")?;
        for (name, text) in &config.texts {
            let path = dozo_sdk::escape(name);
            // Whatever says that nothing has changed: an ETag, a log position, a digest.
            let version = digest(text);
            if backup.keep_if_unchanged(&path, &version)? {
                continue;
            }
            let mut writer = backup.file(path).version(version).create();
            writer.write_all(text.as_bytes())?;
            writer.finish()?;
        }
        Ok(())
    }

    /// `dozo restore … --to DIR`. A source that is a service also has `restore_to_service`.
    async fn restore_to_directory(restore: Restore) -> Result<()> {
        restore.to_directory()
    }
}

fn digest(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

dozo_sdk::export!(Plugin);
