//! Backs up directories with what POSIX knows of their files, and puts them back. Everything goes through the
//! directories that the operator granted; contents never enter this component.

mod backup;
mod config;
mod gather;
mod links;
mod parts;
mod path;
mod patterns;
mod restore;
mod roots;
mod selection;

use dozo_sdk::prelude::*;
use dozo_sdk::tree;

use config::Config;

struct Filesystem;

impl Source for Filesystem {
    type Config = Config;
    const INFO: Info = Info {
        name: "filesystem",
        version: env!("CARGO_PKG_VERSION"),
        summary: "directories and files with owner, mode and times",
    };

    fn needs(config: &Config) -> Result<Needs> {
        config.selection()?;
        Ok(Needs { read: config.paths.clone(), ..Needs::default() })
    }

    async fn check(config: Config) -> Result<Vec<(String, String)>> {
        config.selection()?;
        let look = |path: &String| {
            let place = tree::locate(path)?;
            let found = match roots::look(&place, &config)?.entry.kind {
                Kind::Directory if roots::is_empty(&place.directory, &place.path)?.is_some() => "it is empty",
                Kind::Directory => "it can be listed",
                Kind::File => "it is a file",
                _ => "it is there, and neither a directory nor a file",
            };
            Ok((path.clone(), found.to_string()))
        };
        config.paths.iter().map(look).collect()
    }

    async fn backup(config: Config, backup: Backup) -> Result<()> {
        backup::backup(&config, &backup)
    }

    async fn restore_to_directory(restore: Restore) -> Result<()> {
        restore::restore(&restore)
    }
}

dozo_sdk::export!(Filesystem);
