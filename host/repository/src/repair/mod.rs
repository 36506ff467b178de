//! Putting right what is damaged: from mirrors, from the packs themselves, and by letting go of what nothing needs. A
//! [`Repairer`] [plans](Repairer::plan) without writing anything but its lease, and [executes](Repairer::execute) what it
//! planned: always the new before the old. One round may show what the next can do; done is when a plan is empty. Finding
//! damage is for [`crate::verify`].

mod execute;
mod plan;
mod rebuild;
mod returning;
mod sources;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::Result;
use crate::format::lease::Purpose;
use crate::format::name::PackKind;
use crate::id::{LeaseId, ObjectId};
use crate::keys::ReadKeys;
use crate::lease::LeaseRequest;
use crate::prune::{PlannedPack, PruneRules, Pruner, Replaced};
use crate::repository::Repository;
use crate::view::Problem;

pub use execute::Repaired;

/// What a repair may draw on.
#[derive(Default)]
pub struct Help {
    /// Other stores of the same repository, the best first.
    pub mirrors: Vec<Mirror>,
    /// An owner's keys, to make indexes again from packs.
    pub keys: Option<ReadKeys>,
}

/// Another store of the same repository.
pub struct Mirror {
    /// For people.
    pub name: String,
    /// Open, with the same key.
    pub repository: Repository,
}

/// Whoever repairs, with the lease to do it: that of a prune, because both delete. Or only looks.
pub struct Repairer {
    pruner: Pruner,
    help: Help,
}

impl Repairer {
    /// Puts the lease.
    ///
    /// # Errors
    /// [`Busy`](crate::Kind::Busy) if a prune or another repair is at work.
    pub async fn begin(repository: &Repository, request: LeaseRequest, help: Help) -> Result<Self> {
        let request = LeaseRequest { purpose: Purpose::Prune, job: None, ..request };
        let (repository, help) = afresh(repository, help);
        Ok(Repairer { pruner: Pruner::begin(&repository, request, PruneRules::default()).await?, help })
    }

    /// Only looks: plans, and changes nothing. Needs no room in the store, and no right to write.
    pub async fn look(repository: &Repository, request: LeaseRequest, help: Help) -> Self {
        let (repository, help) = afresh(repository, help);
        Repairer { pruner: Pruner::look(&repository, request, PruneRules::default()).await, help }
    }

    /// What the operator should know: why a look has no lease.
    pub fn note(&self) -> Option<&str> {
        self.pruner.note()
    }

    /// Says that the repair is over.
    pub async fn end(self) -> Result<()> {
        self.pruner.end().await
    }

    fn repository(&self) -> &Repository {
        &self.pruner.repository
    }
}

/// What this machine remembers of an index heals nobody else.
fn afresh(repository: &Repository, mut help: Help) -> (Repository, Help) {
    for mirror in &mut help.mirrors {
        mirror.repository = mirror.repository.afresh(mirror.repository.store());
    }
    (repository.afresh(repository.store()), help)
}

/// What a repair would do.
#[derive(Clone, Debug, Serialize)]
pub struct RepairPlan {
    /// Objects to copy from a mirror.
    pub copies: Vec<PlannedCopy>,
    /// Packs that no readable index names, and that get one.
    pub reindex: Vec<PlannedPack>,
    /// Packs that are damaged or missing and that nothing needs: no index names them any more, and what is there goes.
    pub superseded: Vec<(PackKind, ObjectId)>,
    /// Damage documents with packs that are whole, superseded, or copied by this plan.
    pub damage: Vec<ObjectId>,
    /// Indexes that cannot be read, and that go once all packs have another.
    pub broken_indexes: Vec<String>,
    /// Documents that go because the operator gave them up, and what is wrong with each.
    pub give_up: Vec<(String, String)>,
    /// What cannot be put right here and now. The hint of each says what would help.
    #[serde(skip)]
    pub lost: Vec<Problem>,
    /// What the operator should know.
    pub notes: Vec<String>,
    /// What was found of each pack that was in doubt.
    #[serde(skip)]
    conditions: BTreeMap<ObjectId, Condition>,
    /// Indexes that name what is superseded.
    #[serde(skip)]
    replaced: Replaced,
    #[serde(skip)]
    lease: LeaseId,
}

impl RepairPlan {
    /// Whether doing it takes the right to delete.
    pub fn deletes(&self) -> bool {
        let replaces = self.copies.iter().any(|copy| copy.replaces);
        let goes = !(self.superseded.is_empty() && self.damage.is_empty() && self.broken_indexes.is_empty());
        replaces || goes || !self.give_up.is_empty()
    }

    /// Whether there is nothing to do, or nothing that can be done.
    pub fn is_empty(&self) -> bool {
        self.copies.is_empty()
            && self.reindex.is_empty()
            && self.superseded.is_empty()
            && self.damage.is_empty()
            && self.broken_indexes.is_empty()
            && self.give_up.is_empty()
    }
}

/// An object to copy from a mirror.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedCopy {
    /// Its name in the store.
    pub object: String,
    /// The mirrors that have it, the best first.
    pub mirrors: Vec<String>,
    /// Whether a wrong object is in its place.
    pub replaces: bool,
}

/// What was found where a pack should be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Whole,
    Missing,
    /// Other bytes than it should be.
    Wrong(String),
    /// The right bytes, and they do not decode: no mirror can help.
    Useless(String),
}
