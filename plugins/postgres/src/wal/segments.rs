//! Segments in the making. They are stored as they come, since one may have a gibibyte.

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

/// Bytes that are gathered before they are stored.
const GATHERED_BYTES: usize = 256 << 10;

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
    /// Where all ends.
    to: Lsn,
    /// The segment in the making: how many bytes of it have come, and their CRC-32C.
    start: Lsn,
    come: u64,
    crc: Crc32c,
    /// Its entry, and bytes that are still to be stored in it; none if it stays as it is in the previous snapshot.
    open: Option<(Writer, Vec<u8>)>,
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
    /// Segments of a timeline, from the beginning of one on, to a position.
    pub(crate) fn begin(
        backup: &'a Backup,
        segment_bytes: u64,
        (from, to): (Segment, Lsn),
        (known, time): (Vec<Known>, Timestamp),
    ) -> Self {
        Segments {
            backup,
            segment_bytes,
            time,
            timeline: from.timeline,
            records: Records::new(segment_bytes, from.start.0),
            to,
            start: from.start,
            come: 0,
            crc: Crc32c::new(),
            open: None,
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
        Lsn(self.start.0 + self.come)
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
            let (through, room) = (self.through(), self.segment_bytes - self.come);
            // No further than to where the known ends, so that the CRC until there is seen.
            let until_known = self.known.front().and_then(|known| known.through.0.checked_sub(through.0));
            let most = room.min(until_known.filter(|bytes| *bytes > 0).unwrap_or(room));
            let (now, later) = bytes.split_at(usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len()));
            self.records.feed(now).map_err(|e| e.context(&format!("the WAL at {through}")))?;
            self.store(now)?;
            self.crc.update(now);
            self.come += now.len() as u64;
            bytes = later;
            self.is_known()?;
            if self.come == self.segment_bytes {
                self.end_segment()?;
            }
        }
        Ok(())
    }

    /// Holds what has come against what was known of it, segment by segment, as soon as that is all there.
    fn is_known(&mut self) -> Result<(), Failure> {
        let through = self.through();
        let Some(known) = self.known.front().copied().filter(|known| known.through <= through) else {
            return Ok(());
        };
        self.known.pop_front();
        let same = (known.start, known.through) == (self.start, through) && self.crc.clone().finish() == known.crc;
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
        if self.come == 0 { Ok(()) } else { self.end_segment() }
    }

    /// The segment in the making is not to be: its WAL is not what it should be.
    pub(crate) fn cancel(mut self) {
        if let Some((writer, _)) = self.open.take() {
            writer.cancel();
        }
    }

    fn end_segment(&mut self) -> Result<(), Failure> {
        let found = self.records.take_found();
        self.note(&found)?;
        self.close(&found)?;
        let whole = self.come == self.segment_bytes;
        self.start = if whole { Lsn(self.start.0 + self.segment_bytes) } else { self.start };
        (self.come, self.crc) = (0, Crc32c::new());
        Ok(())
    }

    /// What of a segment is remembered elsewhere than in its entry.
    fn note(&mut self, found: &Found) -> Result<(), Failure> {
        if let Some(parameters) = found.parameters.iter().find(|parameters| parameters.is_minimal) {
            let at = Lsn(parameters.lsn);
            return Err(Failure::Gap(format!("the server ran with wal_level = minimal from {at} on")));
        }
        self.tail.push(Known { start: self.start, through: self.through(), crc: self.crc.clone().finish() });
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

    fn name(&self) -> String {
        Segment { timeline: self.timeline, start: self.start }.name(self.segment_bytes)
    }

    /// Stores bytes of a segment, which begins with the first.
    fn store(&mut self, bytes: &[u8]) -> Result<()> {
        let end = Lsn(self.start.0 + self.segment_bytes);
        if self.open.is_none() && end > self.known_through {
            let entry = self.backup.file(path(&self.name())).size(self.segment_bytes).modified(self.time);
            let entry = entry.version(end.min(self.to).to_string()).fixed_chunks(CHUNK_BYTES);
            self.open = Some((entry.create(), Vec::with_capacity(GATHERED_BYTES)));
        }
        let Some((writer, gathered)) = &mut self.open else { return Ok(()) };
        gathered.extend_from_slice(bytes);
        if gathered.len() >= GATHERED_BYTES {
            writer.write_all(gathered)?;
            gathered.clear();
        }
        Ok(())
    }

    /// The entry of the segment is whole: what is missing of it are zeros.
    fn close(&mut self, found: &Found) -> Result<()> {
        let Some((mut writer, gathered)) = self.open.take() else { return Ok(()) };
        writer.write_all(&gathered)?;
        let (zeros, mut missing) = (vec![0; GATHERED_BYTES], self.segment_bytes - self.come);
        while missing > 0 {
            let piece = usize::try_from(missing).unwrap_or(usize::MAX).min(zeros.len());
            writer.write_all(&zeros[..piece])?;
            missing -= piece as u64;
        }
        writer.set_attribute(RECORDS_END, &self.whole().to_string())?;
        if let Some((first, last)) = found.first_commit.zip(found.last_commit) {
            writer.set_attribute(COMMITS, &format!("{first}..{last}"))?;
        }
        writer.finish()?;
        self.stored.push(self.name());
        Ok(())
    }
}
