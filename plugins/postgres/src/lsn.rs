//! Positions in the WAL, and the segments that hold it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A position in the WAL, in bytes from its beginning. Written as two hexadecimal numbers, `16/B374D848`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Lsn(pub(crate) u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl FromStr for Lsn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |digits: &str| {
            let hex = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            hex.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
        };
        let parts = text.split_once('/').and_then(|(high, low)| Some((part(high)?, part(low)?)));
        let (high, low) = parts.ok_or_else(|| format!("`{text}` is no position in the WAL, such as 16/B374D848"))?;
        Ok(Lsn(high << 32 | low))
    }
}

impl TryFrom<String> for Lsn {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> String {
        lsn.to_string()
    }
}

impl Lsn {
    /// Where the next record will be, the server tells behind the header of the page on which that is; as long as there is
    /// none, the header is not written.
    pub(crate) fn before_page_header(self, segment_bytes: u64) -> Lsn {
        const PAGE: u64 = 8192;
        let header = if self.0 % segment_bytes < PAGE { 40 } else { 24 };
        if self.0 % PAGE == header { Lsn(self.0 - header) } else { self }
    }

    /// Where the segment begins that holds this position.
    pub(crate) fn segment_start(self, segment_bytes: u64) -> Lsn {
        Lsn(self.0 - self.0 % segment_bytes)
    }
}

/// A segment of the WAL, as a file of `pg_wal` is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Segment {
    /// The timeline whose segment it is.
    pub(crate) timeline: u32,
    /// Where it begins.
    pub(crate) start: Lsn,
}

impl Segment {
    /// Its file's name: timeline, and number in two parts, each of eight hexadecimal digits.
    pub(crate) fn name(self, segment_bytes: u64) -> String {
        let (number, each) = (self.start.0 / segment_bytes, (1 << 32) / segment_bytes);
        format!("{:08X}{:08X}{:08X}", self.timeline, number / each, number % each)
    }

    /// The segment of a file's name; none if it is another file.
    pub(crate) fn parse(name: &str, segment_bytes: u64) -> Option<Self> {
        if name.len() != 24 || !name.bytes().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte)) {
            return None;
        }
        let part = |at: usize| u64::from_str_radix(&name[at..at + 8], 16).ok();
        let (timeline, high, low, each) = (part(0)?, part(8)?, part(16)?, (1 << 32) / segment_bytes);
        let start = high.checked_mul(each)?.checked_add(low)?.checked_mul(segment_bytes)?;
        (low < each).then_some(Segment { timeline: u32::try_from(timeline).ok()?, start: Lsn(start) })
    }
}

/// The name of a timeline's history file.
pub(crate) fn history_name(timeline: u32) -> String {
    format!("{timeline:08X}.history")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_and_written_as_the_server_does() {
        let lsn: Lsn = "16/B374D848".parse().unwrap();
        assert_eq!((lsn, lsn.to_string()), (Lsn(0x16_B374_D848), "16/B374D848".to_string()));
        assert_eq!("0/0".parse(), Ok(Lsn(0)));
        for wrong in ["", "/", "1", "1/", "/1", "1/2/3", "+1/2", "1/123456789", "g/0", "1 /2"] {
            assert!(wrong.parse::<Lsn>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_header_of_an_empty_page_is_not_waited_for() {
        let before = |at: u64| Lsn(at).before_page_header(16 << 20).0;
        assert_eq!([before(0x600_0028), before(0x600_2018), before(0x600_2028)], [0x600_0000, 0x600_2000, 0x600_2028]);
        assert_eq!([before(0x600_0018), before(0x600_0100)], [0x600_0018, 0x600_0100]);
    }

    #[test]
    fn segments_have_the_names_of_their_files() {
        for segment_bytes in [1 << 20, 16 << 20, 1 << 30] {
            for start in [0, 5 << 30, 7 << 32, (7 << 32) + (1 << 30)] {
                let segment = Segment { timeline: 0x1F, start: Lsn(start) };
                assert_eq!(Segment::parse(&segment.name(segment_bytes), segment_bytes), Some(segment));
            }
        }
        let name = Segment { timeline: 1, start: Lsn(0x1_0500_0000) }.name(16 << 20);
        assert_eq!(name, "000000010000000100000005");
        for other in ["00000001.history", "00000001000000010000000g", "000000010000000100000100", "archive_status"] {
            assert_eq!(Segment::parse(other, 16 << 20), None, "{other}");
        }
    }
}
