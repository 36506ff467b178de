//! Lines of a manifest, and chunks of extents. FORMAT.md section 9.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{decimal, decimal_option, path};
use crate::entry::{Content, Entry, EntryKind, Extent, ExtentList, Posix, StoredEntry, Time};
use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::limits::{CHUNK_BYTES_MAX, EXTENTS_INLINE_MAX, EXTENTS_PER_CHUNK_MAX, LINE_BYTES_MAX};

const SCHEMA: &str = "dozo/manifest/1";

/// The first line.
pub fn head_line() -> Vec<u8> {
    let mut line = super::to_json(&Head { schema: SCHEMA.into() });
    line.push(b'\n');
    line
}

/// The last line.
pub fn tail_line(totals: Totals) -> Vec<u8> {
    let mut line = super::to_json(&totals);
    line.push(b'\n');
    line
}

/// How many entries, and how many bytes of content they have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Entries.
    #[serde(with = "decimal")]
    pub entries: u64,
    /// Bytes of content.
    #[serde(with = "decimal")]
    pub bytes: u64,
}

/// What a line of a segment turned out to be.
pub enum ParsedLine {
    /// The first.
    Head,
    /// An entry.
    Entry(Box<StoredEntry>),
    /// The last.
    Tail(Totals),
}

/// One line, without its newline. Checked whole: a path that is not canonical is never handed out.
pub fn parse_line(line: &[u8]) -> Result<ParsedLine> {
    if line.len() > LINE_BYTES_MAX {
        return Err(Error::corrupt("a line of the manifest is too long"));
    }
    if line.starts_with(br#"{"schema""#) {
        super::parse::<Head>(line, SCHEMA, "the manifest")?;
        return Ok(ParsedLine::Head);
    }
    if line.starts_with(br#"{"entries""#) {
        return Ok(ParsedLine::Tail(super::json(line, "the last line of the manifest")?));
    }
    let line: Line = super::json(line, "a line of the manifest")?;
    Ok(ParsedLine::Entry(Box::new(line.into_entry()?)))
}

/// The line of an entry, with its newline.
pub fn to_line(stored: &StoredEntry) -> Result<Vec<u8>> {
    let mut line = super::to_json(&Line::from_entry(stored));
    line.push(b'\n');
    if line.len() > LINE_BYTES_MAX {
        let shown = path::shown(&stored.entry.path);
        return Err(Error::invalid(format!("the metadata of `{shown}` is longer than {LINE_BYTES_MAX} bytes")));
    }
    Ok(line)
}

/// The body of a chunk of extents.
pub fn extents_to_body(extents: &[Extent]) -> Vec<u8> {
    let mut body = Vec::new();
    for extent in extents {
        body.extend_from_slice(&super::to_json(&ExtentLine(extent.chunk, extent.offset, extent.length)));
        body.push(b'\n');
    }
    body
}

/// The extents in such a chunk.
pub fn parse_extents(body: &[u8]) -> Result<Vec<Extent>> {
    let cut_off = || Error::corrupt("a list of extents is cut off");
    let lines = body.strip_suffix(b"\n").ok_or_else(cut_off)?.split(|b| *b == b'\n');
    let extents =
        lines.map(|line| super::json::<ExtentLine>(line, "an extent")?.check()).collect::<Result<Vec<_>>>()?;
    if extents.len() > EXTENTS_PER_CHUNK_MAX {
        return Err(Error::corrupt("a list of extents is too long"));
    }
    Ok(extents)
}

#[derive(Serialize, Deserialize)]
struct Head {
    schema: String,
}

#[derive(Serialize, Deserialize)]
struct ExtentLine(ChunkId, u32, u32);

impl ExtentLine {
    fn check(self) -> Result<Extent> {
        let ExtentLine(chunk, offset, length) = self;
        if offset as usize + length as usize > CHUNK_BYTES_MAX || length == 0 {
            return Err(Error::corrupt("an extent reaches beyond its chunk"));
        }
        Ok(Extent { chunk, offset, length })
    }
}

#[derive(Serialize, Deserialize)]
struct ListLine(ChunkId, u32, #[serde(with = "decimal")] u64);

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum KindWord {
    File,
    Directory,
    Symlink,
    Hardlink,
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
}

/// An entry as it is written: flat, what does not apply left out.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    kind: KindWord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<(u32, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal_option")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time")]
    modified: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "octal")]
    mode: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    xattrs: Vec<(Cow<'a, str>, Base64)>,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    links: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    sparse: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    content: Vec<ExtentLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    extents: Vec<ListLine>,
}

/// A file has one name, if nothing else is said.
fn one() -> u32 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_one(links: &u32) -> bool {
    *links <= 1
}

impl<'a> Line<'a> {
    fn from_entry(stored: &'a StoredEntry) -> Self {
        let Entry { path, kind, size, modified, version, posix, attributes } = &stored.entry;
        let (kind, target, device) = match kind {
            EntryKind::File => (KindWord::File, None, None),
            EntryKind::Directory => (KindWord::Directory, None, None),
            EntryKind::Symlink(target) => (KindWord::Symlink, Some(Cow::from(target)), None),
            EntryKind::Hardlink(path) => (KindWord::Hardlink, Some(Cow::from(path)), None),
            EntryKind::Fifo => (KindWord::Fifo, None, None),
            EntryKind::Socket => (KindWord::Socket, None, None),
            EntryKind::CharDevice(major, minor) => (KindWord::CharDevice, None, Some((*major, *minor))),
            EntryKind::BlockDevice(major, minor) => (KindWord::BlockDevice, None, Some((*major, *minor))),
        };
        let (content, extents) = match &stored.content {
            Content::Inline(extents) => {
                (extents.iter().map(|e| ExtentLine(e.chunk, e.offset, e.length)).collect(), Vec::new())
            }
            Content::Listed(lists) => {
                (Vec::new(), lists.iter().map(|l| ListLine(l.chunk, l.bytes, l.covered)).collect())
            }
        };
        let posix = posix.as_ref();
        Line {
            path: path.into(),
            kind,
            target,
            device,
            size: *size,
            modified: *modified,
            version: version.as_deref().map(Cow::from),
            mode: posix.map(|p| p.mode),
            uid: posix.map(|p| p.uid),
            gid: posix.map(|p| p.gid),
            user: posix.and_then(|p| p.user.as_deref().map(Cow::from)),
            group: posix.and_then(|p| p.group.as_deref().map(Cow::from)),
            xattrs: posix.map_or_else(Vec::new, |p| {
                p.xattrs.iter().map(|(name, value)| (name.into(), Base64(value.clone()))).collect()
            }),
            links: posix.map_or(1, |p| p.links),
            sparse: posix.is_some_and(|p| p.sparse),
            attributes: attributes.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            content,
            extents,
        }
    }

    fn into_entry(self) -> Result<StoredEntry> {
        let check = |path: &str| path::check(path).map_err(|e| e.with_kind(crate::error::Kind::Corrupt));
        check(&self.path)?;
        let bad = |why: &str| Error::corrupt(format!("the entry `{}` {why}", path::shown(&self.path)));
        let kind = match (self.kind, self.target, self.device) {
            (KindWord::File, None, None) => EntryKind::File,
            (KindWord::Directory, None, None) => EntryKind::Directory,
            (KindWord::Symlink, Some(target), None) => EntryKind::Symlink(target.into_owned()),
            (KindWord::Hardlink, Some(path), None) => {
                check(&path)?;
                EntryKind::Hardlink(path.into_owned())
            }
            (KindWord::Fifo, None, None) => EntryKind::Fifo,
            (KindWord::Socket, None, None) => EntryKind::Socket,
            (KindWord::CharDevice, None, Some((major, minor))) => EntryKind::CharDevice(major, minor),
            (KindWord::BlockDevice, None, Some((major, minor))) => EntryKind::BlockDevice(major, minor),
            _ => return Err(bad("has a kind that does not fit its fields")),
        };
        let posix = match (self.mode, self.uid, self.gid) {
            (Some(mode), Some(uid), Some(gid)) => Some(Posix {
                mode,
                uid,
                gid,
                user: self.user.map(Cow::into_owned),
                group: self.group.map(Cow::into_owned),
                xattrs: self.xattrs.into_iter().map(|(name, value)| (name.into_owned(), value.0)).collect(),
                links: self.links.max(1),
                sparse: self.sparse,
            }),
            (None, None, None) => None,
            _ => return Err(bad("has half an owner")),
        };
        let content = match (self.content, self.extents) {
            (content, lists) if lists.is_empty() && content.len() <= EXTENTS_INLINE_MAX => {
                Content::Inline(content.into_iter().map(ExtentLine::check).collect::<Result<_>>()?)
            }
            (content, lists) if content.is_empty() => Content::Listed(
                lists.into_iter().map(|ListLine(chunk, bytes, covered)| ExtentList { chunk, bytes, covered }).collect(),
            ),
            _ => return Err(bad("has two contents, or too many extents in its line")),
        };
        if content.length().is_none_or(|length| length != self.size.unwrap_or(0)) {
            return Err(bad("has extents that do not add up to its size"));
        }
        let entry = Entry {
            path: self.path.into_owned(),
            kind,
            size: self.size,
            modified: self.modified,
            version: self.version.map(Cow::into_owned),
            posix,
            attributes: self.attributes.into_iter().map(|(n, v)| (n.into_owned(), v.into_owned())).collect(),
        };
        Ok(StoredEntry { entry, content })
    }
}

/// `1700000000.000000000`, `-1.500000000`.
mod time {
    use super::{Cow, Time};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Option<Time>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(time),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
        let Some(text) = Option::<Cow<str>>::deserialize(deserializer)? else { return Ok(None) };
        Time::parse(&text).map(Some).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a time")))
    }
}

/// `0644`.
mod octal {
    use super::Cow;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(mode: &Option<u32>, serializer: S) -> Result<S::Ok, S::Error> {
        match mode {
            Some(mode) => serializer.collect_str(&format_args!("{mode:04o}")),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
        let Some(text) = Option::<Cow<str>>::deserialize(deserializer)? else { return Ok(None) };
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if text.len() == 4 && !text.starts_with('+') => Ok(Some(mode)),
            _ => Err(serde::de::Error::custom(format!("`{text}` is not a mode"))),
        }
    }
}

/// Bytes as RFC 4648 base64 with padding.
struct Base64(Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine;
        serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine;
        let text = Cow::<str>::deserialize(deserializer)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.as_bytes());
        bytes.map(Base64).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
