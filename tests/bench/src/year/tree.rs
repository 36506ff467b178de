//! A directory that changes as real ones do: some files are edited in the middle, some grow, some are new, some go. All of it
//! comes from a seed. Knows nothing of backups.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// What a directory begins with, and what a change is.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Small files: a few KiB to some 256 KiB.
    pub(super) small: u64,
    /// Large ones of so many bytes.
    pub(super) large: u64,
    pub(super) large_bytes: u64,
    /// Of each kind of change to small files, how many there are each time.
    pub(super) edits: u64,
    /// Ranges of a large file that are written anew each time.
    pub(super) pages: u64,
}

/// The directory as it is now.
pub(super) struct Tree {
    root: PathBuf,
    shape: Shape,
    draws: u64,
    small: Vec<PathBuf>,
    named: u64,
}

impl Tree {
    pub(super) fn new(root: &Path, shape: Shape, seed: u64) -> Result<Self> {
        let mut tree = Tree { root: root.into(), shape, draws: seed, small: Vec::new(), named: 0 };
        for _ in 0..shape.small {
            tree.add()?;
        }
        for number in 0..shape.large {
            let bytes = tree.bytes(shape.large_bytes);
            fs::write(tree.large(number), bytes)?;
        }
        Ok(tree)
    }

    /// One step of time.
    pub(super) fn change(&mut self) -> Result<()> {
        for _ in 0..self.shape.edits {
            let (file, grows) = (self.any(), self.any());
            let middle = fs::metadata(&file)?.len() / 2;
            let patch = self.bytes(512);
            OpenOptions::new().write(true).open(file)?.write_all_at(&patch, middle)?;
            let end = fs::metadata(&grows)?.len();
            let more = self.bytes(2_048);
            OpenOptions::new().write(true).open(grows)?.write_all_at(&more, end)?;
            self.add()?;
            let gone = self.below(self.small.len() as u64) as usize;
            fs::remove_file(self.small.swap_remove(gone))?;
        }
        for _ in 0..self.shape.pages.min(self.shape.pages * self.shape.large) {
            let number = self.below(self.shape.large);
            let at = self.below(self.shape.large_bytes - 65_536);
            let page = self.bytes(65_536);
            OpenOptions::new().write(true).open(self.large(number))?.write_all_at(&page, at)?;
        }
        Ok(())
    }

    fn add(&mut self) -> Result<()> {
        let length = 1_024 << self.below(9);
        let length = length + self.below(length);
        let bytes = self.bytes(length);
        let directory = self.root.join(format!("{:02}", self.named % 20));
        fs::create_dir_all(&directory)?;
        let file = directory.join(format!("{:06}", self.named));
        self.named += 1;
        fs::write(&file, bytes)?;
        self.small.push(file);
        Ok(())
    }

    fn any(&mut self) -> PathBuf {
        let which = self.below(self.small.len() as u64) as usize;
        self.small[which].clone()
    }

    fn large(&self, number: u64) -> PathBuf {
        self.root.join(format!("large-{number}"))
    }

    /// Half of it compresses to a half.
    fn bytes(&mut self, length: u64) -> Vec<u8> {
        let (seed, text) = (self.below(1 << 31), self.below(2) == 0);
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut bytes = vec![0; length as usize];
        blake3::Hasher::new_keyed(&key).finalize_xof().fill(&mut bytes);
        if text {
            bytes.iter_mut().for_each(|byte| *byte = b"0123456789abcdef"[usize::from(*byte & 15)]);
        }
        bytes
    }

    fn below(&mut self, end: u64) -> u64 {
        self.draws = self.draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.draws >> 33) % end.max(1)
    }
}
