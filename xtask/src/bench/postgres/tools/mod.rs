//! The programs that back up a cluster, side by side: how each is prepared, and the commands that are measured.

mod dozo;
mod pgbackrest;
mod pipeline;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use super::server::Programs;

/// A program that can be compared.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// pg_basebackup, zstd and age, in a pipe
    Pipeline,
    Pgbackrest,
    Dozo,
}

/// A program that backs up a cluster.
pub(super) trait Tool {
    /// With its version.
    fn name(&self) -> &str;
    /// Its own directory, empty before each turn.
    fn home(&self) -> &Path;
    /// What the server must be told for it.
    fn settings(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
    /// Keys and an empty repository; not measured. The server runs.
    fn prepare(&self) -> Result<()>;
    /// Everything anew; `name` is for those that want each to have one.
    fn full(&self, name: &str) -> Command;
    /// What is new since the last backup, if it can do that.
    fn incremental(&self) -> Option<Command>;
    /// Restores the last backup into `restored`, which is there and empty; if it was a full one, it has this name.
    fn restore(&self, name: &str) -> Command;
    /// What it keeps backups in.
    fn stored(&self) -> PathBuf;
    /// Whether what it restores has the server's own manifest, by which it can be verified.
    fn has_manifest(&self) -> bool;
}

/// The cluster that is backed up in a turn.
pub(super) fn source(home: &Path) -> PathBuf {
    home.join("source")
}

/// Where it comes back.
pub(super) fn restored(home: &Path) -> PathBuf {
    home.join("restored")
}

impl Peer {
    /// What the table calls it if it is not there to be asked.
    pub(super) fn name(self) -> &'static str {
        match self {
            Peer::Pipeline => "pg_basebackup, zstd, age",
            Peer::Pgbackrest => "pgBackRest",
            Peer::Dozo => "dozo",
        }
    }

    /// Finds it, or fetches it. `dozo` is the host that is measured, if it is.
    pub(super) fn find<'a>(self, programs: &'a Programs, homes: &Path, dozo: &Path) -> Result<Box<dyn Tool + 'a>> {
        Ok(match self {
            Peer::Pipeline => Box::new(pipeline::Pipeline::find(programs, homes.join("pipeline"))?),
            Peer::Pgbackrest => Box::new(pgbackrest::PgBackRest::find(programs, homes)?),
            Peer::Dozo => Box::new(dozo::Dozo::find(programs, homes.join("dozo"), dozo)?),
        })
    }
}
