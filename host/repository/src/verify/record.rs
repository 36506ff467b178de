//! What a verification leaves behind: damage, so that the next run stores again what the source still has, and a record.

use jiff::Timestamp;

use super::{BadPack, Findings};
use crate::error::Result;
use crate::format::damage::DamageDocument;
use crate::format::record::{VerificationRecord, VerifiedDepth};
use crate::format::snapshot::Named;
use crate::id::{HostUid, ObjectId};
use crate::limits::VERIFIED_SNAPSHOTS_MAX;
use crate::repository::Repository;
use crate::view::View;

impl View {
    /// Notes the packs that were found damaged and are not noted yet; none if there are none. `found` is for people.
    pub async fn record_damage(&self, findings: &Findings, host: &str, found: Timestamp) -> Result<Option<ObjectId>> {
        let new = findings.bad.iter().filter(|bad| !self.marks.is_damaged(&bad.id));
        let packs: Vec<_> = new.map(|BadPack { kind, id, why }| (*kind, *id, why.chain())).collect();
        if packs.is_empty() {
            return Ok(None);
        }
        let host = Named { uid: self.repository().host(), name: host.to_string() };
        let damage = DamageDocument { schema: DamageDocument::SCHEMA.into(), host, found, packs };
        self.repository().put_damage(&damage).await.map(Some)
    }
}

impl Findings {
    /// The record of this verification. It names the snapshots of which every byte was read and found right.
    pub fn record(&self, host: Named<HostUid>, started: Timestamp, ended: Timestamp) -> VerificationRecord {
        let read = self.depth == VerifiedDepth::Data && self.percent == 100;
        let whole = self.whole.iter().filter(|_| read).take(VERIFIED_SNAPSHOTS_MAX);
        VerificationRecord {
            schema: VerificationRecord::SCHEMA.into(),
            host,
            started,
            ended,
            depth: self.depth,
            percent: self.percent,
            clean: self.is_clean(),
            snapshots: whole.copied().collect(),
            problems: self.problems.len() as u64,
            damaged: self.damaged_count,
            harmless: self.harmless.clone(),
            read_to: self.read_to,
        }
    }
}

impl Repository {
    /// Leaves the record of a verification.
    pub async fn put_verification(&self, record: &VerificationRecord) -> Result<ObjectId> {
        self.put_record(record).await
    }
}
