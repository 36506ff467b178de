//! The index: which chunks lie in which frame of which pack. FORMAT.md section 8.

use serde::{Deserialize, Serialize};

use super::name::PackKind;
use super::pack::{FrameEntry, check_frames};
use crate::error::{Error, Result};
use crate::id::ObjectId;

const SCHEMA: &str = "dozo/index/1";

/// One stored pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackEntry {
    /// SHA-256 of the object.
    pub pack: ObjectId,
    /// What it holds.
    pub kind: PackKind,
    /// Length of the object.
    pub bytes: u64,
    /// From the beginning of its plaintext, one after the other.
    pub frames: Vec<FrameEntry>,
}

impl PackEntry {
    /// How many chunks it lists.
    pub fn chunks(&self) -> usize {
        self.frames.iter().map(|frame| frame.chunks.len()).sum()
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    schema: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tail {
    packs: u64,
}

/// The body of an index.
pub fn to_body(packs: &[PackEntry]) -> Vec<u8> {
    let mut body = super::to_json(&Head { schema: SCHEMA.into() });
    body.push(b'\n');
    for pack in packs {
        body.extend_from_slice(&super::to_json(pack));
        body.push(b'\n');
    }
    body.extend_from_slice(&super::to_json(&Tail { packs: packs.len() as u64 }));
    body.push(b'\n');
    body
}

/// The packs of an index's body. A body without its last line, or with another count, is damaged.
pub fn parse(body: &[u8]) -> Result<Vec<PackEntry>> {
    let cut_off = || Error::corrupt("the index is cut off");
    let mut lines = body.strip_suffix(b"\n").ok_or_else(cut_off)?.split(|b| *b == b'\n').peekable();
    super::parse::<Head>(lines.next().unwrap_or_default(), SCHEMA, "the index")?;
    let mut packs = Vec::new();
    while let Some(line) = lines.next() {
        if lines.peek().is_some() {
            let pack: PackEntry = super::json(line, "a line of the index")?;
            check_frames(&pack.frames, pack.bytes)?;
            packs.push(pack);
        } else {
            let tail: Tail = super::json(line, "the last line of the index")?;
            return if tail.packs == packs.len() as u64 { Ok(packs) } else { Err(cut_off()) };
        }
    }
    Err(cut_off())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ChunkId;

    fn packs() -> Vec<PackEntry> {
        let frames = vec![FrameEntry { bytes: 90, chunks: vec![(ChunkId([3; 32]), 100)] }];
        vec![
            PackEntry { pack: ObjectId::of(b"a"), kind: PackKind::Data, bytes: 1000, frames: frames.clone() },
            PackEntry { pack: ObjectId::of(b"b"), kind: PackKind::Catalog, bytes: 1000, frames },
        ]
    }

    #[test]
    fn an_index_comes_back() {
        assert_eq!(parse(&to_body(&packs())).unwrap(), packs());
        assert_eq!(parse(&to_body(&[])).unwrap(), []);
    }

    #[test]
    fn an_index_that_ends_early_is_damaged() {
        let body = to_body(&packs());
        for cut in 0..body.len() {
            assert!(parse(&body[..cut]).is_err(), "cut to {cut}");
        }
        let lines: Vec<&[u8]> = body.split_inclusive(|b| *b == b'\n').collect();
        assert!(parse(&[lines[0], lines[1], lines[3]].concat()).is_err(), "a line is missing");
        assert!(parse(&[lines[0], lines[1], lines[2]].concat()).is_err(), "the last line is missing");
    }
}
