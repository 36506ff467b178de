//! Cuts a stream into chunks where its content says so, so that an insertion changes the chunks around it and no others.
//!
//! Gear hashing with normalised chunking: Xia et al., *The Design of Fast Content Defined Chunking for Data
//! Deduplication Based Storage Systems* (IEEE TPDS 2020). The gear table comes from the repository's chunker key, so
//! that the lengths of chunks do not tell which known file they are from. Unlike the `fastcdc` crate it works on what
//! has come so far and never needs the longest possible chunk in hand, so that a stream holds one chunk of memory.

use crate::limits::{CHUNK_BYTES_AVERAGE, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN};

/// The hash forgets a byte after 64 more, so hashing begins this far before the first place for a cut.
const WINDOW: usize = 64;
const BITS: u32 = CHUNK_BYTES_AVERAGE.ilog2();
/// Before the average length a cut needs two more bits to be zero, after it two fewer: lengths gather at the average.
const MASK_BEFORE: u64 = mask(BITS + 2);
const MASK_AFTER: u64 = mask(BITS - 2);

/// So many of the upper bits, which the whole window reaches; the uppermost is left free (see [`find`]).
const fn mask(bits: u32) -> u64 {
    ((1 << bits) - 1) << (63 - bits)
}

/// A table of 256 random numbers under a key, and the same numbers shifted by one.
pub(crate) struct Gear {
    once: [u64; 256],
    shifted: [u64; 256],
}

impl Gear {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let mut bytes = [0; 256 * 8];
        blake3::Hasher::new_keyed(key).finalize_xof().fill(&mut bytes);
        let mut once = [0; 256];
        for (number, bytes) in once.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *number = u64::from_le_bytes(*bytes);
        }
        Gear { once, shifted: once.map(|number| number << 1) }
    }
}

/// Where a stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cutting {
    /// Where the content says so: files, dumps, logs.
    ByContent,
    /// Every so many bytes, from 64 KiB to 4 MiB: database pages.
    Every(u32),
}

/// The state between two pieces of one stream.
pub(crate) struct Cutter {
    cutting: Cutting,
    /// Bytes of the current chunk so far.
    length: usize,
    hash: u64,
}

impl Cutter {
    pub(crate) fn new(cutting: Cutting) -> Self {
        Cutter { cutting, length: 0, hash: 0 }
    }

    /// How many of `bytes` belong to the current chunk, and whether it ends behind them.
    pub(crate) fn take(&mut self, gear: &Gear, bytes: &[u8]) -> (usize, bool) {
        let (taken, ends) = match self.cutting {
            Cutting::ByContent => self.take_by_content(gear, bytes),
            Cutting::Every(length) => {
                let taken = (length as usize - self.length).min(bytes.len());
                (taken, self.length + taken == length as usize)
            }
        };
        self.length += taken;
        if ends {
            self.restart();
        }
        (taken, ends)
    }

    /// The stream was cut here for another reason: the next chunk begins afresh.
    pub(crate) fn restart(&mut self) {
        (self.length, self.hash) = (0, 0);
    }

    fn take_by_content(&mut self, gear: &Gear, bytes: &[u8]) -> (usize, bool) {
        let start = self.length;
        // The place in `bytes` where the chunk will be `length` long.
        let at = |length: usize| length.saturating_sub(start).min(bytes.len());
        let (warm, min, average, max) =
            (at(CHUNK_BYTES_MIN - WINDOW), at(CHUNK_BYTES_MIN), at(CHUNK_BYTES_AVERAGE), at(CHUNK_BYTES_MAX));
        let mut hash = self.hash;
        for byte in &bytes[warm..min] {
            hash = (hash << 1).wrapping_add(gear.once[usize::from(*byte)]);
        }
        for (region, mask) in [(min..average, MASK_BEFORE), (average..max, MASK_AFTER)] {
            let begin = region.start;
            if let Some(found) = find(&mut hash, gear, &bytes[region], mask) {
                return (begin + found, true);
            }
        }
        self.hash = hash;
        (max, start + max == CHUNK_BYTES_MAX)
    }
}

/// The number of bytes up to and with the first whose hash has the bits of `mask` zero.
///
/// Two bytes a turn: the hash behind the first of them is looked at shifted by one, which halves the chain of operations
/// that wait for each other.
fn find(hash: &mut u64, gear: &Gear, bytes: &[u8], mask: u64) -> Option<usize> {
    let mut rolling = *hash;
    let (pairs, last) = bytes.as_chunks::<2>();
    for (pair, [first, second]) in pairs.iter().enumerate() {
        rolling = (rolling << 2).wrapping_add(gear.shifted[usize::from(*first)]);
        if rolling & (mask << 1) == 0 {
            return Some(2 * pair + 1);
        }
        rolling = rolling.wrapping_add(gear.once[usize::from(*second)]);
        if rolling & mask == 0 {
            return Some(2 * pair + 2);
        }
    }
    for byte in last {
        rolling = (rolling << 1).wrapping_add(gear.once[usize::from(*byte)]);
        if rolling & mask == 0 {
            return Some(bytes.len());
        }
    }
    *hash = rolling;
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noise(length: usize, seed: u8) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
        bytes
    }

    /// The lengths of chunks when the stream comes in pieces of these lengths, over and over.
    fn lengths(cutting: Cutting, bytes: &[u8], pieces: &[usize]) -> Vec<usize> {
        let gear = Gear::new(&[1; 32]);
        let (mut cutter, mut rest, mut current, mut out) = (Cutter::new(cutting), bytes, 0, vec![]);
        for piece in pieces.iter().cycle() {
            let (mut piece, tail) = rest.split_at((*piece).min(rest.len()));
            rest = tail;
            while !piece.is_empty() {
                let (taken, ends) = cutter.take(&gear, piece);
                current += taken;
                if ends {
                    out.push(std::mem::take(&mut current));
                }
                piece = &piece[taken..];
            }
            if rest.is_empty() {
                break;
            }
        }
        out.push(current);
        out
    }

    #[test]
    fn chunks_keep_their_bounds_and_gather_at_the_average() {
        let bytes = noise(64 << 20, 3);
        let cut = lengths(Cutting::ByContent, &bytes, &[1 << 20]);
        let (last, whole) = cut.split_last().unwrap();
        assert!(whole.iter().all(|n| (CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(n)), "{whole:?}");
        assert!(*last <= CHUNK_BYTES_MAX);
        let average = whole.iter().sum::<usize>() / whole.len();
        assert!((CHUNK_BYTES_AVERAGE * 3 / 4..CHUNK_BYTES_AVERAGE * 3 / 2).contains(&average), "{average}");
    }

    #[test]
    fn an_insertion_changes_few_chunks() {
        let mut bytes = noise(32 << 20, 4);
        let before = lengths(Cutting::ByContent, &bytes, &[1 << 20]);
        bytes.splice(10 << 20..10 << 20, *b"an insertion");
        let after = lengths(Cutting::ByContent, &bytes, &[1 << 20]);
        let same_end = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
        assert!(same_end > before.len() / 2, "{before:?} {after:?}");
    }

    #[test]
    fn another_key_cuts_elsewhere() {
        let bytes = noise(16 << 20, 5);
        let ends = |key| {
            let (gear, mut cutter) = (Gear::new(&key), Cutter::new(Cutting::ByContent));
            cutter.take(&gear, &bytes).0
        };
        assert_ne!(ends([1; 32]), ends([2; 32]));
    }

    #[test]
    fn zeros_are_cut_at_the_maximum() {
        let cut = lengths(Cutting::ByContent, &vec![0; 3 * CHUNK_BYTES_MAX], &[1 << 20]);
        assert_eq!(cut, [CHUNK_BYTES_MAX, CHUNK_BYTES_MAX, CHUNK_BYTES_MAX, 0]);
    }

    #[test]
    fn pages_are_cut_evenly() {
        let cut = lengths(Cutting::Every(65536), &noise(200_000, 6), &[8192, 1]);
        assert_eq!(cut, [65536, 65536, 65536, 200_000 - 3 * 65536]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn cuts_do_not_depend_on_how_the_stream_came(
            length in 0usize..6_000_000, seed: u8, pieces in proptest::collection::vec(1usize..600_000, 1..6),
        ) {
            let bytes = noise(length, seed);
            let whole = lengths(Cutting::ByContent, &bytes, &[usize::MAX]);
            prop_assert_eq!(lengths(Cutting::ByContent, &bytes, &pieces), whole);
        }
    }
}
