//! Generated trees, rearranged by somebody: what a plan shows of them is what the same restore then does, entry by entry.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::rearranged::{Numbers, plant, rearrange};
use super::{planted, shown};
use crate::house::{House, Said, soak};

/// What is restored of a tree.
const MANNERS: usize = 4;

/// What is known of an entry: what it is, what it says, and what says who may do what with it since when.
#[derive(Clone, PartialEq)]
struct Seen {
    kind: u32,
    content: Vec<u8>,
    inode: u64,
    metadata: (u32, u32, u32, i64, i64),
}

impl Seen {
    fn at(path: &Path) -> Seen {
        let meta = fs::symlink_metadata(path).unwrap();
        let content = match meta.file_type() {
            kind if kind.is_symlink() => fs::read_link(path).unwrap().into_os_string().into_encoded_bytes(),
            kind if kind.is_file() => fs::read(path).unwrap(),
            _ => Vec::new(),
        };
        let metadata = (meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec());
        Seen { kind: meta.mode() & 0o170_000, content, inode: meta.ino(), metadata }
    }

    /// What became of it, as a plan calls that.
    fn became(&self, after: &Seen) -> Option<&'static str> {
        let is_another = self.kind != after.kind || self.content != after.content || self.inode != after.inode;
        match is_another {
            true => Some("replace"),
            false => (self.metadata != after.metadata).then_some("metadata"),
        }
    }
}

type World = BTreeMap<PathBuf, Seen>;

fn look(root: &Path) -> World {
    let (mut world, mut todo) = (World::new(), vec![root.to_path_buf()]);
    while let Some(path) = todo.pop() {
        if path.is_dir() && !path.is_symlink() {
            todo.extend(fs::read_dir(&path).unwrap().map(|item| item.unwrap().path()));
        }
        world.insert(path.clone(), Seen::at(&path));
    }
    world
}

/// What happened on the disk, as a plan would have shown it. What lies in a directory that was deleted is not named.
fn changes(before: &World, after: &World) -> BTreeMap<PathBuf, &'static str> {
    let created = after.keys().filter(|path| !before.contains_key(*path)).map(|path| (path.clone(), "create"));
    let is_in_deleted =
        |path: &Path| path.ancestors().skip(1).any(|above| before.contains_key(above) && !after.contains_key(above));
    let deleted = before.keys().filter(|path| !after.contains_key(*path) && !is_in_deleted(path));
    let deleted = deleted.map(|path| (path.clone(), "delete"));
    let other = before.iter().filter_map(|(path, seen)| Some((path.clone(), seen.became(after.get(path)?)?)));
    created.chain(deleted).chain(other).collect()
}

/// The lines of a plan that change something.
fn planned(said: &Said) -> BTreeMap<PathBuf, &str> {
    let lines = said.out.lines().filter_map(|line| line.split_once(' '));
    let lines = lines.filter(|(word, _)| ["create", "replace", "metadata", "delete"].contains(word));
    lines.map(|(word, path)| (PathBuf::from(path.trim_start()), word)).collect()
}

/// The words of a restore: everything, a path, a pattern, or the content of the directory.
fn words(manner: usize, src: &Path, all: &[PathBuf], numbers: &mut Numbers) -> Vec<String> {
    let whole = |words: &[&str]| words.iter().map(|word| (*word).to_string()).collect();
    match manner {
        0 => whole(&["f", "--to", "/"]),
        1 => {
            let path: &PathBuf = numbers.one_of(all);
            whole(&["f", &shown(path), "--to", "/"])
        }
        2 => whole(&["f", &format!("{}/**/1*", shown(src)), "--to", "/"]),
        _ => whole(&[&format!("f:{}", shown(src)), "--to", &shown(src)]),
    }
}

fn restore(house: &House, words: &[String], more: &[&str]) -> Said {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let always = ["--conflict", "replace", "--identity", "owner.key"];
    house.dozo(&[&["restore"], words.as_slice(), &always, more].concat())
}

#[test]
fn a_plan_is_what_is_then_done() {
    for seed in 0..soak(16, 1_000) as u64 {
        let (mut numbers, manner) = (Numbers(seed), seed as usize % MANNERS);
        let mut all = Vec::new();
        let (house, src) = planted(|src| all = plant(src, &mut numbers));
        let away = house.path("away");
        // Links that stand above one path are followed, and then the plan shows what lies behind by the path that was typed: there
        // nothing is moved.
        if [0, 3].contains(&manner) {
            fs::create_dir(&away).unwrap();
        }
        for _ in 0..6 {
            let path = numbers.one_of(&all).clone();
            rearrange(&path, &away, &mut numbers);
        }
        fs::write(src.join("beside"), "of nobody").unwrap();
        let (words, is_deleting) = (words(manner, &src, &all, &mut numbers), numbers.below(3) > 0);
        let (plan, deed): (&[&str], &[&str]) = match is_deleting {
            true => (&["--delete"], &["--delete", "--yes"]),
            false => (&["--dry-run"], &[]),
        };
        let before = look(&src);
        let plan = restore(&house, &words, plan);
        assert!(look(&src) == before, "seed {seed}: a plan wrote something");
        let said = restore(&house, &words, deed);
        let context = format!("seed {seed}, {words:?}, deleting: {is_deleting}\n{}\n{}", plan.out, said.err);
        assert_eq!(plan.code, said.code, "{context}");
        let mut done = changes(&before, &look(&src));
        let planned = planned(&plan);
        // A file that is kept under one name has what that gets under its others, too.
        let changed: BTreeSet<u64> = planned.keys().filter_map(|path| Some(before.get(path)?.inode)).collect();
        let is_other_name = |path: &Path| !planned.contains_key(path) && changed.contains(&before[path].inode);
        done.retain(|path, what| *what != "metadata" || path.is_dir() || !is_other_name(path));
        // A directory that is not itself restored has another time once something in it is.
        done.retain(|path, what| {
            *what != "metadata" || planned.contains_key(path) || !path.is_dir() || is_chosen(manner, path, &src)
        });
        // Of a file whose first name could not be restored the others become files of their own, and the last of them is kept if it
        // is alone by then.
        let is_last =
            |path: &PathBuf, what: &str| said.code == 3 && what == "metadata" && planned.get(path) == Some(&"replace");
        done.iter_mut().filter(|(path, what)| is_last(path, what)).for_each(|(_, what)| *what = "replace");
        // What could not be restored is named, and may have another time.
        done.retain(|path, what| *what != "metadata" || planned.contains_key(path) || !is_named(&said, path));
        assert_eq!(planned, done, "{context}");
        if said.code == 0 && manner == 0 {
            let again = restore(&house, &words, if is_deleting { &["--delete"] } else { &["--dry-run"] }).expect(0);
            let is_told = said.err.contains("are names of a file that has one more");
            assert!(is_told || again.out.contains("nothing differs"), "{context}\n{}", again.out);
        }
    }
}

/// Whether a restore names a path as one that it could not restore.
fn is_named(said: &Said, path: &Path) -> bool {
    let named = said.err.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": "));
    named.into_iter().any(|(name, _)| path.ends_with(name.trim()))
}

/// Whether a directory's own time is restored.
fn is_chosen(manner: usize, path: &Path, src: &Path) -> bool {
    manner == 0 || manner == 3 && path != src
}
