//! What happened, beside snapshots: runs that failed leave a trace that every reader of the repository sees.
//! FORMAT.md section 11.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::RecordKind;
use super::snapshot::Named;
use super::{decimal, parse};
use crate::error::Result;
use crate::id::{HostUid, JobUid, ObjectId};

/// A kind of record.
pub trait Record: Sized {
    /// Where it lies.
    const KIND: RecordKind;
    /// The time in its name.
    fn started(&self) -> Timestamp;
    /// From a document's body.
    fn parse(body: &[u8]) -> Result<Self>;
    /// The document's body.
    fn to_body(&self) -> Vec<u8>;
}

/// How a record is told apart from others, read and written.
macro_rules! record {
    ($name:ident, $kind:expr, $time:ident, $schema:expr, $noun:expr) => {
        impl $name {
            /// The schema of this version.
            pub const SCHEMA: &str = $schema;

            /// From a document's body.
            pub fn parse(body: &[u8]) -> Result<Self> {
                parse(body, Self::SCHEMA, $noun)
            }

            /// The document's body.
            pub fn to_body(&self) -> Vec<u8> {
                super::to_json(self)
            }
        }

        impl Record for $name {
            const KIND: RecordKind = $kind;

            fn started(&self) -> Timestamp {
                self.$time
            }

            fn parse(body: &[u8]) -> Result<Self> {
                $name::parse(body)
            }

            fn to_body(&self) -> Vec<u8> {
                $name::to_body(self)
            }
        }
    };
}

pub(super) use record;

/// One run, whatever became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`RunRecord::SCHEMA`].
    pub schema: String,
    /// Who ran.
    pub host: Named<HostUid>,
    /// Which job.
    pub job: Named<JobUid>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
    /// The snapshot that it made.
    pub snapshot: Option<ObjectId>,
    /// Why it failed, in one line, without secrets.
    pub error: Option<String>,
    /// The whole report, in its own schema.
    pub report: serde_json::Value,
}

/// What became of a run, the better first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A complete snapshot.
    Complete,
    /// A snapshot that names what it lacks.
    Partial,
    /// No snapshot.
    Failed,
}

record!(RunRecord, RecordKind::Run, started, "dozo/run/1", "the record of a run");

/// What a verification looked at, and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationRecord {
    /// [`VerificationRecord::SCHEMA`].
    pub schema: String,
    /// Who looked.
    pub host: Named<HostUid>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How deep.
    pub depth: VerifiedDepth,
    /// How many in a hundred of the packs were read.
    pub percent: u8,
    /// Whether nothing was wrong.
    pub clean: bool,
    /// The snapshots of whose content every byte was read and found right.
    pub snapshots: Vec<ObjectId>,
    /// Objects that are damaged or missing.
    pub problems: u64,
    /// Entries that cannot be restored whole.
    pub damaged: u64,
    /// Damage documents that it saw and found to be no loss: everything was whole without the packs that they name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub harmless: Vec<ObjectId>,
    /// Of a sample of packs the last one: the next sample goes on behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_to: Option<ObjectId>,
}

/// How deep a verification looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifiedDepth {
    /// Snapshots, manifests, indexes, and that every pack is there.
    #[default]
    Structure,
    /// Also the digest of packs.
    Scrub,
    /// Also every chunk.
    Data,
}

record!(VerificationRecord, RecordKind::Verification, started, "dozo/verification/1", "the record of a verification");

/// A snapshot that retention must not touch, or may again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRecord {
    /// [`HoldRecord::SCHEMA`].
    pub schema: String,
    /// Who said so.
    pub host: Named<HostUid>,
    /// When.
    pub at: Timestamp,
    /// Which snapshot.
    pub snapshot: ObjectId,
    /// Hold it, or let it go.
    pub action: HoldAction,
    /// The operator's words.
    pub why: String,
}

/// What a hold does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldAction {
    /// Retention must not touch it.
    Hold,
    /// Retention may touch it again.
    Release,
}

record!(HoldRecord, RecordKind::Hold, at, "dozo/hold/1", "the record of a hold");

/// An operator's word that a suspicious snapshot is right: from then on it is as good as any other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptRecord {
    /// [`AcceptRecord::SCHEMA`].
    pub schema: String,
    /// Who said so.
    pub host: Named<HostUid>,
    /// When.
    pub at: Timestamp,
    /// Which snapshot.
    pub snapshot: ObjectId,
    /// The operator's words; may be empty.
    pub why: String,
}

record!(AcceptRecord, RecordKind::Accept, at, "dozo/accept/1", "the record of an acceptance");

/// What a prune deleted, written after it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneRecord {
    /// [`PruneRecord::SCHEMA`].
    pub schema: String,
    /// Who pruned.
    pub host: Named<HostUid>,
    /// When it began.
    pub started: Timestamp,
    /// When this was written.
    pub ended: Timestamp,
    /// The snapshots that were deleted, and why.
    pub snapshots: Vec<(ObjectId, String)>,
    /// The tombstones that were put.
    pub condemned: Vec<ObjectId>,
    /// The tombstones whose packs are gone, or spared.
    pub executed: Vec<ObjectId>,
    /// Packs that were deleted.
    #[serde(with = "decimal")]
    pub packs: u64,
    /// Bytes of them.
    #[serde(with = "decimal")]
    pub bytes: u64,
}

record!(PruneRecord, RecordKind::Prune, started, "dozo/prune/1", "the record of a prune");

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    fn host() -> Named<HostUid> {
        Named { uid: HostUid([1; 8]), name: "db-1".into() }
    }

    fn comes_back<R: Record + Debug + PartialEq>(made: &R) {
        let body = made.to_body();
        assert_eq!(R::parse(&body).unwrap(), *made);
        assert!(R::parse(&body[..body.len() - 1]).is_err(), "cut off");
        let text = String::from_utf8(body).unwrap();
        assert!(R::parse(text.replacen("/1\"", "/2\"", 1).as_bytes()).is_err(), "another schema: {text}");
        assert!(R::parse(text.replacen('{', r#"{"weather":"fine","#, 1).as_bytes()).is_ok(), "a field of the future");
    }

    #[test]
    fn records_come_back() {
        let (started, ended) = (Timestamp::UNIX_EPOCH, "2026-11-23T02:00:00.5Z".parse().unwrap());
        let id = ObjectId::of(b"s");
        comes_back(&PruneRecord {
            schema: PruneRecord::SCHEMA.into(),
            host: host(),
            started,
            ended,
            snapshots: vec![(id, "older than a year".into())],
            condemned: vec![id],
            executed: vec![],
            packs: 12,
            bytes: u64::MAX,
        });
        comes_back(&VerificationRecord {
            schema: VerificationRecord::SCHEMA.into(),
            host: host(),
            started,
            ended,
            depth: VerifiedDepth::Data,
            percent: 100,
            clean: true,
            snapshots: vec![id],
            problems: 0,
            damaged: 0,
            harmless: vec![id],
            read_to: Some(id),
        });
        comes_back(&HoldRecord {
            schema: HoldRecord::SCHEMA.into(),
            host: host(),
            at: started,
            snapshot: id,
            action: HoldAction::Hold,
            why: "evidence".into(),
        });
        comes_back(&AcceptRecord {
            schema: AcceptRecord::SCHEMA.into(),
            host: host(),
            at: started,
            snapshot: id,
            why: "the archive moved away".into(),
        });
    }
}
