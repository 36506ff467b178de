//! Headers in the WAL: of its pages (access/xlog_internal.h) and of its records (access/xlogrecord.h). Numbers have their low
//! byte first.

use dozo_sdk::{Error, Result};

use crate::lsn::Lsn;

/// Bytes of a page.
pub(super) const PAGE: u64 = 8192;
/// What pages begin with, from version 14 of the server to version 18.
const MAGICS: [u16; 5] = [0xD10D, 0xD110, 0xD113, 0xD116, 0xD118];

/// Bytes of a page's header: long on the first page of a segment.
const PAGE_HEADER: u64 = 24;
const LONG_PAGE_HEADER: u64 = 40;
/// Flags in it.
const FIRST_IS_CONTINUED: u16 = 1;
const LONG: u16 = 2;
const FIRST_IS_OVERWRITTEN: u16 = 8;
const FLAGS: u16 = 15;

/// Bytes of a record's header.
pub(super) const RECORD_HEADER: usize = 24;
/// Those that its CRC covers.
pub(super) const RECORD_HEADER_COVERED: usize = 20;

/// How many bytes of the page that holds this place are its header.
pub(super) fn page_header_bytes(at: u64, segment_bytes: u64) -> u64 {
    if at % segment_bytes < PAGE { LONG_PAGE_HEADER } else { PAGE_HEADER }
}

/// The header of a page.
pub(super) struct PageHeader {
    /// Which version of the server wrote it.
    pub(super) magic: u16,
    /// How many bytes of a record that began before are still to come.
    pub(super) continued: Option<u32>,
    /// Whether a record that began before has no end, because the server crashed. Another begins here.
    pub(super) overwritten: bool,
}

impl PageHeader {
    /// Reads the whole header of the page at this place.
    pub(super) fn read(header: &[u8], at: u64, segment_bytes: u64) -> Result<Self> {
        let wrong = |what: &str| Error::Corrupt(format!("the page at {} {what}", Lsn(at)));
        let (magic, flags) = (u16::from_le_bytes(array(header, 0)), u16::from_le_bytes(array(header, 2)));
        if !MAGICS.contains(&magic) {
            return Err(wrong(&format!("begins with {magic:04X}, which is no WAL of PostgreSQL 14 to 18")));
        }
        let is_long = at.is_multiple_of(segment_bytes);
        if flags & !FLAGS != 0 || (flags & LONG != 0) != is_long {
            return Err(wrong(&format!("has the flags {flags:04X}, which it cannot have")));
        }
        let address = Lsn(u64::from_le_bytes(array(header, 8)));
        if address != Lsn(at) {
            return Err(wrong(&format!("says that it belongs to {address}")));
        }
        if is_long {
            let [segment, page] = [32, 36].map(|at| u64::from(u32::from_le_bytes(array(header, at))));
            if (segment, page) != (segment_bytes, PAGE) {
                return Err(wrong(&format!("is of WAL in segments of {segment} bytes and pages of {page}")));
            }
        }
        let continued = (flags & FIRST_IS_CONTINUED != 0).then(|| u32::from_le_bytes(array(header, 16)));
        Ok(PageHeader { magic, continued, overwritten: flags & FIRST_IS_OVERWRITTEN != 0 })
    }
}

/// The header of a record.
#[derive(Clone, Copy)]
pub(super) struct RecordHeader {
    /// Bytes of the record, with this header.
    pub(super) bytes: u32,
    /// Where the record before it begins.
    pub(super) previous: u64,
    /// What it is, for its manager; some bits have a meaning of their own.
    pub(super) info: u8,
    /// Which part of the server wrote it.
    pub(super) manager: u8,
    pub(super) crc: u32,
}

impl RecordHeader {
    /// Reads a header of which all has come; what has not is taken for zeros.
    pub(super) fn read(header: &[u8]) -> Self {
        let [info, manager] = array(header, 16);
        RecordHeader {
            bytes: u32::from_le_bytes(array(header, 0)),
            previous: u64::from_le_bytes(array(header, 8)),
            info,
            manager,
            crc: u32::from_le_bytes(array(header, 20)),
        }
    }
}

/// The bytes from here on; zeros if there are not so many.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}
