//! Records of the circle of trust: which owners and epochs there are, which hosts. FORMAT.md section 11.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::RecordKind;
use super::parse;
use super::record::{Record, record};
use super::snapshot::Named;
use crate::error::Result;
use crate::id::HostUid;

/// Something that happened to owners or epochs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// [`KeyRecord::SCHEMA`].
    pub schema: String,
    /// Where it was done.
    pub host: Named<HostUid>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub action: KeyAction,
    /// The owner that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The epochs that it is about; the last is the one under whose data identity the proof was made.
    pub epochs: Vec<u32>,
    /// The epoch that began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Began>,
    /// 64 hex digits that only an owner can make.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// What happened to owners or epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyAction {
    /// An epoch began: every owner has a key document of it.
    Began,
    /// An owner was added.
    Added,
    /// An owner was removed.
    Removed,
    /// An owner's key opened every epoch.
    Tested,
}

/// A new epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Began {
    /// The epoch before; 0 if it is the first.
    pub after: u32,
    /// Whom content is sealed to.
    pub recipient: String,
    /// The owners' recipient strings.
    pub owners: Vec<String>,
}

record!(KeyRecord, RecordKind::Key, at, "dozo/key-event/1", "the record of a key");

impl KeyRecord {
    /// What the proof covers: all that an owner's hand will act on.
    pub(crate) fn claim(&self) -> Vec<u8> {
        let epoch = self.epochs.last().map_or_else(String::new, u32::to_string);
        let mut parts = vec![self.action.word().to_string(), epoch];
        match (&self.began, &self.owner) {
            (Some(Began { after, recipient, owners }), _) => {
                parts.extend([after.to_string(), recipient.clone()]);
                parts.extend(owners.iter().cloned());
            }
            (None, owner) => parts.extend(owner.clone()),
        }
        parts.iter().flat_map(|part| [&(part.len() as u64).to_le_bytes(), part.as_bytes()].concat()).collect()
    }
}

impl KeyAction {
    fn word(self) -> &'static str {
        match self {
            KeyAction::Began => "began",
            KeyAction::Added => "added",
            KeyAction::Removed => "removed",
            KeyAction::Tested => "tested",
        }
    }
}

/// A host joined, or was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// [`HostRecord::SCHEMA`].
    pub schema: String,
    /// Where it was done.
    pub host: Named<HostUid>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub action: HostAction,
    /// The host that it is about.
    pub about: Named<HostUid>,
}

/// What happened to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostAction {
    /// It got a key file.
    Joined,
    /// Its snapshots are not believed any more.
    Removed,
}

record!(HostRecord, RecordKind::Host, at, "dozo/host/1", "the record of a host");

#[cfg(test)]
mod tests {
    use super::*;

    fn began(owners: &[&str]) -> KeyRecord {
        KeyRecord {
            schema: KeyRecord::SCHEMA.into(),
            host: Named { uid: HostUid([1; 8]), name: "db-1".into() },
            at: Timestamp::UNIX_EPOCH,
            action: KeyAction::Began,
            owner: None,
            epochs: vec![2],
            began: Some(Began {
                after: 1,
                recipient: "age1x".into(),
                owners: owners.iter().map(ToString::to_string).collect(),
            }),
            proof: None,
        }
    }

    #[test]
    fn a_record_comes_back_and_claims_differ() {
        let record = began(&["age1a", "age1b"]);
        assert_eq!(KeyRecord::parse(&record.to_body()).unwrap(), record);
        assert_ne!(record.claim(), began(&["age1aage1b"]).claim(), "parts are measured");
        assert_ne!(record.claim(), began(&["age1b", "age1a"]).claim());
    }
}
