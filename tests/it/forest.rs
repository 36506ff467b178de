//! A tree of thousands of small files, some large ones, links and deep directories, which changes from round to round in
//! every way in which trees do.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Directories one in the other; each has a file.
const DEPTH: usize = 24;
/// Sizes of small and large files.
const SMALL_BYTES_MAX: u64 = 9_000;
const LARGE_BYTES: std::ops::Range<u64> = 10 << 20..22 << 20;

/// The tree, and the chance by which it changes.
pub(crate) struct Forest {
    root: PathBuf,
    /// How many small files there were, and one more than the highest number of one.
    first: u64,
    next: u64,
    large: u64,
    seed: u64,
}

impl Forest {
    /// A tree with so many small and so many large files. What it has is the same for the same seed.
    pub(crate) fn plant(root: PathBuf, (small, large): (u64, u64), seed: u64) -> Self {
        let mut forest = Forest { root, first: small, next: 0, large, seed };
        fs::create_dir_all(forest.root.join("large")).unwrap();
        (0..small).for_each(|_| forest.add());
        (0..large).for_each(|n| forest.write_large(n));
        let mut deep = forest.root.join("deep");
        for n in 0..DEPTH {
            deep.push(format!("level-{n}"));
            fs::create_dir_all(&deep).unwrap();
            fs::write(deep.join("file"), format!("at level {n}")).unwrap();
        }
        symlink("/nowhere/at all", forest.root.join("dangling")).unwrap();
        symlink("deep/level-0", forest.root.join("way in")).unwrap();
        fs::create_dir(forest.root.join("empty")).unwrap();
        forest
    }

    /// Another state: one in ten of the small files is changed, gone or something else, some are new, and of the large ones
    /// one is another, one has another middle, one another end.
    pub(crate) fn change(&mut self) {
        for _ in 0..self.next / 10 {
            let number = self.chance() % self.next;
            self.change_one(number);
        }
        (0..self.first / 50).for_each(|_| self.add());
        let (whole, middle, end) = (self.chance(), self.chance(), self.chance());
        self.write_large(whole % self.large);
        self.edit_large(middle % self.large, 1 << 20);
        let length = fs::metadata(self.large(end % self.large)).unwrap().len();
        self.edit_large(end % self.large, length - 1_000);
    }

    /// The same, and every large file another.
    pub(crate) fn change_all(&mut self) {
        self.change();
        (0..self.large).for_each(|n| self.write_large(n));
    }

    /// Bytes that do not compress and were never there before.
    fn noise(&mut self, bytes: u64) -> Vec<u8> {
        let mut noise = Vec::with_capacity(bytes as usize + 8);
        while noise.len() < bytes as usize {
            noise.extend_from_slice(&self.word().to_le_bytes());
        }
        noise.truncate(bytes as usize);
        noise
    }

    fn word(&mut self) -> u64 {
        // Marsaglia's xorshift: as fast as the disk.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    fn chance(&mut self) -> u64 {
        self.word() >> 16
    }

    fn small(&self, number: u64) -> PathBuf {
        self.root.join(format!("{}/{}/file {number}", number % 7, number % 41))
    }

    fn large(&self, number: u64) -> PathBuf {
        self.root.join(format!("large/{number}"))
    }

    fn write_large(&mut self, number: u64) {
        let length = LARGE_BYTES.start + self.chance() % (LARGE_BYTES.end - LARGE_BYTES.start);
        fs::write(self.large(number), self.noise(length)).unwrap();
    }

    fn edit_large(&mut self, number: u64, at: u64) {
        use std::os::unix::fs::FileExt;
        let (file, bytes) = (fs::File::options().write(true).open(self.large(number)), self.noise(60_000));
        file.unwrap().write_all_at(&bytes, at).unwrap();
    }

    fn add(&mut self) {
        let number = self.next;
        self.next += 1;
        fs::create_dir_all(self.small(number).parent().unwrap()).unwrap();
        self.write_small(number);
    }

    fn write_small(&mut self, number: u64) {
        let length = self.chance() % SMALL_BYTES_MAX;
        fs::write(self.small(number), self.noise(length)).unwrap();
    }

    fn remove(&self, number: u64) {
        let _ = fs::remove_file(self.small(number));
    }

    fn change_one(&mut self, number: u64) {
        let (what, path) = (self.chance() % 8, self.small(number));
        let is_file = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
        match what {
            // What was a directory stays one: nothing takes the place of one that holds something in a restore.
            _ if path.join("inside").exists() => fs::write(path.join("inside"), self.noise(50)).unwrap(),
            0 => self.remove(number),
            1 => {
                self.remove(number);
                symlink(format!("file {}", self.chance() % self.next), path).unwrap();
            }
            2 => {
                self.remove(number);
                fs::create_dir(&path).unwrap();
                fs::write(path.join("inside"), self.noise(100)).unwrap();
            }
            3 if is_file => {
                let mode = 0o600 | (self.chance() % 0o200) as u32;
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
            4 if is_file => {
                let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(self.word() >> 2);
                fs::File::open(&path).unwrap().set_modified(time).unwrap();
            }
            _ => {
                self.remove(number);
                self.write_small(number);
            }
        }
    }
}
