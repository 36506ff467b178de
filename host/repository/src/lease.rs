//! Holding a lease: it renews itself, knows when it lapsed, and tells the store's time. FORMAT.md section 14.1. Knows nothing
//! of what its holder does.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::format::lease::{LeaseDocument, Purpose};
use crate::format::name::Place;
use crate::format::snapshot::Named;
use crate::id::{LeaseId, ObjectId};
use crate::limits::{LEASE_NAMES_MAX, LEASE_NUMBER_MAX, LEASE_SECONDS};
use crate::pack::lock;
use crate::repository::Repository;
use crate::validity::Validity;
use crate::view::View;

/// Who goes to work, and what for.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    /// Fresh random bytes.
    pub id: LeaseId,
    /// What for.
    pub purpose: Purpose,
    /// The host's name, for people.
    pub host: String,
    /// The job, of a run.
    pub job: Option<String>,
    /// When the work began, by the caller's clock: for people.
    pub started: Timestamp,
    /// Leases whose holders the caller knows to be dead: they keep nobody from the work, and are released on their behalf.
    pub predecessors: Vec<LeaseId>,
}

/// A lease of this process. Dropped without [`Lease::release`] it is renewed no more, and ends by itself.
pub struct Lease {
    shared: Arc<Shared>,
    renewer: tokio::task::JoinHandle<()>,
}

/// Another hand on a lease, which does not keep it alive.
#[derive(Clone)]
pub(crate) struct LeaseHandle(Arc<Shared>);

struct Shared {
    repository: Repository,
    /// What all renewals say.
    form: LeaseDocument,
    /// One renewal at a time.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    /// Of the next renewal.
    number: u32,
    tombstones: Vec<ObjectId>,
    keeps: Vec<ObjectId>,
    validity: Validity,
    /// The store's time of the first renewal.
    began: Option<Timestamp>,
    /// The object of the last renewal, and that of the one before.
    objects: [Option<String>; 2],
}

impl Repository {
    /// Puts a lease that renews itself; needs a tokio runtime around it.
    ///
    /// # Errors
    /// [`Busy`](Kind::Busy) if somebody else runs the same job, or prunes.
    pub async fn lease(&self, request: LeaseRequest) -> Result<Lease> {
        let predecessors = request.predecessors.clone();
        let lease = Lease::begin(self, request).await?;
        match self.settle_turn(&lease, &predecessors).await {
            Ok(()) => Ok(lease),
            Err(error) => {
                // The error says more than a lease that could not be released, and that ends by itself.
                let _ = lease.release().await;
                Err(error)
            }
        }
    }

    /// A lease for whoever only reads. That there is none keeps nobody from a restore: not read-only credentials, not a
    /// disk that is full.
    pub async fn read_lease(&self, request: LeaseRequest) -> ReadLease {
        let (lease, note) = match self.lease(request).await {
            Ok(lease) => (Some(lease), None),
            Err(why) => {
                let note = "without a lease: a prune at the same time may delete what is being read";
                (None, Some(format!("{note} ({})", why.chain())))
            }
        };
        ReadLease { repository: self.clone(), lease, note }
    }
}

impl Lease {
    async fn begin(repository: &Repository, request: LeaseRequest) -> Result<Self> {
        let LeaseRequest { id, purpose, host, job, started, predecessors: _ } = request;
        let job = job.map(|name| Named { uid: repository.job_uid(&name), name });
        let form = LeaseDocument {
            schema: LeaseDocument::SCHEMA.into(),
            lease: id,
            number: 0,
            host: Named { uid: repository.host(), name: host },
            purpose,
            job,
            started,
            seconds: LEASE_SECONDS,
            tombstones: Vec::new(),
            keeps: Vec::new(),
            released: false,
        };
        let state = State {
            number: 0,
            tombstones: Vec::new(),
            keeps: Vec::new(),
            validity: Validity::new(LEASE_SECONDS),
            began: None,
            objects: [None, None],
        };
        let shared = Shared {
            repository: repository.clone(),
            form,
            turn: tokio::sync::Mutex::default(),
            state: Mutex::new(state),
        };
        let shared = Arc::new(shared);
        shared.renew().await.map_err(|e| e.context(format!("put a lease to {}", purpose.word())))?;
        Ok(Lease { renewer: tokio::spawn(keep_renewing(shared.clone())), shared })
    }

    /// Which lease.
    pub fn id(&self) -> LeaseId {
        self.shared.form.lease
    }

    /// What its renewals say.
    pub(crate) fn form(&self) -> &LeaseDocument {
        &self.shared.form
    }

    /// The store's time when it began.
    pub fn began(&self) -> Timestamp {
        self.shared.state().began.unwrap_or(Timestamp::MAX)
    }

    /// Renews it now. Returns the store's now.
    pub async fn renew(&self) -> Result<Timestamp> {
        self.shared.renew().await
    }

    /// Renews it, and fails if there was a time in which it did not hold.
    pub async fn assure(&self) -> Result<Timestamp> {
        self.shared.assure().await
    }

    /// The snapshots that the holder builds on; the next renewal names them.
    pub fn keep(&self, snapshots: Vec<ObjectId>) {
        self.shared.state().keeps = bounded(snapshots);
    }

    /// Whether there was a time in which it did not hold, as far as this machine's clock can tell.
    pub fn has_lapsed(&self) -> bool {
        self.shared.check().is_err()
    }

    /// The tombstones that the holder has read; told to the store at once, because everything after depends on it.
    pub(crate) async fn name_tombstones(&self, tombstones: Vec<ObjectId>) -> Result<()> {
        self.shared.state().tombstones = bounded(tombstones);
        self.shared.assure().await.map(drop)
    }

    /// The object of the renewal before the last: nothing depends on it any more.
    pub(crate) fn superseded(&self) -> Option<String> {
        self.shared.state().objects[1].clone()
    }

    pub(crate) fn handle(&self) -> LeaseHandle {
        LeaseHandle(self.shared.clone())
    }

    /// Says that the work is over.
    pub async fn release(self) -> Result<()> {
        self.renewer.abort();
        self.shared.put(true).await.map(drop).map_err(|e| e.context("release the lease"))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewer.abort();
    }
}

impl LeaseHandle {
    /// See [`Lease::assure`].
    pub(crate) async fn assure(&self) -> Result<Timestamp> {
        self.0.assure().await
    }
}

/// A lease to read with, or the word why there is none.
pub struct ReadLease {
    repository: Repository,
    lease: Option<Lease>,
    note: Option<String>,
}

impl ReadLease {
    /// What the operator should know: why there is no lease.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Which lease, if there is one.
    pub(crate) fn id(&self) -> Option<LeaseId> {
        self.lease.as_ref().map(Lease::id)
    }

    /// The store's now, if there is a lease.
    pub(crate) async fn assure(&self) -> Result<Option<Timestamp>> {
        match &self.lease {
            Some(lease) => lease.assure().await.map(Some),
            None => Ok(None),
        }
    }

    /// A view that the lease keeps in the store.
    pub async fn view(&self) -> Result<View> {
        match &self.lease {
            Some(lease) => self.repository.view_to_read(lease).await,
            None => self.repository.view().await,
        }
    }

    /// Says that the reading is over.
    pub async fn release(self) -> Result<()> {
        match self.lease {
            Some(lease) => lease.release().await,
            None => Ok(()),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    async fn renew(&self) -> Result<Timestamp> {
        self.put(false).await
    }

    async fn assure(&self) -> Result<Timestamp> {
        let now = self.renew().await?;
        self.check()?;
        Ok(now)
    }

    async fn put(&self, released: bool) -> Result<Timestamp> {
        let _turn = self.turn.lock().await;
        let sent = Instant::now();
        let (document, place) = self.next(released)?;
        let (name, _) = self.repository.put_document(&place, &document.to_body()).await?;
        let object = self.repository.store().find(&name).await?;
        let gone = || Error::unavailable(format!("{name} is gone from the store as soon as it was put"));
        let renewed = object.ok_or_else(gone)?.modified;
        self.confirm(sent, renewed, name);
        Ok(renewed)
    }

    fn next(&self, released: bool) -> Result<(LeaseDocument, Place)> {
        let mut state = self.state();
        let number = state.number;
        if number > LEASE_NUMBER_MAX {
            return Err(Error::internal("a lease was renewed more often than its numbers go"));
        }
        // A number is used once, whether or not its renewal arrives.
        state.number += 1;
        let (tombstones, keeps) = (state.tombstones.clone(), state.keeps.clone());
        let document = LeaseDocument { number, tombstones, keeps, released, ..self.form.clone() };
        Ok((document, Place::Lease { lease: self.form.lease, number }))
    }

    /// A renewal has come to the store.
    fn confirm(&self, sent: Instant, renewed: Timestamp, object: String) {
        let mut state = self.state();
        state.began.get_or_insert(renewed);
        state.validity.confirm(sent, Instant::now(), renewed);
        state.objects = [Some(object), state.objects[0].take()];
    }

    fn check(&self) -> Result<()> {
        if !self.state().validity.look(Instant::now()) {
            return Ok(());
        }
        let (purpose, minutes) = (self.form.purpose.word(), self.form.seconds / 60);
        Err(Error::new(Kind::Unavailable, format!("the lease to {purpose} was not renewed for {minutes} minutes"))
            .hinted("the machine slept, or the store did not answer; run again: what was stored is found again"))
    }
}

/// Renews a lease until it lapses or is dropped. A renewal that fails is tried again, ten times as often.
async fn keep_renewing(shared: Arc<Shared>) {
    let third = Duration::from_secs(u64::from(shared.form.seconds) / 3);
    let mut wait = third;
    loop {
        tokio::time::sleep(wait).await;
        if shared.check().is_err() {
            return;
        }
        wait = match shared.renew().await {
            Ok(_) => third,
            Err(why) => {
                tracing::warn!("the lease could not be renewed, trying again: {}", why.chain());
                third / 10
            }
        };
    }
}

/// What is not named waits, or is not kept: never the other way round.
fn bounded(mut names: Vec<ObjectId>) -> Vec<ObjectId> {
    names.truncate(LEASE_NAMES_MAX);
    names
}
