//! Compiled components, kept by the digest of the component and all that its machine code depends on, each with its own
//! digest behind it, in a directory that nobody else can write to: what is loaded from it is executed.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use dozo_job::{Error, Result};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::component::{NOT_A_COMPONENT, what_else};

/// How the name of a file ends that is being written; the number of the process comes behind.
const HALF: &str = "new-";

/// The directory of compiled components; none where there can be none.
pub(crate) struct Cache {
    directory: Option<PathBuf>,
}

impl Cache {
    /// Makes the directory, if it is missing. Where it cannot be made, or others could write to it, there is none: nothing is executed
    /// from there, and a machine on which nothing can be kept does not stand between an operator and a restore.
    pub(crate) fn open(directory: PathBuf) -> Self {
        let shown = directory.display();
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        let why = match made.and_then(|()| fs::symlink_metadata(&directory)) {
            Ok(metadata) => {
                let is_mine = metadata.uid() == rustix::process::geteuid().as_raw();
                if metadata.is_dir() && is_mine && metadata.mode() & 0o022 == 0 {
                    return Cache { directory: Some(directory) };
                }
                match is_mine {
                    true => "others can write to it (chmod 700)".to_string(),
                    false => format!("it belongs to another user (uid {})", metadata.uid()),
                }
            }
            Err(e) => e.to_string(),
        };
        let what = "plugins are compiled again at every start; set `cache_dir` in the configuration";
        tracing::warn!("the cache directory {shown} is not used: {why}: {what}");
        Cache { directory: None }
    }

    /// The compiled component, from the cache or compiled now.
    pub(crate) fn component(&self, engine: &Engine, bytes: &[u8], digest: &[u8; 32]) -> Result<Component> {
        let compile = || Component::new(engine, bytes).map_err(|e| not_a_component(bytes, &e));
        let Some(directory) = &self.directory else { return compile() };
        let file = directory.join(file_name(engine, digest));
        if let Some(component) = load(engine, &file) {
            return Ok(component);
        }
        let compiled = engine.precompile_component(bytes).map_err(|e| not_a_component(bytes, &e))?;
        match keep(&file, &compiled) {
            Ok(()) => match load(engine, &file) {
                Some(component) => Ok(component),
                // Says why, if that is not the file.
                None => compile(),
            },
            // A full disk of the cache must not stand between an operator and a restore.
            Err(error) => {
                let what =
                    "the plugin is compiled again at every start; `cache_dir` in the configuration is another place";
                tracing::warn!("{}: {what}", error.chain());
                compile()
            }
        }
    }
}

/// A file appears whole or not at all, so that two processes can compile side by side.
fn keep(file: &Path, compiled: &[u8]) -> Result<()> {
    let temporary = file.with_extension(format!("{HALF}{}", std::process::id()));
    remove_halves(file.parent());
    let write = || {
        let mut new = File::create(&temporary)?;
        // As long as it is locked, nobody takes it for left.
        let _ = new.try_lock();
        new.write_all(compiled)?;
        new.write_all(&Sha256::digest(compiled))?;
        new.sync_all()?;
        fs::rename(&temporary, file)
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&temporary);
        Error::io(format!("keep a compiled plugin in {}", file.parent().unwrap_or(file).display()), e)
    })
}

/// Removes what was left by processes that were killed while they wrote.
fn remove_halves(directory: Option<&Path>) {
    let items = directory.and_then(|directory| fs::read_dir(directory).ok()).into_iter().flatten().flatten();
    let is_half = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str()?.strip_prefix(HALF));
        ending.is_some_and(|process| !process.is_empty() && process.bytes().all(|b| b.is_ascii_digit()))
    };
    for half in items.map(|item| item.path()).filter(is_half) {
        if File::open(&half).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(&half);
        }
    }
}

/// Digest of the component, wasmtime's version, and a hash of the engine's settings and target.
fn file_name(engine: &Engine, digest: &[u8; 32]) -> String {
    use std::hash::{Hash, Hasher};
    struct Collect(Sha256);
    impl Hasher for Collect {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut hasher = Collect(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let engine = hasher.0.finalize();
    format!("{}-{}.cwasm", hex::encode(digest), hex::encode(&engine[..8]))
}

/// Loads what an earlier run compiled; anything that does not fit is compiled anew.
#[allow(
    unsafe_code,
    reason = "the one call that trusts machine code from a file: ours, in a directory that is private"
)]
fn load(engine: &Engine, file: &Path) -> Option<Component> {
    let bytes = fs::read(file).ok()?;
    let (code, digest) = bytes.split_last_chunk::<32>()?;
    // A bit that flipped on the disk would be executed.
    if Sha256::digest(code)[..] != digest[..] {
        tracing::warn!("{} was damaged on the disk: the plugin is compiled anew", file.display());
        return None;
    }
    // SAFETY: the directory belongs to this user and nobody else can write to it (checked when it was opened); files
    // appear in it whole, by rename, written by this program from the output of the same engine, with their digest.
    let loaded = unsafe { Component::deserialize(engine, code) };
    loaded.inspect_err(|e| tracing::debug!("compile anew, {}: {e:#}", file.display())).ok()
}

fn not_a_component(bytes: &[u8], error: &wasmtime::Error) -> Error {
    let why = std::io::Error::other(format!("{error:#}"));
    if error.root_cause().is::<std::io::Error>() {
        let why = Error::unavailable("this machine does not let it be compiled").caused_by(why);
        return crate::machine::explain(why);
    }
    let error = Error::invalid(NOT_A_COMPONENT).caused_by(why);
    match what_else(bytes) {
        Some(what) => error.hinted(what),
        None => error.hinted("it is damaged, or made for another version of components"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_killed_processes_left_goes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let stays = ["ab.cwasm", "ab.new-", "ab.new-x", "new-1", "ab.new-2"];
        ["ab.new-1", "cd.new-999999999"].iter().chain(&stays).for_each(|name| fs::write(at(name), "half").unwrap());
        let held = File::open(at("ab.new-2")).unwrap();
        held.try_lock().unwrap();
        keep(&at("ef.cwasm"), b"code").unwrap();
        let mut there: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|item| item.unwrap().file_name()).collect();
        there.sort();
        let mut expected = [&stays[..], &["ef.cwasm"]].concat();
        expected.sort_unstable();
        assert_eq!(there, expected);
    }
}
