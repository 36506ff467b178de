//! The README's second command: everything that can be checked here, is.

use std::num::NonZero;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::build::{self, Profile};
use crate::shell::{bundle, cargo, has_clippy, linted, run, run_silent, say};
use crate::tools;

/// Builds what the tests run, runs them, then checks format, lints and documents.
pub(crate) fn test(filter: Option<&str>) -> Result<()> {
    let mut nextest = nextest("default", filter)?;
    say("running the tests");
    run(&mut nextest)?;
    if filter.is_some() {
        return Ok(());
    }
    say("running the examples in the documentation of crates");
    run(&mut linted(&["test", "--quiet", "--doc", "--workspace"]))?;
    say("checking format and lints");
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    ensure!(has_clippy(), "there is no clippy: `rustup component add clippy`");
    // All is compiled by now: what this prints is what the lints said of it. (Plugins are no libraries of this machine: `cargo build`
    // would link them.)
    run_silent(&mut linted(&["test", "--quiet", "--workspace", "--no-run"]))?;
    say("all well");
    Ok(())
}

/// Runs the tests with `DOZO_SOAK` set: each that knows it does as much as there is time for, with hours before it is
/// stopped.
pub(crate) fn soak(filter: Option<&str>) -> Result<()> {
    let mut nextest = nextest("soak", filter)?;
    say("running the tests at their full sizes");
    run(nextest.env("DOZO_SOAK", "1"))
}

/// Builds what the tests run, and the command that runs them.
fn nextest(profile: &str, filter: Option<&str>) -> Result<Command> {
    let built = build::all(Profile::Dev)?;
    build::guests()?;
    build::bench(Profile::Dev)?;
    ensure_nextest()?;
    tools::ensure();
    let mut arguments = vec!["nextest", "run", "--workspace", "--no-tests=warn", "--profile", profile];
    // What needed its second try is listed at the end, to be mended next.
    if std::env::var_os("CI").is_some() {
        arguments.extend(["--retries", "1"]);
    }
    // Many wait for servers and clocks more than they work.
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).div_ceil(2) * 3;
    let threads = threads.to_string();
    arguments.extend(["--test-threads", &threads]);
    arguments.extend(filter);
    let mut command = linted(&arguments);
    command.env("DOZO_TEST_BINARY", &built.dozo).env("DOZO_TEST_GUESTS", build::target().join("guests"));
    Ok(command)
}

/// Lets the tests that compare generated documents write them instead.
pub(crate) fn docs() -> Result<()> {
    // Whatever is bundled by now: the documents do not depend on it.
    std::fs::create_dir_all(bundle())?;
    // The whole workspace, because one package alone has other features, and all below it would be compiled once more.
    run(linted(&["test", "--quiet", "--workspace", "--bin", "dozo", "generated"]).env("DOZO_WRITE_DOCS", "1"))
}

fn ensure_nextest() -> Result<()> {
    if cargo(&["nextest", "--version"]).output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    say("installing cargo-nextest");
    run(&mut cargo(&["install", "--locked", "cargo-nextest"]))
}
