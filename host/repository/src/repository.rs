//! A repository: one prefix of one store, one circle of trust. Making one, opening one, and what can be done with it.

use std::collections::HashMap;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use crate::ask::{Ask, Asker, Nobody};
use crate::chunks::ChunkReader;
use crate::document;
use crate::error::{Error, Kind, Result};
use crate::format;
use crate::format::name::{PackKind, Place, RecordKind, SIGN, parse_id, parse_record, parse_snapshot};
use crate::format::record::RunRecord;
use crate::format::snapshot::Snapshot;
use crate::id::{HostUid, JobUid, ObjectId, RepositoryId};
use crate::index::Index;
use crate::keys::{HostKey, Keyring, NewKeys, ReadKeys, Secret};
use crate::limits::{INDEX_BODY_MAX, READS_IN_FLIGHT, SNAPSHOT_BODY_MAX};
use crate::owners::found;
use crate::reader::SnapshotReader;
use crate::recipient::Recipient;
use crate::seal::Sealed;
use crate::store::{Object, Store};
use crate::writer::{Resources, Writer};

/// The format that this program writes.
const FORMAT: u32 = 1;
/// The sign is a line of text.
const SIGN_BYTES_MAX: u64 = 4 << 10;

#[derive(Serialize, Deserialize)]
struct Sign {
    format: u32,
    repository: RepositoryId,
    about: String,
}

/// What a sign of any format has.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// An open repository.
#[derive(Clone)]
pub struct Repository(Arc<Inner>);

struct Inner {
    store: Store,
    key: HostKey,
    keyring: Arc<Keyring>,
}

impl Repository {
    /// Makes a repository where there is none, for these owners; returns the first host's key.
    ///
    /// # Errors
    /// [`Invalid`](Kind::Invalid) if there is one already, or no owner.
    pub async fn create(store: &Store, secret: Secret, host: HostUid, owners: &[Recipient]) -> Result<HostKey> {
        Repository::create_asking(store, secret, host, owners, Arc::new(Nobody)).await
    }

    /// The same where a passphrase, a PIN or a touch may be asked for.
    pub async fn create_asking(
        store: &Store,
        secret: Secret,
        host: HostUid,
        owners: &[Recipient],
        ask: Arc<dyn Ask>,
    ) -> Result<HostKey> {
        if owners.is_empty() {
            return Err(Error::invalid("a repository without an owner could never be read"));
        }
        if store.length(SIGN).await?.is_some() {
            return Err(Error::invalid(format!("there is a repository in {store} already"))
                .hinted("point `url` elsewhere, or use the key file that was made with it"));
        }
        if !store.list("keys").await?.is_empty() {
            return Err(Error::invalid(format!("{store} has keys and no {SIGN}")).hinted(
                "a repository lost its sign, or `init` did not come to its end: only if no backup was ever there, empty it",
            ));
        }
        let keys = NewKeys::generate(secret, host);
        let repository = Repository::over(store.clone(), keys.host.clone());
        found(&repository, &keys, owners, &Asker::new(ask)).await?;
        let sign = Sign {
            format: FORMAT,
            repository: keys.host.repository,
            about: "dozo backup repository; see FORMAT.md".into(),
        };
        store.put(SIGN, &Sealed::sign(format::to_json(&sign))).await?;
        Ok(keys.host)
    }

    /// Opens the repository that the key pins, and no other.
    pub async fn open(store: Store, key: HostKey) -> Result<Self> {
        let there = store.length(SIGN).await?.is_some();
        if !there {
            return Err(Error::invalid(format!("there is no repository in {store}"))
                .hinted("is the file system mounted, the bucket the right one? `dozo init` makes a new repository"));
        }
        let text = store.get(SIGN, SIGN_BYTES_MAX).await?;
        let Version { format } = format::json(&text, SIGN)?;
        if format != FORMAT {
            return Err(Error::unsupported(format!("{store} has format {format}, not {FORMAT}"))
                .hinted("a newer dozo made it: update this one"));
        }
        let sign: Sign = format::json(&text, SIGN)?;
        if sign.repository != key.repository {
            return Err(Error::invalid(format!("{store} is another repository than the one that the key file pins"))
                .hinted(format!("it is {}, the key is for {}", sign.repository.short(), key.repository.short())));
        }
        Ok(Repository::over(store, key))
    }

    fn over(store: Store, key: HostKey) -> Self {
        let keyring = Arc::new(key.secret.keyring());
        Repository(Arc::new(Inner { store, key, keyring }))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn key(&self) -> &HostKey {
        &self.0.key
    }

    pub(crate) fn keyring(&self) -> &Arc<Keyring> {
        &self.0.keyring
    }

    /// Which repository.
    pub fn id(&self) -> RepositoryId {
        self.0.key.repository
    }

    /// Where it lies.
    pub fn url(&self) -> String {
        self.0.store.to_string()
    }

    /// This host.
    pub fn host(&self) -> HostUid {
        self.0.key.host
    }

    /// The epoch that this host seals content to.
    pub fn epoch(&self) -> u32 {
        self.0.key.epoch
    }

    /// The uid of a job of this host.
    pub fn job_uid(&self, job: &str) -> JobUid {
        self.0.keyring.job_uid(self.0.key.host, job)
    }

    /// Reads all that the repository says of itself: snapshots, indexes, packs; in this order, which is that of writing
    /// turned round, so that whatever a snapshot needs has been written before it is looked for.
    pub async fn view(&self) -> Result<View> {
        let mut problems = Vec::new();
        let snapshots = self.read_snapshots(&mut problems).await?;
        let index = self.read_index(&mut problems).await?;
        Ok(View { repository: self.clone(), snapshots, index: Arc::new(index), problems })
    }

    async fn read_snapshots(&self, problems: &mut Vec<Problem>) -> Result<Vec<(ObjectId, Arc<Snapshot>)>> {
        let objects = self.store().list("snapshots").await?;
        let read = self.read_all(objects, SNAPSHOT_BODY_MAX, problems, |name, body| {
            let (place, id) = parse_snapshot(&name)?;
            let snapshot = Snapshot::parse(&body)?;
            let said = Place::Snapshot { host: snapshot.host.uid, job: snapshot.job.uid, started: snapshot.started };
            if said.prefix() != place.prefix() {
                return Err(Error::corrupt("the snapshot does not belong where it lies"));
            }
            Ok((id, Arc::new(snapshot)))
        });
        let mut snapshots = read.await?;
        snapshots.sort_by_key(|(id, snapshot)| (snapshot.started, snapshot.sequence, *id));
        Ok(snapshots)
    }

    /// The index of all packs that are there with their length. What is not there does not count: its chunks are stored
    /// again by the next run that sees them.
    async fn read_index(&self, problems: &mut Vec<Problem>) -> Result<Index> {
        let objects = self.store().list("index").await?;
        let lists = self.read_all(objects, INDEX_BODY_MAX, problems, |_, body| format::index::parse(&body)).await?;
        let mut there: HashMap<String, u64> = HashMap::new();
        for kind in [PackKind::Catalog, PackKind::Data] {
            let listed = self.store().list(kind.directory()).await?;
            there.extend(listed.into_iter().map(|object| (object.name, object.bytes)));
        }
        let mut index = Index::default();
        for entry in lists.iter().flatten() {
            let name = entry.kind.object(&entry.pack);
            // Taken out as it is found: a pack that two indexes name counts once.
            match there.remove(&name) {
                Some(bytes) if bytes == entry.bytes => index.add(entry),
                Some(bytes) => {
                    let why = Error::corrupt(format!("it has {bytes} bytes, its index says {}", entry.bytes));
                    problems.push(Problem { object: name, why });
                }
                None if index.has_pack(&entry.pack) => {}
                None => problems.push(Problem { object: name, why: Error::corrupt("it is missing from the store") }),
            }
        }
        Ok(index)
    }

    /// Reads documents, several at once, each by the place that its name tells. Damaged ones become problems; a store
    /// that does not answer is an error.
    pub(crate) async fn read_all<T>(
        &self,
        objects: Vec<Object>,
        max: usize,
        problems: &mut Vec<Problem>,
        parse: impl Fn(String, Vec<u8>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let reads = stream::iter(objects.into_iter().map(|object| async {
            let body = self.read_document(&object.name, max).await;
            Ok::<_, Error>((object.name, body))
        }));
        let bodies: Vec<_> = reads.buffered(READS_IN_FLIGHT).try_collect().await?;
        let mut parsed = Vec::with_capacity(bodies.len());
        for (name, body) in bodies {
            match body.and_then(|body| parse(name.clone(), body)) {
                Ok(value) => parsed.push(value),
                Err(why) if matches!(why.kind(), Kind::Corrupt | Kind::Unsupported) => {
                    problems.push(Problem { object: name, why });
                }
                Err(why) => return Err(why),
            }
        }
        Ok(parsed)
    }

    pub(crate) async fn read_document(&self, name: &str, max: usize) -> Result<Vec<u8>> {
        let place = match name.split_once('/') {
            Some(("index", _)) => Place::Index,
            Some(("records", _)) => parse_record(name)?.0,
            _ => parse_snapshot(name)?.0,
        };
        let id = name.rsplit_once(['/', '-']).map_or(name, |(_, id)| id);
        let sealed = self.store().get(name, max as u64).await?;
        if parse_id(id)? != ObjectId::of(&sealed) {
            return Err(Error::corrupt("its bytes do not have the digest that it is named by"));
        }
        document::open(&place, &sealed, self.keyring(), &[&self.key().catalog], max)
    }

    pub(crate) async fn put_snapshot(&self, snapshot: &Snapshot) -> Result<ObjectId> {
        let Snapshot { host, job, started, .. } = snapshot;
        if host.uid != self.host() || job.uid != self.job_uid(&job.name) {
            return Err(Error::internal("a snapshot in the name of another host or job"));
        }
        let place = Place::Snapshot { host: host.uid, job: job.uid, started: *started };
        self.put_document(&place, &snapshot.to_body()).await
    }

    /// Leaves the record of a run.
    pub async fn put_run_record(&self, record: &RunRecord) -> Result<ObjectId> {
        let place = Place::Record { kind: RecordKind::Run, started: record.started };
        self.put_document(&place, &record.to_body()).await
    }

    pub(crate) async fn put_document(&self, place: &Place, body: &[u8]) -> Result<ObjectId> {
        let sealed = document::seal(place, body, self.keyring(), &self.key().catalog.to_public())?;
        self.store().put(&place.object(&sealed.id()), &sealed).await?;
        Ok(sealed.id())
    }
}

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
    index: Arc<Index>,
    problems: Vec<Problem>,
}

impl View {
    /// All readable snapshots, oldest first.
    pub fn snapshots(&self) -> &[(ObjectId, Arc<Snapshot>)] {
        &self.snapshots
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

    /// Chunks that can be read.
    pub fn chunks(&self) -> usize {
        self.index.chunks()
    }

    /// Starts a snapshot; needs a tokio runtime around it.
    pub fn writer(&self, resources: Resources) -> Result<Writer> {
        Writer::start(self.repository.clone(), self.index.clone(), resources)
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
        Arc::new(ChunkReader::new(store, self.index.clone(), keyring, kind, identities))
    }
}

/// The right to read content.
#[derive(Clone)]
pub struct DataChunks(pub(crate) Arc<ChunkReader>);
