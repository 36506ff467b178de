//! The plaintext of packs: frames, padding, trailer. FORMAT.md section 7.

use serde::{Deserialize, Serialize};
use zstd::bulk::Decompressor;

use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::limits::{CHUNK_BYTES_MAX, FRAME_BYTES_MAX, PACK_BYTES_MAX};

const SCHEMA: &str = "dozo/pack/1";
const MAGIC_TRAILER: u32 = 0x184D_2A5E;
const MAGIC_PADDING: u32 = 0x184D_2A5F;
const END: &[u8; 8] = b"dozopack";
const SKIPPABLE_HEADER: usize = 8;

/// One frame of a pack: its compressed length and the chunks in it, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameEntry {
    /// Compressed length.
    pub bytes: u32,
    /// Ids and plaintext lengths.
    pub chunks: Vec<(ChunkId, u32)>,
}

impl FrameEntry {
    /// The plaintext length of all chunks together.
    pub fn plain_bytes(&self) -> usize {
        self.chunks.iter().map(|(_, bytes)| *bytes as usize).sum()
    }
}

#[derive(Serialize, Deserialize)]
struct Trailer {
    schema: String,
    frames: Vec<FrameEntry>,
}

/// A skippable frame around bytes.
///
/// # Panics
/// If `content` is 4 GiB or longer, which no caller has.
pub(crate) fn skippable(magic: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(SKIPPABLE_HEADER + content.len());
    out.extend_from_slice(&magic.to_le_bytes());
    out.extend_from_slice(&u32::try_from(content.len()).expect("skippable frames are small").to_le_bytes());
    out.extend_from_slice(content);
    out
}

/// Ends a pack's plaintext with its trailer.
pub fn append_trailer(plaintext: &mut Vec<u8>, frames: &[FrameEntry]) -> Result<()> {
    plaintext.extend_from_slice(&trailer(frames)?);
    Ok(())
}

/// The same, padded before the trailer so that the whole has one of few lengths (at most 12 % more).
pub fn append_padded_trailer(plaintext: &mut Vec<u8>, frames: &[FrameEntry]) -> Result<()> {
    let trailer = trailer(frames)?;
    let length = plaintext.len() + SKIPPABLE_HEADER + trailer.len();
    plaintext.extend_from_slice(&skippable(MAGIC_PADDING, &vec![0; padme(length) - length]));
    plaintext.extend_from_slice(&trailer);
    Ok(())
}

fn trailer(frames: &[FrameEntry]) -> Result<Vec<u8>> {
    let json = super::to_json(&Trailer { schema: SCHEMA.into(), frames: frames.to_vec() });
    let mut content =
        zstd::bulk::compress(&json, 3).map_err(|e| Error::internal("compress a pack's trailer").caused_by(e))?;
    let length = u32::try_from(content.len()).map_err(|_| Error::internal("a pack's trailer is too long"))?;
    content.extend_from_slice(&length.to_le_bytes());
    content.extend_from_slice(END);
    Ok(skippable(MAGIC_TRAILER, &content))
}

/// The padded length of Nikitin et al., *Reducing Metadata Leakage from Encrypted Files and Communication with PURBs*
/// (2019): leaks O(log log n) bits of n.
fn padme(length: usize) -> usize {
    if length < 2 {
        return length;
    }
    let exponent = length.ilog2();
    let kept = exponent.ilog2() + 1;
    let mask = (1usize << exponent.saturating_sub(kept)) - 1;
    (length + mask) & !mask
}

/// The frames that a pack's plaintext says it has, without a word about whether it is true.
pub fn read_trailer(plaintext: &[u8]) -> Result<Vec<FrameEntry>> {
    let bad = |why: &str| Error::corrupt(format!("the pack's trailer {why}"));
    let rest = plaintext.strip_suffix(END).ok_or_else(|| bad("is missing"))?;
    let (rest, length) = rest.split_last_chunk::<4>().ok_or_else(|| bad("is cut off"))?;
    let length = u32::from_le_bytes(*length) as usize;
    let start = rest.len().checked_sub(length).ok_or_else(|| bad("is longer than the pack"))?;
    let json = decompress(&rest[start..], 64 << 20).map_err(|e| bad("does not decode").caused_by(e))?;
    let trailer: Trailer = super::parse(&json, SCHEMA, "the pack's trailer")?;
    check_frames(&trailer.frames, start as u64)?;
    Ok(trailer.frames)
}

/// Bounds a list of frames before anything is allocated for them.
pub(crate) fn check_frames(frames: &[FrameEntry], bytes: u64) -> Result<()> {
    let compressed: u64 = frames.iter().map(|f| u64::from(f.bytes)).sum();
    let fits = frames.iter().all(|f| {
        f.plain_bytes() <= FRAME_BYTES_MAX
            && !f.chunks.is_empty()
            && f.chunks.iter().all(|(_, n)| *n as usize <= CHUNK_BYTES_MAX)
    });
    if fits && compressed <= bytes && bytes <= PACK_BYTES_MAX {
        return Ok(());
    }
    Err(Error::corrupt("a pack's frames do not fit its length or the limits of the format"))
}

/// One zstd frame, at most `max` bytes of plaintext. `source` must end where the frame ends.
pub(crate) fn decompress(source: &[u8], max: usize) -> Result<Vec<u8>> {
    let mut plaintext = Vec::new();
    decompress_into(&mut decompressor()?, source, max, &mut plaintext)?;
    Ok(plaintext)
}

/// The same in a context and into memory that were used before.
pub(crate) fn decompress_into(
    context: &mut Decompressor<'_>,
    source: &[u8],
    max: usize,
    plaintext: &mut Vec<u8>,
) -> Result<()> {
    let declared = zstd::zstd_safe::get_frame_content_size(source)
        .ok()
        .flatten()
        .ok_or_else(|| Error::corrupt("the zstd frame names no content size"))?;
    if declared > max as u64 {
        return Err(Error::corrupt(format!("the zstd frame claims {declared} bytes, more than {max}")));
    }
    let length = zstd::zstd_safe::find_frame_compressed_size(source)
        .map_err(|_| Error::corrupt("the zstd frame is damaged or cut off"))?;
    if length != source.len() {
        return Err(Error::corrupt("the zstd frame does not fill its place"));
    }
    plaintext.clear();
    plaintext.reserve(declared as usize);
    context
        .decompress_to_buffer(source, plaintext)
        .map_err(|e| Error::corrupt("the zstd frame does not decode").caused_by(e))?;
    if plaintext.len() as u64 != declared {
        return Err(Error::corrupt("the zstd frame is shorter than it says"));
    }
    Ok(())
}

/// A context to decode in.
pub(crate) fn decompressor() -> Result<Decompressor<'static>> {
    Decompressor::new().map_err(|e| Error::internal("start zstd").caused_by(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<FrameEntry> {
        vec![FrameEntry { bytes: 10, chunks: vec![(ChunkId([7; 32]), 100), (ChunkId([8; 32]), 5)] }]
    }

    #[test]
    fn a_trailer_comes_back_behind_padding() {
        let mut plain = vec![1; 10];
        append_padded_trailer(&mut plain, &frames()).unwrap();
        assert_eq!(read_trailer(&plain).unwrap(), frames());
    }

    #[test]
    fn a_damaged_trailer_is_refused() {
        let mut plain = vec![1; 10];
        append_trailer(&mut plain, &frames()).unwrap();
        for cut in 1..plain.len() {
            assert!(read_trailer(&plain[..cut]).is_err(), "cut to {cut}");
            assert!(read_trailer(&plain[cut..]).is_err() || cut <= 10, "cut from {cut}");
        }
        let mut long = plain.clone();
        let at = long.len() - 12;
        long[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read_trailer(&long).is_err());
    }

    #[test]
    fn frames_beyond_the_limits_are_refused() {
        let huge = FrameEntry { bytes: 10, chunks: vec![(ChunkId([0; 32]), u32::MAX)] };
        assert!(check_frames(&[huge], 1 << 20).is_err());
        let empty = FrameEntry { bytes: 10, chunks: vec![] };
        assert!(check_frames(&[empty], 1 << 20).is_err());
        let wide = FrameEntry { bytes: u32::MAX, chunks: vec![(ChunkId([0; 32]), 1)] };
        assert!(check_frames(&[wide], 1 << 20).is_err());
    }

    #[test]
    fn padding_leaks_little_and_costs_little() {
        for length in [0, 1, 2, 9, 100, 1000, 12345, 1 << 20, (16 << 20) + 77] {
            let padded = padme(length);
            assert!(padded >= length && padded - length <= length * 12 / 100 + 1, "{length} -> {padded}");
        }
        let lengths: std::collections::HashSet<usize> = (1 << 20..2 << 20).step_by(997).map(padme).collect();
        assert!(lengths.len() <= 33, "{}", lengths.len());
    }
}
