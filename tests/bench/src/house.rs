//! A repository with its keys in a directory, and how a source is run into it: as the binary does, with all cores.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use dozo_job::port::Scope;
use dozo_job::{Clock, House as JobHouse, Job, Memory, Progress, Report, Seen, Source};
use dozo_repository::{HostKey, HostUid, LeaseId, OwnerKey, Repository, Resources, Secret, Store};
use jiff::Timestamp;

/// A repository to measure with.
pub(crate) struct House {
    /// Open with the host's key.
    pub(crate) repository: Repository,
    scratch: PathBuf,
}

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// What is measured is thrown away.
pub(crate) struct NoMemory;

impl Memory for NoMemory {
    fn recall(&self) -> dozo_job::Result<Option<Vec<Seen>>> {
        Ok(Some(Vec::new()))
    }

    fn remember(&self, _: &[Seen]) -> dozo_job::Result<()> {
        Ok(())
    }
}

impl House {
    /// Opens the repository in `home`; makes one if there is none.
    pub(crate) async fn open(home: &Path) -> Result<Self> {
        let (objects, key, scratch) = (home.join("repository"), home.join("host.key"), home.join("scratch"));
        std::fs::create_dir_all(&objects).with_context(|| format!("make {}", objects.display()))?;
        std::fs::create_dir_all(&scratch)?;
        let store = Store::local(&objects)?;
        if !key.exists() {
            let secret = Secret::new(random()?);
            // Nobody reads what is measured here, so the owner's identity is forgotten at once.
            let (owner, _) = OwnerKey::generate(secret.repository());
            let made = Repository::create(&store, secret, HostUid(random()?), &[owner]).await?;
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key)?;
            std::io::Write::write_all(&mut file, made.to_text().as_bytes())?;
        }
        let key = HostKey::parse(&std::fs::read(&key)?)?;
        Ok(House { repository: Repository::open(store, key).await?, scratch })
    }

    /// Runs a job once; one that did not make a complete snapshot is an error.
    pub(crate) async fn run(&self, name: &str, tree: &Path, source: &dyn Source) -> Result<Report> {
        let cores = std::thread::available_parallelism()?.get();
        let house = JobHouse {
            repository: &self.repository,
            host: "bench".into(),
            resources: Resources { scratch: self.scratch.clone(), workers: cores },
            readers: cores,
            clock: &SystemClock,
            lease: LeaseId(random()?),
            predecessors: Vec::new(),
            progress: Arc::new(Progress::default()),
            memory: &NoMemory,
        };
        let job = Job {
            name: name.into(),
            config: serde_json::json!({ "paths": [tree], "settle_seconds": 2 }).to_string(),
            scope: Scope::Incremental,
            probes: Vec::new(),
            tags: Vec::new(),
            timezone: "UTC".into(),
            guard: None,
        };
        let report = dozo_job::run(&job, source, &house).await;
        if let Some(failure) = &report.error {
            bail!("{name}: {}: {}", failure.message, failure.causes.join(": "));
        }
        if report.omitted_count > 0 {
            bail!("{name}: {} entries were omitted, the first is {:?}", report.omitted_count, report.omitted.first());
        }
        Ok(report)
    }
}

/// Fresh random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("ask the system for random numbers")?;
    Ok(bytes)
}
