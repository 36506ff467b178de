//! The one toolbox: builds plugins and host, shows that they work, runs the tests, measures. `cargo xtask --help`.

mod bench;
mod build;
mod compare;
mod quickstart;
mod shell;
mod test;
mod tools;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use build::Profile;

/// Build, try, test and measure dozo
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the plugins, and the host with them inside: target/debug/dozo or target/release/dozo
    Build {
        /// With all optimisations
        #[arg(long)]
        release: bool,
    },
    /// Build, then back up a real directory, verify, restore, compare
    Quickstart {
        /// What to back up
        #[arg(default_value = "/usr/share")]
        directory: std::path::PathBuf,
    },
    /// Build and run all tests, and check format, lints and generated documents
    Test {
        /// Only tests whose name contains this
        filter: Option<String>,
    },
    /// Run the tests that gain from time at their full sizes: hundreds of kills, a hundred thousand seeds
    Soak {
        /// Only tests whose name contains this
        filter: Option<String>,
    },
    /// Measure, beside other programs or in parts; the tables of docs/BENCHMARKS.md
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Write the generated documents anew: docs/cli.md, docs/config.schema.json
    Docs,
    /// Run a program, and write what it took to a file: so that it has a parent that had no other child
    #[command(hide = true)]
    Measure {
        /// Where to write
        report: std::path::PathBuf,
        /// Program and arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
}

fn main() -> ExitCode {
    match perform(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::say(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<()> {
    match task {
        Task::Build { release } => build::all(if release { Profile::Release } else { Profile::Dev }).map(|_| ()),
        Task::Quickstart { directory } => quickstart::quickstart(&directory),
        Task::Test { filter } => test::test(filter.as_deref()),
        Task::Soak { filter } => test::soak(filter.as_deref()),
        Task::Bench(bench) => bench::perform(bench),
        Task::Docs => test::docs(),
        Task::Measure { report, command } => bench::measure::alone(&report, &command),
    }
}
