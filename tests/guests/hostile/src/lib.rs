//! A plugin that does, on demand, what no plugin should: each `act` is one way to go wrong or to do harm. The test of
//! each stands in tests/it/hostile.rs.
#![allow(clippy::print_stderr, reason = "what it writes to standard error is what the tests look for")]

mod harm;
mod lies;
mod runs;

use dozo_sdk::prelude::*;

/// What to do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The name of an act.
    act: String,
    /// Something that must not be told.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    secret: Option<String>,
    /// A path that was not granted; for downloads, the server.
    #[serde(default)]
    path: String,
    /// A program and its arguments.
    #[serde(default)]
    run: Vec<String>,
}

struct Hostile;

impl Source for Hostile {
    type Config = Config;
    const INFO: Info = Info { name: "hostile", version: "0.1.0", summary: "misbehaves on demand" };

    fn needs(config: &Config) -> Result<Needs> {
        let mut needs = Needs::default();
        match config.act.as_str() {
            "needs-network" => needs.network.push("db.internal:5432".into()),
            "needs-everything" => {
                needs.network.push("db.internal:5432".into());
                needs.read.push("/srv/data".into());
                needs.programs.push("/usr/bin/env --split-string=true **".into());
            }
            "stale" => needs.read.push(config.path.clone()),
            "download" | "download-what-comes" => needs.network.push(config.path.clone()),
            "needs-escape" => needs.read.push("/srv/\u{1b}[2J".into()),
            "needs-trap" => panic!("no needs for you"),
            _ => {}
        }
        Ok(needs)
    }

    async fn check(config: Config) -> Result<Vec<(String, String)>> {
        match config.act.as_str() {
            "fail-check" => Err(Error::Denied("the source does not let us in".into())),
            _ => Ok(vec![("secret".into(), format!("it is {}\u{7}", config.secret.unwrap_or_default()))]),
        }
    }

    async fn backup(config: Config, backup: Backup) -> Result<()> {
        backup.identify("hostile")?;
        // Something good first: nothing of it may survive.
        let mut writer = backup.file("good.txt").create();
        writer.write_all(&[b'g'; 100_000])?;
        writer.finish()?;
        eprintln!("about to {}", config.act);
        if let Some(result) = lies::act(&config, &backup).await {
            return result;
        }
        match runs::act(&config, &backup).await {
            Some(result) => result,
            None => harm::act(&config, &backup).await,
        }
    }

    /// The act is an option: into a directory, no configuration comes along.
    async fn restore_to_directory(restore: Restore) -> Result<()> {
        let act = restore.options.iter().find(|(name, _)| name == "act").map(|(_, act)| act.as_str());
        match act {
            Some("restore-nothing") => Ok(()),
            Some("restore-half") => {
                for entry in restore.entries("") {
                    restore.read(&entry?.path, 0)?.read(50_000)?;
                }
                Ok(())
            }
            Some("restore-unclosed") => lies::restore_unclosed(&restore),
            Some("restore-outside") => lies::restore_outside(&restore),
            Some("restore-connected") => harm::restore_connected(&restore),
            _ => Err(Error::Unsupported("hostile restores only to do harm".into())),
        }
    }

    async fn restore_to_service(config: Config, _: Restore) -> Result<()> {
        match config.act.as_str() {
            "restore-nothing" => Ok(()),
            _ => Err(Error::Unsupported("hostile restores only to do harm".into())),
        }
    }
}

fn read_all(content: &Content) -> Result<u64> {
    let mut total = 0;
    loop {
        let piece = content.read(1 << 20)?;
        if piece.is_empty() {
            return Ok(total);
        }
        total += piece.len() as u64;
    }
}

dozo_sdk::export!(Hostile);
