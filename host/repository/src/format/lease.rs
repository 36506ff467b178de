//! A lease: somebody is at work. Each renewal is a document of its own; the one with the highest number counts.
//! FORMAT.md section 14.1.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::snapshot::Named;
use crate::error::{Error, Result};
use crate::id::{HostUid, JobUid, LeaseId, ObjectId};
use crate::limits::{LEASE_NAMES_MAX, LEASE_NUMBER_MAX, LEASE_SECONDS_MAX};

/// One renewal of a lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaseDocument {
    /// [`LeaseDocument::SCHEMA`].
    pub schema: String,
    /// Which lease.
    pub lease: LeaseId,
    /// Grows with each renewal.
    pub number: u32,
    /// Who is at work.
    pub host: Named<HostUid>,
    /// What for.
    pub purpose: Purpose,
    /// On which job, of a run.
    #[serde(default)]
    pub job: Option<Named<JobUid>>,
    /// When the work began, by the holder's clock: for people.
    pub started: Timestamp,
    /// How long after a renewal the holder may still put a snapshot.
    pub seconds: u32,
    /// The tombstones that the holder had read before it looked at packs.
    pub tombstones: Vec<ObjectId>,
    /// The snapshots that the holder builds on.
    pub keeps: Vec<ObjectId>,
    /// Whether the work is over.
    pub released: bool,
}

/// What somebody is at work for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Makes a snapshot.
    Run,
    /// Restores or verifies.
    Read,
    /// Copies to another store.
    Mirror,
    /// Deletes what nothing needs.
    Prune,
    /// Changes owners or hosts.
    Key,
}

impl Purpose {
    /// The word in documents and messages.
    pub fn word(self) -> &'static str {
        match self {
            Purpose::Run => "run",
            Purpose::Read => "read",
            Purpose::Mirror => "mirror",
            Purpose::Prune => "prune",
            Purpose::Key => "key",
        }
    }
}

impl LeaseDocument {
    /// The schema of this version.
    pub const SCHEMA: &str = "dozo/lease/1";

    /// From a document's body.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let lease: LeaseDocument = super::parse(body, Self::SCHEMA, "the lease")?;
        let named = lease.tombstones.len().max(lease.keeps.len());
        let bounded = (1..=LEASE_SECONDS_MAX).contains(&lease.seconds) && lease.number <= LEASE_NUMBER_MAX;
        if !bounded || named > LEASE_NAMES_MAX {
            return Err(Error::corrupt("the lease is beyond the limits of the format"));
        }
        Ok(lease)
    }

    /// The document's body.
    pub fn to_body(&self) -> Vec<u8> {
        super::to_json(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lease() -> LeaseDocument {
        LeaseDocument {
            schema: LeaseDocument::SCHEMA.into(),
            lease: LeaseId([7; 16]),
            number: 3,
            host: Named { uid: HostUid([1; 8]), name: "db-1".into() },
            purpose: Purpose::Run,
            job: Some(Named { uid: JobUid([2; 16]), name: "files".into() }),
            started: Timestamp::UNIX_EPOCH,
            seconds: 1800,
            tombstones: vec![ObjectId::of(b"t")],
            keeps: vec![],
            released: false,
        }
    }

    #[test]
    fn leases_beyond_the_limits_are_refused() {
        let good = String::from_utf8(lease().to_body()).unwrap();
        for (from, to) in [
            ("lease/1", "lease/2"),
            (r#""seconds":1800"#, r#""seconds":0"#),
            (r#""seconds":1800"#, r#""seconds":86401"#),
            (r#""number":3"#, r#""number":1000000"#),
            (r#""number":3"#, r#""number":-1"#),
            (r#""purpose":"run""#, r#""purpose":"dance""#),
            (r#","released":false"#, ""),
        ] {
            assert!(good.contains(from), "{from}");
            assert!(LeaseDocument::parse(good.replacen(from, to, 1).as_bytes()).is_err(), "{from} -> {to}");
        }
        let many = LeaseDocument { keeps: vec![ObjectId::of(b"s"); LEASE_NAMES_MAX + 1], ..lease() };
        assert!(LeaseDocument::parse(&many.to_body()).is_err());
    }

    proptest! {
        #[test]
        fn a_lease_comes_back(
            number in 0..=LEASE_NUMBER_MAX,
            seconds in 1..=LEASE_SECONDS_MAX,
            names in proptest::collection::vec(any::<[u8; 32]>(), 0..20),
            released: bool,
            of_job: bool,
        ) {
            let names: Vec<ObjectId> = names.into_iter().map(ObjectId).collect();
            let job = of_job.then(|| Named { uid: JobUid([2; 16]), name: "\u{1F980} \"quoted\"".into() });
            let made = LeaseDocument { number, seconds, tombstones: names.clone(), keeps: names, released, job, ..lease() };
            prop_assert_eq!(LeaseDocument::parse(&made.to_body()).unwrap(), made);
        }
    }
}
