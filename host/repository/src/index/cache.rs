//! The directory of tables on this machine. All of it may go at any time: what is missing or wrong is made anew from the
//! documents in the store. Several processes use it at once: tables are written under other names and never changed, and
//! one that was deleted stays readable for whoever has it open.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;

use super::live::Live;
use super::merge::Merged;
use super::rows::{ChunkRow, DocumentRow, PackRow};
use super::table::{Bytes, Table, table_bytes, write_table};
use crate::error::{Error, Result};
use crate::id::ObjectId;
use crate::limits::{INDEX_MEMORY_BYTES, INDEX_RESIDENT_BYTES, INDEX_SORT_CHUNKS, INDEX_TABLES_MAX};

/// How the file of a table ends, and that of one which is being written.
const ENDING: &str = "table";
const ENDING_PART: &str = ".part";
/// A table is merged with smaller ones if it is at most so many times as long as they together: then a row is written
/// again some ten times in the life of a repository, and there are few tables.
const RATIO: u64 = 3;

/// What may lie in memory.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// Chunks sorted at once.
    pub(super) sort_chunks: usize,
    /// A new table that is longer is made in a file.
    pub(super) memory_bytes: u64,
    /// All tables whose bytes are in memory.
    pub(super) resident_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            sort_chunks: INDEX_SORT_CHUNKS,
            memory_bytes: INDEX_MEMORY_BYTES,
            resident_bytes: INDEX_RESIDENT_BYTES,
        }
    }
}

/// Where tables are kept, if anywhere.
#[derive(Clone)]
pub(crate) struct TableCache {
    key: [u8; 32],
    directory: Option<Arc<Path>>,
    pub(super) bounds: Bounds,
}

impl TableCache {
    pub(crate) fn new(key: [u8; 32], directory: Option<&Path>) -> Self {
        TableCache { key, directory: directory.map(Arc::from), bounds: Bounds::default() }
    }

    #[cfg(test)]
    pub(super) fn bounded(self, bounds: Bounds) -> Self {
        TableCache { bounds, ..self }
    }

    /// The tables that are there and whole, long ones first. Others are deleted. Blocks.
    pub(super) fn load(&self) -> Vec<Table> {
        let Some(directory) = &self.directory else { return Vec::new() };
        // A directory that is not there yet, or cannot be read, holds nothing.
        let names = fs::read_dir(directory).into_iter().flatten().flatten().map(|item| item.path());
        let mut tables: Vec<Table> = names.filter_map(|path| self.load_one(&path)).collect();
        tables.sort_by_key(|table| (std::cmp::Reverse(table.file_bytes()), *table.id()));
        tables
    }

    fn load_one(&self, path: &Path) -> Option<Table> {
        if path.to_string_lossy().ends_with(ENDING_PART) {
            remove_abandoned(path);
        }
        if path.extension().is_none_or(|ending| ending != ENDING) {
            return None;
        }
        let opened = File::open(path).and_then(|file| Table::open(Bytes::File(file), &self.key));
        match opened {
            Ok(table) => Some(table),
            Err(why) => {
                // Whatever is wrong with it, the documents know better.
                tracing::debug!("{}: {why}: what is remembered of the indexes is made anew", path.display());
                let _ = fs::remove_file(path);
                None
            }
        }
    }

    /// Makes a table, in memory if it is short. Blocks.
    pub(super) fn make(
        &self,
        documents: &[DocumentRow],
        packs: impl Iterator<Item = io::Result<PackRow>>,
        chunks: impl Iterator<Item = io::Result<ChunkRow>>,
    ) -> Result<Table> {
        let make = || {
            if table_bytes(documents) <= self.bounds.memory_bytes {
                let mut bytes = Vec::new();
                write_table(&mut bytes, &self.key, documents, packs, chunks)?;
                return Table::open(Bytes::Memory(bytes), &self.key);
            }
            let mut out = BufWriter::with_capacity(256 << 10, self.scratch()?);
            write_table(&mut out, &self.key, documents, packs, chunks)?;
            let scratch = out.into_inner().map_err(io::IntoInnerError::into_error)?;
            // Without a directory, and until it is kept, it has no name.
            let table = Table::open(Bytes::File(scratch.as_file().try_clone()?), &self.key)?;
            if let Some(path) = self.path(&table) {
                let _ = scratch.persist(path);
            }
            Ok(table)
        };
        make().map_err(|e| {
            let place = self.directory.as_deref().map_or("a temporary file".into(), |dir| dir.display().to_string());
            Error::io(format!("sort the index in {place}"), e)
        })
    }

    fn scratch(&self) -> io::Result<NamedTempFile> {
        let mut names = tempfile::Builder::new();
        names.prefix("").suffix(ENDING_PART);
        let scratch = match &self.directory {
            Some(directory) => {
                fs::create_dir_all(directory)?;
                names.tempfile_in(directory)?
            }
            None => names.tempfile()?,
        };
        // Tells others that it is not abandoned; without it, they may delete it, and the table is made anew.
        let _ = scratch.as_file().try_lock();
        Ok(scratch)
    }

    fn path(&self, table: &Table) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join(hex::encode(&table.id()[..16])).with_extension(ENDING))
    }

    /// Keeps a table for the next time; tells whether it will be there.
    fn keep(&self, table: &Table) -> bool {
        let Some(path) = self.path(table) else { return false };
        let Some(bytes) = table.memory() else { return path.exists() };
        let kept = self.scratch().and_then(|mut scratch| {
            scratch.write_all(bytes)?;
            scratch.persist(&path).map_err(|e| e.error)
        });
        if let Err(why) = &kept {
            let place = path.parent().unwrap_or(&path).display();
            tracing::warn!("remember the indexes in {place}: {why}: they are read again at every start");
        }
        kept.is_ok()
    }

    fn remove(&self, tables: &[Live], but: Option<&Table>) {
        let but = but.and_then(|table| self.path(table));
        for path in tables.iter().filter_map(|table| self.path(&table.table)).filter(|path| Some(path) != but.as_ref())
        {
            // One that stays is found to be superfluous the next time.
            let _ = fs::remove_file(path);
        }
    }

    /// The tables of all documents in `listed`: those of the cache and new ones, merged so that there are few, and kept.
    /// Blocks.
    pub(super) fn settle(
        &self,
        old: Vec<Table>,
        new: Vec<Table>,
        listed: &HashMap<ObjectId, u64>,
    ) -> Result<Vec<Live>> {
        let mut seen = HashSet::new();
        let is_listed = |row: &DocumentRow| listed.get(&row.id) == Some(&u64::from(row.bytes));
        let mut live = |table| Live::new(table, |row| is_listed(row) && seen.insert(row.id));
        let (old, gone): (Vec<Live>, Vec<Live>) = old.into_iter().map(&mut live).partition(Live::is_live);
        self.remove(&gone, None);
        let new: Vec<Live> = new.into_iter().map(&mut live).collect();
        let made = new.len();
        let (merge, mut settled) = choose(old, new);
        if merge.len() == 1 && made == 1 {
            self.keep(&merge[0].table);
            settled.extend(merge);
        } else if !merge.is_empty() {
            settled.extend(self.merge(merge));
        }
        self.hold(settled)
    }

    /// One table of several, or the several if it cannot be made: they answer as well.
    fn merge(&self, tables: Vec<Live>) -> Vec<Live> {
        let merged = Merged::new(&tables);
        let chunks = merged.chunks().map_err(unreadable);
        match chunks.and_then(|chunks| self.make(&merged.documents, merged.packs(), chunks)) {
            Ok(table) => {
                if self.keep(&table) {
                    self.remove(&tables, Some(&table));
                }
                vec![Live::new(table, |_| true)]
            }
            Err(why) => {
                tracing::warn!("{}: the indexes are looked up in more files than need be", why.chain());
                tables
            }
        }
    }

    /// Takes short tables into memory, where lookups are fastest.
    fn hold(&self, mut tables: Vec<Live>) -> Result<Vec<Live>> {
        tables.sort_by_key(|table| table.table.file_bytes());
        let mut room = self.bounds.resident_bytes;
        let mut held = Vec::with_capacity(tables.len());
        for live in tables {
            let bytes = live.table.file_bytes();
            let fits = bytes <= room;
            room = room.saturating_sub(bytes);
            let moves = fits && live.table.memory().is_none();
            held.push(if moves { live.into_memory(&self.key).map_err(unreadable)? } else { live });
        }
        Ok(held)
    }
}

/// Which tables become one, and which stay. All new ones do, so that a first opening leaves one.
fn choose(mut old: Vec<Live>, new: Vec<Live>) -> (Vec<Live>, Vec<Live>) {
    old.sort_by_key(Live::chunks);
    let (count, mut merge, mut stay) = (old.len(), new, Vec::new());
    for (number, table) in old.into_iter().enumerate() {
        let sum: u64 = merge.iter().map(Live::chunks).sum();
        let too_many = count - number + 1 > INDEX_TABLES_MAX;
        let small = !merge.is_empty() && (table.chunks() <= sum.saturating_mul(RATIO) || too_many);
        if small || table.is_stale() { merge.push(table) } else { stay.push(table) }
    }
    (merge, stay)
}

/// Deletes what somebody began to write and did not end.
fn remove_abandoned(path: &Path) {
    if let Ok(file) = File::open(path)
        && file.try_lock().is_ok()
    {
        let _ = fs::remove_file(path);
    }
}

/// A table that could be read before.
pub(super) fn unreadable(e: io::Error) -> Error {
    let hint = "try again: what is wrong there is deleted and made anew from the repository";
    Error::io("read the cached index", e).with_kind(crate::error::Kind::Unavailable).hinted(hint)
}
