//! Generated trees, rearranged by somebody and restored in place: equal afterwards, or named.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::{in_place, planted};
use crate::filesystem::describe;
use crate::house::soak;

/// Numbers from a seed (splitmix64).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    pub(super) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

pub(super) fn plant(src: &Path, numbers: &mut Numbers) -> Vec<PathBuf> {
    let (mut directories, mut all) = (vec![src.to_path_buf()], Vec::new());
    for n in 0..24 {
        let path = numbers.one_of(&directories).join(format!("{n}"));
        match numbers.below(5) {
            0 | 1 => {
                fs::create_dir(&path).unwrap();
                directories.push(path.clone());
            }
            2 => symlink(["0", "..", "/nowhere"][numbers.below(3)], &path).unwrap(),
            3 => match all.iter().rfind(|path: &&PathBuf| path.is_file() && !path.is_symlink()) {
                Some(file) => fs::hard_link(file, &path).unwrap(),
                None => fs::write(&path, "first").unwrap(),
            },
            _ => fs::write(&path, format!("content {n}")).unwrap(),
        }
        if !path.is_symlink() && numbers.below(4) == 0 {
            fs::set_permissions(&path, fs::Permissions::from_mode(*numbers.one_of(&[0o700, 0o555, 0o640]))).unwrap();
        }
        all.push(path);
    }
    all
}

/// What somebody does to one entry who tidies up, moves to a larger disk, or makes a mistake.
pub(super) fn rearrange(path: &Path, away: &Path, numbers: &mut Numbers) {
    let Ok(meta) = fs::symlink_metadata(path) else { return };
    match numbers.below(7) {
        // Moved, and a link left in its place.
        0 => {
            let there = away.join(format!("{}", numbers.below(1 << 30)));
            if fs::rename(path, &there).is_ok() {
                symlink(there, path).unwrap();
            }
        }
        1 if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
        1 => fs::remove_file(path).unwrap(),
        2 if meta.is_file() => fs::write(path, "something else").unwrap(),
        2 if meta.is_dir() => fs::write(path.join("extra"), "extra").unwrap(),
        3 if !meta.is_symlink() => fs::set_permissions(path, fs::Permissions::from_mode(0o711)).unwrap(),
        4 if rustix::process::geteuid().is_root() && !meta.is_symlink() => chown(path, Some(1234), Some(1)).unwrap(),
        // Another kind of thing.
        5 if meta.is_dir() => {
            fs::remove_dir_all(path).unwrap();
            fs::write(path, "a file").unwrap();
        }
        5 => {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
            if numbers.below(2) == 0 {
                fs::write(path.join("full"), "").unwrap();
            }
        }
        _ => {}
    }
}

/// Names and contents alone: metadata are those of all names that a file has.
fn contents(root: &Path) -> Vec<String> {
    let bare = |line: String| line.split_once(") ").map(|(_, content)| content.to_string()).unwrap_or_default();
    let name = |line: &str| line.split('"').nth(1).unwrap_or_default().to_string();
    describe(root).into_iter().map(|line| format!("{} {}", name(&line), bare(line))).collect()
}

/// Without what the snapshot does not have, and the times of directories in which something is left.
fn of_the_snapshot(lines: Vec<String>, wanted: &[String]) -> Vec<String> {
    let name = |line: &str| line.split('"').nth(1).unwrap_or_default().to_string();
    let names: Vec<String> = wanted.iter().map(|line| name(line)).collect();
    lines.into_iter().filter(|line| names.contains(&name(line))).collect()
}

#[test]
fn a_rearranged_tree_comes_back_or_is_named() {
    for seed in 0..soak(16, 1_000) as u64 {
        let mut numbers = Numbers(seed);
        let mut all = Vec::new();
        let (house, src) = planted(|src| all = plant(src, &mut numbers));
        let (before, away) = (describe(&src), house.path("away"));
        fs::create_dir(&away).unwrap();
        for _ in 0..6 {
            let path = numbers.one_of(&all).clone();
            rearrange(&path, &away, &mut numbers);
        }
        let elsewhere = contents(&away);
        let said = in_place(&house, &[]);
        assert!(said.code == 0 || said.code == 3, "seed {seed}: {}", said.err);
        assert_eq!(contents(&away), elsewhere, "seed {seed}: beside the tree: {}", said.err);
        let after = of_the_snapshot(describe(&src), &before);
        let name = |line: &String| line.split('"').nth(1).unwrap().to_string();
        for line in before.iter().filter(|line| !after.contains(line)) {
            let path = name(line);
            let is_named =
                said.err.lines().any(|said| said.contains(&format!("src/{path}: ")) || said.contains("not restored"));
            assert!(
                said.code == 3 && is_named,
                "seed {seed}: {path} is not as it was and nothing says so\n{}",
                said.err
            );
        }
    }
}
