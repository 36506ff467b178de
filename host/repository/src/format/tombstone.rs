//! A tombstone: packs that are condemned. FORMAT.md section 14.2.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::PackKind;
use super::snapshot::Named;
use crate::error::{Error, Result};
use crate::id::{HostUid, ObjectId};
use crate::limits::TOMBSTONE_PACKS_MAX;

/// Packs that writers must not count on any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TombstoneDocument {
    /// [`TombstoneDocument::SCHEMA`].
    pub schema: String,
    /// Who condemned them.
    pub host: Named<HostUid>,
    /// When, by that host's clock: for people.
    pub planned: Timestamp,
    /// The packs.
    pub packs: Vec<(PackKind, ObjectId)>,
}

impl TombstoneDocument {
    /// The schema of this version.
    pub const SCHEMA: &str = "dozo/tombstone/1";

    /// From a document's body.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let tombstone: TombstoneDocument = super::parse(body, Self::SCHEMA, "the tombstone")?;
        if tombstone.packs.is_empty() || tombstone.packs.len() > TOMBSTONE_PACKS_MAX {
            return Err(Error::corrupt(format!("the tombstone names {} packs", tombstone.packs.len())));
        }
        Ok(tombstone)
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

    fn tombstone(packs: Vec<(PackKind, ObjectId)>) -> TombstoneDocument {
        TombstoneDocument {
            schema: TombstoneDocument::SCHEMA.into(),
            host: Named { uid: HostUid([1; 8]), name: "db-1".into() },
            planned: Timestamp::UNIX_EPOCH,
            packs,
        }
    }

    #[test]
    fn tombstones_beyond_the_limits_are_refused() {
        let pack = (PackKind::Data, ObjectId::of(b"p"));
        assert!(TombstoneDocument::parse(&tombstone(vec![]).to_body()).is_err(), "it condemns nothing");
        assert!(TombstoneDocument::parse(&tombstone(vec![pack; TOMBSTONE_PACKS_MAX + 1]).to_body()).is_err());
        let good = String::from_utf8(tombstone(vec![pack]).to_body()).unwrap();
        for (from, to) in [("tombstone/1", "tombstone/9"), (r#""data""#, r#""index""#), ("planned", "plant")] {
            assert!(good.contains(from), "{from}");
            assert!(TombstoneDocument::parse(good.replacen(from, to, 1).as_bytes()).is_err(), "{from} -> {to}");
        }
        assert!(TombstoneDocument::parse(&good.as_bytes()[..good.len() - 1]).is_err(), "cut off");
    }

    proptest! {
        #[test]
        fn a_tombstone_comes_back(packs in proptest::collection::vec((any::<bool>(), any::<[u8; 32]>()), 1..50)) {
            let kind = |data| if data { PackKind::Data } else { PackKind::Catalog };
            let made = tombstone(packs.into_iter().map(|(data, id)| (kind(data), ObjectId(id))).collect());
            prop_assert_eq!(TombstoneDocument::parse(&made.to_body()).unwrap(), made);
        }
    }
}
