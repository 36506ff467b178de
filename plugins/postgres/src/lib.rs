//! Backs up a PostgreSQL cluster through its own replication protocol, and recovers it to any second. Nothing is installed on
//! the server, and nothing but the server is reached.

mod backup;
mod base;
mod chain;
mod check;
mod config;
mod connect;
mod crc32c;
mod failure;
mod lsn;
mod manifest;
mod pages;
mod probe;
mod records;
mod restore;
mod server;
mod session;
mod slot;
mod tar;
mod timeline;
mod wal;
mod wire;

use dozo_sdk::prelude::*;
use dozo_sdk::{Moment, ScratchServer};

use chain::Chain;
use config::Config;
use server::Server;

struct Postgres;

impl Source for Postgres {
    type Config = Config;
    const INFO: Info = Info {
        name: "postgres",
        version: env!("CARGO_PKG_VERSION"),
        summary: "backs up a PostgreSQL cluster with its WAL, and recovers it to any second",
    };

    fn needs(config: &Config) -> Result<Needs> {
        config.needs()
    }

    async fn check(config: Config) -> Result<Vec<(String, String)>> {
        Ok(check::check(&config.settings()?)?)
    }

    async fn backup(config: Config, backup: Backup) -> Result<()> {
        Ok(backup::backup(&config.settings()?, &backup).await?)
    }

    /// The server may forget WAL that is in the snapshot, but for the segment that is not whole yet.
    async fn committed(config: Config, attributes: Vec<(String, String)>) -> Result<()> {
        let chain = Chain::of(&attributes)?;
        let mut server = Server::connect(&config.settings()?)?;
        slot::advance(&mut server, &chain.slot, chain.resume())?;
        server.wire.close();
        Ok(())
    }

    async fn abandoned(config: Config) -> Result<()> {
        let settings = config.settings()?;
        let mut server = Server::connect(&settings)?;
        slot::guard(&mut server, &settings)?;
        server.wire.close();
        Ok(())
    }

    async fn covers(attributes: Vec<(String, String)>, at: Moment) -> Result<Option<String>> {
        match Chain::of(&attributes)?.reach(&at) {
            Ok(_) => Ok(None),
            Err(error) => Ok(Some(error.message().into())),
        }
    }

    async fn restore_to_directory(restore: Restore) -> Result<()> {
        restore::restore(&restore)
    }

    async fn scratch(config: Config, directory: String) -> Result<Option<ScratchServer>> {
        restore::scratch(&config, &directory).map(Some)
    }

    async fn probe(config: Config, question: String) -> Result<String> {
        let settings = config.settings()?;
        let mut server = Server::connect(&settings)?;
        let answer = probe::ask(&mut server, &question).map_err(|failure| probe::explain(failure, &settings))?;
        server.wire.close();
        Ok(answer)
    }
}

dozo_sdk::export!(Postgres);
