//! `dozo plugin new`: the crate of a plugin that compiles, backs something up and passes the conformance kit at once.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use dozo_job::{Error, Result};

use crate::exit::Exit;
use crate::ui;

/// `dozo plugin new`
#[derive(Args)]
pub(crate) struct PluginNewArgs {
    /// The plugin's name, and that of the directory to make: letters, digits and `-`
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// A notifier instead of a source
    #[arg(long)]
    pub(crate) notifier: bool,
    /// Take the SDK from this directory instead of its repository
    #[arg(long, value_name = "DIR")]
    pub(crate) sdk: Option<PathBuf>,
}

/// Where the SDK lies if nobody says.
const SDK: &str = "{ git = \"https://github.com/dozo-backup/dozo\" }";

/// A file of the crate, and what it holds before the names are put in.
type Template = (&'static str, &'static str);

/// What both kinds have.
const BOTH: [Template; 4] = [
    ("Cargo.toml", include_str!("../../../templates/both/Cargo.toml.in")),
    ("tests/conformance.rs", include_str!("../../../templates/both/conformance.rs")),
    ("README.md", include_str!("../../../templates/both/README.md")),
    (".gitignore", include_str!("../../../templates/both/gitignore")),
];

const SOURCE: [Template; 3] = [
    ("src/lib.rs", include_str!("../../../templates/source/lib.rs")),
    ("kit.toml", include_str!("../../../templates/source/kit.toml")),
    ("dozo.toml", include_str!("../../../templates/source/dozo.toml")),
];

const NOTIFIER: [Template; 3] = [
    ("src/lib.rs", include_str!("../../../templates/notifier/lib.rs")),
    ("kit.toml", include_str!("../../../templates/notifier/kit.toml")),
    ("dozo.toml", include_str!("../../../templates/notifier/dozo.toml")),
];

pub(crate) fn new(args: &PluginNewArgs) -> anyhow::Result<Exit> {
    check_name(&args.name)?;
    let sdk = match &args.sdk {
        None => SDK.to_string(),
        Some(directory) => local(directory)?,
    };
    let home = PathBuf::from(&args.name);
    check_empty(&home)?;
    let kind = if args.notifier { NOTIFIER } else { SOURCE };
    for (file, template) in BOTH.into_iter().chain(kind) {
        let text = template.replace("@NAME@", &args.name).replace("@CRATE@", &args.name.replace('-', "_"));
        write(&home.join(file), &text.replace("@SDK@", &sdk))?;
    }
    let name = &args.name;
    let does = if args.notifier { "tells the log" } else { "backs something up" };
    ui::line(format!("{name}: a plugin that {does}. What to do next:"));
    ui::line(format!("  cd {name} && cargo build --release --target wasm32-wasip2 && cargo test"));
    Ok(Exit::Done)
}

/// It becomes the name of a crate, of a directory and of the plugin.
fn check_name(name: &str) -> Result<()> {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if plain && name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Ok(());
    }
    Err(Error::invalid(format!("`{name}` cannot be the name of a plugin"))
        .hinted("lower-case letters, digits and `-`, a letter first, at most 64"))
}

/// The dependency on an SDK in a directory.
fn local(directory: &Path) -> Result<String> {
    let found = directory.join("Cargo.toml");
    let whole =
        directory.canonicalize().map_err(|e| Error::io(format!("find the SDK in {}", directory.display()), e))?;
    if !found.exists() {
        return Err(Error::invalid(format!("{} is not the SDK: it has no Cargo.toml", directory.display())));
    }
    Ok(format!("{{ path = {:?} }}", whole.display().to_string()))
}

/// What somebody has begun is not written into.
fn check_empty(home: &Path) -> Result<()> {
    let failed = |e| Error::io(format!("look into {}", home.display()), e);
    if !home.exists() {
        return Ok(());
    }
    match std::fs::read_dir(home).map_err(failed)?.next() {
        None => Ok(()),
        Some(_) => Err(Error::invalid(format!("there is something in {} already", home.display()))
            .hinted("take another name, or empty the directory")),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let failed = |e| Error::io(format!("write {}", path.display()), e);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_crates() {
        for right in ["a", "my-source", "s3"] {
            assert!(check_name(right).is_ok(), "{right}");
        }
        for wrong in ["", "-a", "3s", "My", "a b", "a/b", "..", "ä", &"a".repeat(65)] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
    }
}
