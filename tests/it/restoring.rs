//! Restores over what somebody rearranged, by whoever may not do everything: what comes back is right, or is named.

mod deed;
mod delete;
mod in_place;
mod narrow;
mod others;
mod plan;
mod private;
mod privileges;
mod rearranged;
mod spared;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::house::{House, Said};

/// A house with a directory `src` and a job for it.
fn planted(plant: impl FnOnce(&Path)) -> (House, PathBuf) {
    let house = House::new();
    let src = house.path("src");
    fs::create_dir(&src).unwrap();
    plant(&src);
    house.configure_files("f", "src");
    house.dozo(&["run"]).expect(0);
    (house, src)
}

/// Restores where it came from, over what is there.
fn in_place(house: &House, more: &[&str]) -> Said {
    let replace = ["restore", "f", "--to", "/", "--conflict", "replace", "--identity", "owner.key"];
    house.dozo(&[&replace, more].concat())
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[track_caller]
fn says(said: &Said, words: &[&str]) {
    for word in words {
        assert!(said.err.contains(word), "{word}:\n{}", said.err);
    }
}
