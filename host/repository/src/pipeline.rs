//! From bytes to packs, on all cores: whoever has bytes cuts them into chunks and sends them in units to the workers,
//! who hash, drop what is known, compress, gather frames into packs, seal and prove. Every queue is bounded; the one
//! before the store is what holds back a source that is faster than the store.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::cut::Gear;
use crate::entry::StoredEntry;
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::format::manifest::to_line;
use crate::format::name::PackKind;
use crate::frame::Compressor;
use crate::id::ChunkId;
use crate::index::{Claims, Index};
use crate::keys::Keyring;
use crate::limits::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, FRAME_BYTES_TARGET, INDEX_SECONDS, QUEUE_UNITS};
use crate::pack::{Packer, SealedPack, lock};
use crate::pending::{Pending, StoreList};
use crate::sort::{Keyed, Sorted, Sorter};
use crate::store::Store;
use crate::upload::{StoredPack, Uploader};

/// What a run has moved so far; read by whoever shows progress.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes of content that came from the source.
    pub bytes_read: AtomicU64,
    /// Of these, bytes of chunks that the repository did not have.
    pub bytes_new: AtomicU64,
    /// Bytes of packs and indexes that are in the store.
    pub bytes_stored: Arc<AtomicU64>,
    /// Entries that are complete.
    pub entries: AtomicU64,
    /// Of these, taken from the previous snapshot unread.
    pub entries_kept: AtomicU64,
}

/// Chunks of one kind on their way into packs.
pub(crate) struct ChunkSink {
    packer: Packer,
    claims: Claims,
    index: Arc<Index>,
    keyring: Arc<Keyring>,
    uploads: async_channel::Sender<SealedPack>,
    failure: Failure,
}

impl ChunkSink {
    /// Stores a chunk unless the repository has it; tells whether it was new. Waits while the store is slow: not to be
    /// called where waiting is not allowed.
    fn store(&self, id: ChunkId, plaintext: &[u8], compressor: &mut Compressor) -> Result<bool> {
        if let Some(location) = self.index.get(&id)? {
            self.index.mark_used(location.pack);
            return Ok(false);
        }
        if !self.claims.claim(id)? {
            return Ok(false);
        }
        if let Some(pack) = self.packer.add(id, plaintext, &self.keyring, compressor)? {
            self.upload(pack)?;
        }
        Ok(true)
    }

    fn upload(&self, pack: SealedPack) -> Result<()> {
        let closed = |_| self.failure.or(Error::internal("the uploader ended early"));
        self.uploads.send_blocking(pack).map_err(closed)
    }

    /// Sends what is left and says that no more will come.
    fn finish(&self, compressor: &mut Compressor) -> Result<()> {
        for pack in self.packer.finish(&self.keyring, compressor)? {
            self.upload(pack)?;
        }
        self.uploads.close();
        Ok(())
    }
}

/// Chunks that travel to a worker together.
#[derive(Default)]
pub(crate) struct Unit {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
}

/// One chunk of a unit: where it ends, and who waits for its id.
struct Piece {
    end: usize,
    pending: Arc<Pending>,
    number: usize,
}

/// Work for a worker.
pub(crate) enum Job {
    Unit(Unit),
    Complete(Arc<Pending>),
}

/// What all writers and workers of a run share.
pub(crate) struct Shared {
    pub(crate) gear: Gear,
    pub(crate) counters: Arc<Counters>,
    pub(crate) failure: Failure,
    /// Bytes of content of all entries in the manifest.
    pub(crate) content_bytes: AtomicU64,
    keyring: Arc<Keyring>,
    data: ChunkSink,
    catalog: ChunkSink,
    lines: Mutex<Option<Sorter>>,
    /// Small chunks that wait for company.
    small: Mutex<Unit>,
    /// Buffers of chunks that workers are done with.
    spare: Mutex<Vec<Vec<u8>>>,
    /// The chunk of zeros, once the repository has it.
    zero: Mutex<Option<ChunkId>>,
    jobs: async_channel::Sender<Job>,
}

/// Where chunks come from and go to.
pub(crate) struct Ends {
    pub(crate) store: Store,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) index: Arc<Index>,
    pub(crate) data: age::x25519::Recipient,
    pub(crate) catalog: age::x25519::Recipient,
    /// For what is sorted and does not fit into memory.
    pub(crate) scratch: PathBuf,
    /// Threads that hash, compress and seal.
    pub(crate) workers: usize,
}

/// The threads and tasks of one run.
pub(crate) struct Pipeline {
    pub(crate) shared: Arc<Shared>,
    /// What was stored, once it is durable.
    pub(crate) packs: Vec<StoredPack>,
    workers: Vec<JoinHandle<()>>,
    data_uploads: tokio::task::JoinHandle<Result<Vec<StoredPack>>>,
    catalog_uploads: tokio::task::JoinHandle<Result<Vec<StoredPack>>>,
}

impl Pipeline {
    /// Starts the workers and the uploaders; needs a tokio runtime around it.
    pub(crate) fn start(ends: &Ends) -> Result<Self> {
        let failure = Failure::default();
        let counters = Arc::new(Counters::default());
        let sink = |kind, recipient: &age::x25519::Recipient| {
            let (sender, receiver) = async_channel::bounded(1);
            let uploader = Uploader {
                store: ends.store.clone(),
                keyring: ends.keyring.clone(),
                catalog: ends.catalog.clone(),
                failure: failure.clone(),
                bytes_stored: counters.bytes_stored.clone(),
                index_within: Duration::from_secs(INDEX_SECONDS),
            };
            let sink = ChunkSink {
                packer: Packer::new(kind, recipient.clone()),
                claims: Claims::new(ends.scratch.clone()),
                index: ends.index.clone(),
                keyring: ends.keyring.clone(),
                uploads: sender,
                failure: failure.clone(),
            };
            (sink, tokio::spawn(uploader.run(receiver)))
        };
        let (data, data_uploads) = sink(PackKind::Data, &ends.data);
        let (catalog, catalog_uploads) = sink(PackKind::Catalog, &ends.catalog);
        let (jobs, queue) = async_channel::bounded(QUEUE_UNITS);
        let shared = Arc::new(Shared {
            gear: Gear::new(&ends.keyring.chunker),
            counters,
            failure,
            content_bytes: AtomicU64::new(0),
            keyring: ends.keyring.clone(),
            data,
            catalog,
            lines: Mutex::new(Some(Sorter::new(ends.scratch.clone()))),
            small: Mutex::default(),
            spare: Mutex::default(),
            zero: Mutex::default(),
            jobs,
        });
        let workers = (0..ends.workers.max(1)).map(|n| spawn_worker(n, &shared, &queue)).collect::<Result<_>>()?;
        Ok(Pipeline { shared, packs: Vec::new(), workers, data_uploads, catalog_uploads })
    }

    /// Waits until every chunk and every entry that was finished is stored, data packs and their indexes durable.
    /// Entries that were not finished are not in what comes back.
    pub(crate) async fn drain(&mut self) -> Result<Sorted> {
        let rest = std::mem::take(&mut *lock(&self.shared.small));
        if !rest.pieces.is_empty() {
            self.shared.send(Job::Unit(rest)).await?;
        }
        self.shared.jobs.close();
        let (workers, shared) = (std::mem::take(&mut self.workers), self.shared.clone());
        blocking(move || {
            for worker in workers {
                worker.join().map_err(|_| Error::internal("a thread of the pipeline panicked"))?;
            }
            shared.failure.check()?;
            shared.data.finish(&mut Compressor::new()?)
        })
        .await?;
        self.packs.extend(joined((&mut self.data_uploads).await)?);
        self.shared.failure.check()?;
        let lines = lock(&self.shared.lines).take().ok_or_else(|| Error::internal("the pipeline was drained twice"))?;
        blocking(move || lines.sorted()).await
    }

    /// Runs `fill` with the catalog's sink, then waits until its packs and their index are durable.
    pub(crate) async fn fill_catalog<T: Send + 'static>(
        &mut self,
        fill: impl FnOnce(&mut CatalogSink<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = self.shared.clone();
        let filled = blocking(move || {
            let mut compressor = Compressor::new()?;
            let filled = fill(&mut CatalogSink { shared: &shared, compressor: &mut compressor })?;
            shared.catalog.finish(&mut compressor)?;
            Ok(filled)
        })
        .await?;
        self.packs.extend(joined((&mut self.catalog_uploads).await)?);
        self.shared.failure.check()?;
        Ok(filled)
    }
}

impl Drop for Pipeline {
    /// A run that ends early: workers find the queue closed, uploads stop, nothing refers to what was stored.
    fn drop(&mut self) {
        self.shared.failure.note(Error::internal("the run was given up"));
        self.shared.jobs.close();
        self.shared.data.uploads.close();
        self.shared.catalog.uploads.close();
        self.data_uploads.abort();
        self.catalog_uploads.abort();
    }
}

/// Stores catalog chunks: segments of the manifest and lists of extents.
pub(crate) struct CatalogSink<'a> {
    shared: &'a Shared,
    compressor: &'a mut Compressor,
}

impl StoreList for CatalogSink<'_> {
    fn store_list(&mut self, body: &[u8]) -> Result<ChunkId> {
        let id = self.shared.keyring.chunk_id(PackKind::Catalog, body);
        self.shared.catalog.store(id, body, self.compressor)?;
        Ok(id)
    }
}

impl Shared {
    /// A closed chunk joins others if it is small. What comes back must be sent with [`Shared::send`].
    pub(crate) fn gather(&self, chunk: &mut Vec<u8>, pending: &Arc<Pending>) -> Option<Job> {
        let number = pending.expect(chunk.len() as u32);
        let piece = |end| Piece { end, pending: pending.clone(), number };
        if chunk.len() >= CHUNK_BYTES_MIN {
            let bytes = std::mem::replace(chunk, lock(&self.spare).pop().unwrap_or_default());
            let pieces = vec![piece(bytes.len())];
            return Some(Job::Unit(Unit { bytes, pieces }));
        }
        let mut small = lock(&self.small);
        if small.bytes.capacity() == 0 {
            small.bytes = lock(&self.spare).pop().unwrap_or_default();
            small.bytes.reserve(FRAME_BYTES_TARGET + CHUNK_BYTES_MIN);
        }
        small.bytes.extend_from_slice(chunk);
        let end = small.bytes.len();
        small.pieces.push(piece(end));
        chunk.clear();
        (end >= FRAME_BYTES_TARGET).then(|| Job::Unit(std::mem::take(&mut *small)))
    }

    /// The largest chunk of nothing but zeros, stored by the first that needs it. Waits for the store.
    pub(crate) fn zero(&self) -> Result<ChunkId> {
        let mut zero = lock(&self.zero);
        if let Some(id) = *zero {
            return Ok(id);
        }
        let zeros = vec![0; CHUNK_BYTES_MAX];
        let id = self.keyring.chunk_id(PackKind::Data, &zeros);
        if self.data.store(id, &zeros, &mut Compressor::new()?)? {
            self.counters.bytes_new.fetch_add(zeros.len() as u64, Ordering::Relaxed);
        }
        Ok(*zero.insert(id))
    }

    /// Stores lists of an entry's extents, should it have many in hand. Waits for the store.
    pub(crate) fn make_room(&self, pending: &Pending) -> Result<()> {
        if !pending.is_long() {
            return Ok(());
        }
        pending.store_lists(&mut CatalogSink { shared: self, compressor: &mut Compressor::new()? })
    }

    /// Sends work, waiting while the workers are behind.
    pub(crate) async fn send(&self, job: Job) -> Result<()> {
        self.failure.check()?;
        self.jobs.send(job).await.map_err(|_| self.closed())
    }

    /// The same on a thread that may block.
    pub(crate) fn send_blocking(&self, job: Job) -> Result<()> {
        self.failure.check()?;
        self.jobs.send_blocking(job).map_err(|_| self.closed())
    }

    fn closed(&self) -> Error {
        self.failure.or(Error::internal("an entry was written to after the run had ended"))
    }

    /// Takes a complete entry into the manifest.
    pub(crate) fn add_entry(&self, stored: &StoredEntry) -> Result<()> {
        let keyed = Keyed { path: stored.entry.path.clone(), line: to_line(stored)? };
        let mut lines = lock(&self.lines);
        lines.as_mut().ok_or_else(|| self.closed())?.push(keyed)?;
        self.counters.entries.fetch_add(1, Ordering::Relaxed);
        self.content_bytes.fetch_add(stored.entry.size.unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }

    fn perform(&self, job: Job, compressor: &mut Compressor) -> Result<()> {
        match job {
            Job::Unit(unit) => self.store_unit(unit, compressor),
            Job::Complete(pending) => {
                let stored = pending.complete(&mut CatalogSink { shared: self, compressor })?;
                stored.map_or(Ok(()), |stored| self.add_entry(&stored))
            }
        }
    }

    fn store_unit(&self, unit: Unit, compressor: &mut Compressor) -> Result<()> {
        let Unit { bytes, pieces } = unit;
        let (mut start, mut new) = (0, 0);
        for Piece { end, pending, number } in pieces {
            let chunk = &bytes[start..end];
            let id = self.keyring.chunk_id(PackKind::Data, chunk);
            if self.data.store(id, chunk, compressor)? {
                new += chunk.len() as u64;
            }
            if let Some(stored) = pending.resolve(number, id, &mut CatalogSink { shared: self, compressor })? {
                self.add_entry(&stored)?;
            }
            start = end;
        }
        self.counters.bytes_new.fetch_add(new, Ordering::Relaxed);
        self.give_back(bytes);
        Ok(())
    }

    /// Keeps the buffer for the next chunk: fresh memory costs a page fault for every 4 KiB.
    fn give_back(&self, mut buffer: Vec<u8>) {
        let mut spare = lock(&self.spare);
        if spare.len() < QUEUE_UNITS {
            buffer.clear();
            spare.push(buffer);
        }
    }
}

fn spawn_worker(number: usize, shared: &Arc<Shared>, queue: &async_channel::Receiver<Job>) -> Result<JoinHandle<()>> {
    let (shared, queue) = (shared.clone(), queue.clone());
    let work = move || {
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| work(&shared, &queue)));
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => shared.failure.note(error),
            Err(_) => shared.failure.note(Error::internal("a thread of the pipeline panicked")),
        }
        // Nobody may wait for a worker that is gone.
        if !shared.failure.is_clear() {
            queue.close();
            while queue.try_recv().is_ok() {}
        }
    };
    let thread = std::thread::Builder::new().name(format!("pipeline-{number}"));
    thread.spawn(work).map_err(|e| Error::io("start a thread of the pipeline", e))
}

fn work(shared: &Shared, queue: &async_channel::Receiver<Job>) -> Result<()> {
    let mut compressor = Compressor::new()?;
    while let Ok(job) = queue.recv_blocking() {
        shared.perform(job, &mut compressor)?;
    }
    Ok(())
}

/// Runs what may block on a thread for that.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    joined(tokio::task::spawn_blocking(work).await)
}

/// The result of a task; one that panicked is an error.
pub(crate) fn joined<T>(result: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    result.unwrap_or_else(|e| Err(Error::internal("a task of the pipeline ended early").caused_by(e)))
}
