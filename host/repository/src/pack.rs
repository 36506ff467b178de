//! Packs: frames gathered, sealed, and proven before they may leave.

use std::io::Read;
use std::sync::Mutex;

use age::x25519;

use crate::error::{Error, Result};
use crate::format::index::PackEntry;
use crate::format::name::PackKind;
use crate::format::pack::{FrameEntry, append_padded_trailer, append_trailer};
use crate::frame::{Compressor, Decoder, Frame, OpenFrame};
use crate::id::ChunkId;
use crate::keys::Keyring;
use crate::limits::{
    FRAME_ALONE_BYTES, FRAME_BYTES_TARGET, FRAME_CHUNKS_TARGET, PACK_BYTES_MAX, PACK_BYTES_TARGET, PACK_CHUNKS_TARGET,
};
use crate::seal::{self, Sealed};

/// A sealed and proven pack.
pub(crate) struct SealedPack {
    pub(crate) sealed: Sealed,
    pub(crate) entry: PackEntry,
}

/// Frames that will be one pack.
#[derive(Default)]
struct OpenPack {
    plaintext: Vec<u8>,
    frames: Vec<FrameEntry>,
    chunks: usize,
}

/// Gathers the new chunks of one kind into packs. Shared by all threads; the locks are held to copy, never to compress
/// or to seal.
pub(crate) struct Packer {
    kind: PackKind,
    recipient: x25519::Recipient,
    proof: x25519::Identity,
    frame: Mutex<OpenFrame>,
    pack: Mutex<OpenPack>,
    /// The buffer of a pack that was sealed: fresh memory costs a page fault for every 4 KiB.
    spare: Mutex<Vec<u8>>,
}

impl Packer {
    /// A packer that seals to `recipient`, and to an identity of its own that it forgets with the process.
    pub(crate) fn new(kind: PackKind, recipient: x25519::Recipient) -> Self {
        let proof = x25519::Identity::generate();
        Packer { kind, recipient, proof, frame: Mutex::default(), pack: Mutex::default(), spare: Mutex::default() }
    }

    /// Adds a chunk that the repository does not have; a pack that it fills is sealed here and returned.
    pub(crate) fn add(
        &self,
        id: ChunkId,
        plaintext: &[u8],
        keyring: &Keyring,
        compressor: &mut Compressor,
    ) -> Result<Option<SealedPack>> {
        let length = plaintext.len() as u32;
        if plaintext.len() >= FRAME_ALONE_BYTES {
            let frame = compressor.frame(plaintext, vec![(id, length)])?;
            return self.add_frame(frame, keyring, compressor);
        }
        let full = {
            let mut frame = lock(&self.frame);
            frame.plaintext.extend_from_slice(plaintext);
            frame.chunks.push((id, length));
            (frame.plaintext.len() >= FRAME_BYTES_TARGET || frame.chunks.len() >= FRAME_CHUNKS_TARGET)
                .then(|| std::mem::take(&mut *frame))
        };
        match full {
            Some(full) => {
                let frame = compressor.frame(&full.plaintext, full.chunks)?;
                self.add_frame(frame, keyring, compressor)
            }
            None => Ok(None),
        }
    }

    fn add_frame(&self, frame: Frame, keyring: &Keyring, compressor: &mut Compressor) -> Result<Option<SealedPack>> {
        let full = {
            let mut pack = lock(&self.pack);
            if pack.plaintext.is_empty() {
                pack.plaintext = std::mem::take(&mut *lock(&self.spare));
                pack.plaintext.reserve(PACK_BYTES_TARGET + FRAME_BYTES_TARGET);
            }
            pack.plaintext.extend_from_slice(&frame.compressed);
            pack.chunks += frame.entry.chunks.len();
            pack.frames.push(frame.entry);
            (pack.plaintext.len() >= PACK_BYTES_TARGET || pack.chunks >= PACK_CHUNKS_TARGET)
                .then(|| std::mem::take(&mut *pack))
        };
        let Some(OpenPack { mut plaintext, frames, .. }) = full else { return Ok(None) };
        append_trailer(&mut plaintext, &frames)?;
        let pack = self.seal(&plaintext, frames, keyring, &mut compressor.proof)?;
        plaintext.clear();
        *lock(&self.spare) = plaintext;
        Ok(Some(pack))
    }

    /// Seals what is left, padded. Called once, when no chunk will come any more.
    pub(crate) fn finish(&self, keyring: &Keyring, compressor: &mut Compressor) -> Result<Vec<SealedPack>> {
        let mut packs = Vec::new();
        let rest = std::mem::take(&mut *lock(&self.frame));
        if !rest.chunks.is_empty() {
            let frame = compressor.frame(&rest.plaintext, rest.chunks)?;
            packs.extend(self.add_frame(frame, keyring, compressor)?);
        }
        let OpenPack { mut plaintext, frames, .. } = std::mem::take(&mut *lock(&self.pack));
        if !frames.is_empty() {
            append_padded_trailer(&mut plaintext, &frames)?;
            packs.push(self.seal(&plaintext, frames, keyring, &mut compressor.proof)?);
        }
        Ok(packs)
    }

    fn seal(
        &self,
        plaintext: &[u8],
        frames: Vec<FrameEntry>,
        keyring: &Keyring,
        decoder: &mut Decoder,
    ) -> Result<SealedPack> {
        let sealed = Sealed::seal(plaintext, &[&self.recipient, &self.proof.to_public()])?;
        let entry = PackEntry { pack: sealed.id(), kind: self.kind, bytes: sealed.bytes().len() as u64, frames };
        if entry.bytes > PACK_BYTES_MAX {
            return Err(Error::internal(format!("a pack grew to {} bytes", entry.bytes)));
        }
        prove(&sealed, &entry, (&self.proof, decoder), keyring).map_err(|e| {
            Error::internal("a pack that was just sealed does not open to what went into it: nothing was stored")
                .caused_by(e)
                .hinted("this machine's memory or processor may be failing: test it before you trust it with backups")
        })?;
        Ok(SealedPack { sealed, entry })
    }
}

/// Opens a sealed pack again, decodes every frame and compares every chunk with its id: a broken encoder or a flipped
/// bit is found while the source is still there (restic#4523, restic#4677).
fn prove(
    sealed: &Sealed,
    entry: &PackEntry,
    (proof, decoder): (&x25519::Identity, &mut Decoder),
    keyring: &Keyring,
) -> Result<()> {
    let mut reader = seal::reader(&sealed.bytes()[..], &[proof])?;
    let mut compressed = Vec::new();
    for frame in &entry.frames {
        compressed.resize(frame.bytes as usize, 0);
        reader.read_exact(&mut compressed).map_err(seal::damaged)?;
        check_frame(decoder.open(&compressed, frame)?, frame, entry.kind, keyring)?;
    }
    std::io::copy(&mut reader, &mut std::io::sink()).map_err(seal::damaged)?;
    Ok(())
}

/// Compares every chunk of a decoded frame with its id.
pub(crate) fn check_frame(plaintext: &[u8], frame: &FrameEntry, kind: PackKind, keyring: &Keyring) -> Result<()> {
    let mut rest = plaintext;
    for (id, length) in &frame.chunks {
        let (chunk, tail) = rest
            .split_at_checked(*length as usize)
            .ok_or_else(|| Error::corrupt("a frame is shorter than its chunks"))?;
        if keyring.chunk_id(kind, chunk) != *id {
            return Err(Error::corrupt(format!("chunk {} is not what its id says", id.short())));
        }
        rest = tail;
    }
    Ok(())
}

/// A lock that a panicking thread left is as good as any: what it guards is only ever complete.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Secret;

    #[test]
    fn a_pack_that_does_not_prove_itself_is_not_handed_out() {
        let ring = Secret::new([1; 32]).keyring();
        let packer = Packer::new(PackKind::Data, x25519::Identity::generate().to_public());
        let mut compressor = Compressor::new().unwrap();
        // An id that the bytes do not have is what a flipped bit in memory looks like.
        packer.add(ChunkId([9; 32]), b"content", &ring, &mut compressor).unwrap();
        let error = packer.finish(&ring, &mut compressor).err().unwrap();
        assert!(error.chain().contains("is not what its id says"), "{}", error.chain());
    }

    #[test]
    fn a_pack_of_tiny_chunks_is_sealed_while_it_can_be_listed() {
        let ring = Secret::new([1; 32]).keyring();
        let packer = Packer::new(PackKind::Data, x25519::Identity::generate().to_public());
        let mut compressor = Compressor::new().unwrap();
        let packs: Vec<SealedPack> = (0..3 * PACK_CHUNKS_TARGET as u32 / 2)
            .filter_map(|n| {
                let id = ring.chunk_id(PackKind::Data, &n.to_le_bytes());
                packer.add(id, &n.to_le_bytes(), &ring, &mut compressor).unwrap()
            })
            .collect();
        assert_eq!(packs.len(), 1);
        assert_eq!(packs[0].entry.chunks(), PACK_CHUNKS_TARGET);
        assert!(packs[0].entry.frames.iter().all(|frame| frame.chunks.len() == FRAME_CHUNKS_TARGET));
    }

    #[test]
    fn small_packs_have_few_lengths() {
        let ring = Secret::new([1; 32]).keyring();
        let mut compressor = Compressor::new().unwrap();
        let mut noise = vec![0; 200_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let lengths: std::collections::HashSet<u64> = (100_000..104_000)
            .step_by(400)
            .map(|length| {
                let packer = Packer::new(PackKind::Data, x25519::Identity::generate().to_public());
                let id = ring.chunk_id(PackKind::Data, &noise[..length]);
                packer.add(id, &noise[..length], &ring, &mut compressor).unwrap();
                // age adds a stanza of random length to every header ("grease"), some 100 bytes.
                packer.finish(&ring, &mut compressor).unwrap()[0].entry.bytes >> 10
            })
            .collect();
        assert!(lengths.len() <= 4, "{lengths:?}");
    }
}
