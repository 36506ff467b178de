//! A view: what a repository held at one moment, read in the order in which nothing that a snapshot needs can be missed.
//! FORMAT.md section 13. Knows nothing of what the view is taken for, but which packs count.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::chunks::ChunkReader;
use crate::error::{Error, Kind, Result};
use crate::format::name::{PackKind, Place};
use crate::format::snapshot::Snapshot;
use crate::id::{JobUid, ObjectId};
use crate::index::{Counts, Index, Opened};
use crate::keys::ReadKeys;
use crate::lease::{Lease, LeaseHandle};
use crate::limits::SNAPSHOT_BODY_MAX;
use crate::marks::Marks;
use crate::reader::SnapshotReader;
use crate::repository::Repository;
use crate::store::Object;
use crate::suspicion::Accepted;
use crate::writer::{Resources, Writer};

/// An object that is damaged or missing, and why.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Its name in the store.
    pub object: String,
    /// What is wrong with it.
    pub why: Error,
}

/// What the repository held at one moment.
pub struct View {
    repository: Repository,
    snapshots: Vec<(ObjectId, Arc<Snapshot>)>,
    arrivals: HashMap<ObjectId, Timestamp>,
    index: Arc<Index>,
    problems: Vec<Problem>,
    pub(crate) marks: Marks,
    pub(crate) packs: Packs,
    lease: Option<LeaseHandle>,
    pub(crate) accepted: Accepted,
}

type Arrivals = HashMap<ObjectId, Timestamp>;

/// What the listing of packs shows beside the index.
#[derive(Default)]
pub(crate) struct Packs {
    /// Packs that no index names, in order of name.
    pub(crate) unindexed: Vec<Object>,
    /// Indexes that this machine remembered, so that they were not read. What became of them in the store,
    /// [`Repository::check_indexes`] tells.
    pub(crate) unread: Vec<String>,
}

impl Repository {
    /// Reads all that the repository says of itself, for whoever only looks.
    pub async fn view(&self) -> Result<View> {
        let marks = self.read_marks().await?;
        self.look(Counts::There, marks, None).await
    }

    /// The same for whoever reads content: the lease keeps what the view shows in the store. It names no tombstone: of a
    /// snapshot whose run did not know one, what is condemned may be all that there is.
    pub async fn view_to_read(&self, lease: &Lease) -> Result<View> {
        lease.assure().await?;
        self.view().await
    }

    /// The same for whoever makes a snapshot: packs that are condemned or damaged do not count, and what the view counts
    /// on stays in the store as long as the lease is live.
    pub async fn view_to_write(&self, lease: &Lease) -> Result<View> {
        let marks = self.read_marks().await?;
        lease.name_tombstones(marks.tombstone_ids()).await?;
        self.look(Counts::Sound, marks, Some(lease.handle())).await
    }

    /// Snapshots, indexes, packs; in this order, which is that of writing turned round, so that whatever a snapshot needs
    /// has been written before it is looked for.
    async fn look(&self, counts: Counts, marks: Marks, lease: Option<LeaseHandle>) -> Result<View> {
        let mut problems = marks.problems.clone();
        let (snapshots, arrivals) = self.read_snapshots(&mut problems).await?;
        let accepted = self.read_accepted(&snapshots).await?;
        let Opened { index, unindexed, unread } = self.open_index(counts, &marks, &mut problems).await?;
        problems.extend(wanting(&index, &marks, &unindexed));
        let packs = Packs { unindexed, unread };
        Ok(View { repository: self.clone(), snapshots, arrivals, index, problems, marks, packs, lease, accepted })
    }

    async fn read_snapshots(&self, problems: &mut Vec<Problem>) -> Result<(Vec<(ObjectId, Arc<Snapshot>)>, Arrivals)> {
        let objects = self.store().list("snapshots").await?;
        let read = self.read_documents(objects, SNAPSHOT_BODY_MAX, |place, body| {
            let snapshot = Snapshot::parse(body)?;
            let said = Place::Snapshot { host: snapshot.host.uid, job: snapshot.job.uid, started: snapshot.started };
            if said.prefix() != place.prefix() {
                return Err(Error::corrupt("the snapshot does not belong where it lies"));
            }
            Ok(Arc::new(snapshot))
        });
        // One that is gone was deleted by a prune since it was listed.
        let read = read.await?;
        problems.extend(read.problems);
        let arrivals = read.parsed.iter().map(|document| (document.id, document.modified)).collect();
        let mut snapshots: Vec<_> = read.parsed.into_iter().map(|document| (document.id, document.value)).collect();
        snapshots.sort_by_key(|(id, snapshot)| (snapshot.started, snapshot.sequence, *id));
        Ok((snapshots, arrivals))
    }
}

/// What is wrong with the packs that an index names and that do not count as there. Their chunks are stored again by the
/// next run that sees them.
fn wanting(index: &Index, marks: &Marks, unindexed: &[Object]) -> Vec<Problem> {
    let wanting = index.absent().iter().filter_map(|pack| {
        let object = pack.kind.object(&pack.id);
        let other = unindexed.binary_search_by(|other| other.name.cmp(&object)).ok();
        let why = match other.map(|at| unindexed[at].bytes) {
            Some(bytes) => Error::corrupt(format!("it has {bytes} bytes, its index says {}", pack.bytes)),
            // It was condemned, and a prune has deleted it.
            None if marks.is_condemned(&pack.id) => return None,
            None => Error::corrupt("it is missing from the store"),
        };
        Some(Problem { object, why })
    });
    wanting.collect()
}

impl View {
    /// All readable snapshots, oldest first.
    pub fn snapshots(&self) -> &[(ObjectId, Arc<Snapshot>)] {
        &self.snapshots
    }

    /// When a snapshot came to the store, by the store's clock.
    pub fn arrived(&self, snapshot: &ObjectId) -> Option<Timestamp> {
        self.arrivals.get(snapshot).copied()
    }

    /// What could not be read.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    pub(crate) fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// About how many chunks are in the store: one that lies in several packs may count several times.
    pub fn chunks(&self) -> usize {
        self.index.chunks()
    }

    /// The highest sequence of a job's snapshots. A host that remembers a higher one looks at a store that was rolled
    /// back.
    pub fn highest_sequence(&self, job: JobUid) -> Option<u64> {
        self.snapshots.iter().filter(|(_, s)| s.job.uid == job).map(|(_, s)| s.sequence).max()
    }

    /// Packs that damage documents name, and what is wrong with each.
    pub fn damage(&self) -> impl Iterator<Item = (PackKind, ObjectId, &str)> {
        self.marks.damage.iter().flat_map(|note| &note.document.packs).map(|(kind, id, why)| (*kind, *id, why.as_str()))
    }

    /// How many packs are recorded as damaged, but for what these damage documents say.
    pub fn damaged_packs_but(&self, harmless: &HashSet<ObjectId>) -> usize {
        let notes = self.marks.damage.iter().filter(|note| !harmless.contains(&note.id));
        notes.flat_map(|note| &note.document.packs).map(|(_, id, _)| *id).collect::<HashSet<_>>().len()
    }

    /// What could not be read, but for packs that damage documents name.
    pub fn unrecorded_problems(&self) -> impl Iterator<Item = &Problem> {
        let recorded: HashSet<String> = self.damage().map(|(kind, id, _)| kind.object(&id)).collect();
        self.problems.iter().filter(move |problem| !recorded.contains(&problem.object))
    }

    /// Whether a new snapshot may be made against this one: all of its manifest lies in packs that count.
    pub fn can_build_on(&self, snapshot: &Snapshot) -> bool {
        // A cache that cannot be read is told of by the run that follows.
        snapshot.manifest.segments.iter().all(|segment| matches!(self.index.get(&segment.chunk), Ok(Some(_))))
    }

    /// Starts a snapshot; needs a tokio runtime around it.
    ///
    /// # Errors
    /// [`Internal`](Kind::Internal) if the view is not one to write with ([`Repository::view_to_write`]).
    pub fn writer(&self, resources: Resources) -> Result<Writer> {
        let lease = self.lease.clone().ok_or_else(|| Error::new(Kind::Internal, "a writer without a lease"))?;
        Writer::start(self.repository.clone(), self.index.clone(), lease, resources)
    }

    /// Reads the entries of a snapshot.
    pub fn reader(&self, id: ObjectId, snapshot: Arc<Snapshot>) -> SnapshotReader {
        SnapshotReader::new(id, snapshot, self.catalog_chunks())
    }

    pub(crate) fn catalog_chunks(&self) -> Arc<ChunkReader> {
        let identities = vec![self.repository.key().catalog.clone()];
        self.chunk_reader(PackKind::Catalog, identities)
    }

    /// Reads content, with an owner's keys.
    pub fn data_chunks(&self, keys: &ReadKeys) -> DataChunks {
        DataChunks(self.chunk_reader(PackKind::Data, keys.data.clone()))
    }

    fn chunk_reader(&self, kind: PackKind, identities: Vec<age::x25519::Identity>) -> Arc<ChunkReader> {
        let (store, keyring) = (self.repository.store().clone(), self.repository.keyring().clone());
        let verify = self.repository.verify_command();
        Arc::new(ChunkReader::new((store, verify), self.index.clone(), keyring, kind, identities))
    }
}

/// The right to read content.
#[derive(Clone)]
pub struct DataChunks(pub(crate) Arc<ChunkReader>);
