//! Programs that the tests run and that cargo does not bring. The servers that they store in are fetched by
//! tests/tools/servers.sh when the first test wants one, into target/servers.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use anyhow::Result;

use crate::shell::{run, say};

/// Program and Debian package.
const TOOLS: [(&str, &str); 6] = [
    ("age", "age"),
    ("zstd", "zstd"),
    ("jq", "jq"),
    ("rsync", "rsync"),
    ("openssl", "openssl"),
    ("pip3", "python3-pip"),
];

/// Installs what is missing, where that can be done without asking. Where it cannot, says what to install: the tests that
/// need it skip themselves, as loudly.
pub(crate) fn ensure() {
    let missing: Vec<&str> =
        TOOLS.into_iter().filter(|(tool, _)| !is_there(tool)).map(|(_, package)| package).collect();
    if missing.is_empty() {
        return;
    }
    let names = missing.join(" ");
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    if !root || !is_there("apt-get") {
        say(format!("not installed: {names}; some tests will be skipped (Debian: apt-get install {names})"));
        return;
    }
    say(format!("installing {names}"));
    if let Err(error) = install(&missing) {
        say(format!("{error:#}; some tests will be skipped"));
    }
}

fn install(packages: &[&str]) -> Result<()> {
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
        command
    };
    // A fresh machine or container knows no packages.
    run(apt_get().arg("update"))?;
    run(apt_get().args(["install", "-y", "--no-install-recommends"]).args(packages))
}

fn is_there(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}
