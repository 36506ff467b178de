//! Frames: one zstd frame over one or more chunks. FORMAT.md section 7.

use crate::error::{Error, Result};
use crate::format::pack::{FrameEntry, decompress_into, decompressor};
use crate::id::ChunkId;
use crate::limits::FRAME_BYTES_MAX;

/// The level of content: 3 gives most of what compression can at half the cost of what comes next.
const LEVEL: i32 = 3;
/// The level of what will not shrink anyway: fast enough to cost nothing beside sealing.
const LEVEL_INCOMPRESSIBLE: i32 = -7;
/// Chunks from this length on are sampled before they are compressed.
const SAMPLED_BYTES: usize = 128 << 10;
const SAMPLE_BYTES: usize = 4 << 10;
const SAMPLES: usize = 4;

/// Chunks that will share a frame.
#[derive(Default)]
pub(crate) struct OpenFrame {
    pub(crate) plaintext: Vec<u8>,
    pub(crate) chunks: Vec<(ChunkId, u32)>,
}

/// A compressed frame on its way into a pack.
pub(crate) struct Frame {
    pub(crate) compressed: Vec<u8>,
    pub(crate) entry: FrameEntry,
}

/// zstd contexts, which are expensive to make: one for each thread.
pub(crate) struct Compressor {
    normal: zstd::bulk::Compressor<'static>,
    incompressible: zstd::bulk::Compressor<'static>,
    /// Opens again what was compressed.
    pub(crate) proof: Decoder,
}

/// Decodes frames one after the other into the same memory.
pub(crate) struct Decoder {
    context: zstd::bulk::Decompressor<'static>,
    plaintext: Vec<u8>,
}

impl Compressor {
    pub(crate) fn new() -> Result<Self> {
        let make = |level| {
            let mut compressor = zstd::bulk::Compressor::new(level)?;
            compressor.include_checksum(true)?;
            compressor.include_contentsize(true)?;
            Ok(compressor)
        };
        let failed = |e: std::io::Error| Error::internal("start zstd").caused_by(e);
        Ok(Compressor {
            normal: make(LEVEL).map_err(failed)?,
            incompressible: make(LEVEL_INCOMPRESSIBLE).map_err(failed)?,
            proof: Decoder::new()?,
        })
    }

    /// Compresses chunks, given as one plaintext, into a frame.
    pub(crate) fn frame(&mut self, plaintext: &[u8], chunks: Vec<(ChunkId, u32)>) -> Result<Frame> {
        let failed = |e: std::io::Error| Error::internal("compress a frame").caused_by(e);
        let compressor = if self.shrinks(plaintext) { &mut self.normal } else { &mut self.incompressible };
        let compressed = compressor.compress(plaintext).map_err(failed)?;
        let bytes = u32::try_from(compressed.len()).map_err(|_| Error::internal("a frame is too long"))?;
        Ok(Frame { compressed, entry: FrameEntry { bytes, chunks } })
    }

    /// Guesses from a few samples whether compression is worth its time; small plaintexts always are.
    fn shrinks(&mut self, plaintext: &[u8]) -> bool {
        if plaintext.len() < SAMPLED_BYTES {
            return true;
        }
        let stride = plaintext.len() / SAMPLES;
        let samples: Vec<u8> =
            plaintext.chunks(stride).take(SAMPLES).flat_map(|c| &c[..SAMPLE_BYTES]).copied().collect();
        let packed = self.incompressible.compress(&samples).map_or(0, |p| p.len());
        if packed < samples.len() * 97 / 100 {
            return true;
        }
        // Long-range repetition escapes samples of their own; entropy does not: ask the real level before giving up.
        self.normal.compress(&samples).map_or(0, |p| p.len()) < samples.len() * 97 / 100
    }
}

impl Decoder {
    pub(crate) fn new() -> Result<Self> {
        Ok(Decoder { context: decompressor()?, plaintext: Vec::new() })
    }

    /// The plaintext of a frame.
    pub(crate) fn decode(&mut self, compressed: &[u8]) -> Result<&[u8]> {
        decompress_into(&mut self.context, compressed, FRAME_BYTES_MAX, &mut self.plaintext)?;
        Ok(&self.plaintext)
    }

    /// The same, which must be as long as its chunks.
    pub(crate) fn open(&mut self, compressed: &[u8], entry: &FrameEntry) -> Result<&[u8]> {
        let plaintext = self.decode(compressed)?;
        if plaintext.len() != entry.plain_bytes() {
            return Err(Error::corrupt("a frame is not as long as its chunks"));
        }
        Ok(plaintext)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_whatever_they_hold() {
        let mut noise = vec![0; 1 << 20];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let text = b"the quick brown fox ".repeat(50_000);
        let mut compressor = Compressor::new().unwrap();
        for plain in [&noise, &text, &vec![], &vec![7], &vec![0; 4 << 20]] {
            let frame = compressor.frame(plain, vec![(ChunkId([0; 32]), plain.len() as u32)]).unwrap();
            assert_eq!(compressor.proof.open(&frame.compressed, &frame.entry).unwrap(), plain);
            assert!(frame.compressed.len() <= plain.len() + plain.len() / 200 + 64);
        }
        assert!(!compressor.shrinks(&noise));
        assert!(compressor.shrinks(&text));
    }

    #[test]
    fn a_cut_or_changed_frame_is_refused() {
        let plain = b"all that they own ".repeat(100);
        let mut compressor = Compressor::new().unwrap();
        let frame = compressor.frame(&plain, vec![(ChunkId([0; 32]), plain.len() as u32)]).unwrap();
        for at in 0..frame.compressed.len() {
            assert!(compressor.proof.open(&frame.compressed[..at], &frame.entry).is_err(), "cut to {at}");
            let mut changed = frame.compressed.clone();
            changed[at] ^= 0x10;
            // A flip that decodes to the same bytes is no damage (a reserved or redundant bit of the header).
            assert!(compressor.proof.open(&changed, &frame.entry).map_or(true, |opened| opened == plain));
        }
        let longer = FrameEntry { bytes: 0, chunks: vec![(ChunkId([0; 32]), 1 + plain.len() as u32)] };
        assert!(compressor.proof.open(&frame.compressed, &longer).is_err());
    }
}
