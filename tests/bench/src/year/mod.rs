//! A simulated year: two jobs over directories that change, retention, a prune each day. What the store takes tells whether
//! anything grows that should not. Beside it, restic on the same states of the same directories.

mod clocked;
mod keeper;
mod restic;
#[cfg(test)]
mod tests;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use dozo_repository::Secret;
use jiff::{SignedDuration, Timestamp};
use object_store::local::LocalFileSystem;

use clocked::Clocked;
use keeper::{Keeper, Kept, Takes, Tidying};
use restic::Restic;
use tree::{Shape, Tree};

use crate::say;

/// A year, and where it is played.
#[derive(clap::Args)]
pub(crate) struct Year {
    /// An empty directory
    #[arg(long)]
    home: PathBuf,
    /// How long it is
    #[arg(long, default_value_t = 365)]
    days: u32,
    /// Runs of the second job in a day; the first runs once
    #[arg(long, default_value_t = 4)]
    runs: u32,
    /// The peer
    #[arg(long)]
    restic: Option<PathBuf>,
}

const KEPT: Kept = Kept { hourly: 24, daily: 7, weekly: 4, monthly: 12 };
/// 400 small files, 20 MB; 2 % of them change each day.
const DOCUMENTS: Shape = Shape { small: 400, large: 0, large_bytes: 0, edits: 8, pages: 0 };
/// Tables of 48 MB, of which two places are written between two runs, and some small files.
const TABLES: Shape = Shape { small: 40, large: 3, large_bytes: 16 << 20, edits: 1, pages: 2 };
/// Every so many days a line of figures.
const SAMPLES: [u32; 7] = [1, 30, 60, 90, 180, 270, 365];

const HEAD: &str =
    "| day | who | stored MB | alive | dead in packs that stay | condemned | records, leases | objects | snapshots |
|---:|---|---:|---:|---:|---:|---:|---:|---:|";

/// The directories of the two jobs.
struct Sources {
    documents: (PathBuf, Tree),
    tables: (PathBuf, Tree),
}

impl Sources {
    fn new(home: &Path, documents: Shape, tables: Shape) -> Result<Self> {
        let make = |name: &str, shape, seed| {
            let root = home.join(name);
            std::fs::create_dir_all(&root)?;
            let tree = Tree::new(&root, shape, seed)?;
            anyhow::Ok((root, tree))
        };
        Ok(Sources { documents: make("documents", documents, 1)?, tables: make("tables", tables, 2)? })
    }
}

/// What one of those who are compared took so far.
#[derive(Clone, Copy, Default)]
struct Took {
    runs: Duration,
    prunes: Duration,
    prune_longest: Duration,
    peak: u64,
}

impl Took {
    fn prune(&mut self, took: Duration) {
        self.prunes += took;
        self.prune_longest = self.prune_longest.max(took);
    }

    fn words(&self) -> String {
        let (runs, prunes, longest) =
            (self.runs.as_secs_f64(), self.prunes.as_secs_f64(), self.prune_longest.as_secs_f64());
        format!("{:.1} | {runs:.0} | {prunes:.1} | {longest:.2}", megabytes(self.peak))
    }
}

/// Plays it and prints the figures as tables.
pub(crate) async fn play(year: &Year) -> Result<()> {
    let mut sources = Sources::new(&year.home, DOCUMENTS, TABLES)?;
    let mut keepers = Vec::new();
    for (name, tidying) in [("prune", Tidying::Prune), ("compact", Tidying::Compact)] {
        let home = year.home.join(name);
        std::fs::create_dir_all(home.join("repository"))?;
        let objects = LocalFileSystem::new_with_prefix(home.join("repository"))?.with_fsync(true);
        // Content is cut alike in all of them, and in every year.
        let store = Clocked::new(Arc::new(objects));
        keepers.push((Keeper::new(tidying, Secret::new([1; 32]), store, &home).await?, Took::default()));
    }
    let home = year.home.join("restic");
    let mut peer = year.restic.as_deref().map(|program| Restic::new(program, &home)).transpose()?;
    let mut peer_took = Took::default();
    say(HEAD);
    for day in 1..=year.days {
        for run in 0..year.runs {
            let now = moment(day, run, year.runs)?;
            if day > 1 || run > 0 {
                sources.tables.1.change()?;
            }
            runs(&sources, ("tables", now), (&mut keepers, &mut peer, &mut peer_took)).await?;
        }
        if day > 1 {
            sources.documents.1.change()?;
        }
        let now = moment(day, year.runs, year.runs)?;
        runs(&sources, ("documents", now), (&mut keepers, &mut peer, &mut peer_took)).await?;
        tidies((&mut keepers, &mut peer, &mut peer_took)).await?;
        if SAMPLES.contains(&day) || day == year.days {
            for (keeper, _) in &keepers {
                say(row(day, keeper.tidying, keeper.takes().await?));
            }
            if let Some(peer) = &peer {
                say(format!("| {day} | restic | {:.1} | | | | | | |", megabytes(peer.bytes()?)));
            }
        }
    }
    say("\n| | peak MB | all runs s | all prunes s | the longest prune s |\n|---|---:|---:|---:|---:|");
    for (keeper, took) in &keepers {
        say(format!("| {:?} | {} |", keeper.tidying, took.words()));
    }
    if peer.is_some() {
        say(format!("| restic | {} |", peer_took.words()));
    }
    Ok(())
}

type Compared<'a> = (&'a mut Vec<(Keeper, Took)>, &'a mut Option<Restic>, &'a mut Took);

/// One job, by all of them at once: most of a year is waiting for one of them.
async fn runs(sources: &Sources, (job, now): (&str, Timestamp), compared: Compared<'_>) -> Result<()> {
    let tree = if job == "tables" { &sources.tables.0 } else { &sources.documents.0 };
    let (keepers, peer, peer_took) = compared;
    let others = keepers.iter_mut().map(|(keeper, took)| async move {
        keeper.set(now);
        took.runs += keeper.run(job, tree).await?;
        anyhow::Ok(())
    });
    let (peer, tree_of_peer) = (peer.clone(), tree.clone());
    let peers = tokio::task::spawn_blocking(move || peer.map(|peer| peer.run(&tree_of_peer, now)).transpose());
    let (others, peers) = futures::future::join(futures::future::try_join_all(others), peers).await;
    others?;
    peer_took.runs += peers??.unwrap_or_default();
    Ok(())
}

/// Retention and prune, by all of them at once.
async fn tidies((keepers, peer, peer_took): Compared<'_>) -> Result<()> {
    let others = keepers.iter_mut().map(|(keeper, took)| async move {
        took.peak = took.peak.max(keeper.bytes().await?);
        took.prune(keeper.tidy(KEPT).await?);
        anyhow::Ok(())
    });
    let peer = peer.clone();
    let peers =
        tokio::task::spawn_blocking(move || peer.map(|peer| anyhow::Ok((peer.bytes()?, peer.tidy(KEPT)?))).transpose());
    let (others, peers) = futures::future::join(futures::future::try_join_all(others), peers).await;
    others?;
    if let Some((bytes, took)) = peers?? {
        peer_took.peak = peer_took.peak.max(bytes);
        peer_took.prune(took);
    }
    Ok(())
}

/// The time of a run: those of a day are alike far apart, and the last is an hour after the one before.
fn moment(day: u32, run: u32, runs: u32) -> Result<Timestamp> {
    let first: Timestamp = "2026-01-01T00:10:00Z".parse()?;
    let apart = 22 * 60 / i64::from(runs.max(1));
    let minutes = i64::from(day - 1) * 24 * 60 + apart * i64::from(run) + if run == runs { 60 } else { 0 };
    first.checked_add(SignedDuration::from_mins(minutes)).context("a year has an end")
}

fn row(day: u32, tidying: Tidying, takes: Takes) -> String {
    let Takes { bytes, objects, packs, dead, condemned, notes, snapshots } = takes;
    let figures = [bytes, packs - dead, dead, condemned, notes].map(|bytes| format!("{:.1}", megabytes(bytes)));
    format!("| {day} | dozo, {tidying:?} | {} | {objects} | {snapshots} |", figures.join(" | "))
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
