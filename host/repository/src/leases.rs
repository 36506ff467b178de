//! All leases of a repository: who is at work, as far as the store's time tells. FORMAT.md section 14.1.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, Result};
use crate::format::lease::{LeaseDocument, Purpose};
use crate::format::name::{Place, parse_document};
use crate::id::{LeaseId, ObjectId};
use crate::lease::Lease;
use crate::limits::{LEASE_AFTERLIFE_SECONDS, LEASE_BODY_MAX, LEASE_SECONDS_MAX, LEASE_TIE_LOOKS};
use crate::repository::Repository;
use crate::store::Object;

/// Between two looks at who goes first: the store's times may have whole seconds alone.
const TIE_WAIT: Duration = Duration::from_secs(1);

/// Somebody's lease, as its newest document has it.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Which lease.
    pub id: LeaseId,
    /// When its first document came to the store.
    pub began: Timestamp,
    /// When its newest did.
    pub renewed: Timestamp,
    /// What the newest says; none if it cannot be read, or is so old that it does not matter.
    pub document: Option<LeaseDocument>,
    /// Whether the holder still works.
    pub standing: Standing,
    /// The documents, oldest first.
    pub(crate) objects: Vec<String>,
}

/// Whether the holder of a lease still works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its seconds have not passed.
    AtWork,
    /// They have, but not the day after which it counts no more.
    Lingering,
    /// It was released or is dead, since then.
    Ended(Timestamp),
}

impl Holder {
    /// Whether those who delete must heed it.
    pub fn is_live(&self) -> bool {
        !matches!(self.standing, Standing::Ended(_))
    }

    /// Whether it says that its holder knows a tombstone.
    pub(crate) fn names(&self, tombstone: &ObjectId) -> bool {
        self.document.as_ref().is_some_and(|document| document.tombstones.contains(tombstone))
    }

    /// What to do about a holder that keeps others from their work.
    pub(crate) fn busy_hint(&self) -> String {
        let minutes = self.document.as_ref().map_or(LEASE_SECONDS_MAX, |document| document.seconds) / 60;
        format!(
            "wait until it is done; if it crashed on another host, its lease ends within {minutes} minutes. Only if nothing of \
             it can be running any more (its machine is off, its container is gone), `--ignore-lease {}` goes on now",
            self.id
        )
    }

    /// The snapshots that its holder builds on.
    pub(crate) fn keeps(&self) -> &[ObjectId] {
        self.document.as_ref().map_or(&[], |document| &document.keeps)
    }
}

impl Repository {
    /// All leases, ended ones too, oldest first. `now` is the store's.
    pub async fn leases(&self, now: Timestamp) -> Result<Vec<Holder>> {
        let mut groups: BTreeMap<LeaseId, Vec<(u32, Object)>> = BTreeMap::new();
        for object in self.store().list("leases").await? {
            if let Ok((Place::Lease { lease, number }, _)) = parse_document(&object.name) {
                groups.entry(lease).or_default().push((number, object));
            }
        }
        let mut holders = Vec::with_capacity(groups.len());
        for (id, mut documents) in groups {
            documents.sort_by_key(|(number, object)| (*number, object.modified));
            holders.extend(self.read_holder(id, documents, now).await?);
        }
        holders.sort_by_key(|holder| (holder.began, holder.id));
        Ok(holders)
    }

    async fn read_holder(&self, id: LeaseId, documents: Vec<(u32, Object)>, now: Timestamp) -> Result<Option<Holder>> {
        let (Some((_, first)), Some((_, newest))) = (documents.first(), documents.last()) else { return Ok(None) };
        let (began, renewed) = (first.modified, newest.modified);
        // Most are old: dead whatever they say.
        let document = if now > afterlife(renewed, LEASE_SECONDS_MAX) {
            None
        } else {
            let read = self.read_documents(vec![newest.clone()], LEASE_BODY_MAX, |_, body| LeaseDocument::parse(body));
            read.await?.parsed.pop().map(|document| document.value)
        };
        let standing = standing(document.as_ref(), renewed, now);
        let objects = documents.into_iter().map(|(_, object)| object.name).collect();
        Ok(Some(Holder { id, began, renewed, document, standing, objects }))
    }

    /// Waits until it is clear that nobody else is at the same work, or that somebody is. Of two that begin at once, the
    /// one whose first document came to the store first goes on; within one tick of the store's clock, the smaller id.
    pub(crate) async fn settle_turn(&self, lease: &Lease, predecessors: &[LeaseId]) -> Result<()> {
        let form = lease.form();
        let alone = matches!(form.purpose, Purpose::Run | Purpose::Prune);
        if !alone && predecessors.is_empty() {
            return Ok(());
        }
        let (mine, mut rival) = ((lease.began(), form.lease), None);
        let mut now = lease.began();
        for look in 0..LEASE_TIE_LOOKS {
            if look > 0 {
                tokio::time::sleep(TIE_WAIT).await;
                now = lease.renew().await?;
            }
            let holders = self.leases(now).await?;
            for dead in holders.iter().filter(|holder| look == 0 && predecessors.contains(&holder.id)) {
                self.release_for(dead).await?;
            }
            if !alone {
                return Ok(());
            }
            let mut others = holders.into_iter().filter(|h| !predecessors.contains(&h.id) && is_rival(h, form));
            // Who began later sees this lease, and gives way.
            rival = others.find(|other| other.began <= mine.0);
            match &rival {
                None => return Ok(()),
                Some(other) if other.began < mine.0 || other.id < mine.1 => break,
                // It began at the same moment and gives way as soon as it looks, unless it has looked already.
                Some(_) => {}
            }
        }
        Err(busy(form, rival.as_ref()))
    }

    /// Releases a lease on behalf of a holder that is dead, as its host knows or the operator says.
    async fn release_for(&self, dead: &Holder) -> Result<()> {
        let Some(document) = dead.document.as_ref().filter(|_| dead.is_live()) else { return Ok(()) };
        let number = document.number + 1;
        let released = LeaseDocument { number, released: true, ..document.clone() };
        self.put_document(&Place::Lease { lease: dead.id, number }, &released.to_body()).await.map(drop)
    }
}

/// Until when a lease that was renewed then, and holds so long, counts for those who delete.
fn afterlife(renewed: Timestamp, seconds: u32) -> Timestamp {
    let seconds = SignedDuration::from_secs(i64::from(seconds) + LEASE_AFTERLIFE_SECONDS);
    renewed.checked_add(seconds).unwrap_or(Timestamp::MAX)
}

fn standing(document: Option<&LeaseDocument>, renewed: Timestamp, now: Timestamp) -> Standing {
    if document.is_some_and(|document| document.released) {
        return Standing::Ended(renewed);
    }
    // One that cannot be read may be any: it holds as long as any may.
    let seconds = document.map_or(LEASE_SECONDS_MAX, |document| document.seconds);
    let end = afterlife(renewed, seconds);
    if now > end {
        Standing::Ended(end)
    } else if now.duration_since(renewed) > SignedDuration::from_secs(seconds.into()) {
        Standing::Lingering
    } else {
        Standing::AtWork
    }
}

/// Whether somebody else is at the work that `mine` is for.
fn is_rival(other: &Holder, mine: &LeaseDocument) -> bool {
    if other.id == mine.lease || other.standing != Standing::AtWork {
        return false;
    }
    match &other.document {
        Some(document) => {
            document.purpose == mine.purpose && document.job.as_ref().map(|j| j.uid) == mine.job.as_ref().map(|j| j.uid)
        }
        // Two runs of one job do no harm; two that delete might.
        None => mine.purpose == Purpose::Prune,
    }
}

fn busy(mine: &LeaseDocument, rival: Option<&Holder>) -> Error {
    let what = match &mine.job {
        Some(job) => format!("the job `{}` is running already", job.name),
        None => format!("a {} is at work already", mine.purpose.word()),
    };
    let who = rival.and_then(|rival| rival.document.as_ref());
    let who = who.map_or(String::new(), |who| format!(", on {} since {}", who.host.name, who.started));
    let error = Error::busy(format!("{what}{who}"));
    match rival {
        Some(rival) => error.hinted(rival.busy_hint()),
        None => error.hinted("wait until it is done"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::snapshot::Named;
    use crate::id::HostUid;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn document(released: bool) -> LeaseDocument {
        LeaseDocument {
            schema: LeaseDocument::SCHEMA.into(),
            lease: LeaseId([1; 16]),
            number: 0,
            host: Named { uid: HostUid([1; 8]), name: "db-1".into() },
            purpose: Purpose::Run,
            job: None,
            started: at(0),
            seconds: 1800,
            tombstones: vec![],
            keeps: vec![],
            released,
        }
    }

    #[test]
    fn a_lease_outlives_its_seconds_by_a_day_for_those_who_delete() {
        let of = |seconds| standing(Some(&document(false)), at(0), at(seconds));
        assert_eq!(of(-5), Standing::AtWork, "from the future");
        assert_eq!(of(1800), Standing::AtWork);
        assert_eq!(of(1801), Standing::Lingering);
        assert_eq!(of(1800 + 86_400), Standing::Lingering);
        assert_eq!(of(1801 + 86_400), Standing::Ended(at(1800 + 86_400)));
        assert_eq!(standing(Some(&document(true)), at(0), at(1)), Standing::Ended(at(0)));
    }

    #[test]
    fn a_lease_that_cannot_be_read_holds_as_long_as_any_may() {
        assert_eq!(standing(None, at(0), at(86_400)), Standing::AtWork);
        assert_eq!(standing(None, at(0), at(2 * 86_400)), Standing::Lingering);
        assert!(matches!(standing(None, at(0), at(2 * 86_400 + 1)), Standing::Ended(_)));
    }
}
