//! Where a trial takes place: a repository of its own with its keys, and how a source is run into it and out of it, as the
//! binary does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dozo_job::port::{Conflict, Moment, RestoreRequest, RestoreTarget, Scope};
use dozo_job::{
    Clock, Error, House, Job, Memory, Progress, Report, RestoreJob, RestoreReport, Result, Seen, Selection, Source,
};
use dozo_repository::{
    DataChunks, HostKey, HostUid, LeaseId, OwnerKey, ReadKeys, Repository, Resources, Secret, SnapshotReader, Store,
    StoredEntry,
};

use crate::limits::ENTRIES_MAX;

/// Entries read at once.
const PAGE: usize = 1_024;

/// What the kit is given of the world.
#[derive(Clone)]
pub struct World {
    /// A private directory with nothing in it, which the caller removes.
    pub home: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Fresh random bytes.
    pub random: fn() -> Result<[u8; 32]>,
    /// Threads that compress, and that read contents.
    pub workers: usize,
}

/// A repository that nobody needs afterwards.
pub(crate) struct Stage {
    pub(crate) world: World,
    repository: Repository,
    keys: ReadKeys,
}

/// A snapshot that a run made, read back.
pub(crate) struct Taken {
    pub(crate) report: Report,
    /// In order of path.
    pub(crate) entries: Vec<StoredEntry>,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) reader: SnapshotReader,
    pub(crate) data: DataChunks,
}

/// What is thrown away needs no memory.
struct NoMemory;

impl Memory for NoMemory {
    fn recall(&self) -> Result<Option<Vec<Seen>>> {
        Ok(Some(Vec::new()))
    }

    fn remember(&self, _: &[Seen]) -> Result<()> {
        Ok(())
    }
}

impl Stage {
    pub(crate) async fn set(world: World) -> Result<Self> {
        let objects = make(&world.home.join("repository"))?;
        make(&world.home.join("scratch"))?;
        let store = Store::local(&objects)?;
        let secret = Secret::new((world.random)()?);
        let (owner, identity) = OwnerKey::generate(secret.repository());
        let host = HostUid(first((world.random)()?));
        let made = Repository::create(&store, secret, host, &[owner]).await?;
        let key = HostKey::parse(made.to_text().as_bytes())?;
        let repository = Repository::open(store, key).await?;
        let keys = repository.unlock(&OwnerKey::parse(&identity)?).await?;
        Ok(Stage { world, repository, keys })
    }

    /// Runs a job once.
    pub(crate) async fn run(&self, job: &str, source: &dyn Source, (config, scope): (&str, Scope)) -> Result<Report> {
        let house = House {
            repository: &self.repository,
            host: "kit".into(),
            resources: Resources { scratch: self.world.home.join("scratch"), workers: self.world.workers },
            readers: self.world.workers,
            clock: &*self.world.clock,
            lease: LeaseId(first((self.world.random)()?)),
            predecessors: Vec::new(),
            progress: Arc::new(Progress::default()),
            memory: &NoMemory,
        };
        // What is tried is made smaller on purpose.
        let (probes, tags, guard) = (Vec::new(), Vec::new(), None);
        let job = Job { name: job.into(), config: config.into(), scope, probes, tags, timezone: "UTC".into(), guard };
        Ok(dozo_job::run(&job, source, &house).await)
    }

    /// Reads back the snapshot that a run made.
    pub(crate) async fn take(&self, report: Report) -> Result<Taken> {
        let view = self.repository.view().await?;
        let found = view.snapshots().iter().find(|(id, _)| Some(*id) == report.snapshot);
        let (id, snapshot) = found.cloned().ok_or_else(|| Error::internal("the snapshot is not in the repository"))?;
        let (attributes, data) = (snapshot.attributes.clone(), view.data_chunks(&self.keys));
        let reader = view.reader(id, snapshot);
        let (mut entries, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = reader.page("", after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.entry.path.clone());
            entries.extend(page);
            if entries.len() > ENTRIES_MAX {
                let why = format!("the source has more than {ENTRIES_MAX} entries");
                return Err(Error::invalid(why).hinted("try the plugin with a smaller one"));
            }
        }
        Ok(Taken { report, entries, attributes, reader, data })
    }

    /// How many snapshots a job has.
    pub(crate) async fn snapshots(&self, job: &str) -> Result<usize> {
        let view = self.repository.view().await?;
        Ok(view.snapshots().iter().filter(|(_, snapshot)| snapshot.job.name == job).count())
    }

    /// Restores all of a snapshot through a source.
    pub(crate) async fn restore(
        &self,
        taken: &Taken,
        source: &dyn Source,
        target: RestoreTarget,
    ) -> Result<RestoreReport> {
        let view = self.repository.view().await?;
        let request = RestoreRequest {
            target,
            paths: Vec::new(),
            at: Moment::Latest,
            conflict: Conflict::Refuse,
            options: Vec::new(),
        };
        let job = RestoreJob {
            snapshot: taken.reader.id(),
            selection: Selection::all(),
            keys: &self.keys,
            request,
            room: None,
            is_plan: false,
        };
        let restored = dozo_job::restore(job, &view, source, &*self.world.clock, Arc::new(Progress::default())).await?;
        match (restored.error, restored.report.not_restored.first()) {
            (Some(error), _) => Err(error),
            (None, Some((path, why))) => Err(Error::invalid(format!("`{path}` was not restored: {why}"))),
            (None, None) => Ok(restored.report),
        }
    }

    /// An empty directory of this name.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf> {
        make(&self.world.home.join(name))
    }
}

fn make(path: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(path).map_err(|e| Error::io(format!("make the directory {}", path.display()), e))?;
    Ok(path.to_path_buf())
}

/// As many of the bytes as an id has.
fn first<const N: usize>(random: [u8; 32]) -> [u8; N] {
    std::array::from_fn(|at| random[at])
}
