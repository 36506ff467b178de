//! Damage: packs that a verification found missing, cut off or changed. FORMAT.md section 14.3.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::PackKind;
use super::snapshot::Named;
use crate::error::{Error, Result};
use crate::id::{HostUid, ObjectId};

/// Packs that do not hold what they should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamageDocument {
    /// [`DamageDocument::SCHEMA`].
    pub schema: String,
    /// Who found it.
    pub host: Named<HostUid>,
    /// When, by that host's clock: for people.
    pub found: Timestamp,
    /// The packs, and what is wrong with each.
    pub packs: Vec<(PackKind, ObjectId, String)>,
}

impl DamageDocument {
    /// The schema of this version.
    pub const SCHEMA: &str = "dozo/damage/1";

    /// From a document's body.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let damage: DamageDocument = super::parse(body, Self::SCHEMA, "the damage document")?;
        if damage.packs.is_empty() {
            return Err(Error::corrupt("the damage document names no pack"));
        }
        Ok(damage)
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

    fn damage(packs: Vec<(PackKind, ObjectId, String)>) -> DamageDocument {
        DamageDocument {
            schema: DamageDocument::SCHEMA.into(),
            host: Named { uid: HostUid([1; 8]), name: "db-1".into() },
            found: Timestamp::UNIX_EPOCH,
            packs,
        }
    }

    #[test]
    fn damage_that_is_not_well_formed_is_refused() {
        assert!(DamageDocument::parse(&damage(vec![]).to_body()).is_err(), "it names nothing");
        let made = damage(vec![(PackKind::Catalog, ObjectId::of(b"p"), "it is missing".into())]);
        let good = String::from_utf8(made.to_body()).unwrap();
        for (from, to) in [("damage/1", "damage/2"), (r#""catalog""#, r#""""#), (r#","it is missing""#, "")] {
            assert!(good.contains(from), "{from}");
            assert!(DamageDocument::parse(good.replacen(from, to, 1).as_bytes()).is_err(), "{from} -> {to}");
        }
    }

    proptest! {
        #[test]
        fn damage_comes_back(packs in proptest::collection::vec((any::<[u8; 32]>(), ".{0,20}"), 1..20)) {
            let made = damage(packs.into_iter().map(|(id, why)| (PackKind::Data, ObjectId(id), why)).collect());
            prop_assert_eq!(DamageDocument::parse(&made.to_body()).unwrap(), made);
        }
    }
}
