//! An entry: one named thing in a snapshot, with what a restore needs to make it again.

use std::fmt;

use crate::id::ChunkId;

const NANOSECONDS: i128 = 1_000_000_000;
/// Of a second, in writing.
const FRACTION_DIGITS: usize = 9;

/// What a source says of one entry. `path` is escaped and canonical ([`crate::path`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Unique in the snapshot.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of content: what the source expects when it begins, what was stored once it is stored.
    pub size: Option<u64>,
    /// When the content last changed.
    pub modified: Option<Time>,
    /// Whatever tells the source that the content is unchanged: an ETag, an LSN, an inode's change time.
    pub version: Option<String>,
    /// Owner, mode and extended attributes.
    pub posix: Option<Posix>,
    /// Anything else that a restore needs; the source's own words.
    pub attributes: Vec<(String, String)>,
}

/// The kinds of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Has content.
    File,
    /// Has entries below it.
    Directory,
    /// Points elsewhere; the target is escaped as names are, but for its `/`.
    Symlink(String),
    /// Another name of the entry at this path, which holds the content.
    Hardlink(String),
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// Major and minor number.
    CharDevice(u32, u32),
    /// Major and minor number.
    BlockDevice(u32, u32),
}

/// Seconds since 1970 and nanoseconds that count upwards from there, so that half a second before 1970 is
/// `(-1, 500_000_000)`. Wider than any calendar type, because file systems are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// Below 1,000,000,000.
    pub nanoseconds: u32,
}

impl Time {
    /// From what [`Display`](fmt::Display) writes; one time has one spelling.
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, is_negative) = text.strip_prefix('-').map_or((text, false), |digits| (digits, true));
        let (whole, fraction) = digits.split_once('.')?;
        let is_canonical = whole == "0" || !whole.starts_with('0');
        let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_canonical || !is_digits(whole) || !is_digits(fraction) || fraction.len() != FRACTION_DIGITS {
            return None;
        }
        let nanoseconds = i128::from(whole.parse::<u64>().ok()?) * NANOSECONDS + fraction.parse::<i128>().ok()?;
        if is_negative && nanoseconds == 0 {
            return None;
        }
        let nanoseconds = if is_negative { -nanoseconds } else { nanoseconds };
        Some(Time {
            seconds: i64::try_from(nanoseconds.div_euclid(NANOSECONDS)).ok()?,
            nanoseconds: u32::try_from(nanoseconds.rem_euclid(NANOSECONDS)).ok()?,
        })
    }
}

/// The decimal number of seconds since 1970, with nine digits of a fraction: a second and a half before is `-1.500000000`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = i128::from(self.seconds) * NANOSECONDS + i128::from(self.nanoseconds);
        let (sign, nanoseconds) = (if nanoseconds < 0 { "-" } else { "" }, nanoseconds.unsigned_abs());
        let second = NANOSECONDS.unsigned_abs();
        write!(f, "{sign}{}.{:09}", nanoseconds / second, nanoseconds % second)
    }
}

/// What POSIX knows of a file beside its content and times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Posix {
    /// Permission bits, at most `0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The owner's name where it was backed up.
    pub user: Option<String>,
    /// The group's name where it was backed up.
    pub group: Option<String>,
    /// Extended attributes, in order of name; the names are escaped as those in paths.
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// How many names the file had; more than one makes it the target of hard links.
    pub links: u32,
    /// It had holes.
    pub sparse: bool,
}

/// A piece of an entry's content: `length` bytes of a chunk, from `offset` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Whose bytes.
    pub chunk: ChunkId,
    /// Where in the chunk they begin.
    pub offset: u32,
    /// How many.
    pub length: u32,
}

/// An entry as a snapshot holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its metadata; `size` is the length of the content.
    pub entry: Entry,
    /// Where its content lies.
    pub content: Content,
}

/// The extents of an entry, in its line or, where there are many, in catalog chunks of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// In order.
    Inline(Vec<Extent>),
    /// Catalog chunks that list extents, in order.
    Listed(Vec<ExtentList>),
}

/// One catalog chunk of extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtentList {
    /// The catalog chunk.
    pub chunk: ChunkId,
    /// Its length.
    pub bytes: u32,
    /// Bytes of content that its extents cover.
    pub covered: u64,
}

impl Content {
    /// No bytes.
    pub const EMPTY: Content = Content::Inline(Vec::new());

    /// Bytes of content, or none if the sum does not fit.
    pub fn length(&self) -> Option<u64> {
        let add = |sum: u64, n: u64| sum.checked_add(n);
        match self {
            Content::Inline(extents) => extents.iter().try_fold(0, |sum, e| add(sum, u64::from(e.length))),
            Content::Listed(lists) => lists.iter().try_fold(0, |sum, l| add(sum, l.covered)),
        }
    }
}

impl Entry {
    /// A plain file of this name, nothing else known.
    pub fn file(path: impl Into<String>) -> Self {
        Entry {
            path: path.into(),
            kind: EntryKind::File,
            size: None,
            modified: None,
            version: None,
            posix: None,
            attributes: Vec::new(),
        }
    }
}
