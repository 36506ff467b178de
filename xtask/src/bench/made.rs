//! Files made out of a seed: the same on every machine.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// One large file has stretches of this length, each of text or of what cannot be compressed.
const STRETCH: usize = 32 << 10;
/// Of so many stretches, one cannot be compressed: `zstd -3` makes about half of the whole, as of a disk or a database.
const ONE_IN: u64 = 4;
const WORDS: usize = 4096;
const FILES_IN_DIRECTORY: u64 = 1000;
/// Many files have from no byte to so many.
const MANY_BYTES_MAX: u64 = 200;
/// More than the kernel's clock for times of files takes for a step.
pub(crate) const A_MOMENT: Duration = Duration::from_millis(50);

/// SplitMix64: short, fast, and good enough that zstd finds nothing in it.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A word of small letters.
    fn word(&mut self, letters: usize) -> Vec<u8> {
        (0..letters).map(|_| b'a' + (self.next() % 26) as u8).collect()
    }
}

/// A directory with one large file, and beside it a small one that changes last: some programs (borg) read again what changed
/// last of all, since it may have changed once more in the same instant, and that must not be the large one.
pub(crate) fn large(directory: &Path, bytes: u64) -> Result<()> {
    let (path, mut random) = (directory.join("file"), Random(1));
    let mut file = File::create(&path).with_context(|| format!("write {}", path.display()))?;
    let words: Vec<Vec<u8>> = (0..WORDS).map(|number| random.word(2 + number % 9)).collect();
    let (mut left, mut stretch) = (bytes, Vec::with_capacity(STRETCH + 64));
    while left > 0 {
        stretch.clear();
        if random.next().is_multiple_of(ONE_IN) {
            noise(&mut stretch, &mut random);
        } else {
            text(&mut stretch, &words, &mut random);
        }
        let length = left.min(STRETCH as u64);
        file.write_all(&stretch[..length as usize]).with_context(|| format!("write {}", path.display()))?;
        left -= length;
    }
    drop(file);
    std::thread::sleep(A_MOMENT);
    fs::write(directory.join("last"), "changed last\n").context("write the small file")
}

fn noise(stretch: &mut Vec<u8>, random: &mut Random) {
    while stretch.len() < STRETCH {
        stretch.extend_from_slice(&random.next().to_le_bytes());
    }
}

/// Words, of which the first are far more frequent than the last.
fn text(stretch: &mut Vec<u8>, words: &[Vec<u8>], random: &mut Random) {
    while stretch.len() < STRETCH {
        let bits = random.next();
        for bits in [bits, bits >> 32] {
            let (one, other) = (bits as usize & 0xffff, (bits >> 16) as usize & 0xffff);
            stretch.extend_from_slice(&words[(one * other) >> 20]);
            stretch.push(if one.is_multiple_of(12) { b'\n' } else { b' ' });
        }
    }
}

/// Many small files, no two of them alike unless they are empty or nearly so.
pub(crate) fn many(directory: &Path, count: u64) -> Result<()> {
    let mut random = Random(2);
    for first in (0..count).step_by(FILES_IN_DIRECTORY as usize) {
        let part = directory.join(format!("{:06}", first / FILES_IN_DIRECTORY));
        fs::create_dir(&part).with_context(|| format!("make {}", part.display()))?;
        for number in first..count.min(first + FILES_IN_DIRECTORY) {
            let length = random.next() % (MANY_BYTES_MAX + 1);
            let path = part.join(format!("{number:09}"));
            fs::write(&path, random.word(length as usize)).with_context(|| format!("write {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_the_same_everywhere() {
        let mut random = Random(0);
        // The first of SplitMix64 with seed 0, as its authors publish it.
        assert_eq!([random.next(), random.next()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }
}
