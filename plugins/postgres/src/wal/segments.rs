//! Segments in the making. What a segment's entry says of its content is known when it is whole, so one is held in memory.

use dozo_sdk::Timestamp;
use dozo_sdk::prelude::*;

use super::receive::Known;
use super::{COMMITS, RECORDS_END, path};
use crate::chain::RestorePoint;
use crate::crc32c::Crc32c;
use crate::failure::Failure;
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
    /// What the first segment must begin with.
    known: Option<Known>,
    /// CRC-32C of the segment that was stored last, as far as it went.
    pub(crate) tail: Option<u32>,
    /// Names of those that are stored.
    pub(crate) stored: Vec<String>,
    pub(crate) restore_points: Vec<RestorePoint>,
}

impl<'a> Segments<'a> {
    /// Segments of a timeline, from the beginning of one on.
    pub(crate) fn begin(
        backup: &'a Backup,
        segment_bytes: u64,
        from: Segment,
        (known, time): (Option<Known>, Timestamp),
    ) -> Self {
        Segments {
            backup,
            segment_bytes,
            time,
            timeline: from.timeline,
            records: Records::new(segment_bytes, from.start.0),
            start: from.start,
            bytes: Vec::new(),
            known,
            tail: None,
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
    ///
    /// # Errors
    /// [`Failure::Gap`] if they are not those that were known.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let room = usize::try_from(self.segment_bytes).unwrap_or(usize::MAX) - self.bytes.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.records.feed(now).map_err(|e| e.context(&format!("the WAL at {}", self.through())))?;
            self.bytes.extend_from_slice(now);
            bytes = later;
            self.is_known()?;
            if self.bytes.len() as u64 == self.segment_bytes {
                self.store()?;
            }
        }
        Ok(())
    }

    /// Holds what has come of the first segment against what was known of it, as soon as that is all there.
    fn is_known(&mut self) -> Result<(), Failure> {
        let Some(known) = self.known.filter(|known| known.through <= self.through()) else { return Ok(()) };
        self.known = None;
        let length = usize::try_from(known.through.0 - self.start.0).unwrap_or(usize::MAX);
        let same = self.bytes.get(..length).is_some_and(|bytes| crc(bytes) == known.crc);
        if same {
            return Ok(());
        }
        let through = known.through;
        Err(Failure::Gap(format!(
            "the server's WAL before {through} is not what was backed up: it was put back to an older state, or is a copy"
        )))
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
        self.tail = Some(crc(&self.bytes));
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

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc32c::new();
    crc.update(bytes);
    crc.finish()
}
