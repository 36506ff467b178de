//! Blocks: the pages of a table. Each is sealed with a code that covers its content, its number and its table, under a key
//! that follows from the repository's secret: what rotted, what was cut off and what a stranger wrote is never read.
//! Knows nothing of what the rows are.

use std::io;

/// One page of a file system.
pub(super) const BLOCK_BYTES: usize = 4096;
const NUMBER_BYTES: usize = 8;
const SEAL_BYTES: usize = 32;
/// Room for rows; what they leave over is zeros.
pub(super) const ROWS_BYTES: usize = BLOCK_BYTES - NUMBER_BYTES - SEAL_BYTES;

/// Seals the blocks of one table.
pub(super) struct Seals([u8; 32]);

impl Seals {
    /// The seals of the table with this id.
    pub(super) fn new(cache_key: &[u8; 32], table: &[u8; 32]) -> Self {
        Seals(blake3::keyed_hash(cache_key, table).into())
    }

    /// Makes a block of rows.
    pub(super) fn close(&self, rows: &mut Vec<u8>, number: u64) {
        rows.resize(ROWS_BYTES, 0);
        rows.extend_from_slice(&number.to_le_bytes());
        let seal = blake3::keyed_hash(&self.0, rows);
        rows.extend_from_slice(seal.as_bytes());
    }

    /// The rows of a block, if it is the one of this number.
    pub(super) fn open<'a>(&self, block: &'a [u8], number: u64) -> io::Result<&'a [u8]> {
        let (sealed, seal) = block.split_last_chunk::<SEAL_BYTES>().ok_or_else(wrong)?;
        let (rows, said) = sealed.split_last_chunk::<NUMBER_BYTES>().ok_or_else(wrong)?;
        let whole = blake3::keyed_hash(&self.0, sealed) == blake3::Hash::from_bytes(*seal);
        if whole && *said == number.to_le_bytes() { Ok(rows) } else { Err(wrong()) }
    }
}

/// What is not as it was written.
pub(super) fn wrong() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not what was written there")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_opens_in_its_own_place_alone() {
        let seals = Seals::new(&[1; 32], &[2; 32]);
        let mut block = b"rows".to_vec();
        seals.close(&mut block, 7);
        assert_eq!(block.len(), BLOCK_BYTES);
        assert_eq!(&seals.open(&block, 7).unwrap()[..4], b"rows");
        assert!(seals.open(&block, 8).is_err(), "another place");
        assert!(seals.open(&block[1..], 7).is_err(), "cut");
        assert!(Seals::new(&[1; 32], &[3; 32]).open(&block, 7).is_err(), "another table's");
        assert!(Seals::new(&[3; 32], &[2; 32]).open(&block, 7).is_err(), "a stranger's");
        for at in 0..BLOCK_BYTES {
            block[at] ^= 1;
            assert!(seals.open(&block, 7).is_err(), "byte {at}");
            block[at] ^= 1;
        }
    }
}
