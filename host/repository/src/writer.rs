//! Writing a snapshot: entries in, chunks out, and one commit at the end.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use futures::stream::{self, StreamExt};

use crate::cut::{Cutter, Cutting};
use crate::entry::{Entry, Extent, StoredEntry};
use crate::error::{Error, Kind, Result};
use crate::format::damage::DamageDocument;
use crate::format::name::{PackKind, parse_pack};
use crate::format::snapshot::{Manifest, Snapshot, Stored};
use crate::id::ObjectId;
use crate::index::Index;
use crate::lease::LeaseHandle;
use crate::limits::{
    ATTRIBUTES_SET_MAX, CATALOG_READS_IN_FLIGHT, CHUNK_BYTES_FIXED_MIN, CHUNK_BYTES_MAX, DISCARDED_MAX,
    SHORT_PIECES_PER_GIB,
};
use crate::manifest;
use crate::pack::lock;
use crate::pending::{Finished, Pending};
use crate::pipeline::{Counters, Ends, Job, Pipeline, Shared};
use crate::repository::Repository;
use crate::store::Object;

/// What a writer may use of the machine.
#[derive(Clone, Debug)]
pub struct Resources {
    /// A directory for what is sorted and does not fit into memory: the manifest, and which chunks were stored.
    pub scratch: PathBuf,
    /// Threads that hash, compress and seal.
    pub workers: usize,
}

/// Writes one snapshot. Dropped before [`Writer::commit`], it leaves nothing that anybody reads.
pub struct Writer {
    repository: Repository,
    index: Arc<Index>,
    lease: LeaseHandle,
    pipeline: Pipeline,
    /// Paths at and under which nothing becomes part of the snapshot.
    discarded: Mutex<Vec<String>>,
}

impl Writer {
    pub(crate) fn start(
        repository: Repository,
        index: Arc<Index>,
        lease: LeaseHandle,
        resources: Resources,
    ) -> Result<Self> {
        let ends = Ends {
            store: repository.store().clone(),
            keyring: repository.keyring().clone(),
            index: index.clone(),
            data: repository.key().data.clone(),
            catalog: repository.key().catalog.to_public(),
            scratch: resources.scratch,
            workers: resources.workers,
        };
        Ok(Writer { repository, index, lease, pipeline: Pipeline::start(&ends)?, discarded: Mutex::default() })
    }

    /// Begins an entry with content.
    pub fn entry(&self, entry: Entry, cutting: Cutting) -> EntryWriter {
        EntryWriter {
            shared: self.pipeline.shared.clone(),
            index: self.index.clone(),
            pending: Arc::new(Pending::new(entry)),
            cutter: Cutter::new(cutting),
            chunk: Vec::new(),
            length: 0,
            short_pieces: 0,
            attributes: 0,
        }
    }

    /// Takes an entry whose content, if it has any, the repository holds already.
    pub fn put(&self, stored: &StoredEntry) -> Result<()> {
        self.pipeline.shared.failure.check()?;
        self.pipeline.shared.add_entry(stored)
    }

    /// Nothing at and under this path becomes part of the snapshot, whatever was put or is put there.
    ///
    /// # Errors
    /// [`Invalid`](Kind::Invalid) if there are too many such paths.
    pub fn discard_under(&self, prefix: &str) -> Result<()> {
        let mut discarded = lock(&self.discarded);
        if discarded.len() == DISCARDED_MAX {
            return Err(Error::invalid(format!("more than {DISCARDED_MAX} parts of a snapshot are discarded")));
        }
        discarded.push(prefix.into());
        Ok(())
    }

    /// Gives the snapshot up: whoever still writes to it is told why and stops.
    pub fn abandon(&self, why: &Error) {
        self.pipeline.shared.failure.note(why.clone());
    }

    /// What was moved so far.
    pub fn counters(&self) -> Arc<Counters> {
        self.pipeline.shared.counters.clone()
    }

    /// Stores all that is left, then the snapshot that `describe` makes of its manifest: the commit. Afterwards every
    /// pack that it needs is looked for once more.
    ///
    /// # Errors
    /// [`Unavailable`](crate::error::Kind::Unavailable) if the lease lapsed, whatever else went well: somebody who deletes
    /// may not have known of this run.
    pub async fn commit(mut self, describe: impl FnOnce(Manifest, Stored) -> Snapshot) -> Result<(ObjectId, Snapshot)> {
        let counters = self.counters();
        let lines = self.pipeline.drain().await?;
        let bytes = self.pipeline.shared.content_bytes.load(Ordering::Relaxed);
        let discarded = std::mem::take(&mut *lock(&self.discarded));
        let entries = self.pipeline.fill_catalog(move |sink| manifest::write(lines, (bytes, &discarded), sink));
        let manifest = entries.await?;
        let stored = Stored {
            bytes_read: counters.bytes_read.load(Ordering::Relaxed),
            bytes_new: counters.bytes_new.load(Ordering::Relaxed),
            bytes_stored: counters.bytes_stored.load(Ordering::Relaxed),
            entries_kept: counters.entries_kept.load(Ordering::Relaxed),
        };
        let snapshot = describe(manifest, stored);
        self.confirm_catalog(&snapshot).await?;
        self.lease.assure().await?;
        let (name, id) = self.repository.put_snapshot(&snapshot).await?;
        self.confirm_packs().await.map_err(|e| e.context("confirm what the snapshot needs"))?;
        // Only now will a prune that finds this lease released find the snapshot, too.
        self.repository.wait_until_listed(&name).await?;
        // What lapsed between the last look and the snapshot is found here.
        self.lease.assure().await?;
        Ok((id, snapshot))
    }

    /// What the snapshot says of its entries is whole also where it lay in the store already: rot in it would make this
    /// snapshot, too, one that nobody can list. (Content that lay there already takes an owner's key or a scrub to check.)
    async fn confirm_catalog(&self, snapshot: &Snapshot) -> Result<()> {
        let used =
            self.index.used_packs().filter(|pack| pack.kind == PackKind::Catalog).map(|pack| (pack.id, pack.bytes));
        let reads = stream::iter(used).map(|(id, bytes)| async move {
            let name = PackKind::Catalog.object(&id);
            match self.repository.store().get(&name, bytes).await {
                Ok(sealed) if ObjectId::of(&sealed) == id => Ok(()),
                Ok(_) => {
                    Err((id, Error::corrupt(format!("{name}: its bytes do not have the digest that it is named by"))))
                }
                Err(why) => Err((id, why)),
            }
        });
        let mut reads = reads.buffer_unordered(CATALOG_READS_IN_FLIGHT);
        while let Some(read) = reads.next().await {
            let Err((pack, why)) = read else { continue };
            if why.kind() == Kind::Corrupt {
                let damage = DamageDocument {
                    schema: DamageDocument::SCHEMA.into(),
                    host: snapshot.host.clone(),
                    found: snapshot.ended,
                    packs: vec![(PackKind::Catalog, pack, why.chain())],
                };
                self.repository.put_damage(&damage).await?;
                return Err(why.context("a part of the manifest that is in the repository already is damaged").hinted(
                    "it is noted: run again, and it is stored anew; `dozo verify --scrub` tells what else is damaged",
                ));
            }
            return Err(why);
        }
        Ok(())
    }

    /// Every pack that the snapshot refers to is in the store, with its length.
    async fn confirm_packs(&self) -> Result<()> {
        let used = self.index.used_packs().map(|pack| (pack.kind, pack.id, pack.bytes));
        let new = self.pipeline.packs.iter().map(|pack| (pack.kind, pack.id, pack.bytes));
        let mut wanted: HashSet<_> = used.chain(new).collect();
        let found = |object: Object| {
            if let Ok((kind, id)) = parse_pack(&object.name) {
                wanted.remove(&(kind, id, object.bytes));
            }
        };
        self.repository.each_pack(found).await?;
        for (kind, id, bytes) in wanted {
            let name = kind.object(&id);
            // A listing may come late; a look at the object itself does not.
            if self.repository.store().length(&name).await? != Some(bytes) {
                return Err(Error::corrupt(format!(
                    "{name} is gone from the store, or changed, while the run went on"
                ))
                .hinted("find out who deletes there; `dozo verify` tells what is damaged"));
            }
        }
        Ok(())
    }
}

/// The content of one entry. Dropped before it is finished, the entry is not part of the snapshot.
pub struct EntryWriter {
    shared: Arc<Shared>,
    index: Arc<Index>,
    pending: Arc<Pending>,
    cutter: Cutter,
    chunk: Vec<u8>,
    length: u64,
    short_pieces: u64,
    /// How many were set beside those that the entry began with.
    attributes: usize,
}

impl EntryWriter {
    /// Bytes so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds an attribute that is known only now, in place of one of that name.
    ///
    /// # Errors
    /// [`Invalid`](Kind::Invalid) if the entry has too many.
    pub fn set_attribute(&mut self, name: String, value: String) -> Result<()> {
        self.attributes += 1;
        if self.attributes > ATTRIBUTES_SET_MAX {
            let what = format!("more than {ATTRIBUTES_SET_MAX} attributes are set on one entry while it is written");
            return Err(Error::invalid(what));
        }
        self.pending.set_attribute(name, value);
        Ok(())
    }

    /// Appends bytes; waits while the pipeline is full.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while let Some(job) = self.next_job(&mut bytes) {
            self.shared.send(job).await?;
        }
        Ok(())
    }

    /// The same on a thread that may block.
    pub fn write_blocking(&mut self, mut bytes: &[u8]) -> Result<()> {
        while let Some(job) = self.next_job(&mut bytes) {
            self.shared.send_blocking(job)?;
        }
        Ok(())
    }

    /// Appends zeros that nobody needs to make: a hole, by references to a chunk of zeros. On a thread that may block.
    pub fn write_hole_blocking(&mut self, mut bytes: u64) -> Result<()> {
        let zero = self.shared.zero()?;
        if let Some(job) = self.close_chunk() {
            self.shared.send_blocking(job)?;
        }
        while bytes > 0 {
            self.shared.failure.check()?;
            let length = bytes.min(CHUNK_BYTES_MAX as u64);
            self.pending.append(Extent { chunk: zero, offset: 0, length: length as u32 });
            (bytes, self.length) = (bytes - length, self.length + length);
            self.shared.make_room(&self.pending)?;
        }
        Ok(())
    }

    /// Appends pieces of chunks that the repository has, by reference.
    ///
    /// # Errors
    /// [`Corrupt`](Kind::Corrupt) if one of the chunks is not there any more. [`Unsupported`](Kind::Unsupported) if the entry
    /// would be in too many short pieces: nothing was appended then, and the bytes can be written instead.
    pub async fn append(&mut self, extents: &[Extent]) -> Result<()> {
        self.short_pieces = self.short_pieces_with(extents)?;
        if let Some(job) = self.close_chunk() {
            self.shared.send(job).await?;
        }
        for extent in extents {
            let location = self.index.get(&extent.chunk)?;
            let location = location.ok_or_else(|| Error::corrupt("a chunk of the previous snapshot is missing"))?;
            self.index.mark_used(location.pack);
            self.pending.append(*extent);
            self.length += u64::from(extent.length);
        }
        Ok(())
    }

    /// An entry that is put together from what was put together before would fall into ever smaller pieces.
    fn short_pieces_with(&self, extents: &[Extent]) -> Result<u64> {
        let short = extents.iter().filter(|extent| extent.length < CHUNK_BYTES_FIXED_MIN).count() as u64;
        let length = self.length + extents.iter().map(|extent| u64::from(extent.length)).sum::<u64>();
        let (pieces, allowed) = (self.short_pieces + short, SHORT_PIECES_PER_GIB * ((length >> 30) + 1));
        if short > 0 && pieces > allowed {
            return Err(Error::unsupported(format!(
                "{pieces} short pieces of older content are too many for one entry"
            ))
            .hinted("the plugin must read this content anew"));
        }
        Ok(pieces)
    }

    /// The word that this was all; returns the length.
    pub async fn finish(mut self) -> Result<u64> {
        for job in self.last_jobs()? {
            self.shared.send(job).await?;
        }
        Ok(self.length)
    }

    /// The same on a thread that may block.
    pub fn finish_blocking(mut self) -> Result<u64> {
        for job in self.last_jobs()? {
            self.shared.send_blocking(job)?;
        }
        Ok(self.length)
    }

    /// Takes bytes until there is something to send; none when all are taken.
    fn next_job(&mut self, bytes: &mut &[u8]) -> Option<Job> {
        while !bytes.is_empty() {
            let (taken, ends) = self.cutter.take(&self.shared.gear, bytes);
            let (mine, rest) = bytes.split_at(taken);
            self.chunk.extend_from_slice(mine);
            self.length += taken as u64;
            self.shared.counters.bytes_read.fetch_add(taken as u64, Ordering::Relaxed);
            *bytes = rest;
            if ends && let Some(job) = self.close_chunk() {
                return Some(job);
            }
        }
        None
    }

    fn close_chunk(&mut self) -> Option<Job> {
        if self.chunk.is_empty() {
            return None;
        }
        self.cutter.restart();
        self.shared.gather(&mut self.chunk, &self.pending)
    }

    fn last_jobs(&mut self) -> Result<impl Iterator<Item = Job> + use<>> {
        let last = self.close_chunk();
        let large = match self.pending.finish() {
            Finished::Waiting => None,
            Finished::Large => Some(Job::Complete(self.pending.clone())),
            Finished::Now(stored) => {
                self.shared.add_entry(&stored)?;
                None
            }
        };
        Ok(last.into_iter().chain(large))
    }
}
