//! Which chunks a run has taken on itself to store. Memory grows with what the run stores, and not with the repository.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;

use crate::id::ChunkId;
use crate::pack::lock;

/// Which chunks a run has taken on itself to store: each is stored once, whoever sees it first.
#[derive(Default)]
pub(crate) struct Claims {
    shards: [Mutex<HashSet<ChunkId, ById>>; 16],
}

impl Claims {
    /// Whether the caller is the first to claim this chunk in this run.
    pub(crate) fn claim(&self, id: ChunkId) -> bool {
        lock(&self.shards[usize::from(id.0[31] & 15)]).insert(id)
    }
}

/// Ids are random already: eight of their bytes are the hash.
#[derive(Default)]
pub(crate) struct IdHasher(u64);
type ById = BuildHasherDefault<IdHasher>;

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length_prefix: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_claimed_once() {
        let claims = Claims::default();
        assert!(claims.claim(ChunkId([1; 32])));
        assert!(!claims.claim(ChunkId([1; 32])));
        assert!(claims.claim(ChunkId([2; 32])));
    }
}
