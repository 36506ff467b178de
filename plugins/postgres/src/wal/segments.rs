//! Segments in the making. What a segment's entry says of its content is known when it is whole, so one is held in memory.

use dozo_sdk::Timestamp;
use dozo_sdk::prelude::*;

use super::{COMMITS, RECORDS_END, path};
use crate::chain::RestorePoint;
use crate::lsn::{Lsn, Segment};
use crate::records::{Found, Records};

/// Pieces in which a segment is stored: one that grew is stored anew from the piece on that grew.
const CHUNK_BYTES: u32 = 1 << 20;

/// Where received WAL goes.
pub(crate) struct Segments<'a> {
    backup: &'a Backup,
    segment_bytes: u64,
    /// When it is received, by the server's clock.
    time: Timestamp,
    timeline: u32,
    records: Records,
    /// The segment in the making.
    start: Lsn,
    bytes: Vec<u8>,
    /// Names of those that are stored.
    pub(crate) stored: Vec<String>,
    pub(crate) restore_points: Vec<RestorePoint>,
}

impl<'a> Segments<'a> {
    /// Segments of a timeline, from the beginning of one on.
    pub(crate) fn begin(backup: &'a Backup, segment_bytes: u64, from: Segment, time: Timestamp) -> Self {
        Segments {
            backup,
            segment_bytes,
            time,
            timeline: from.timeline,
            records: Records::new(segment_bytes, from.start.0),
            start: from.start,
            bytes: Vec::new(),
            stored: Vec::new(),
            restore_points: Vec::new(),
        }
    }

    /// Where the next byte belongs.
    pub(crate) fn through(&self) -> Lsn {
        Lsn(self.start.0 + self.bytes.len() as u64)
    }

    /// Where the last whole record ends.
    pub(crate) fn whole(&self) -> Lsn {
        Lsn(self.records.end())
    }

    /// The next bytes.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = usize::try_from(self.segment_bytes).unwrap_or(usize::MAX) - self.bytes.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.records.feed(now).map_err(|e| e.context(&format!("the WAL at {}", self.through())))?;
            self.bytes.extend_from_slice(now);
            bytes = later;
            if self.bytes.len() as u64 == self.segment_bytes {
                self.store()?;
            }
        }
        Ok(())
    }

    /// The last segment as far as it goes: what is missing of it are zeros, as in the server's own file.
    pub(crate) fn finish(&mut self) -> Result<()> {
        if self.bytes.is_empty() { Ok(()) } else { self.store() }
    }

    fn store(&mut self) -> Result<()> {
        let Found { first_commit, last_commit, restore_points } = self.records.take_found();
        let segment = Segment { timeline: self.timeline, start: self.start };
        let name = segment.name(self.segment_bytes);
        let mut entry = self.backup.file(path(&name)).size(self.segment_bytes).modified(self.time);
        entry = entry.version(self.through().to_string()).fixed_chunks(CHUNK_BYTES);
        entry = entry.attribute(RECORDS_END, &self.whole().to_string());
        if let Some((first, last)) = first_commit.zip(last_commit) {
            entry = entry.attribute(COMMITS, &format!("{first}..{last}"));
        }
        let found = restore_points.into_iter();
        self.restore_points.extend(found.map(|point| RestorePoint {
            name: point.name,
            at: Lsn(point.lsn),
            time: point.time,
        }));
        let whole = self.bytes.len() as u64 == self.segment_bytes;
        let next = if whole { Lsn(self.start.0 + self.segment_bytes) } else { self.start };
        self.bytes.resize(usize::try_from(self.segment_bytes).unwrap_or(usize::MAX), 0);
        entry.write(&self.bytes)?;
        self.stored.push(name);
        self.bytes.clear();
        self.start = next;
        Ok(())
    }
}
