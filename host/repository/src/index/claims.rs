//! Which chunks a run has taken on itself to store. Memory holds the last of them, and of those before some two bytes each:
//! a run may store more chunks than the repository had.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use crate::error::{Error, Result};
use crate::id::{ChunkId, ObjectId};
use crate::limits::CLAIMS_IN_MEMORY;
use crate::pack::lock;

use super::merge::Merge;
use super::rows::{ChunkRow, DocumentRow};
use super::table::{Bytes, Table, write_table};

/// Tables of claims are files without a name, for one process.
const KEY: [u8; 32] = [0; 32];

/// Which chunks a run has taken on itself to store: each is stored once, whoever sees it first.
pub(crate) struct Claims {
    recent: [Mutex<HashSet<ChunkId, ById>>; 16],
    /// How many are in `recent`.
    count: AtomicUsize,
    /// How many may be.
    most: usize,
    /// All others, in tables of which each is longer than the next.
    settled: RwLock<Vec<Table>>,
    scratch: PathBuf,
}

impl Claims {
    /// None so far. `scratch` is a directory for those that memory does not hold.
    pub(crate) fn new(scratch: PathBuf) -> Self {
        Claims {
            recent: Default::default(),
            count: AtomicUsize::new(0),
            most: CLAIMS_IN_MEMORY,
            settled: RwLock::default(),
            scratch,
        }
    }

    /// Whether the caller is the first to claim this chunk in this run. May block.
    ///
    /// # Errors
    /// If the scratch directory takes no more, or gives back what was not written there.
    pub(crate) fn claim(&self, id: ChunkId) -> Result<bool> {
        let first = self.is_first(id).map_err(|e| self.failed(e))?;
        if first && self.count.fetch_add(1, Ordering::Relaxed) + 1 >= self.most {
            self.settle().map_err(|e| self.failed(e))?;
        }
        Ok(first)
    }

    fn is_first(&self, id: ChunkId) -> io::Result<bool> {
        // Held to the end: what is settled meanwhile would be in neither.
        let settled = self.settled.read().unwrap_or_else(PoisonError::into_inner);
        for table in settled.iter() {
            let mut found = false;
            table.find(&id, |_, _| found = true)?;
            if found {
                return Ok(false);
            }
        }
        Ok(lock(&self.recent[usize::from(id.0[31] & 15)]).insert(id))
    }

    /// Sorts what is in memory into a file.
    fn settle(&self) -> io::Result<()> {
        let mut settled = self.settled.write().unwrap_or_else(PoisonError::into_inner);
        if self.count.load(Ordering::Relaxed) < self.most {
            return Ok(());
        }
        let mut ids: Vec<ChunkId> = self.recent.iter().flat_map(|shard| std::mem::take(&mut *lock(shard))).collect();
        ids.sort_unstable();
        let table = self.table(ids.len() as u32, ids.iter().map(|id| Ok(*id)))?;
        settled.push(table);
        self.count.store(0, Ordering::Relaxed);
        // A claim looks into each, so that they are to be few, and each id is moved a few times only.
        while let [.., longer, shorter] = settled.as_slice()
            && longer.chunk_count() <= shorter.chunk_count()
        {
            let count = longer.chunk_count().saturating_add(shorter.chunk_count());
            let (mut merge, mut rows) = (Merge::new([longer, shorter].into_iter())?, Vec::new());
            let ids = std::iter::from_fn(|| match merge.next_chunk(&mut rows) {
                Ok(more) => more.then(|| Ok(rows[0].row.id)),
                Err(e) => Some(Err(e)),
            });
            let both = self.table(count, ids)?;
            let before = settled.len() - 2;
            settled.truncate(before);
            settled.push(both);
        }
        Ok(())
    }

    fn table(&self, count: u32, ids: impl Iterator<Item = io::Result<ChunkId>>) -> io::Result<Table> {
        let documents = [DocumentRow { id: ObjectId([0; 32]), bytes: 0, packs: 0, chunks: count }];
        let row = |id| ChunkRow { id, pack: 0, start: 0, offset: 0, length: 0, frame_bytes: 0, frame_plain_bytes: 0 };
        let mut out = BufWriter::with_capacity(256 << 10, tempfile::tempfile_in(&self.scratch)?);
        write_table(&mut out, &KEY, &documents, std::iter::empty(), ids.map(|id| id.map(row)))?;
        let file: File = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Table::open(Bytes::File(file), &KEY)
    }

    fn failed(&self, e: io::Error) -> Error {
        Error::io(format!("sort in {} which chunks were stored", self.scratch.display()), e)
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

    fn id(n: u32) -> ChunkId {
        ChunkId(*blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    fn claims(most: usize) -> Claims {
        Claims { most, ..Claims::new(std::env::temp_dir()) }
    }

    #[test]
    fn a_chunk_is_claimed_once_wherever_its_claim_is_held() {
        let claims = claims(100);
        for n in 0..2_050 {
            assert!(claims.claim(id(n)).unwrap(), "{n}");
            assert!(!claims.claim(id(n)).unwrap(), "{n} again");
            assert!(!claims.claim(id(n / 2)).unwrap(), "one before {n}");
        }
        let lengths: Vec<u32> = claims.settled.read().unwrap().iter().map(Table::chunk_count).collect();
        assert_eq!(lengths, [1_600, 400], "of 20 times 100");
        assert_eq!(claims.count.load(Ordering::Relaxed), 50);
    }

    #[test]
    fn whoever_claims_at_the_same_time_one_is_first() {
        let claims = claims(64);
        let first = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..2_000 {
                        first.fetch_add(usize::from(claims.claim(id(n)).unwrap()), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(first.into_inner(), 2_000);
    }

    #[test]
    fn a_scratch_directory_that_takes_nothing_is_an_error() {
        let claims = Claims { most: 2, ..Claims::new("/nowhere/at/all".into()) };
        assert!(claims.claim(id(1)).unwrap());
        assert!(claims.claim(id(2)).unwrap_err().to_string().contains("/nowhere/at/all"));
    }
}
