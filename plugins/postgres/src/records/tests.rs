use proptest::prelude::*;

use super::found::RestorePoint;
use super::*;

/// Shorter than any that a server makes.
const SEGMENT: u64 = 1 << 16;
const START: u64 = 80 * SEGMENT;
const MAGIC: u16 = 0xD116;

/// 2026-11-26 22:20:49 UTC, in microseconds since 2000 and since 1970.
const SERVER_TIME: i64 = 849_046_849_000_000;
const TIME: i64 = 1_795_731_649_000_000;

/// WAL in the making, as a server writes it.
struct Wal {
    bytes: Vec<u8>,
    previous: u64,
}

impl Wal {
    fn new() -> Self {
        Wal { bytes: vec![], previous: START - 100 }
    }

    fn at(&self) -> u64 {
        START + self.bytes.len() as u64
    }

    /// The header of a page, if one begins here.
    fn page(&mut self, flags: u16, left: usize) {
        let at = self.at();
        if !at.is_multiple_of(PAGE) {
            return;
        }
        let is_long = at.is_multiple_of(SEGMENT);
        let flags = flags | if is_long { 2 } else { 0 };
        self.bytes.extend_from_slice(&MAGIC.to_le_bytes());
        self.bytes.extend_from_slice(&flags.to_le_bytes());
        self.bytes.extend_from_slice(&1_u32.to_le_bytes());
        self.bytes.extend_from_slice(&at.to_le_bytes());
        self.bytes.extend_from_slice(&(left as u64).to_le_bytes());
        if is_long {
            self.bytes.extend_from_slice(&7_u64.to_le_bytes());
            self.bytes.extend_from_slice(&(SEGMENT as u32).to_le_bytes());
            self.bytes.extend_from_slice(&(PAGE as u32).to_le_bytes());
        }
    }

    fn align(&mut self) {
        let padding = aligned(self.at()) - self.at();
        self.bytes.extend(vec![0; padding as usize]);
    }

    /// Bytes of a record, and the headers of pages that it goes on to.
    fn spread(&mut self, mut record: &[u8]) {
        while !record.is_empty() {
            self.page(1, record.len());
            let room = (PAGE - self.at() % PAGE) as usize;
            let (now, later) = record.split_at(room.min(record.len()));
            self.bytes.extend_from_slice(now);
            record = later;
        }
    }

    /// A record; where it begins and ends.
    fn put(&mut self, manager: u8, info: u8, body: &[u8]) -> (u64, u64) {
        self.align();
        self.page(0, 0);
        let at = self.at();
        let record = record(self.previous, manager, info, body);
        self.spread(&record);
        self.align();
        self.previous = at;
        (at, self.at())
    }

    /// Leaves the segment.
    fn switch(&mut self) -> u64 {
        let (_, end) = self.put(0, 0x40, &[]);
        let left = (SEGMENT - end % SEGMENT) % SEGMENT;
        self.bytes.extend(vec![0; left as usize]);
        end
    }
}

/// A whole record, with the CRC that belongs to it.
fn record(previous: u64, manager: u8, info: u8, body: &[u8]) -> Vec<u8> {
    let bytes = (RECORD_HEADER + body.len()) as u32;
    let mut header =
        [&bytes.to_le_bytes()[..], &[1, 2, 3, 4], &previous.to_le_bytes(), &[info, manager, 0, 0]].concat();
    let mut crc = Crc32c::new();
    crc.update(body);
    crc.update(&header);
    header.extend_from_slice(&crc.finish().to_le_bytes());
    [&header, body].concat()
}

/// A body with data of its own.
fn data(data: &[u8]) -> Vec<u8> {
    match u8::try_from(data.len()) {
        Ok(len) => [&[255, len][..], data].concat(),
        Err(_) => [&[254][..], &(data.len() as u32).to_le_bytes(), data].concat(),
    }
}

fn commit(seconds: i64, more: usize) -> Vec<u8> {
    let time = SERVER_TIME + seconds * 1_000_000;
    data(&[&time.to_le_bytes()[..], &vec![7; more]].concat())
}

fn restore_point(name: &str) -> Vec<u8> {
    let mut padded = name.as_bytes().to_vec();
    padded.resize(64, 0);
    data(&[&SERVER_TIME.to_le_bytes()[..], &padded].concat())
}

/// A bit of everything, its end, and what there is to find in it.
fn everything() -> (Wal, u64, Found) {
    let mut wal = Wal::new();
    wal.page(1, 50);
    wal.bytes.extend([9; 50]);
    wal.put(10, 0, &[1; 33]);
    wal.put(1, 0x80, &commit(20, 300));
    wal.put(1, 0x20, &commit(10, 0));
    wal.put(1, 0x10, &commit(99, 0));
    wal.put(10, 0, &vec![2; 9000]);
    let (_, lsn) = wal.put(0, 0x70, &restore_point("before the deed"));
    // So long that a page ends within the header that comes next.
    let left = PAGE - wal.at() % PAGE;
    wal.put(10, 0, &vec![3; left as usize - RECORD_HEADER - 8]);
    assert_eq!(wal.at() % PAGE, PAGE - 8);
    wal.put(1, 0x30, &commit(15, 20));
    // More than a segment.
    wal.put(10, 0, &vec![4; SEGMENT as usize + 12_345]);
    wal.switch();
    let (at, end) = wal.put(1, 0x40, &commit(30, 0));
    let point = RestorePoint { name: "before the deed".into(), lsn, time: TIME };
    let commits = (Some(TIME + 10_000_000), Some(TIME + 30_000_000));
    (
        wal,
        end,
        Found {
            first_commit: commits.0,
            last_commit: commits.1,
            commit_at: Some(at),
            restore_points: vec![point],
            ..Found::default()
        },
    )
}

/// Feeds these pieces; where records end, and what was found.
fn read(pieces: &[&[u8]]) -> Result<(u64, Found)> {
    let mut records = Records::new(SEGMENT, START);
    pieces.iter().try_for_each(|piece| records.feed(piece))?;
    let end = records.end();
    assert_eq!(end, records.end());
    Ok((end, records.take_found()))
}

fn refused(bytes: &[u8]) -> String {
    read(&[bytes]).expect_err("it is wrong").message().to_string()
}

#[test]
fn wal_is_read() {
    let (wal, end, found) = everything();
    assert_eq!(read(&[&wal.bytes]).unwrap(), (end, found.clone()));
    let zeros = vec![0; 3 * PAGE as usize];
    assert_eq!(read(&[&wal.bytes, &zeros]).unwrap(), (end, found));
    assert_eq!(read(&[]).unwrap(), (START, Found::default()));
}

#[test]
fn what_was_found_is_told_once() {
    let (wal, _, found) = everything();
    let mut records = Records::new(SEGMENT, START);
    let mut told: Vec<Found> = vec![];
    for piece in wal.bytes.chunks(100) {
        records.feed(piece).unwrap();
        told.push(records.take_found());
    }
    assert_eq!(told.iter().flat_map(|found| found.restore_points.clone()).collect::<Vec<_>>(), found.restore_points);
    assert_eq!(told.iter().filter_map(|found| found.first_commit).min(), found.first_commit);
    assert_eq!(told.iter().filter(|found| found.last_commit.is_some()).count(), 4);
}

#[test]
fn the_end_is_that_of_the_last_whole_record() {
    let mut wal = Wal::new();
    let mut ends = vec![(START, START)];
    for n in 0..40 {
        let (_, end) = wal.put(10, 0, &vec![1; n * 97]);
        let padding = (RECORD_HEADER + n * 97).wrapping_neg() as u64 % ALIGNMENT;
        ends.push((end - padding, end));
    }
    let mut records = Records::new(SEGMENT, START);
    for (at, byte) in (START..).zip(&wal.bytes) {
        records.feed(&[*byte]).unwrap();
        // The end is known before the padding has come.
        let whole = ends.iter().rfind(|(whole, _)| *whole <= at + 1);
        assert_eq!(Some(records.end()), whole.map(|(_, end)| *end), "{at}");
    }
}

#[test]
fn a_record_that_fills_a_page_ends_where_the_next_begins() {
    let mut wal = Wal::new();
    let (_, end) = wal.put(10, 0, &vec![1; PAGE as usize - 40 - RECORD_HEADER]);
    assert_eq!(end, START + PAGE);
    assert_eq!(read(&[&wal.bytes]).unwrap().0, end);
    wal.put(10, 0, &[1; 8]);
    assert_eq!(read(&[&wal.bytes]).unwrap().0, end + 24 + 32);
}

#[test]
fn a_segment_that_was_left_ends_with_it() {
    let mut wal = Wal::new();
    wal.put(10, 0, &[1; 8]);
    let switched = wal.switch();
    assert_eq!(wal.at(), START + SEGMENT);
    let all = wal.bytes.len();
    assert_eq!(read(&[&wal.bytes[..all - 1]]).unwrap().0, switched);
    assert_eq!(read(&[&wal.bytes]).unwrap().0, START + SEGMENT);
    // Whatever stands there.
    let mut bytes = wal.bytes.clone();
    bytes[all - 5000..].fill(3);
    assert_eq!(read(&[&bytes]).unwrap().0, START + SEGMENT);
    // One that is left with its last byte.
    let mut wal = Wal::new();
    let pages = (SEGMENT / PAGE - 1) * (PAGE - 24) + PAGE - 40;
    wal.put(10, 0, &vec![1; pages as usize - RECORD_HEADER - RECORD_HEADER]);
    assert_eq!(wal.switch(), START + SEGMENT);
    let (_, end) = wal.put(10, 0, &[]);
    assert_eq!(read(&[&wal.bytes]).unwrap().0, end);
}

#[test]
fn a_record_without_an_end_is_passed_over() {
    let mut wal = Wal::new();
    wal.put(10, 0, &[1; 100]);
    let before = wal.previous;
    wal.put(10, 0, &vec![2; 20_000]);
    // The server crashed when two pages were written, and went on with the third.
    wal.bytes.truncate(2 * PAGE as usize);
    wal.previous = before;
    wal.page(8, 0);
    let (_, end) = wal.put(0, 0xD0, &data(&[0; 16]));
    assert_eq!(read(&[&wal.bytes]).unwrap().0, end);
    // Also if it began before all that we see.
    let mut wal = Wal::new();
    wal.page(1, 20_000);
    wal.bytes.resize(PAGE as usize, 5);
    wal.page(8, 0);
    let (_, end) = wal.put(0, 0xD0, &data(&[0; 16]));
    assert_eq!(read(&[&wal.bytes]).unwrap().0, end);
}

#[test]
fn a_record_that_began_before_can_be_long() {
    let mut wal = Wal::new();
    wal.spread(&vec![5; 3 * PAGE as usize]);
    let stranger = aligned(wal.at());
    assert_eq!(read(&[&wal.bytes]).unwrap().0, stranger);
    let (_, end) = wal.put(10, 0, &[1; 8]);
    assert_eq!(read(&[&wal.bytes]).unwrap().0, end);
    assert_eq!(read(&[&wal.bytes[..9000]]).unwrap().0, START);
}

#[test]
fn any_changed_bit_is_seen() {
    let mut wal = Wal::new();
    for n in 0..60 {
        wal.put(10, 0, &vec![1; n * 8]);
    }
    for at in (0..wal.bytes.len()).step_by(7) {
        // Of page headers: timeline, and all of the long one that is not about lengths, are not ours to judge.
        let on_page = at as u64 % PAGE;
        if (4..8).contains(&on_page) || (on_page < 40 && (24..32).contains(&at)) || (16..24).contains(&on_page) {
            continue;
        }
        let mut bytes = wal.bytes.clone();
        bytes[at] ^= 0x20;
        // A record's padding within its header, and a length that becomes longer than what comes.
        let longer = read(&[&bytes]).is_ok_and(|(end, _)| end < wal.at());
        assert!(longer || read(&[&bytes]).is_err(), "byte {at}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let mut wal = Wal::new();
    let (first, _) = wal.put(10, 0, &[1; 8]);
    let (second, _) = wal.put(10, 0, &[1; 8]);
    let with = |at: u64, bytes: &[u8]| {
        let (mut all, at) = (wal.bytes.clone(), (at - START) as usize);
        all[at..at + bytes.len()].copy_from_slice(bytes);
        refused(&all)
    };
    assert_eq!(
        with(START, &[0x19, 0xD1]),
        "the page at 0/500000 begins with D119, which is no WAL of PostgreSQL 14 to 18"
    );
    assert_eq!(with(START + 2, &[0x12]), "the page at 0/500000 has the flags 0012, which it cannot have");
    assert_eq!(with(START + 2, &[0]), "the page at 0/500000 has the flags 0000, which it cannot have");
    assert_eq!(with(START + 10, &[0x60]), "the page at 0/500000 says that it belongs to 0/600000");
    let lengths = with(START + 32, &[0, 0, 0, 1]);
    assert_eq!(lengths, "the page at 0/500000 is of WAL in segments of 16777216 bytes and pages of 8192");
    assert_eq!(with(first + 30, &[0]), "the record at 0/500028 is not what its CRC says");
    assert_eq!(with(first, &[0]), "the record at 0/500028 has no length");
    assert_eq!(with(first, &[9]), "the record at 0/500028 has a length of 9 bytes, which is none");
    let before = "the record at 0/500048 says that the one before it is at 0/500029, and that is at 0/500028";
    assert_eq!(with(second + 8, &[0x29]), before);
    let before = "the record at 0/500028 says that the one before it comes behind it";
    assert_eq!(with(first + 8, &[0x28, 0, 0x50]), before);
    let behind = [&wal.bytes[..], &[0; 100], &[1]].concat();
    assert_eq!(refused(&behind), "there is something behind 0/500068, where the WAL ends");
}

#[test]
fn pages_must_fit_together() {
    let mut wal = Wal::new();
    wal.put(10, 0, &vec![1; 20_000]);
    let second = PAGE as usize;
    let with = |at: usize, byte: u8| {
        let mut all = wal.bytes.clone();
        all[at] ^= byte;
        refused(&all)
    };
    let odd = "the page at 0/502000 does not go on with the record before it";
    assert_eq!(with(second + 16, 1), odd);
    assert_eq!(with(second + 2, 1), odd);
    assert_eq!(with(second, 0x16 ^ 0x13), "the page at 0/502000 is of another version of the server than those before");
    let mut wal = Wal::new();
    wal.put(10, 0, &vec![1; PAGE as usize - 40 - RECORD_HEADER]);
    wal.page(1, 30);
    assert_eq!(refused(&wal.bytes), odd);
    let mut wal = Wal::new();
    wal.page(1, 0);
    assert_eq!(refused(&wal.bytes), "the page at 0/500000 goes on with a record of which nothing is left");
}

/// A prefix of what there is: long enough for most, short enough to be read often.
fn sample() -> Vec<u8> {
    everything().0.bytes[..5 * PAGE as usize].to_vec()
}

proptest! {
    #[test]
    fn pieces_are_as_the_whole(cuts in prop::collection::vec(0..200_000_usize, 0..12)) {
        let (wal, end, found) = everything();
        let mut cuts = [cuts, vec![0, wal.bytes.len()]].concat();
        cuts.sort_unstable();
        cuts.retain(|cut| *cut <= wal.bytes.len());
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &wal.bytes[cut[0]..cut[1]]).collect();
        prop_assert_eq!(read(&pieces).unwrap(), (end, found));
    }

    #[test]
    fn small_pieces_are_as_the_whole(size in 1..60_usize) {
        let bytes = sample();
        let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
        prop_assert_eq!(read(&pieces).unwrap(), read(&[&bytes]).unwrap());
    }

    #[test]
    fn nothing_panics(
        damage in prop::collection::vec((0..5 * PAGE as usize, any::<u8>()), 1..9),
        random: Vec<u8>,
        start: u64,
        segment: u64,
        piece in 1..9000_usize,
    ) {
        let mut bytes = sample();
        damage.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        for bytes in [&bytes, &random] {
            let mut records = [Records::new(SEGMENT, START), Records::new(segment, start), Records::new(0, u64::MAX)];
            for records in &mut records {
                // On and on, also where nobody would.
                bytes.chunks(piece).for_each(|piece| drop(records.feed(piece)));
                records.end();
            }
        }
    }
}
