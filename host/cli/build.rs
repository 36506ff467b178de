//! Puts the plugins of the directory that `DOZO_BUNDLE` names into the program, so that one file is a whole installation.
//! None if it is not set: `cargo xtask` builds the plugins first and sets it.

#![allow(clippy::print_stdout, reason = "how a build script talks to cargo")]

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=DOZO_BUNDLE");
    let mut plugins = Vec::new();
    if let Some(directory) = std::env::var_os("DOZO_BUNDLE") {
        println!("cargo::rerun-if-changed={}", Path::new(&directory).display());
        for item in std::fs::read_dir(&directory)? {
            let file = item?.path();
            if file.extension().is_some_and(|ending| ending == "wasm") {
                plugins.push(file.canonicalize()?);
            }
        }
    }
    plugins.sort();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("bundle.rs"), listing(&plugins)?)?;
    Ok(())
}

/// The list of names and bytes, in order of names.
fn listing(plugins: &[PathBuf]) -> Result<String, Box<dyn Error>> {
    let mut text = "static BUNDLE: &[(&str, &[u8])] = &[\n".to_string();
    for file in plugins {
        let name = file.file_stem().and_then(|name| name.to_str()).ok_or("a plugin's name is not UTF-8")?;
        let file = file.to_str().ok_or("a plugin's path is not UTF-8")?;
        println!("cargo::rerun-if-changed={file}");
        writeln!(text, "    ({name:?}, include_bytes!({file:?})),")?;
    }
    Ok(text + "];\n")
}
