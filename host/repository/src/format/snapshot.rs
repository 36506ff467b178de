//! The commit record of a run. FORMAT.md section 10.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::manifest::Totals;
use super::name::Place;
use super::{decimal, path};
use crate::error::{Error, Result};
use crate::id::{ChunkId, HostUid, JobUid, ObjectId};
use crate::limits::{CHUNK_BYTES_MAX, ZONE_NAME_BYTES_MAX};

/// One completed run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`Snapshot::SCHEMA`].
    pub schema: String,
    /// What a reader must know to read it; this version knows nothing beyond the format itself.
    pub features: Vec<String>,
    /// Who ran.
    pub host: Named<HostUid>,
    /// Which job.
    pub job: Named<JobUid>,
    /// Grows by one with each snapshot of the job.
    pub sequence: u64,
    /// Which plugin, to the byte.
    pub plugin: PluginStamp,
    /// What the plugin said its source is, if it said.
    pub source: Option<String>,
    /// How much of the source was asked for.
    pub scope: Scope,
    /// When the run began.
    pub started: Timestamp,
    /// When the last entry had been read.
    pub ended: Timestamp,
    /// In which zone people see and write the job's times: a name of the IANA, or an offset; none where it is
    /// not known.
    pub timezone: Option<String>,
    /// Whether all that should be here is.
    pub status: Status,
    /// What could not be read, and why: the first 1,000.
    pub omitted: Vec<(String, String)>,
    /// How many in all.
    pub omitted_count: u64,
    /// The entries.
    pub manifest: Manifest,
    /// Facts that the source needs for a restore or for its next run.
    pub attributes: Vec<(String, String)>,
    /// Answers to the run's probes.
    pub answers: Vec<(String, String)>,
    /// The operator's words.
    pub tags: Vec<String>,
    /// The snapshot that this one was made against.
    pub previous: Option<ObjectId>,
    /// How it compares with the last good snapshot of its job; none if it was not compared.
    #[serde(default)]
    pub guard: Option<Guard>,
    /// What the run moved.
    pub stored: Stored,
}

/// How a snapshot compares with the last good one of its job, by the word of the host that made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// A drop by more than this, in percent, makes it suspicious. None: the operator turned the comparison off.
    pub limit: Option<u8>,
    /// The snapshot that it was compared with; none if there was no good one.
    pub against: Option<ObjectId>,
    /// Why it is suspicious, in words; empty if it is not.
    pub suspicious: Vec<String>,
}

/// A uid with the name that people use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named<T> {
    /// Stable.
    pub uid: T,
    /// For people.
    pub name: String,
}

/// The plugin that made a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStamp {
    /// Its own name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// SHA-256 of the component.
    pub digest: ObjectId,
}

/// How much of the source a run covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// All of it.
    Full,
    /// What is new since the previous snapshot, and the rest by reference.
    Incremental,
}

/// Whether a snapshot holds all that it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything.
    Complete,
    /// All but what `omitted` names.
    Partial,
}

/// Where the entries are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// In order.
    pub segments: Vec<Segment>,
    /// Entries and bytes in all.
    #[serde(flatten)]
    pub totals: Totals,
}

/// One catalog chunk of whole lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The catalog chunk.
    pub chunk: ChunkId,
    /// Its length.
    pub bytes: u32,
    /// Entries in it.
    pub entries: u32,
    /// The path of the first of them; empty where it has none.
    pub first: String,
}

/// What a run moved, in bytes and entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Bytes of content that the source gave.
    #[serde(with = "decimal")]
    pub bytes_read: u64,
    /// Of these, bytes of chunks that the repository did not have.
    #[serde(with = "decimal")]
    pub bytes_new: u64,
    /// Bytes of new packs in the store.
    #[serde(with = "decimal")]
    pub bytes_stored: u64,
    /// Entries taken from the previous snapshot without reading.
    #[serde(with = "decimal")]
    pub entries_kept: u64,
}

impl Snapshot {
    /// The schema of this version.
    pub const SCHEMA: &str = "dozo/snapshot/1";

    /// From a document's body.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let snapshot: Snapshot = super::parse(body, Self::SCHEMA, "the snapshot")?;
        snapshot.check()?;
        Ok(snapshot)
    }

    /// The document's body.
    pub fn to_body(&self) -> Vec<u8> {
        super::to_json(self)
    }

    /// Where it belongs.
    pub fn place(&self) -> Place {
        Place::Snapshot { host: self.host.uid, job: self.job.uid, started: self.started }
    }

    /// The order of a job's runs: a later one is greater. By number, because a clock may have been wrong.
    pub fn order(&self) -> (u64, Timestamp) {
        (self.sequence, self.started)
    }

    /// Whether the host that made it found it suspicious. An operator may have accepted it since.
    pub fn is_marked(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| !guard.suspicious.is_empty())
    }

    fn check(&self) -> Result<()> {
        if let Some(feature) = self.features.first() {
            return Err(Error::unsupported(format!("the snapshot needs the feature `{feature}`"))
                .hinted("a newer dozo wrote it: update this one"));
        }
        let segments = &self.manifest.segments;
        let entries: u64 = segments.iter().map(|s| u64::from(s.entries)).sum();
        let ordered =
            segments.is_sorted_by(|a, b| b.entries == 0 || a.entries == 0 || path::compare(&a.first, &b.first).is_lt());
        let bounded = segments.iter().all(|s| s.bytes as usize <= CHUNK_BYTES_MAX);
        if entries != self.manifest.totals.entries || !ordered || !bounded || segments.is_empty() {
            return Err(Error::corrupt("the snapshot's manifest does not add up"));
        }
        if !self.timezone.as_deref().is_none_or(is_zone_name) {
            return Err(Error::corrupt("the snapshot's time zone is not the name of one"));
        }
        if self.guard.as_ref().and_then(|guard| guard.limit).is_some_and(|limit| !(1..=99).contains(&limit)) {
            return Err(Error::corrupt("the snapshot's guard is not a percentage"));
        }
        Ok(())
    }
}

/// Whether this can be the name of a time zone, such as `Asia/Tokyo` or `+09:00`. Whether there is one of that name, each
/// machine knows for itself.
fn is_zone_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/_+-:".contains(&b);
    (1..=ZONE_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let segment =
            |first: &str, entries| Segment { chunk: ChunkId([1; 32]), bytes: 10, entries, first: first.into() };
        Snapshot {
            schema: Snapshot::SCHEMA.into(),
            features: vec![],
            host: Named { uid: HostUid([1; 8]), name: "db-1".into() },
            job: Named { uid: JobUid([2; 16]), name: "files".into() },
            sequence: 1,
            plugin: PluginStamp { name: "filesystem".into(), version: "0.1.0".into(), digest: ObjectId::of(b"p") },
            source: Some("fs".into()),
            scope: Scope::Full,
            started: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
            timezone: Some("Asia/Tokyo".into()),
            status: Status::Partial,
            omitted: vec![("a".into(), "denied".into())],
            omitted_count: 1,
            manifest: Manifest {
                segments: vec![segment("a", 2), segment("b", 1)],
                totals: Totals { entries: 3, bytes: u64::MAX },
            },
            attributes: vec![],
            answers: vec![],
            tags: vec![],
            previous: None,
            guard: Some(Guard { limit: Some(50), against: None, suspicious: vec!["it is smaller".into()] }),
            stored: Stored::default(),
        }
    }

    #[test]
    fn a_snapshot_comes_back() {
        let made = snapshot();
        assert_eq!(Snapshot::parse(&made.to_body()).unwrap(), made);
    }

    #[test]
    fn snapshots_that_lie_are_refused() {
        let good = String::from_utf8(snapshot().to_body()).unwrap();
        for (from, to) in [
            ("snapshot/1", "snapshot/2"),
            (r#""features":[]"#, r#""features":["cold"]"#),
            (r#""entries":"3""#, r#""entries":"4""#),
            (r#""first":"b""#, r#""first":"a""#),
            (r#""bytes":10"#, r#""bytes":99999999"#),
            ("Asia/Tokyo", ""),
            ("Asia/Tokyo", "Asia/\\u001b[2J"),
            (r#""limit":50"#, r#""limit":100"#),
        ] {
            assert!(good.contains(from), "{from}");
            assert!(Snapshot::parse(good.replacen(from, to, 1).as_bytes()).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn fields_of_the_future_are_ignored() {
        let good = String::from_utf8(snapshot().to_body()).unwrap();
        let newer = good.replacen('{', r#"{"weather":"fine","#, 1);
        assert_eq!(Snapshot::parse(newer.as_bytes()).unwrap(), snapshot());
    }

    #[test]
    fn a_snapshot_without_a_zone_is_read() {
        let good = String::from_utf8(snapshot().to_body()).unwrap();
        let older = good.replacen(r#""timezone":"Asia/Tokyo","#, "", 1);
        assert_ne!(older, good);
        assert_eq!(Snapshot::parse(older.as_bytes()).unwrap(), Snapshot { timezone: None, ..snapshot() });
    }
}
