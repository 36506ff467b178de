//! Builds the plugins as components, and the host with them inside.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::{bundle, cargo, linted, output, root, run, say};

const TARGET: &str = "wasm32-wasip2";

/// How the host is built. Plugins are always built small and fast.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// For the quickstart and the tests: dependencies optimised, everything compiled once.
    Dev,
    /// For measuring and for use.
    Release,
}

impl Profile {
    fn directory(self) -> &'static str {
        match self {
            Profile::Dev => "debug",
            Profile::Release => "release",
        }
    }
}

/// The built host.
pub(crate) struct Built {
    /// The binary `dozo`, with its plugins inside.
    pub(crate) dozo: PathBuf,
}

/// Builds everything that an operator needs.
pub(crate) fn all(profile: Profile) -> Result<Built> {
    ensure_target()?;
    plugins()?;
    say("building the host");
    binary("dozo", profile)?;
    Ok(Built { dozo: target().join(profile.directory()).join("dozo") })
}

/// Builds what the host has inside: exactly the plugins that there are now.
fn plugins() -> Result<()> {
    std::fs::create_dir_all(bundle())?;
    say("building the plugins");
    let members = members("plugins")?;
    for item in std::fs::read_dir(bundle())? {
        let file = item?.path();
        let known = file.file_stem().is_some_and(|stem| members.iter().any(|(_, name)| stem == name.as_str()));
        if !known {
            std::fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
        }
    }
    for (package, name) in members {
        component(&package, &bundle().join(format!("{name}.wasm")))?;
    }
    Ok(())
}

/// Builds the components that only tests use.
pub(crate) fn guests() -> Result<()> {
    let guests = target().join("guests");
    std::fs::create_dir_all(&guests)?;
    say("building the test guests and the examples");
    for (package, name) in members("tests/guests")?.into_iter().chain(members("examples/plugins")?) {
        component(&package, &guests.join(format!("{name}.wasm")))?;
    }
    Ok(())
}

/// Builds the measuring program beside the host; returns its path.
pub(crate) fn bench(profile: Profile) -> Result<PathBuf> {
    say("building the measuring program");
    binary("dozo-bench", profile)?;
    Ok(target().join(profile.directory()).join("dozo-bench"))
}

/// Builds one program as a part of the whole workspace: by itself it would get other features of the crates that all depend
/// on, and the tests would compile wasmtime once more.
fn binary(name: &str, profile: Profile) -> Result<()> {
    match profile {
        Profile::Dev => run(&mut linted(&["build", "--workspace", "--bin", name])),
        Profile::Release => run(&mut cargo(&["build", "--workspace", "--bin", name, "--release"])),
    }
}

/// Where cargo puts things.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Package names and folder names of the crates below a folder.
fn members(folder: &str) -> Result<Vec<(String, String)>> {
    let mut members = Vec::new();
    for item in std::fs::read_dir(root().join(folder)).with_context(|| format!("list {folder}"))? {
        let path = item?.path();
        if let Ok(manifest) = std::fs::read_to_string(path.join("Cargo.toml")) {
            let line = manifest.lines().find_map(|line| line.strip_prefix("name = "));
            let package = line.with_context(|| format!("{} names no package", path.display()))?.trim_matches('"');
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            members.push((package.to_string(), name.unwrap_or_default()));
        }
    }
    members.sort();
    Ok(members)
}

fn component(package: &str, to: &Path) -> Result<()> {
    run(&mut cargo(&["build", "--quiet", "--package", package, "--target", TARGET, "--profile", "component"]))?;
    let file = format!("{}.wasm", package.replace('-', "_"));
    let built = target().join(TARGET).join("component").join(file);
    // What has not changed stays, with its time: the host is built again only for a plugin that did.
    let read = |file: &Path| std::fs::read(file).with_context(|| format!("read {}", file.display()));
    if to.exists() && read(to)? == read(&built)? {
        return Ok(());
    }
    // A file that is replaced whole can be replaced while something maps the old one.
    let new = to.with_extension("new");
    std::fs::copy(&built, &new).with_context(|| format!("copy {}", built.display()))?;
    std::fs::rename(&new, to)?;
    Ok(())
}

/// Adds the target for components to the toolchain, if it is missing.
fn ensure_target() -> Result<()> {
    let installed = output(Command::new("rustup").args(["target", "list", "--installed"]).current_dir(root()));
    match installed {
        Ok(list) if list.lines().any(|line| line == TARGET) => Ok(()),
        // A toolchain without rustup has the target, or cargo will say that it has not.
        Err(_) => Ok(()),
        Ok(_) => {
            say(format!("adding the target {TARGET} to the toolchain"));
            run(Command::new("rustup").args(["target", "add", TARGET]).current_dir(root()))
        }
    }
}
