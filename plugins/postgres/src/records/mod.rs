//! Walks through WAL as it comes, record by record, as the server does when it recovers (access/xlogreader.c). Every byte is
//! held against a CRC; no record is held whole.

mod found;
mod header;
#[cfg(test)]
mod tests;

use dozo_sdk::{Error, Result};

use crate::crc32c::Crc32c;
use crate::lsn::Lsn;
pub(crate) use found::Found;
use header::{PAGE, PageHeader, RECORD_HEADER, RECORD_HEADER_COVERED, RecordHeader};

/// Records begin at multiples of it.
const ALIGNMENT: u64 = 8;

/// WAL on its way, from the beginning of a segment.
pub(crate) struct Records {
    segment_bytes: u64,
    /// Where the next byte belongs.
    at: u64,
    place: Place,
    /// As much of a page's header as has come.
    page: Vec<u8>,
    /// What all pages begin with.
    magic: Option<u16>,
    record: Record,
    /// Where the last whole record began.
    previous: Option<u64>,
    /// Where it ended.
    end: u64,
    found: Found,
}

/// Where in the WAL the next byte is, if it is not in the header of a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Where all begins.
    Start,
    /// Behind a record, where padding may be, or the next record.
    Between,
    /// In a record.
    Record,
    /// In a record that began before we did, of which so much is left.
    Stranger { left: u64 },
    /// Behind the record with which a server leaves a segment. What follows in it is nothing.
    Left,
    /// Behind all records: only zeros follow.
    Over,
}

/// The record that is on its way.
struct Record {
    /// Where it begins.
    at: u64,
    /// As much of its header as has come.
    header: Vec<u8>,
    /// Bytes of its body that have come.
    body_bytes: u64,
    crc: Crc32c,
    /// The beginning of its body, if that tells something.
    body: Vec<u8>,
    is_telling: bool,
}

impl Records {
    /// WAL in segments of a length, from the beginning of one on. It may begin in the middle of a record.
    pub(crate) fn new(segment_bytes: u64, start: u64) -> Self {
        let record = Record::new(start);
        Records {
            // Whatever it is: no shorter, and the first header will tell.
            segment_bytes: segment_bytes.max(PAGE),
            at: start,
            place: Place::Start,
            page: Vec::new(),
            magic: None,
            record,
            previous: None,
            end: start,
            found: Found::default(),
        }
    }

    /// The bytes that follow, as many as there are.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if this is not WAL as a server writes it. Nothing can be read behind an error.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            self.step(&mut bytes)?;
        }
        Ok(())
    }

    /// Where the last whole record ends, as an LSN that the server may have told; where all began, if there is none yet.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// What was found since somebody last asked.
    pub(crate) fn take_found(&mut self) -> Found {
        std::mem::take(&mut self.found)
    }

    /// Reads at least one byte, and no further than to the end of what the byte belongs to.
    fn step(&mut self, bytes: &mut &[u8]) -> Result<()> {
        match self.place {
            Place::Left => {
                self.leave(bytes);
                return Ok(());
            }
            Place::Over => return self.zeros(bytes),
            _ => {}
        }
        let (offset, header) = (self.at % PAGE, header::page_header_bytes(self.at, self.segment_bytes));
        if offset < header {
            return self.page(bytes, header);
        }
        let on_page = PAGE - offset;
        match self.place {
            Place::Between if !self.at.is_multiple_of(ALIGNMENT) => {
                let padding = ALIGNMENT - self.at % ALIGNMENT;
                self.take(bytes, padding);
                Ok(())
            }
            Place::Between => {
                self.record.begin(self.at);
                self.place = Place::Record;
                self.record(bytes, on_page)
            }
            Place::Stranger { left } => {
                self.stranger(bytes, left, on_page);
                Ok(())
            }
            _ => self.record(bytes, on_page),
        }
    }

    /// Takes up to so many bytes away from the front.
    fn take<'a>(&mut self, bytes: &mut &'a [u8], most: u64) -> &'a [u8] {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
        let (taken, rest) = bytes.split_at(most);
        *bytes = rest;
        self.at = self.at.wrapping_add(taken.len() as u64);
        taken
    }

    /// In the header of a page.
    fn page(&mut self, bytes: &mut &[u8], header_bytes: u64) -> Result<()> {
        let missing = header_bytes.saturating_sub(self.page.len() as u64);
        let piece = self.take(bytes, missing);
        self.page.extend_from_slice(piece);
        if (self.page.len() as u64) < header_bytes {
            return Ok(());
        }
        let at = self.at.wrapping_sub(header_bytes);
        let header = PageHeader::read(&self.page, at, self.segment_bytes)?;
        self.page.clear();
        let wrong = |what: &str| Err(Error::Corrupt(format!("the page at {} {what}", Lsn(at))));
        if *self.magic.get_or_insert(header.magic) != header.magic {
            return wrong("is of another version of the server than those before");
        }
        let left = match self.place {
            Place::Record => self.record.left(),
            Place::Stranger { left } => left,
            _ => 0,
        };
        self.place = match (self.place, header.continued) {
            // A server that crashed in the middle of a record went on here with another.
            _ if header.overwritten => Place::Between,
            (Place::Start, None) => Place::Between,
            (Place::Start, Some(0)) => return wrong("goes on with a record of which nothing is left"),
            (Place::Start, Some(left)) => Place::Stranger { left: left.into() },
            (place, Some(continued)) if left > 0 && left == u64::from(continued) => place,
            (place, None) if left == 0 => place,
            _ => return wrong("does not go on with the record before it"),
        };
        Ok(())
    }

    /// In a record that began before we did: there is nothing to hold it against.
    fn stranger(&mut self, bytes: &mut &[u8], left: u64, on_page: u64) {
        let left = left - self.take(bytes, left.min(on_page)).len() as u64;
        self.place = Place::Stranger { left };
        if left == 0 {
            (self.place, self.end) = (Place::Between, aligned(self.at));
        }
    }

    /// In a record, on one page.
    fn record(&mut self, bytes: &mut &[u8], on_page: u64) -> Result<()> {
        if self.record.header.len() == RECORD_HEADER {
            let piece = self.take(bytes, self.record.left().min(on_page));
            self.record.take_in(piece);
        } else {
            let missing = (RECORD_HEADER - self.record.header.len()) as u64;
            let piece = self.take(bytes, missing.min(on_page));
            self.record.header.extend_from_slice(piece);
            if !self.record_header()? {
                return Ok(());
            }
        }
        if self.record.left() == 0 { self.complete() } else { Ok(()) }
    }

    /// Looks at as much of a record's header as has come. Whether that is all of it.
    fn record_header(&mut self) -> Result<bool> {
        let (at, come) = (self.record.at, self.record.header.len());
        let wrong = |what: &str| Err(Error::Corrupt(format!("the record at {} {what}", Lsn(at))));
        let header = RecordHeader::read(&self.record.header);
        if come < 4 {
            return Ok(false);
        }
        if header.bytes == 0 {
            self.place = Place::Over;
            return if self.record.header.iter().all(|byte| *byte == 0) { Ok(false) } else { wrong("has no length") };
        }
        if (header.bytes as usize) < RECORD_HEADER {
            return wrong(&format!("has a length of {} bytes, which is none", header.bytes));
        }
        if come < RECORD_HEADER {
            return Ok(false);
        }
        match self.previous {
            Some(previous) if previous != header.previous => {
                let [said, previous] = [Lsn(header.previous), Lsn(previous)];
                return wrong(&format!("says that the one before it is at {said}, and that is at {previous}"));
            }
            None if header.previous >= at => return wrong("says that the one before it comes behind it"),
            _ => {}
        }
        self.record.is_telling = found::is_telling(&header);
        Ok(true)
    }

    /// Behind a record.
    fn complete(&mut self) -> Result<()> {
        let header = RecordHeader::read(&self.record.header);
        self.record.crc.update(&self.record.header[..RECORD_HEADER_COVERED]);
        if self.record.crc.finish() != header.crc {
            return Err(Error::Corrupt(format!("the record at {} is not what its CRC says", Lsn(self.record.at))));
        }
        (self.previous, self.end) = (Some(self.record.at), aligned(self.at));
        if self.record.is_telling {
            self.found.take_in(&header, &self.record.body, (self.record.at, self.end));
        }
        let leaves = found::is_switch(&header) && !self.end.is_multiple_of(self.segment_bytes);
        self.place = if leaves { Place::Left } else { Place::Between };
        Ok(())
    }

    /// In a segment that the server left: its end is where the next record can be.
    fn leave(&mut self, bytes: &mut &[u8]) {
        let left = self.segment_bytes - self.at % self.segment_bytes;
        if self.take(bytes, left).len() as u64 == left {
            (self.place, self.end) = (Place::Between, self.at);
        }
    }

    /// Behind all records.
    fn zeros(&mut self, bytes: &mut &[u8]) -> Result<()> {
        let piece = self.take(bytes, u64::MAX);
        if piece.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        Err(Error::Corrupt(format!("there is something behind {}, where the WAL ends", Lsn(self.record.at))))
    }
}

impl Record {
    fn new(at: u64) -> Self {
        let (header, body) = (Vec::with_capacity(RECORD_HEADER), Vec::with_capacity(found::KEPT));
        Record { at, header, body_bytes: 0, crc: Crc32c::new(), body, is_telling: false }
    }

    /// Another one.
    fn begin(&mut self, at: u64) {
        (self.at, self.body_bytes, self.crc) = (at, 0, Crc32c::new());
        self.header.clear();
        self.body.clear();
    }

    /// Bytes that have not come yet. Its length must have.
    fn left(&self) -> u64 {
        let bytes = u32::from_le_bytes(header::array(&self.header, 0));
        u64::from(bytes).saturating_sub(self.header.len() as u64 + self.body_bytes)
    }

    /// A piece of its body.
    fn take_in(&mut self, piece: &[u8]) {
        self.crc.update(piece);
        self.body_bytes += piece.len() as u64;
        if self.is_telling {
            let room = found::KEPT - self.body.len();
            self.body.extend_from_slice(&piece[..piece.len().min(room)]);
        }
    }
}

/// The next place where a record may begin.
fn aligned(at: u64) -> u64 {
    at.wrapping_add(at.wrapping_neg() % ALIGNMENT)
}
