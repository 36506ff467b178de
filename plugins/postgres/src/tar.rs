//! The tar stream of a base backup (PostgreSQL's port/tar.c: ustar, and base-256 for numbers that are too long for octal), as
//! it comes. Whoever reads pulls events out of it; nothing is held but a header that has not come whole.

use dozo_sdk::{Error, Result};

/// A header's bytes. Contents are filled up to a multiple of it.
const BLOCK: usize = 512;
/// Where a header has its own checksum.
const CHECKSUM: std::ops::Range<usize> = 148..156;
/// Blocks of zeros at the end of an archive. Servers before version 15 send none.
const END_BLOCKS: u8 = 2;

/// An archive on its way.
#[derive(Default)]
pub(crate) struct Tar {
    state: State,
    /// As much of a header as has come.
    header: Vec<u8>,
}

/// What comes next.
enum State {
    /// A header, or the end, of which some blocks have come.
    Header { zeros: u8 },
    /// The content of a member.
    Content { left: u64, padding: usize },
    /// Zeros that fill its last block.
    Padding { left: usize },
}

impl Default for State {
    fn default() -> Self {
        State::Header { zeros: 0 }
    }
}

/// What an archive is made of, in order: for each member its beginning, its content in pieces, its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    Begin(Member),
    Data(&'a [u8]),
    End,
}

/// What the archive says of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its path: relative, `/`-separated, without `.`, `..` and empty names.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    /// Bytes of its content.
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The owner's name. PostgreSQL says `postgres`, whoever it is.
    pub(crate) user: Vec<u8>,
    /// Seconds since 1970.
    pub(crate) modified: i64,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    /// Where it points to.
    Symlink(Vec<u8>),
}

impl Tar {
    /// The next event in these bytes, which loses what was read; none if more of them are needed.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if this is no archive as PostgreSQL writes it, [`Error::Unsupported`] if a member is of a kind that it
    /// never has. Nothing can be read behind an error.
    pub(crate) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Event<'a>>> {
        loop {
            match &mut self.state {
                State::Content { left: 0, padding } => {
                    self.state = State::Padding { left: *padding };
                    return Ok(Some(Event::End));
                }
                State::Content { left, .. } => {
                    let data = take(bytes, usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= data.len() as u64;
                    return Ok((!data.is_empty()).then_some(Event::Data(data)));
                }
                State::Padding { left: 0 } => self.state = State::Header { zeros: 0 },
                State::Padding { left } => {
                    *left -= take(bytes, *left).len();
                    if *left > 0 {
                        return Ok(None);
                    }
                }
                State::Header { zeros } => {
                    let zeros = *zeros;
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    if zeros == END_BLOCKS {
                        return Err(Error::Corrupt("there are bytes behind the end of the tar archive".into()));
                    }
                    self.header.extend_from_slice(take(bytes, BLOCK - self.header.len()));
                    let Ok(header) = <[u8; BLOCK]>::try_from(self.header.as_slice()) else { return Ok(None) };
                    self.header.clear();
                    if let Some(member) = self.block(&header, zeros)? {
                        return Ok(Some(Event::Begin(member)));
                    }
                }
            }
        }
    }

    /// Whether the archive may end here.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if something is missing.
    pub(crate) fn finish(&self) -> Result<()> {
        match self.state {
            State::Header { zeros: 0 | END_BLOCKS } | State::Padding { left: 0 } if self.header.is_empty() => Ok(()),
            _ => Err(Error::Corrupt("the tar archive ends early".into())),
        }
    }

    /// A whole block where a header may stand.
    fn block(&mut self, header: &[u8; BLOCK], zeros: u8) -> Result<Option<Member>> {
        if *header == [0; BLOCK] {
            self.state = State::Header { zeros: zeros + 1 };
            return Ok(None);
        }
        if zeros > 0 {
            return Err(Error::Corrupt("the tar archive goes on behind its end".into()));
        }
        let member = member(header)?;
        let padding = (BLOCK - (member.size % BLOCK as u64) as usize) % BLOCK;
        self.state = State::Content { left: member.size, padding };
        Ok(Some(member))
    }
}

/// Takes up to so many bytes away from the front.
fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(bytes.len().min(most));
    *bytes = rest;
    taken
}

fn member(header: &[u8; BLOCK]) -> Result<Member> {
    if &header[257..265] != b"ustar\x0000" {
        return Err(Error::Corrupt("the tar archive has something in it that is no ustar header".into()));
    }
    let said = number(&header[CHECKSUM]);
    if said != Some(checksum(header)) {
        return Err(Error::Corrupt("a header of the tar archive does not have the checksum that it says".into()));
    }
    let name = match (text(&header[345..500]), text(&header[..100])) {
        (b"", name) => name.to_vec(),
        (prefix, name) => [prefix, b"/", name].concat(),
    };
    let shown = name.escape_ascii().to_string();
    let odd = |what: &str| Error::Corrupt(format!("the tar archive has a member `{shown}` with {what}"));
    let kind = kind(header[156], text(&header[157..257]), &shown)?;
    let path = path(&name, kind == Kind::File).ok_or_else(|| odd("a path that leads elsewhere"))?;
    let size = number(&header[124..136]).ok_or_else(|| odd("a size that is no number"))?;
    if kind != Kind::File && size > 0 {
        return Err(odd("content, which only files have"));
    }
    let small = |field: &[u8]| number(field).and_then(|number| u32::try_from(number).ok());
    Ok(Member {
        path: path.to_vec(),
        kind,
        size,
        mode: small(&header[100..108]).ok_or_else(|| odd("a mode that is no number"))?,
        uid: small(&header[108..116]).ok_or_else(|| odd("an owner that is no number"))?,
        gid: small(&header[116..124]).ok_or_else(|| odd("a group that is no number"))?,
        user: text(&header[265..297]).to_vec(),
        // Before 1970 it is negative, and the server writes it as if it were not.
        modified: number(&header[136..148]).ok_or_else(|| odd("a time that is no number"))?.cast_signed(),
    })
}

/// The sum of a header's bytes, its own checksum taken for spaces.
fn checksum(header: &[u8; BLOCK]) -> u64 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    sum(header) - sum(&header[CHECKSUM]) + sum(&[b' '; 8])
}

/// What a type flag says.
fn kind(flag: u8, target: &[u8], name: &str) -> Result<Kind> {
    let what = match flag {
        b'0' | 0 => return Ok(Kind::File),
        b'5' => return Ok(Kind::Directory),
        b'2' => return Ok(Kind::Symlink(target.to_vec())),
        b'1' => "a hard link",
        b'3' | b'4' => "a device",
        b'6' => "a FIFO",
        b'x' | b'g' => "a pax header",
        b'L' | b'K' | b'S' => "a GNU extension",
        flag => {
            let flag = flag.escape_ascii();
            return Err(Error::Corrupt(format!("the tar archive has a member `{name}` of the unknown type `{flag}`")));
        }
    };
    Err(Error::Unsupported(format!("the tar archive has {what}, `{name}`, which PostgreSQL never sends")))
}

/// The path that a name stands for; none if it is not below the archive's root.
///
/// PostgreSQL writes a slash behind directories and behind symbolic links, and `./` before some directories in `pg_wal`.
fn path(name: &[u8], is_file: bool) -> Option<&[u8]> {
    let path = name.strip_prefix(b"./").unwrap_or(name);
    let path = path.strip_suffix(b"/").filter(|_| !is_file).unwrap_or(path);
    let odd = |name: &[u8]| matches!(name, b"" | b"." | b"..");
    (!path.split(|byte| *byte == b'/').any(odd)).then_some(path)
}

/// A field that holds text, up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A field that holds a number: octal digits among spaces and NULs, or, behind a byte of 0x80, binary.
fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, binary @ ..] = field {
        let (high, low) = binary.split_at_checked(binary.len().saturating_sub(8))?;
        let number = low.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        return high.iter().all(|byte| *byte == 0).then_some(number);
    }
    let digits = field.trim_ascii_start();
    let end = digits.iter().position(|byte| matches!(byte, b' ' | 0)).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    let is_octal = digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
    let is_over = rest.iter().all(|byte| matches!(byte, b' ' | 0));
    // The longest field has twelve digits, which are 36 bits.
    let number = digits.iter().fold(0, |number, digit| number << 3 | u64::from(digit & 7));
    (!digits.is_empty() && is_octal && is_over).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ends of an archive, as servers since version 15 send it.
    const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

    /// A header as the server writes it; a number that needs it is written in base 256.
    fn header(name: &str, flag: u8, target: &str, size: u64) -> [u8; BLOCK] {
        let mut header = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name.as_bytes());
        put(100, b"0000600 0000151 0000162 ");
        match size {
            0..0o100_000_000_000 => put(124, format!("{size:011o} ").as_bytes()),
            size => put(124, &[&[0x80, 0, 0, 0], &size.to_be_bytes()[..]].concat()),
        }
        put(136, b"15145652170 ");
        put(156, &[flag]);
        put(157, target.as_bytes());
        put(257, b"ustar\x0000postgres");
        sealed(header)
    }

    /// With the checksum that belongs to it.
    fn sealed(mut header: [u8; BLOCK]) -> [u8; BLOCK] {
        let sum = format!("{:07o} ", checksum(&header));
        header[CHECKSUM].copy_from_slice(sum.as_bytes());
        header
    }

    /// With other bytes somewhere.
    fn changed(at: usize, bytes: &[u8]) -> [u8; BLOCK] {
        let mut header = header("a", b'0', "", 0);
        header[at..at + bytes.len()].copy_from_slice(bytes);
        sealed(header)
    }

    /// A file of so many bytes, as it stands in an archive.
    fn file(name: &str, size: usize) -> Vec<u8> {
        let padding = vec![0; size.next_multiple_of(BLOCK) - size];
        [&header(name, b'0', "", size as u64)[..], &vec![b'x'; size], &padding].concat()
    }

    fn archive() -> Vec<u8> {
        let directory = header("base/5/", b'5', "", 0);
        let wal = header("./pg_wal/archive_status/", b'5', "", 0);
        let link = header("pg_tblspc/16406/", b'2', "/srv/space", 0);
        let [large, exact, empty] = [("base/5/1259", 1000), ("base/5/2619", 1024), ("PG_VERSION", 0)];
        let files = [large, exact, empty].map(|(name, size)| file(name, size)).concat();
        [&directory[..], &wal, &files, &link].concat()
    }

    /// The members with their contents, of an archive that comes in these pieces.
    fn read(pieces: &[&[u8]]) -> Result<Vec<(Member, Vec<u8>)>> {
        let (mut tar, mut members, mut open) = (Tar::default(), vec![], None);
        for mut bytes in pieces.iter().copied() {
            while let Some(event) = tar.next(&mut bytes)? {
                match event {
                    Event::Begin(member) => assert!(open.replace((member, vec![])).is_none()),
                    Event::Data(data) => open.as_mut().unwrap().1.extend_from_slice(data),
                    Event::End => members.push(open.take().unwrap()),
                }
            }
            assert!(bytes.is_empty());
        }
        tar.finish().map(|()| members)
    }

    fn refused(bytes: &[u8]) -> String {
        read(&[bytes]).expect_err("it is wrong").message().to_string()
    }

    #[test]
    fn an_archive_is_read() {
        for end in [&[][..], &END] {
            let members = read(&[&archive(), end]).unwrap();
            let seen: Vec<_> = members
                .iter()
                .map(|(member, content)| (member.path.escape_ascii().to_string(), member.kind.clone(), content.len()))
                .collect();
            let link = Kind::Symlink(b"/srv/space".to_vec());
            assert_eq!(
                seen,
                [
                    ("base/5".to_string(), Kind::Directory, 0),
                    ("pg_wal/archive_status".to_string(), Kind::Directory, 0),
                    ("base/5/1259".to_string(), Kind::File, 1000),
                    ("base/5/2619".to_string(), Kind::File, 1024),
                    ("PG_VERSION".to_string(), Kind::File, 0),
                    ("pg_tblspc/16406".to_string(), link, 0),
                ]
            );
            let first = &members[2].0;
            assert_eq!((first.mode, first.uid, first.gid, &first.user[..]), (0o600, 0o151, 0o162, &b"postgres"[..]));
            assert_eq!((first.size, first.modified), (1000, 0o15_145_652_170));
        }
    }

    #[test]
    fn an_archive_of_nothing_is_one() {
        assert_eq!(read(&[]).unwrap(), []);
        assert_eq!(read(&[&END]).unwrap(), []);
    }

    #[test]
    fn large_numbers_are_binary() {
        let size = (9 << 30) + 5;
        let mut bytes = &header("base/5/1", b'0', "", size)[..];
        let Some(Event::Begin(member)) = Tar::default().next(&mut bytes).unwrap() else { panic!("no member") };
        assert_eq!(member.size, size);
        let [uid, before_1970] =
            [&[0x80, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF][..], &[[0x80, 0, 0, 0], [0xFF; 4], [0xFF; 4]].concat()];
        assert_eq!(read(&[&changed(108, uid)]).unwrap()[0].0.uid, u32::MAX);
        assert_eq!(read(&[&changed(136, before_1970)]).unwrap()[0].0.modified, -1);
        assert!(refused(&changed(108, &[0x80, 0, 0, 1, 0, 0, 0, 0])).contains("owner"));
        assert!(refused(&changed(124, &[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])).contains("size"));
    }

    #[test]
    fn numbers_are_octal_digits_and_nothing_else() {
        for (field, value) in
            [("0000644 ", 0o644), ("644\0\0\0\0\0", 0o644), ("   644 \0", 0o644), ("77777777", 0o77_777_777)]
        {
            assert_eq!(number(field.as_bytes()), Some(value), "{field:?}");
        }
        for field in ["", "        ", "\0\0\0\0", "0000648 ", "64 4    ", "-644    ", "0x644   ", "644\0x"] {
            assert_eq!(number(field.as_bytes()), None, "{field:?}");
        }
    }

    #[test]
    fn a_long_name_is_in_two_fields() {
        let read = |header: [u8; BLOCK]| read(&[&header]).unwrap()[0].0.path.clone();
        assert_eq!(read(changed(345, b"base/5")), b"base/5/a");
        assert_eq!(read(changed(0, &[b'n'; 100])), [b'n'; 100]);
        assert_eq!(read(changed(0, b"\xff%")), b"\xff%", "no character set is asked for");
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for name in ["/a", "../a", "a/../b", "a/./b", "a//b", "..", ".", "./", "././a", "a/", ""] {
            let error = refused(&header(name, b'0', "", 0));
            assert!(error.contains("leads elsewhere"), "{name}: {error}");
        }
        for name in ["/", "../", "a//", "./", "./../", ""] {
            let error = refused(&header(name, b'5', "", 0));
            assert!(error.contains("leads elsewhere"), "{name}: {error}");
        }
    }

    #[test]
    fn what_postgresql_never_sends_is_refused_by_name() {
        for (flag, what) in
            [(b'1', "hard link"), (b'4', "device"), (b'x', "pax"), (b'L', "GNU"), (b'9', "unknown type `9`")]
        {
            let error = refused(&header("a", flag, "", 0));
            assert!(error.contains(what) && error.contains("`a`"), "{error}");
        }
        assert!(refused(&header("a", b'5', "", 7)).contains("only files"));
        assert!(refused(&changed(257, b"ustar  \0")).contains("no ustar header"));
    }

    #[test]
    fn any_changed_bit_of_a_header_is_seen() {
        let whole = header("base/5/1", b'0', "", 0);
        for byte in 0..BLOCK {
            let mut header = whole;
            header[byte] ^= 4;
            assert!(read(&[&header]).is_err(), "byte {byte}");
        }
    }

    #[test]
    fn an_archive_that_ends_early_is_refused() {
        let whole = [&archive()[..], &END].concat();
        // Before each header, and behind both blocks at the end.
        let ends = [0, 512, 1024, 1024 + 512 + 1024, 4096, 4608, 5120, 6144];
        for len in 0..whole.len() {
            assert_eq!(read(&[&whole[..len]]).is_ok(), ends.contains(&len), "{len}");
        }
        assert!(refused(&[&whole[..], &[0]].concat()).contains("behind the end"));
        assert!(refused(&[&END[..BLOCK], &whole].concat()).contains("behind its end"));
    }

    proptest! {
        #[test]
        fn pieces_are_as_the_whole(cuts in prop::collection::vec(0..6144_usize, 0..9)) {
            let whole = [&archive()[..], &END].concat();
            let mut cuts = [cuts, vec![0, whole.len()]].concat();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &whole[cut[0]..cut[1]]).collect();
            prop_assert_eq!(read(&pieces).unwrap(), read(&[&whole]).unwrap());
        }

        #[test]
        fn nothing_panics(damage in prop::collection::vec((0..5120_usize, any::<u8>()), 1..9), random: Vec<u8>) {
            let mut bytes = archive();
            for (at, byte) in damage {
                bytes[at] = byte;
                // Whatever it says now, its checksum is right.
                for header in bytes.as_chunks_mut().0.iter_mut().filter(|block| block[257..262] == *b"ustar") {
                    *header = sealed(*header);
                }
            }
            let _ = read(&[&bytes]);
            let _ = read(&[&random]);
        }
    }
}
