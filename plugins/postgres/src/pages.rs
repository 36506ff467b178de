//! Data pages of relations, held against the checksums that they bear (storage/checksum_impl.h), as the server itself does
//! while it makes a base backup (basebackup.c). Pages have 8192 bytes and numbers their low byte first: such is every server
//! but those that were built otherwise on purpose, or for a big-endian machine.

/// Bytes of a page.
const PAGE: usize = 8192;
/// Pages of a segment, which is a file of 1 GiB at most.
pub(crate) const SEGMENT_PAGES: u32 = 131_072;
/// Bad pages that are told of one by one. The rest is counted.
const BAD_PAGES_MAX: usize = 100;

/// Sums that are computed side by side, and how many bytes that takes of a page at a time.
const SUMS: usize = 32;
const ROW: usize = SUMS * 4;
/// FNV-1a's multiplier.
const PRIME: u32 = 16_777_619;
/// What the sums begin with.
#[rustfmt::skip]
const OFFSETS: [u32; SUMS] = [
    0x5B1F_36E9, 0xB852_5960, 0x02AB_50AA, 0x1DE6_6D2A, 0x79FF_467A, 0x9BB9_F8A3, 0x217E_7CD2, 0x83E1_3D2C,
    0xF8D4_474F, 0xE39E_B970, 0x42C6_AE16, 0x9932_16FA, 0x7B09_3B5D, 0x98DA_FF3C, 0xF718_902A, 0x0B1C_9CDB,
    0xE58F_764B, 0x1876_36BC, 0x5D7B_3BB1, 0xE73D_E7DE, 0x92BE_C979, 0xCCA6_C0B2, 0x304A_0979, 0x85AA_43D4,
    0x7831_25BB, 0x6CA8_EAA2, 0xE407_EAC6, 0x4B5C_FC3E, 0x9FBF_8C76, 0x15CA_20BE, 0xF2CA_9FD3, 0x959B_D756,
];

/// The pages of one file on their way, in order, in pieces of any size.
pub(crate) struct Pages {
    /// The number of the next page in its relation.
    block: u32,
    /// Where the backup began: pages that were changed since are made anew from WAL, and may be torn here.
    start: u64,
    /// The beginning of a page whose rest has not come yet.
    piece: Vec<u8>,
    checked: Checked,
}

/// What a look at all pages of a file showed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// The first bad pages.
    pub(crate) bad: Vec<BadPage>,
    /// How many there are in all.
    pub(crate) bad_count: u64,
    /// Bytes behind the last whole page: nothing vouches for them.
    pub(crate) ragged: usize,
}

/// A page that is not what its checksum says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadPage {
    /// Its number in its relation.
    pub(crate) block: u32,
    /// The checksum that it bears.
    pub(crate) found: u16,
    /// The checksum of what it holds.
    pub(crate) expected: u16,
}

impl Pages {
    /// The pages from this number on, of a backup that began at the LSN `start`.
    pub(crate) fn new(first_block: u32, start: u64) -> Self {
        Pages { block: first_block, start, piece: Vec::new(), checked: Checked::default() }
    }

    /// The bytes that follow.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        if !self.piece.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min(PAGE - self.piece.len()));
            self.piece.extend_from_slice(head);
            bytes = rest;
        }
        if self.piece.len() == PAGE {
            let mut page = std::mem::take(&mut self.piece);
            self.check_all(&page);
            page.clear();
            self.piece = page;
        }
        let rest = self.check_all(bytes);
        self.piece.extend_from_slice(rest);
    }

    /// What there was to see.
    pub(crate) fn finish(self) -> Checked {
        Checked { ragged: self.piece.len(), ..self.checked }
    }

    /// Looks at all whole pages; returns the rest.
    fn check_all<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (pages, rest) = bytes.as_chunks();
        for page in pages {
            self.check(page);
            self.block = self.block.wrapping_add(1);
        }
        rest
    }

    fn check(&mut self, page: &[u8; PAGE]) {
        let [high, low] = [word(page, 0), word(page, 4)];
        let lsn = u64::from(high) << 32 | u64::from(low);
        // What is new has no checksum yet. A page is new if nothing of it is taken, whatever else it holds.
        let is_new = page[14..16] == [0, 0];
        if is_new || lsn >= self.start {
            return;
        }
        let (block, found) = (self.block, word(page, 8) as u16);
        let expected = checksum(page, block);
        if found != expected {
            self.checked.bad_count += 1;
            if self.checked.bad.len() < BAD_PAGES_MAX {
                self.checked.bad.push(BadPage { block, found, expected });
            }
        }
    }
}

/// Which segment of its relation the file at this path in the data directory is, if it is one whose pages bear checksums.
///
/// Such are `base/5/16384`, `base/5/16384.3`, `base/5/16384_vm`, `global/1262` and
/// `pg_tblspc/16400/PG_17_202406281/5/16385_fsm.1`: not temporary relations, nor what else lies beside these.
pub(crate) fn relation_segment(path: &str) -> Option<u32> {
    let names: Vec<&str> = path.split('/').collect();
    let name = match names[..] {
        ["global", name] => name,
        ["base", database, name] if is_number(database) => name,
        ["pg_tblspc", space, version, database, name]
            if is_number(space) && version.starts_with("PG_") && is_number(database) =>
        {
            name
        }
        _ => return None,
    };
    let (name, segment) = match name.split_once('.') {
        Some((name, number)) => (name, number.parse().ok().filter(|_| is_number(number))?),
        None => (name, 0),
    };
    let relation = ["_fsm", "_vm", "_init"].into_iter().find_map(|fork| name.strip_suffix(fork)).unwrap_or(name);
    (is_number(relation) && segment <= u32::MAX / SEGMENT_PAGES).then_some(segment)
}

/// Whether this is a number as the server writes them in names.
fn is_number(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('0') && name.bytes().all(|digit| digit.is_ascii_digit())
}

/// The checksum that a page with this number should bear; the one that it bears is taken for zero.
///
/// Each loop over the sums becomes a few vector instructions, which make it five times as fast in WebAssembly.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn checksum(page: &[u8; PAGE], block: u32) -> u16 {
    let (rows, _) = page.as_chunks::<ROW>();
    let mut first = rows[0];
    first[8..10].fill(0);
    let mut sums = OFFSETS;
    mix(&mut sums, &first);
    rows[1..].iter().for_each(|row| mix(&mut sums, row));
    mix(&mut sums, &[0; ROW]);
    mix(&mut sums, &[0; ROW]);
    let sum = sums.iter().fold(block, |all, sum| all ^ sum);
    (sum % 65535 + 1) as u16
}

/// Mixes one word of a page into each of the sums.
#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn mix(sums: &mut [u32; SUMS], row: &[u8; ROW]) {
    for (sum, word) in sums.iter_mut().zip(row.as_chunks().0) {
        let mixed = *sum ^ u32::from_le_bytes(*word);
        *sum = mixed.wrapping_mul(PRIME) ^ (mixed >> 17);
    }
}

/// The four bytes of a page from here on.
fn word(page: &[u8; PAGE], at: usize) -> u32 {
    page[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A page of a table with one row, as PostgreSQL 17.11 wrote it: its number, the letter that it is full of, its checksum.
    type Real = (u32, u8, u16);
    const REAL: [Real; 2] = [(0, b'x', 0x60EC), (1, b'y', 0x096B)];

    fn page((number, letter, checksum): Real) -> [u8; PAGE] {
        let mut page = [0; PAGE];
        let lsn: [u8; 4] = if number == 0 { [0x30, 0x47, 0x0F, 0x0A] } else { [0x48, 0x7B, 0x0F, 0x0A] };
        page[4..8].copy_from_slice(&lsn);
        page[8..10].copy_from_slice(&checksum.to_le_bytes());
        page[12..20].copy_from_slice(&[0x1C, 0, 0x58, 0x0C, 0, 0x20, 4, 0x20]);
        page[24..28].copy_from_slice(&[0x58, 0x8C, 0x48, 0x27]);
        page[0xC58..0xC5C].copy_from_slice(&[0xA8, 0x12, 0, 0]);
        page[0xC66] = number as u8;
        page[0xC68..0xC74].copy_from_slice(&[1, 0, 1, 0, 2, 8, 0x18, 0, 0x30, 0x4E, 0, 0]);
        page[0xC74..0xC74 + 5000].fill(letter);
        page
    }

    fn real() -> Vec<u8> {
        REAL.map(page).concat()
    }

    /// What is wrong with these pages from this number on.
    fn check(first: u32, bytes: &[u8]) -> Checked {
        let mut pages = Pages::new(first, 0x0B00_0000);
        pages.update(bytes);
        pages.finish()
    }

    #[test]
    fn pages_of_a_server_are_good() {
        assert_eq!(check(0, &real()), Checked::default());
    }

    #[test]
    fn a_page_that_lies_elsewhere_is_bad() {
        let bad = check(0, &page(REAL[1]));
        assert_eq!((bad.bad_count, bad.ragged), (1, 0));
        assert_eq!(bad.bad, [BadPage { block: 0, found: 0x096B, expected: checksum(&page(REAL[1]), 0) }]);
        assert_eq!(check(1, &page(REAL[1])), Checked::default());
    }

    #[test]
    fn any_changed_bit_is_seen() {
        for byte in (0..PAGE).step_by(61).filter(|byte| !(0..8).contains(byte)) {
            let mut page = page(REAL[0]);
            page[byte] ^= 0x10;
            assert_eq!(check(0, &page).bad_count, 1, "byte {byte}");
        }
    }

    #[test]
    fn what_is_new_or_newer_than_the_backup_is_not_checked() {
        let mut page = page(REAL[0]);
        page[100] = 7;
        let mut pages = Pages::new(0, 0x0A0F_4730);
        pages.update(&page);
        assert_eq!(pages.finish().bad_count, 0, "its LSN is where the backup began");
        let mut pages = Pages::new(0, 0x0A0F_4731);
        pages.update(&page);
        assert_eq!(pages.finish().bad_count, 1, "its LSN is just before");
        page[14..16].fill(0);
        assert_eq!(check(0, &page).bad_count, 0, "nothing of it is taken");
        assert_eq!(check(0, &[0; PAGE * 2]), Checked::default());
    }

    #[test]
    fn many_bad_pages_are_counted_and_the_first_are_told() {
        let checked = check(u32::MAX - 3, &page(REAL[0]).repeat(300));
        assert_eq!((checked.bad.len(), checked.bad_count), (BAD_PAGES_MAX, 299));
        assert_eq!((checked.bad[0].block, checked.bad[4].block), (u32::MAX - 3, 1));
    }

    #[test]
    fn what_is_no_whole_page_is_counted() {
        let checked = check(0, &[real(), vec![9; 100]].concat());
        assert_eq!((checked.bad_count, checked.ragged), (0, 100));
    }

    #[test]
    fn relations_are_known_by_their_paths() {
        for (path, segment) in [
            ("base/5/16384", 0),
            ("base/5/16384.3", 3),
            ("base/5/16384_vm", 0),
            ("base/5/16384_init", 0),
            ("base/1/1259_fsm.12", 12),
            ("global/1262", 0),
            ("global/1262_fsm", 0),
            ("pg_tblspc/16400/PG_17_202406281/5/16385_fsm.1", 1),
            ("base/5/16384.32767", 32_767),
        ] {
            assert_eq!(relation_segment(path), Some(segment), "{path}");
        }
        for path in [
            "global/pg_control",
            "global/pg_filenode.map",
            "global/pg_internal.init",
            "global/pg_internal.init.123",
            "base/5/pg_internal.init",
            "base/5/pg_filenode.map",
            "base/5/PG_VERSION",
            "base/5/t3_16384",
            "base/5/t3_16384.1",
            "base/5/16384_xyz",
            "base/5/16384_",
            "base/5/_vm",
            "base/5/16384.",
            "base/5/16384.0",
            "base/5/16384.01",
            "base/5/16384.+1",
            "base/5/16384.1.2",
            "base/5/16384.32768",
            "base/5/16384.99999999999",
            "base/5/INCREMENTAL.16384",
            "base/x/16384",
            "base/16384",
            "base/pgsql_tmp/16384",
            "pg_xact/0000",
            "pg_tblspc/16400/5/16385",
            "pg_tblspc/16400/XX_17/5/16385",
            "./base/5/16384",
            "PG_VERSION",
            "",
        ] {
            assert_eq!(relation_segment(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_as_the_whole(cuts in prop::collection::vec(0..PAGE * 4, 0..9), bad in 0..PAGE * 4) {
            let mut bytes = [real(), real(), vec![1; 50]].concat();
            bytes[bad] ^= 1;
            let mut cuts = [cuts, vec![0, bytes.len()]].concat();
            cuts.sort_unstable();
            let mut pages = Pages::new(0, u64::MAX);
            cuts.windows(2).for_each(|cut| pages.update(&bytes[cut[0]..cut[1]]));
            let mut whole = Pages::new(0, u64::MAX);
            whole.update(&bytes);
            prop_assert_eq!(pages.finish(), whole.finish());
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..20_000), block: u32, path in "[a-z0-9_./]{0,40}") {
            check(block, &bytes);
            relation_segment(&path);
        }
    }
}
