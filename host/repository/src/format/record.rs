//! What happened, beside snapshots: runs that failed leave a trace that every reader of the repository sees.
//! FORMAT.md section 11.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::snapshot::Named;
use crate::error::Result;
use crate::id::{HostUid, JobUid, ObjectId};

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

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A complete snapshot.
    Complete,
    /// A snapshot that names what it lacks.
    Partial,
    /// No snapshot.
    Failed,
}

impl RunRecord {
    /// The schema of this version.
    pub const SCHEMA: &str = "dozo/run/1";

    /// From a document's body.
    pub fn parse(body: &[u8]) -> Result<Self> {
        super::parse(body, Self::SCHEMA, "the record of a run")
    }

    /// The document's body.
    pub fn to_body(&self) -> Vec<u8> {
        super::to_json(self)
    }
}
