//! An entry: one named thing in a snapshot, with what a restore needs to make it again.

use crate::id::ChunkId;

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
