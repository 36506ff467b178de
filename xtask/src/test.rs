//! The README's second command: everything that can be checked here, is.

use anyhow::Result;

use crate::build::{self, Profile};
use crate::shell::{cargo, run, say};
use crate::tools;

/// Builds what the tests run, runs them, then checks format, lints and documents.
pub(crate) fn test(filter: Option<&str>) -> Result<()> {
    let built = build::all(Profile::Dev)?;
    build::guests()?;
    build::bench(Profile::Dev)?;
    ensure_nextest()?;
    tools::ensure();
    say("running the tests");
    let mut arguments = vec!["nextest", "run", "--workspace", "--no-tests=warn"];
    arguments.extend(filter);
    run(cargo(&arguments)
        .env("DOZO_TEST_BINARY", &built.dozo)
        .env("DOZO_TEST_GUESTS", build::target().join("guests")))?;
    if filter.is_some() {
        return Ok(());
    }
    say("running the examples in the documentation of crates");
    run(&mut cargo(&["test", "--quiet", "--doc", "--workspace"]))?;
    say("checking format and lints");
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    say("all well");
    Ok(())
}

/// Lets the tests that compare generated documents write them instead.
pub(crate) fn docs() -> Result<()> {
    run(cargo(&["test", "--quiet", "--package", "dozo", "generated"]).env("DOZO_WRITE_DOCS", "1"))
}

fn ensure_nextest() -> Result<()> {
    if cargo(&["nextest", "--version"]).output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    say("installing cargo-nextest");
    run(&mut cargo(&["install", "--locked", "cargo-nextest"]))
}
