//! The measuring program: does one piece of work and ends, so that whoever started it can ask the kernel what it took.
//! `cargo xtask bench sandbox` starts it, and a test does. Knows how a backup is put together; times nothing but the
//! loading of a plugin.

mod house;
mod load;
mod native;
mod net;
mod same;
mod walk;
mod year;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Do one piece of work, to be measured from outside
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Back up a directory into a repository in the home directory, which is made if it is missing
    Backup {
        /// Who walks and opens the files
        #[arg(long)]
        source: SourceArg,
        #[command(flatten)]
        place: Place,
    },
    /// Back up with both sources into one repository, and compare the snapshots entry by entry
    Same {
        #[command(flatten)]
        place: Place,
    },
    /// Time the start of the engine, the loading of a component, and its first call
    Load {
        #[command(flatten)]
        component: Component,
    },
    /// Take the bytes of a server on this machine, through a plugin or without one
    Net(net::Net),
    /// Be that server, until standard input ends
    Serve(net::Serve),
    /// Play a year of runs and prunes by a clock of its own, and print what the store takes
    Year(year::Year),
}

#[derive(Args)]
struct Place {
    /// What to back up
    #[arg(long)]
    tree: PathBuf,
    /// Where keys and repository are
    #[arg(long)]
    home: PathBuf,
    #[command(flatten)]
    component: Component,
}

#[derive(Args)]
struct Component {
    /// The filesystem plugin
    #[arg(long)]
    plugin: PathBuf,
    /// Where compiled components are kept
    #[arg(long)]
    cache: PathBuf,
}

/// Which source.
#[derive(Clone, Copy, ValueEnum)]
enum SourceArg {
    /// The component, in its sandbox
    Plugin,
    /// The same work without a plugin
    Native,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(perform(cli.task))
}

async fn perform(task: Task) -> Result<ExitCode> {
    match task {
        Task::Backup { source, place } => {
            let house = house::House::open(&place.home).await?;
            let report = match source {
                SourceArg::Plugin => house.run("bench", &place.tree, &load::source(&place).await?).await?,
                SourceArg::Native => house.run("bench", &place.tree, &native::NativeSource::new()).await?,
            };
            let (entries, kept, bytes) = (report.entries, report.entries_kept, report.bytes);
            say(format!("entries={entries} kept={kept} bytes={bytes} stored={}", report.bytes_stored));
            Ok(ExitCode::SUCCESS)
        }
        Task::Same { place } => same::same(&place).await,
        Task::Year(year) => year::play(&year).await.map(|()| ExitCode::SUCCESS),
        Task::Net(net) => net::take(&net).await.map(|()| ExitCode::SUCCESS),
        Task::Serve(serve) => net::serve(&serve).map(|()| ExitCode::SUCCESS),
        Task::Load { component } => load::time(&component).await.map(|()| ExitCode::SUCCESS),
    }
}

/// Prints a line for whoever started this program.
#[allow(clippy::print_stdout, reason = "the answer to whoever measures")]
fn say(text: impl std::fmt::Display) {
    println!("{text}");
}
