//! A repository: one prefix of one store, one circle of trust. Making one, opening one, and what can be done with it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::ask::{Ask, Asker, Nobody};
use crate::document;
use crate::error::{Error, Kind, Result};
use crate::format;
use crate::format::name::{Place, SIGN, parse_document};
use crate::format::record::RunRecord;
use crate::format::snapshot::Snapshot;
use crate::id::{HostUid, JobUid, ObjectId, RepositoryId};
use crate::keys::{HostKey, Keyring, NewKeys, Secret};
use crate::owners::found;
use crate::recipient::Recipient;
use crate::seal::Sealed;
use crate::store::Store;

/// The format that this program writes.
const FORMAT: u32 = 1;
/// How the word on a store begins that holds none.
pub const NO_REPOSITORY: &str = "there is no repository in ";
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

/// Whether a store holds this repository, in this format.
///
/// # Errors
/// [`Invalid`](Kind::Invalid) if it holds none, or another.
pub(crate) async fn check_sign(store: &Store, repository: RepositoryId) -> Result<()> {
    store.reach().await?;
    if store.length(SIGN).await?.is_none() {
        return Err(Error::invalid(format!("{NO_REPOSITORY}{store}"))
            .hinted("is its file system mounted? are the bucket and the prefix the right ones?"));
    }
    let text = store.get(SIGN, SIGN_BYTES_MAX).await?;
    let Version { format } = format::json(&text, SIGN)?;
    if format != FORMAT {
        return Err(Error::unsupported(format!("{store} has format {format}, not {FORMAT}"))
            .hinted("a newer dozo made it: update this one"));
    }
    let sign: Sign = format::json(&text, SIGN)?;
    if sign.repository != repository {
        return Err(Error::invalid(format!("{store} is another repository than the one that the key file pins"))
            .hinted(format!("it is {}, the key is for {}", sign.repository.short(), repository.short())));
    }
    Ok(())
}

/// An open repository.
#[derive(Clone)]
pub struct Repository(Arc<Inner>);

struct Inner {
    store: Store,
    key: HostKey,
    keyring: Arc<Keyring>,
    index_cache: OnceLock<PathBuf>,
    mirror: OnceLock<String>,
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
        store.reach().await?;
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
        check_sign(&store, key.repository).await?;
        Ok(Repository::over(store, key))
    }

    fn over(store: Store, key: HostKey) -> Self {
        let keyring = Arc::new(key.secret.keyring());
        Repository(Arc::new(Inner { store, key, keyring, index_cache: OnceLock::new(), mirror: OnceLock::new() }))
    }

    /// The same repository in another store, where its sign is; none if there is no sign at all.
    pub(crate) async fn elsewhere(&self, store: &Store) -> Result<Option<Self>> {
        match store.length(SIGN).await? {
            Some(_) => Repository::open(store.clone(), self.key().clone()).await.map(Some),
            None => Ok(None),
        }
    }

    /// The same repository in a store, whether or not its sign is there. Nothing is remembered of its indexes: for those who
    /// must know what the store itself holds.
    pub(crate) fn afresh(&self, store: &Store) -> Self {
        let again = Repository::over(store.clone(), self.key().clone());
        match self.mirror().filter(|_| store.to_string() == self.url()) {
            Some(name) => again.as_mirror(name),
            None => again,
        }
    }

    /// The same, known to be the mirror of this name: what is said of damage there names it.
    pub fn as_mirror(self, name: &str) -> Self {
        self.0.mirror.get_or_init(|| name.into());
        self
    }

    /// Which mirror it is; none if it is the repository itself.
    pub(crate) fn mirror(&self) -> Option<&str> {
        self.0.mirror.get().map(String::as_str)
    }

    /// What finds damage here: `dozo verify`, or the same for a mirror.
    pub fn verify_command(&self) -> String {
        self.advice().verify()
    }

    /// What puts damage right here: `dozo repair`, or the same for a mirror.
    pub fn repair_command(&self) -> String {
        self.advice().repair()
    }

    /// Puts the sign that this repository's store has into another.
    pub(crate) async fn copy_sign(&self, to: &Store) -> Result<()> {
        let text = self.store().get(SIGN, SIGN_BYTES_MAX).await?;
        to.put(SIGN, &Sealed::sign(text.to_vec())).await
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

    /// Names a directory of this machine where what was read of indexes is remembered, of each repository in each store by
    /// itself. It may be deleted at any time. Without one, each view reads every index. The first that is named counts.
    #[must_use]
    pub fn remembering_in(self, directory: &Path) -> Self {
        // A mirror holds other documents at other times: what is of use for one must not push out the other's.
        let place = blake3::keyed_hash(&self.keyring().index_cache, self.url().as_bytes());
        self.0.index_cache.get_or_init(|| directory.join(&place.to_hex()[..32]));
        self
    }

    pub(crate) fn index_cache(&self) -> Option<&Path> {
        self.0.index_cache.get().map(PathBuf::as_path)
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

    /// The body of a document, by the place that its name tells; none if it was deleted since it was listed.
    pub(crate) async fn read_document(&self, name: &str, max: usize) -> Result<Option<Vec<u8>>> {
        let (place, id) = parse_document(name)?;
        let Some(sealed) = self.store().get_if_there(name, max as u64).await? else { return Ok(None) };
        if id != ObjectId::of(&sealed) {
            return Err(Error::corrupt("its bytes do not have the digest that it is named by"));
        }
        let opened = document::open(&place, &sealed, self.keyring(), &[&self.key().catalog], max);
        // Somebody else put it there: it is no document of this repository, and keeps the others from nobody.
        opened.map(Some).map_err(|e| if e.kind() == Kind::Denied { e.with_kind(Kind::Corrupt) } else { e })
    }

    pub(crate) async fn put_snapshot(&self, snapshot: &Snapshot) -> Result<(String, ObjectId)> {
        let Snapshot { host, job, started, .. } = snapshot;
        if host.uid != self.host() || job.uid != self.job_uid(&job.name) {
            return Err(Error::internal("a snapshot in the name of another host or job"));
        }
        let place = Place::Snapshot { host: host.uid, job: job.uid, started: *started };
        self.put_document(&place, &snapshot.to_body()).await
    }

    /// Leaves the record of a run.
    pub async fn put_run_record(&self, record: &RunRecord) -> Result<ObjectId> {
        self.put_record(record).await
    }

    /// Seals and stores a document; returns its name and id.
    pub(crate) async fn put_document(&self, place: &Place, body: &[u8]) -> Result<(String, ObjectId)> {
        let sealed = document::seal(place, body, self.keyring(), &self.key().catalog.to_public())?;
        let name = place.object(&sealed.id());
        self.store().put(&name, &sealed).await?;
        Ok((name, sealed.id()))
    }
}
