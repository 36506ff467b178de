//! What commands have in common: the configuration, the plugins, the repository with its keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dozo_job::{Clock, Error, Kind};
use dozo_repository::format::snapshot::{Named, Snapshot};
use dozo_repository::{
    Found, HostKey, HostUid, LeaseId, LeaseRequest, OwnerKey, Purpose, ReadKeys, ReadLease, Repository, Resources,
    Stamp, Store, View, passphrase_label,
};
use jiff::Timestamp;

use crate::args::{FromArgs, Global, IdentityArgs, LeaseArgs};
use crate::at_work::{Held, JobPlace, Places, RunState};
use crate::config::Loaded;
use crate::host_names::{self, HostNames};
use crate::keyfile::read_key;
use crate::named;
use crate::newest::{newest, newest_at};
use crate::plugins::PluginShelf;
use crate::suspicion;
use crate::typed_time::TypedTime;
use crate::ui;
use crate::ui::ask::Operator;
use crate::zones::Zones;

/// Threads that read contents wait for disks more than for cores.
const READERS_PER_CORE: usize = 1;

/// The system's clock: the only one.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The configuration and what follows from it.
pub(crate) struct Context {
    pub(crate) loaded: Loaded,
    cache_dir: PathBuf,
    /// The locked files of this process's leases.
    leases: Mutex<Vec<Held>>,
}

impl Context {
    /// Reads the configuration.
    pub(crate) fn load(global: &Global) -> anyhow::Result<Self> {
        Context::of(Loaded::read(global.config.as_deref())?)
    }

    /// What follows from a configuration that was read, or typed.
    pub(crate) fn of(loaded: Loaded) -> anyhow::Result<Self> {
        let cache_dir = cache_dir(Some(&loaded))?;
        Ok(Context { loaded, cache_dir, leases: Mutex::default() })
    }

    /// The same where there is one: for commands that can do without.
    pub(crate) fn load_if_any(global: &Global) -> anyhow::Result<Option<Self>> {
        let Some(loaded) = Loaded::read_if_any(global.config.as_deref())? else { return Ok(None) };
        let cache_dir = cache_dir(Some(&loaded))?;
        Ok(Some(Context { loaded, cache_dir, leases: Mutex::default() }))
    }

    /// The host's name.
    pub(crate) fn host(&self) -> String {
        let named = self.loaded.config.repository.host.clone();
        named.unwrap_or_else(|| hostname::get().map_or("unknown".into(), |name| name.to_string_lossy().into_owned()))
    }

    /// What of the machine a run may use; makes the scratch directory.
    pub(crate) fn resources(&self) -> anyhow::Result<Resources> {
        let scratch = self.cache_dir.join("scratch");
        std::fs::create_dir_all(&scratch)
            .and_then(|()| Ok(rustix::fs::access(&scratch, rustix::fs::Access::WRITE_OK)?))
            .map_err(|e| {
                Error::io(format!("use the scratch directory {}", scratch.display()), e).hinted(self.cache_hint())
            })?;
        Ok(Resources { scratch, workers: cores() })
    }

    /// Takes a job's place on this host; held until it is dropped.
    pub(crate) fn at_work(&self, job: &str) -> anyhow::Result<Option<JobPlace>> {
        let key = self.host_key()?;
        match self.places(&key).job(&key.job_uid(job).to_string()) {
            Ok(Some(place)) => Ok(Some(place)),
            Ok(None) => {
                let busy = Error::busy(format!("the job `{job}` is running already on this host"));
                Err(busy.hinted("wait until it is done").into())
            }
            // The leases in the store guard it all the same.
            Err(error) => {
                self.not_remembered(&error);
                Ok(None)
            }
        }
    }

    /// A job's run came to its end, well or not.
    pub(crate) fn run_ended(&self, place: Option<JobPlace>) {
        if let Some(Err(e)) = place.map(JobPlace::end) {
            self.not_remembered(&Error::io("note that a run came to its end", e));
        }
    }

    /// Whether a job of this host runs, or was interrupted, as far as this host knows.
    pub(crate) fn run_state(&self, job: &str) -> Option<RunState> {
        let key = self.host_key().ok()?;
        self.places(&key).run_state(&key.job_uid(job).to_string()).unwrap_or_else(|error| {
            self.not_remembered(&error);
            None
        })
    }

    fn places(&self, key: &HostKey) -> Places {
        Places::new(self.state_dir().join("at-work").join(key.repository.short()))
    }

    /// What this process asks of a lease. Leases of this host whose holders are dead are passed over, and those that the
    /// operator says are.
    pub(crate) fn lease_request(&self, purpose: Purpose, ignored: &LeaseArgs) -> anyhow::Result<LeaseRequest> {
        let id = LeaseId(random()?);
        let mut predecessors = ignored.ignore_lease.clone();
        // Who reads with an owner's key alone is no host of the repository, and nobody waits for readers.
        match self.host_key().ok().map(|key| self.places(&key).register(id)) {
            None => {}
            Some(Ok(registered)) => {
                predecessors.extend(registered.dead);
                self.leases.lock().unwrap_or_else(PoisonError::into_inner).push(registered.held);
            }
            // If this command is killed, others wait until its lease ends.
            Some(Err(error)) => self.not_remembered(&error),
        }
        Ok(LeaseRequest { id, purpose, host: self.host(), job: None, started: SystemClock.now(), predecessors })
    }

    /// The leases of this process were released.
    pub(crate) fn forget_leases(&self) {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(Held::forget);
    }

    /// Says that the reading is over. A lease that could not be released ends by itself: worth a note, not a failure.
    pub(crate) async fn released(&self, lease: ReadLease) {
        match lease.release().await {
            Ok(()) => self.forget_leases(),
            Err(error) => ui::note(format!("note: {}", error.chain())),
        }
    }

    /// A lease for whoever reads; without one, the operator is told.
    pub(crate) async fn read_lease(&self, repository: &Repository) -> anyhow::Result<ReadLease> {
        let lease = repository.read_lease(self.lease_request(Purpose::Read, &LeaseArgs::default())?).await;
        if let Some(note) = lease.note() {
            ui::note(format!("note: {note}"));
        }
        Ok(lease)
    }

    /// Threads that read contents.
    pub(crate) fn readers(&self) -> usize {
        cores() * READERS_PER_CORE
    }

    /// The store of the repository.
    pub(crate) fn store(&self) -> anyhow::Result<Store> {
        self.loaded.open_store(&self.loaded.repository_store())
    }

    /// Opens the repository with this host's key.
    pub(crate) async fn repository(&self) -> anyhow::Result<Repository> {
        self.open(self.store()?).await
    }

    /// The same, or the mirror that was named instead.
    pub(crate) async fn repository_at(&self, args: &FromArgs) -> anyhow::Result<Repository> {
        let Some(name) = &args.from else { return self.repository().await };
        let store = self.loaded.open_mirror(self.loaded.mirror(name)?)?;
        Ok(self.open(store).await?.as_mirror(name))
    }

    /// Opens the repository in a store with this host's key.
    pub(crate) async fn open(&self, store: Store) -> anyhow::Result<Repository> {
        Ok(self.remembering(Repository::open(store, self.host_key()?).await?))
    }

    /// What was read of its indexes is remembered on this machine.
    pub(crate) fn remembering(&self, repository: Repository) -> Repository {
        let index = self.cache_dir.join("index");
        let usable = std::fs::create_dir_all(&index)
            .and_then(|()| Ok(rustix::fs::access(&index, rustix::fs::Access::WRITE_OK)?));
        match usable {
            Ok(()) => repository.remembering_in(&index),
            // Whoever reads can do without.
            Err(e) => {
                let what = "what is read of indexes is not kept";
                ui::note(format!("note: {} cannot be written ({e}): {what}; {}", index.display(), self.cache_hint()));
                repository
            }
        }
    }

    /// What to do about a cache that cannot be written.
    fn cache_hint(&self) -> String {
        let user = rustix::process::geteuid().as_raw();
        match std::env::var_os("HOME").filter(|_| self.loaded.config.cache_dir.is_none()) {
            Some(home) => {
                let home = Path::new(&home).display();
                format!(
                    "set `cache_dir` in the configuration, and `state_dir`, to directories of the user {user}, who runs this with \
                     HOME={home}"
                )
            }
            None => {
                format!(
                    "set `cache_dir` in the configuration, and `state_dir`, to directories of the user {user}, who runs this"
                )
            }
        }
    }

    fn host_key(&self) -> anyhow::Result<HostKey> {
        let file = self.key_file();
        let text = read_key(&file).map_err(|error| match file.exists() {
            true => error,
            false => error.hinted(
                "`dozo join --identity FILE` makes it for a repository that is there, `dozo init` together with a new one",
            ),
        })?;
        let key = HostKey::parse(&text)
            .map_err(|e| e.with_kind(Kind::Invalid).context(format!("read the host key {}", file.display())))?;
        self.loaded.refuse_other_repository(key.repository)?;
        Ok(key)
    }

    /// Opens content with the owner key of the command line or the configuration.
    pub(crate) async fn read_keys(&self, repository: &Repository, args: &IdentityArgs) -> anyhow::Result<ReadKeys> {
        let owner = self.owner_key_for(repository, args).await?;
        Ok(repository.unlock(&owner).await?)
    }

    /// The owner key of the command line or the configuration; of one that is not there, whose keys would do.
    pub(crate) async fn owner_key_for(&self, repository: &Repository, args: &IdentityArgs) -> anyhow::Result<OwnerKey> {
        match self.owner_key(args).await {
            Err(error) if self.owner_file(args).is_some_and(|file| label(&file).is_none() && !file.exists()) => {
                Err(crate::to_read::gone(&error, repository).await)
            }
            owner => owner,
        }
    }

    /// Who does something to keys, and when.
    pub(crate) fn stamp(&self, repository: &Repository) -> Stamp {
        Stamp { host: Named { uid: repository.host(), name: self.host() }, at: SystemClock.now() }
    }

    /// This host's key file.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.loaded.path(&self.loaded.config.repository.key)
    }

    /// Where compiled plugins, indexes and temporary files are kept.
    pub(crate) fn cache_dir(&self) -> &Path {
        &self.cache_dir
    }

    /// The file of the owner key that the configuration names.
    pub(crate) fn identity_file(&self) -> Option<PathBuf> {
        let file = self.loaded.config.repository.identity.as_ref().filter(|file| label(file).is_none())?;
        Some(self.loaded.path(file))
    }

    /// The owner key of the command line or the configuration.
    pub(crate) async fn owner_key(&self, args: &IdentityArgs) -> anyhow::Result<OwnerKey> {
        let Some(file) = self.owner_file(args) else {
            return Err(Error::invalid("this needs an owner key: this host's own key does not read content")
                .hinted("`--identity FILE`, or `identity = \"FILE\"` in [repository] where this host may always read")
                .into());
        };
        Ok(owner_key(file, args).await?)
    }

    /// Where the owner key is, or the passphrase that it is.
    pub(crate) fn owner_file(&self, args: &IdentityArgs) -> Option<PathBuf> {
        let configured = self.loaded.config.repository.identity.as_ref().map(|file| match label(file) {
            Some(_) => file.clone(),
            None => self.loaded.path(file),
        });
        args.identity.clone().or(configured)
    }

    /// The plugin engine.
    pub(crate) fn plugins(&self) -> anyhow::Result<PluginShelf> {
        PluginShelf::open(Some(&self.loaded).filter(|loaded| !loaded.is_typed()))
    }
}

/// The owner key in a file, or the passphrase that `passphrase:LABEL` names. May ask the operator, so it has a thread of
/// its own.
pub(crate) async fn owner_key(named: PathBuf, args: &IdentityArgs) -> Result<OwnerKey, Error> {
    let operator =
        Arc::new(Operator { file: args.passphrase_file.clone(), new_file: args.new_passphrase_file.clone() });
    let read = move || match label(&named) {
        Some(label) => OwnerKey::passphrase(label, operator),
        None => OwnerKey::read(&read_key(&named)?, operator).map_err(|e| {
            match e.kind() {
                Kind::Corrupt => e.with_kind(Kind::Invalid),
                _ => e,
            }
            .context(format!("read the owner key {}", named.display()))
        }),
    };
    let joined = tokio::task::spawn_blocking(read).await;
    joined.unwrap_or_else(|e| Err(Error::internal("the owner key could not be read").caused_by(e)))
}

/// The label of a passphrase, if that is what is named instead of a file.
fn label(named: &Path) -> Option<&str> {
    passphrase_label(named.to_str()?)
}

pub(crate) fn cache_dir(loaded: Option<&Loaded>) -> anyhow::Result<PathBuf> {
    if let Some(directory) = loaded.and_then(|loaded| Some(loaded.path(loaded.config.cache_dir.as_ref()?))) {
        return Ok(directory);
    }
    if let Some(user) = std::env::var_os("XDG_CACHE_HOME").filter(|dir| Path::new(dir).is_absolute()) {
        return Ok(Path::new(&user).join("dozo"));
    }
    if rustix::process::geteuid().is_root() {
        return Ok("/var/cache/dozo".into());
    }
    match (std::env::var_os("HOME"), loaded) {
        (Some(home), _) => Ok(Path::new(&home).join(".cache/dozo")),
        // A service without a home has its key somewhere all the same.
        (None, Some(loaded)) => Ok(loaded.path(&loaded.config.repository.key).with_file_name("dozo-cache")),
        (None, None) => Err(Error::invalid("there is no HOME to keep compiled plugins in")
            .hinted("set HOME, or `cache_dir` in a configuration")
            .into()),
    }
}

/// Bytes from the system's random generator: the only one.
pub(crate) fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| Error::internal(format!("ask the system for random numbers: {e}")))?;
    Ok(bytes)
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The snapshot that the operator means: a job's newest, its newest at a time, or the one whose id begins so. A job is this
/// host's, or HOST/JOB, or the one of that name that there is.
pub(crate) fn find_snapshot(context: &Context, view: &View, wanted: &str) -> anyhow::Result<Found> {
    let (named, time) = match wanted.split_once('@') {
        Some((job, time)) => (job, Some(TypedTime::read(time)?)),
        None => (wanted, None),
    };
    let of_job = snapshots_of(view, named)?;
    let zones = Zones::of(context, view)?;
    let found = match &time {
        Some(time) => Some(newest_at(view, &zones, (named, &of_job), time)?),
        None if of_job.is_empty() => None,
        None => Some(newest(view, &zones, (named, &of_job))?),
    };
    if let Some(found) = found {
        tell_host(view, &found.1);
        suspicion::tell(view, &found);
        return Ok(found);
    }
    let found = named::by_id(view, &zones, wanted)?;
    suspicion::tell(view, &found);
    Ok(found)
}

/// Tells that a snapshot is another host's, if it is.
pub(crate) fn tell_host(view: &View, snapshot: &Snapshot) {
    if snapshot.host.uid != view.repository().host() {
        let host = HostNames::of(view).shown(&snapshot.host);
        ui::note(format!("note: this is a snapshot of the host `{host}`"));
    }
}

/// The snapshots of one job: this host's if it has such a job, else those of the one host that has.
pub(crate) fn snapshots_of(view: &View, named: &str) -> anyhow::Result<Vec<Found>> {
    let (host, job) = match named.split_once('/') {
        Some((host, job)) => (Some(host), job),
        None => (None, named),
    };
    let mine = view.repository().host();
    let is_meant = |s: &Snapshot| s.job.name == job && host.is_none_or(|host| host_names::is_meant(host, &s.host));
    let mut all: Vec<Found> = view.snapshots().iter().filter(|(_, s)| is_meant(s)).cloned().collect();
    // Who calls a host by digits means that one.
    if let Some(host) = host.filter(|host| all.iter().any(|(_, s)| s.host.name == *host)) {
        all.retain(|(_, s)| s.host.name == host);
    }
    if host.is_none() && all.iter().any(|(_, s)| s.host.uid == mine) {
        all.retain(|(_, s)| s.host.uid == mine);
    }
    let hosts: BTreeMap<HostUid, &Snapshot> = all.iter().map(|(_, s)| (s.host.uid, s.as_ref())).collect();
    if hosts.len() > 1 {
        let names = HostNames::of(view);
        let mut names: Vec<String> = hosts.values().map(|s| format!("{}/{job}", names.typed(&s.host))).collect();
        names.sort();
        return Err(Error::invalid(format!("several hosts have a job `{job}`"))
            .hinted(format!("say which: {}, or a snapshot's id", names.join(", ")))
            .into());
    }
    Ok(all)
}
