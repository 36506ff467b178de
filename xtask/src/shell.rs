//! Running programs: said aloud, and never with an exit status that nobody looked at.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The project's root.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).unwrap_or_default()
}

/// A cargo command in the project's root. All get the same bundle, so that the host is not compiled with and without.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root()).env("DOZO_BUNDLE", bundle());
    // What cargo tells this program of itself would be other than in a shell, and some build scripts look at it: with it, every
    // change between the two would compile half of the host again.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
            command.env_remove(name);
        }
    }
    command
}

/// The same with clippy's lints on the way: `cargo clippy` would read all dependencies once more. It compiles as the compiler does,
/// whose other name it is, and cargo shows again what it said of a crate that is compiled already.
pub(crate) fn linted(arguments: &[&str]) -> Command {
    let mut command = cargo(arguments);
    // Who has no clippy still builds and runs.
    if has_clippy() {
        command.env("RUSTC_WORKSPACE_WRAPPER", CLIPPY);
    }
    command
}

const CLIPPY: &str = "clippy-driver";

/// Whether lints can be had.
pub(crate) fn has_clippy() -> bool {
    Command::new(CLIPPY).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The directory of components that become part of the program.
pub(crate) fn bundle() -> PathBuf {
    crate::build::target().join("bundle")
}

/// Prints what is done next.
#[allow(clippy::print_stdout, reason = "the toolbox talks to whoever uses it")]
pub(crate) fn say(text: impl std::fmt::Display) {
    println!("{text}");
}

/// Runs a command; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("start {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// Runs a command that is to say nothing; what it says is shown, and an error.
pub(crate) fn run_silent(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let output = command.output().with_context(|| format!("start {shown}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !said.trim().is_empty() {
        bail!("{shown}: {}\n{said}", output.status);
    }
    Ok(())
}

/// Runs a command and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.output().with_context(|| format!("start {shown}"))?;
    if !output.status.success() {
        bail!("{shown}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
