//! What somebody who prunes or repairs holds: the lease to delete, or only a look, which needs nothing of the store. A plan
//! must be had where nothing can be written: on a store that is full, or read-only.

use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::id::LeaseId;
use crate::lease::{Lease, ReadLease};

/// See the module.
pub(crate) enum Grip {
    /// May delete as long as the lease holds.
    Deletes(Lease),
    /// May not change anything. The lease to read is there if it could be put.
    Looks {
        /// Keeps what is read in the store.
        lease: ReadLease,
        /// The time where the store does not tell one, by the caller's clock.
        now: Timestamp,
    },
}

impl Grip {
    /// The store's now, as long as the lease holds, if there is one.
    pub(crate) async fn assure(&self) -> Result<Timestamp> {
        match self {
            Grip::Deletes(lease) => lease.assure().await,
            Grip::Looks { lease, now } => Ok(lease.assure().await?.unwrap_or(*now)),
        }
    }

    /// An error if nothing may be changed.
    pub(crate) fn may_change(&self) -> Result<()> {
        match self {
            Grip::Deletes(_) => Ok(()),
            Grip::Looks { .. } => Err(Error::internal("a look was to change something")),
        }
    }

    /// Which lease; of a look without one, none that anybody else has.
    pub(crate) fn id(&self) -> LeaseId {
        match self {
            Grip::Deletes(lease) => lease.id(),
            Grip::Looks { lease, .. } => lease.id().unwrap_or(LeaseId([0; 16])),
        }
    }

    /// The object of the renewal before the last: nothing depends on it any more.
    pub(crate) fn superseded(&self) -> Option<String> {
        match self {
            Grip::Deletes(lease) => lease.superseded(),
            Grip::Looks { .. } => None,
        }
    }

    /// Why a look has no lease.
    pub(crate) fn note(&self) -> Option<&str> {
        match self {
            Grip::Deletes(_) => None,
            Grip::Looks { lease, .. } => lease.note(),
        }
    }

    pub(crate) async fn release(self) -> Result<()> {
        match self {
            Grip::Deletes(lease) => lease.release().await,
            Grip::Looks { lease, .. } => lease.release().await,
        }
    }
}
