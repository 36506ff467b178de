//! One hundredth of a tree, changed and put back: the same for every program that is compared.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};

use super::{data, made, tree};

const HUNDRED: u64 = 100;
/// How much of a file changes, where each hundredth file does: less than any program's smallest piece of a file.
const OF_A_FILE: u64 = 4 << 10;
/// How long the places are, where a hundredth of each file changes.
const PLACE: u64 = 256 << 10;
/// A changed file is so much newer.
const NEWER: Duration = Duration::from_secs(24 * 60 * 60);

/// What is to be changed.
pub(crate) struct Change {
    tree: PathBuf,
    edits: Vec<Edit>,
}

struct Edit {
    path: PathBuf,
    /// Of the original.
    modified: SystemTime,
    places: Vec<Range<u64>>,
}

impl Change {
    /// Each hundredth file; in a tree of fewer files, a hundredth of the bytes of each.
    pub(crate) fn plan(tree: &Path) -> Result<Self> {
        let (mut seen, mut first, mut each) = (0, Vec::new(), Vec::new());
        tree::visit(tree, &mut |path, metadata| {
            if !can_change(metadata) {
                return Ok(());
            }
            let edit = |places| anyhow::Ok(Edit { path: path.into(), modified: metadata.modified()?, places });
            if seen < HUNDRED {
                first.push(edit(scattered(metadata.len()))?);
            }
            if seen % HUNDRED == 0 {
                each.push(edit(vec![middle(metadata.len())])?);
            }
            seen += 1;
            Ok(())
        })?;
        ensure!(seen > 0, "there is no file in {} that could be changed", tree.display());
        Ok(Change { tree: tree.into(), edits: if seen < HUNDRED { first } else { each } })
    }

    pub(crate) fn make(&self) -> Result<()> {
        let mark = data::changed_mark(&self.tree);
        File::create(&mark).with_context(|| format!("write {}", mark.display()))?;
        self.turn(NEWER)
    }

    /// Puts back what was there, times included; only the times of the inodes, which nobody can set, are new.
    pub(crate) fn undo(&self) -> Result<()> {
        self.turn(Duration::ZERO)?;
        Ok(fs::remove_file(data::changed_mark(&self.tree))?)
    }

    fn turn(&self, newer: Duration) -> Result<()> {
        let Some((last, others)) = self.edits.split_last() else { return Ok(()) };
        others.iter().try_for_each(|edit| edit.turn(newer))?;
        // See `made::large`.
        std::thread::sleep(made::A_MOMENT);
        last.turn(newer)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: u64 = self.edits.iter().flat_map(|edit| &edit.places).map(|place| place.end - place.start).sum();
        write!(f, "{:.1} MB in {} files", bytes as f64 / 1e6, self.edits.len())
    }
}

impl Edit {
    /// Turns the lowest bit of each byte. Twice is as before, and it compresses as well either way.
    fn turn(&self, newer: Duration) -> Result<()> {
        let turn = || -> Result<()> {
            let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
            for place in &self.places {
                let mut bytes = vec![0; (place.end - place.start) as usize];
                file.read_exact_at(&mut bytes, place.start)?;
                bytes.iter_mut().for_each(|byte| *byte ^= 1);
                file.write_all_at(&bytes, place.start)?;
            }
            Ok(file.set_modified(self.modified + newer)?)
        };
        turn().with_context(|| format!("change {}", self.path.display()))
    }
}

/// Not what has several names or special rights, so that a change is one change, nor what its owner may not write.
fn can_change(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.nlink() == 1 && metadata.mode() & 0o7200 == 0o200
}

fn middle(length: u64) -> Range<u64> {
    let changed = length.min(OF_A_FILE);
    let start = (length - changed) / 2;
    start..start + changed
}

fn scattered(length: u64) -> Vec<Range<u64>> {
    if length == 0 {
        return Vec::new();
    }
    let place = PLACE.min(length.div_ceil(HUNDRED));
    let starts = (1..).map(|number| number * place * HUNDRED - place * HUNDRED / 2);
    let places: Vec<_> = starts.take_while(|start| start + place <= length).map(|start| start..start + place).collect();
    if places.is_empty() { vec![middle(place)] } else { places }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_can_be_put_back() {
        let home = std::env::temp_dir().join(format!("dozo-change-{}", std::process::id()));
        let (tree, file) = (home.join("tree"), home.join("tree/file"));
        fs::create_dir_all(&tree).unwrap();
        fs::write(&file, "0123456789").unwrap();
        let look = || (fs::read(&file).unwrap(), fs::metadata(&file).unwrap().modified().unwrap());
        let (before, change) = (look(), Change::plan(&tree).unwrap());
        change.make().unwrap();
        let changed = look();
        change.undo().unwrap();
        let after = look();
        fs::remove_dir_all(&home).unwrap();
        assert_eq!(changed, (b"1123456789".to_vec(), before.1 + NEWER));
        assert_eq!(after, before);
    }

    #[test]
    fn a_hundredth_changes() {
        assert_eq!(middle(0), 0..0);
        assert_eq!(middle(10), 0..10);
        assert_eq!(middle(10_000), 2952..7048);
        for length in [1_000, 1_000_000, 20_000_000_000] {
            let places = scattered(length);
            let changed: u64 = places.iter().map(|place| place.end - place.start).sum();
            assert!(changed.abs_diff(length / 100) <= PLACE.min(length / 100), "{changed} of {length}");
            assert!(places.last().is_some_and(|place| place.end <= length));
        }
        assert_eq!(scattered(1), vec![0..1]);
        assert_eq!(scattered(0), Vec::new());
    }
}
