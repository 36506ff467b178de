//! A year of runs and prunes in some minutes: what the store takes, beside restic on the same states of the same directories.
//! The work is done by `dozo-bench`.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use super::peers;
use crate::build::{self, Profile};
use crate::shell::{run, say};

/// How long a year is, and how full.
#[derive(Args)]
pub(crate) struct YearOptions {
    /// Days of it
    #[arg(long, default_value_t = 365)]
    days: u32,
    /// Runs of the job that runs several times a day
    #[arg(long, default_value_t = 4)]
    runs: u32,
    /// Measure the build of the quickstart and the tests, which is there already, instead of a release
    #[arg(long)]
    dev: bool,
}

pub(crate) fn year(options: &YearOptions) -> Result<()> {
    let built = build::bench(if options.dev { Profile::Dev } else { Profile::Release })?;
    let home = super::home()?.join("year");
    super::fresh(&home)?;
    super::say_machine();
    let mut command = Command::new(built);
    command.arg("year").arg("--home").arg(&home);
    command.args(["--days", &options.days.to_string(), "--runs", &options.runs.to_string()]);
    match peers::restic() {
        Ok((name, program)) => {
            say(format!("beside {name}"));
            command.arg("--restic").arg(program);
        }
        Err(why) => say(format!("restic: not to be had here: {why:#}")),
    }
    run(&mut command)?;
    super::remove(&home)
}
