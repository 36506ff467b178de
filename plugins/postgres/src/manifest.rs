//! The server's own list of the files of a base backup (PostgreSQL, "Backup Manifest Format"), in versions 1 and 2.
//!
//! It can have millions of lines. They are read as they come, one by one, and compared with the files, which came before them in the
//! same order: the server adds to its list what it has just sent.

use dozo_sdk::{Error, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::lsn::Lsn;

/// The only algorithm that is asked of the server.
const ALGORITHM: &str = "CRC32C";
/// The longest line: a path has at most 1,024 bytes, each of which may be escaped.
const LINE_BYTES: usize = 16 << 10;
/// Files that came are kept in pieces of this length, so that what there is never has to be copied.
const PIECE_BYTES: usize = 64 << 10;

/// What a manifest says beside the list.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    /// Of the cluster; servers before version 17 do not tell.
    pub(crate) system_identifier: Option<u64>,
    /// What WAL it takes to make the files consistent, newest timeline first.
    pub(crate) wal_ranges: Vec<WalRange>,
}

/// A part of the WAL.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct WalRange {
    #[serde(rename = "Timeline")]
    pub(crate) timeline: u32,
    #[serde(rename = "Start-LSN")]
    pub(crate) start: Lsn,
    #[serde(rename = "End-LSN")]
    pub(crate) end: Lsn,
}

/// Files that came, in order: of each its path, its size and its CRC-32C.
#[derive(Debug, Default)]
pub(crate) struct Came {
    pieces: Vec<Vec<u8>>,
}

/// A file that came, or is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts<'a> {
    path: &'a [u8],
    size: u64,
    crc: u32,
}

impl Came {
    /// The next one. What the server does not list (WAL, and the manifest itself) is passed over.
    pub(crate) fn push(&mut self, path: &[u8], size: u64, crc: u32) {
        if path == b"backup_manifest" || path.starts_with(b"pg_wal/") {
            return;
        }
        // A path of a tar header has 255 bytes at most.
        let path = &path[..path.len().min(PIECE_BYTES / 2)];
        let length = u32::try_from(path.len()).unwrap_or(u32::MAX).to_le_bytes();
        let record = [&length[..], path, &size.to_le_bytes(), &crc.to_le_bytes()];
        let bytes = record.iter().map(|part| part.len()).sum::<usize>();
        if self.pieces.last().is_none_or(|piece| piece.len() + bytes > PIECE_BYTES) {
            self.pieces.push(Vec::with_capacity(PIECE_BYTES));
        }
        if let Some(piece) = self.pieces.last_mut() {
            record.iter().for_each(|part| piece.extend_from_slice(part));
        }
    }

    /// The one at a place, and the place behind it; none at the end.
    fn at(&self, (piece, at): (usize, usize)) -> Option<(Facts<'_>, (usize, usize))> {
        let bytes = self.pieces.get(piece)?;
        let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else { return self.at((piece + 1, 0)) };
        let (length, rest) = rest.split_first_chunk()?;
        let (path, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let (size, rest) = rest.split_first_chunk()?;
        let crc = rest.first_chunk()?;
        let facts = Facts { path, size: u64::from_le_bytes(*size), crc: u32::from_le_bytes(*crc) };
        Some((facts, (piece, at + 4 + path.len() + 8 + 4)))
    }

    /// Whether there is one of this path from a place on.
    fn has(&self, path: &[u8], mut place: (usize, usize)) -> bool {
        while let Some((facts, next)) = self.at(place) {
            if facts.path == path {
                return true;
            }
            place = next;
        }
        false
    }
}

/// Which line comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Version,
    /// The cluster's identifier, or the beginning of the list.
    Head,
    File,
    Ranges,
    Range,
    Checksum,
    Nothing,
}

/// A manifest on its way, compared with what came.
pub(crate) struct Reader {
    came: Came,
    /// The next file that is to be listed.
    place: (usize, usize),
    /// A line of which not all has come.
    line: Vec<u8>,
    digest: Sha256,
    next: Next,
    manifest: Manifest,
}

impl Reader {
    /// Of a base backup of which these files came.
    pub(crate) fn new(came: Came) -> Self {
        Reader {
            came,
            place: (0, 0),
            line: Vec::new(),
            digest: Sha256::new(),
            next: Next::Version,
            manifest: Manifest::default(),
        }
    }

    /// The bytes that follow.
    ///
    /// # Errors
    /// [`Error::Corrupt`] that names a file that is not as listed, not there, or not listed, or says that the manifest is damaged;
    /// [`Error::Unsupported`] if it is of another version.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<()> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            if self.line.is_empty() {
                self.take(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.take(&whole)?;
                whole.clear();
                self.line = whole;
            }
        }
        if self.line.len() + bytes.len() > LINE_BYTES {
            return Err(unread("a line is too long"));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// All has come.
    pub(crate) fn finish(self) -> Result<Manifest> {
        match self.next {
            Next::Nothing if self.line.is_empty() => Ok(self.manifest),
            _ => Err(unread("it ends early")),
        }
    }

    /// A line, without its end.
    fn take(&mut self, line: &[u8]) -> Result<()> {
        if self.next == Next::Checksum {
            return self.checksum(line);
        }
        self.digest.update(line);
        self.digest.update(b"\n");
        self.next = match self.next {
            Next::Version => match number(line, b"{ \"PostgreSQL-Backup-Manifest-Version\": ") {
                Some(1 | 2) => Next::Head,
                Some(other) => return Err(Error::Unsupported(format!("the server's manifest is of version {other}"))),
                None => return Err(unread("it has no version")),
            },
            Next::Head if line == b"\"Files\": [" => Next::File,
            Next::Head => {
                let identifier = number(line, b"\"System-Identifier\": ");
                self.manifest.system_identifier = Some(identifier.ok_or_else(|| unread("it has no list of files"))?);
                Next::Head
            }
            Next::File if line == b"]," => {
                self.all_listed()?;
                Next::Ranges
            }
            Next::File => {
                self.file(&element::<File>(line)?)?;
                Next::File
            }
            Next::Ranges if line == b"\"WAL-Ranges\": [" => Next::Range,
            Next::Ranges => return Err(unread("it has no list of WAL")),
            Next::Range if line == b"]," => Next::Checksum,
            Next::Range => {
                self.manifest.wal_ranges.push(element(line)?);
                Next::Range
            }
            Next::Checksum | Next::Nothing => return Err(unread("it goes on behind its end")),
        };
        Ok(())
    }

    /// The last line.
    fn checksum(&mut self, line: &[u8]) -> Result<()> {
        let said = line.strip_prefix(b"\"Manifest-Checksum\": \"").and_then(|rest| rest.strip_suffix(b"\"}"));
        let said = said.and_then(|digits| unhex(std::str::from_utf8(digits).ok()?));
        if said.as_deref() != Some(std::mem::take(&mut self.digest).finalize().as_slice()) {
            return Err(Error::Corrupt("the server's manifest does not have the checksum that it says".into()));
        }
        self.next = Next::Nothing;
        Ok(())
    }

    /// A line of the list: the next file that came is this one.
    fn file(&mut self, file: &File) -> Result<()> {
        let path = file.path()?;
        let wrong = |path: &[u8], what: &str| Err(Error::Corrupt(format!("{} {what}", shown(path))));
        let Some((facts, behind)) = self.came.at(self.place).filter(|(facts, _)| facts.path == path) else {
            let other = self.came.at(self.place).filter(|_| self.came.has(&path, self.place));
            return match other {
                Some((other, _)) => wrong(other.path, UNLISTED),
                None => wrong(&path, "is in the server's manifest, and did not come (or is listed twice)"),
            };
        };
        if facts.size != file.size {
            return wrong(&path, &format!("has {} bytes, and {} in the server's manifest", facts.size, file.size));
        }
        let Some(listed) = file.crc() else {
            return wrong(&path, "has no CRC-32C in the server's manifest");
        };
        if facts.crc != listed {
            let crc = facts.crc;
            return wrong(&path, &format!("has the CRC-32C {crc:08x}, and {listed:08x} in the server's manifest"));
        }
        self.place = behind;
        Ok(())
    }

    /// The list has ended, and no file is left.
    fn all_listed(&self) -> Result<()> {
        match self.came.at(self.place) {
            Some((facts, _)) => Err(Error::Corrupt(format!("{} {UNLISTED}", shown(facts.path)))),
            None => Ok(()),
        }
    }
}

const UNLISTED: &str = "came, and the server's manifest does not list it";

fn unread(why: &str) -> Error {
    Error::Corrupt(format!("the server's manifest cannot be read: {why}"))
}

/// The number of a line that is nothing else.
fn number(line: &[u8], before: &[u8]) -> Option<u64> {
    std::str::from_utf8(line.strip_prefix(before)?.strip_suffix(b",")?).ok()?.parse().ok()
}

/// A line that is an element of a list.
fn element<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T> {
    let element = line.strip_suffix(b",").unwrap_or(line);
    serde_json::from_slice(element).map_err(|e| unread(&e.to_string()))
}

/// A line of the list of files.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "Path")]
    path: Option<String>,
    /// In hexadecimal, if it is not UTF-8.
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<String>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: Option<String>,
    /// In hexadecimal, as the number lies in the server's memory: its low byte first.
    #[serde(rename = "Checksum")]
    checksum: Option<String>,
}

impl File {
    fn path(&self) -> Result<Vec<u8>> {
        let path = match (&self.path, &self.encoded_path) {
            (Some(path), None) => Some(path.clone().into_bytes()),
            (None, Some(path)) => unhex(path),
            _ => None,
        };
        path.ok_or_else(|| Error::Corrupt("the server's manifest has a file without a path".into()))
    }

    fn crc(&self) -> Option<u32> {
        let checksum = self.checksum.as_deref().filter(|_| self.algorithm.as_deref() == Some(ALGORITHM));
        Some(u32::from_le_bytes(unhex(checksum?)?.try_into().ok()?))
    }
}

/// A path as it stands in messages.
fn shown(path: &[u8]) -> String {
    format!("`{}`", path.escape_ascii())
}

/// The bytes of hexadecimal digits.
fn unhex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? << 4 | digit(*low)?) as u8);
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

#[cfg(test)]
mod tests;
