//! Segments in the making. What a segment's entry says of its content is known when it is whole, so one is held in memory.

use std::collections::VecDeque;

use dozo_sdk::Timestamp;
use dozo_sdk::prelude::*;

use super::{COMMITS, RECORDS_END, path};
use crate::chain::{Finds, Known, Least, Made, RestorePoint};
use crate::crc32c::Crc32c;
use crate::failure::Failure;
use crate::lsn::{Lsn, Segment};
use crate::records::{Found, Records};
use crate::server::Micros;

/// Pieces in which a segment is stored: one that grew is stored anew from the piece on that grew.
const CHUNK_BYTES: u32 = 1 << 20;

/// Segments without a transaction that are held against what was known, at most.
const TAIL: usize = 16;

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
    /// What the first segments must be.
    known: VecDeque<Known>,
    /// How far WAL is backed up: segments that end before are in the previous snapshot, and stay as they are there.
    known_through: Lsn,
    /// The segments from that on in which the last transaction ended.
    tail: Vec<Known>,
    pub(crate) last_commit: Option<Micros>,
    /// Names of those that are stored.
    pub(crate) stored: Vec<String>,
    pub(crate) finds: Finds,
}

impl<'a> Segments<'a> {
    /// Segments of a timeline, from the beginning of one on.
    pub(crate) fn begin(
        backup: &'a Backup,
        segment_bytes: u64,
        from: Segment,
        (known, time): (Vec<Known>, Timestamp),
    ) -> Self {
        Segments {
            backup,
            segment_bytes,
            time,
            timeline: from.timeline,
            records: Records::new(segment_bytes, from.start.0),
            start: from.start,
            bytes: Vec::new(),
            known_through: known.last().map_or(Lsn(0), |known| known.through),
            known: known.into(),
            tail: Vec::new(),
            last_commit: None,
            stored: Vec::new(),
            finds: Finds::default(),
        }
    }

    /// What the next run holds against what it receives.
    pub(crate) fn tail(&mut self) -> Vec<Known> {
        std::mem::take(&mut self.tail)
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
                self.end_segment()?;
            }
        }
        Ok(())
    }

    /// Holds what has come against what was known of it, segment by segment, as soon as that is all there.
    fn is_known(&mut self) -> Result<(), Failure> {
        let Some(known) = self.known.front().copied().filter(|known| known.through <= self.through()) else {
            return Ok(());
        };
        self.known.pop_front();
        let length = usize::try_from(known.through.0.saturating_sub(self.start.0)).unwrap_or(usize::MAX);
        let same = known.start == self.start && self.bytes.get(..length).is_some_and(|bytes| crc(bytes) == known.crc);
        if same {
            return Ok(());
        }
        let through = known.through;
        Err(Failure::Gap(format!(
            "the server's WAL before {through} is not what was backed up: it was put back to an older state, or is a copy"
        )))
    }

    /// The last segment as far as it goes: what is missing of it are zeros, as in the server's own file.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        if self.bytes.is_empty() { Ok(()) } else { self.end_segment() }
    }

    fn end_segment(&mut self) -> Result<(), Failure> {
        let found = self.records.take_found();
        self.note(&found)?;
        let end = Lsn(self.start.0 + self.segment_bytes);
        let whole = self.bytes.len() as u64 == self.segment_bytes;
        if end > self.known_through {
            self.store(&found)?;
        }
        self.bytes.clear();
        self.start = if whole { end } else { self.start };
        Ok(())
    }

    /// What of a segment is remembered elsewhere than in its entry.
    fn note(&mut self, found: &Found) -> Result<(), Failure> {
        if let Some(parameters) = found.parameters.iter().find(|parameters| parameters.is_minimal) {
            let at = Lsn(parameters.lsn);
            return Err(Failure::Gap(format!("the server ran with wal_level = minimal from {at} on")));
        }
        self.tail.push(Known { start: self.start, through: self.through(), crc: crc(&self.bytes) });
        if let Some(at) = found.commit_at {
            self.tail.retain(|known| known.through > Lsn(at));
        }
        let superfluous = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..superfluous);
        self.last_commit = self.last_commit.max(found.last_commit);
        let Finds { restore_points, made, least } = &mut self.finds;
        let points = found.restore_points.iter().cloned();
        restore_points.extend(points.map(|point| RestorePoint {
            name: point.name,
            at: Lsn(point.lsn),
            time: point.time,
        }));
        let spaces = found.tablespaces.iter().cloned();
        made.extend(spaces.map(|space| Made { oid: space.oid, location: space.location, at: Lsn(space.lsn) }));
        least.extend(found.parameters.iter().map(|new| Least { at: Lsn(new.lsn), values: new.least }));
        Ok(())
    }

    fn store(&mut self, found: &Found) -> Result<()> {
        let name = Segment { timeline: self.timeline, start: self.start }.name(self.segment_bytes);
        let mut entry = self.backup.file(path(&name)).size(self.segment_bytes).modified(self.time);
        entry = entry.version(self.through().to_string()).fixed_chunks(CHUNK_BYTES);
        entry = entry.attribute(RECORDS_END, &self.whole().to_string());
        if let Some((first, last)) = found.first_commit.zip(found.last_commit) {
            entry = entry.attribute(COMMITS, &format!("{first}..{last}"));
        }
        self.bytes.resize(usize::try_from(self.segment_bytes).unwrap_or(usize::MAX), 0);
        entry.write(&self.bytes)?;
        self.stored.push(name);
        Ok(())
    }
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc32c::new();
    crc.update(bytes);
    crc.finish()
}
