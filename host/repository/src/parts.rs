//! An age file of which only parts are at hand. What somebody reads is decrypted, and nothing else.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use age::stream::StreamReader;
use age::x25519;
use bytes::Bytes;

use crate::error::{Error, Result};
use crate::pack::lock;
use crate::seal;

/// The payload of an age file is sealed in chunks of so many bytes (C2SP age, Payload).
const AGE_CHUNK_BYTES: u64 = 64 << 10;
/// The tag behind each.
const TAG_BYTES: u64 = 16;

/// Readers that are kept for whoever reads next: each has a chunk or two in memory, and another is soon made.
const READERS_KEPT: usize = 4;

/// Bytes of a file, and where they begin.
pub(crate) type Part = (u64, Bytes);

/// An age file that was opened, to be read anywhere, by several at a time.
pub(crate) struct Opened {
    /// Its header, for further readers, and how long the file is.
    header: Bytes,
    length: u64,
    identities: Vec<x25519::Identity>,
    /// Those that nobody reads with now.
    readers: Mutex<Vec<Reader>>,
}

/// A reader, where in the plaintext it is, and what it has of the file.
struct Reader {
    stream: StreamReader<Sealed>,
    at: u64,
    sealed: Sealed,
}

/// What is at hand of a file, and the place in it that is read next.
#[derive(Clone)]
struct Sealed(Arc<Mutex<AtHand>>);

struct AtHand {
    parts: Vec<Part>,
    at: u64,
    length: u64,
}

impl Opened {
    /// Opens a file of which `start` is the beginning.
    ///
    /// # Errors
    /// As [`seal::open`].
    pub(crate) fn new(start: &Bytes, length: u64, identities: &[x25519::Identity]) -> Result<Self> {
        let first = Reader::new(start.clone(), length, identities)?;
        let header = {
            let mut hand = lock(&first.sealed.0);
            hand.parts.clear();
            hand.at as usize
        };
        // A copy: what is left of the beginning need not stay.
        let header = Bytes::copy_from_slice(start.get(..header).unwrap_or_default());
        Ok(Opened { header, length, identities: identities.to_vec(), readers: Mutex::new(vec![first]) })
    }

    /// Where in the file the bytes lie that are needed to read from `at` on.
    pub(crate) fn range(&self, at: u64, bytes: u64) -> Range<u64> {
        let header = self.header.len() as u64;
        let place = |chunk: u64| chunk.saturating_mul(AGE_CHUNK_BYTES + TAG_BYTES).saturating_add(header);
        let first = at.saturating_sub(1) / AGE_CHUNK_BYTES;
        let last = at.saturating_add(bytes).div_ceil(AGE_CHUNK_BYTES).max(first + 1);
        place(first).min(self.length)..place(last).min(self.length)
    }

    /// So many bytes of the plaintext from `at` on; `parts` have the range of the file that holds them.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::Kind::Corrupt) if one of the chunks that hold them was changed, or they are not there.
    pub(crate) fn read(&self, parts: Vec<Part>, at: u64, bytes: u64) -> Result<Vec<u8>> {
        if at.saturating_add(bytes) > self.length {
            return Err(Error::corrupt("it is shorter than what is in it"));
        }
        let mut reader = match self.take(at) {
            Some(reader) => reader,
            None => Reader::new(self.header.clone(), self.length, &self.identities)?,
        };
        let plaintext = reader.read(parts, at, bytes as usize).map_err(seal::damaged)?;
        let mut readers = lock(&self.readers);
        if readers.len() < READERS_KEPT {
            readers.push(reader);
        }
        Ok(plaintext)
    }

    /// The reader that is closest before `at`: it may be in the midst of the chunk that is read first. None goes back to the
    /// beginning, see [`Reader::read`].
    fn take(&self, at: u64) -> Option<Reader> {
        let mut readers = lock(&self.readers);
        let before = |reader: &Reader| at.checked_sub(reader.at).unwrap_or(u64::MAX);
        let fit = readers.iter().enumerate().filter(|(_, reader)| at > 0 || reader.at == 0);
        let (nearest, _) = fit.min_by_key(|(_, reader)| before(reader))?;
        Some(readers.swap_remove(nearest))
    }
}

impl Reader {
    fn new(start: Bytes, length: u64, identities: &[x25519::Identity]) -> Result<Self> {
        let sealed = Sealed(Arc::new(Mutex::new(AtHand { parts: vec![(0, start)], at: 0, length })));
        let identities: Vec<&dyn age::Identity> = identities.iter().map(|identity| identity as _).collect();
        Ok(Reader { stream: seal::reader(sealed.clone(), &identities)?, at: 0, sealed })
    }

    fn read(&mut self, parts: Vec<Part>, at: u64, bytes: usize) -> io::Result<Vec<u8>> {
        lock(&self.sealed.0).parts = parts;
        // Whoever seeks to where a chunk begins has age look at the last one, which may not be at hand.
        let before = u64::from(at > 0 && at.is_multiple_of(AGE_CHUNK_BYTES) && at != self.at);
        self.stream.seek(SeekFrom::Start(at - before))?;
        self.stream.read_exact(&mut [0][..before as usize])?;
        let mut plaintext = vec![0; bytes];
        self.stream.read_exact(&mut plaintext)?;
        self.at = at + bytes as u64;
        lock(&self.sealed.0).parts.clear();
        Ok(plaintext)
    }
}

impl Read for Sealed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut hand = lock(&self.0);
        if hand.at >= hand.length {
            return Ok(0);
        }
        let rest = hand.parts.iter().find_map(|(start, bytes)| {
            let passed = usize::try_from(hand.at.checked_sub(*start)?).ok()?;
            bytes.get(passed..).filter(|rest| !rest.is_empty())
        });
        let rest = rest.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "a part of it is not at hand"))?;
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        hand.at += read as u64;
        Ok(read)
    }
}

impl Seek for Sealed {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let mut hand = lock(&self.0);
        let to = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => hand.at.checked_add_signed(by),
            SeekFrom::End(by) => hand.length.checked_add_signed(by),
        };
        hand.at = to.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(hand.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    /// Three chunks of age of which the last one is full.
    fn plain() -> Vec<u8> {
        (0..3_u32 << 14).flat_map(u32::to_le_bytes).collect()
    }

    /// What is read when exactly the range is at hand that is said to be needed, in two parts.
    fn read(opened: &Opened, sealed: &Bytes, at: usize, bytes: usize) -> Result<Vec<u8>> {
        let range = opened.range(at as u64, bytes as u64);
        let (start, end) = (range.start as usize, range.end as usize);
        let middle = start.midpoint(end);
        let part = |from: usize, to: usize| (from as u64, sealed.slice(from..to));
        opened.read(vec![part(start, middle), part(middle, end)], at as u64, bytes as u64)
    }

    #[test]
    fn any_part_is_read_and_only_its_own_damage_matters() {
        let (identity, plain) = (x25519::Identity::generate(), plain());
        let sealed = seal::Sealed::seal(&plain, &[&identity.to_public()]).unwrap().bytes().clone();
        let open = |sealed: &Bytes| {
            Opened::new(&sealed.slice(..1_000), sealed.len() as u64, std::slice::from_ref(&identity)).unwrap()
        };
        let opened = open(&sealed);
        let parts =
            [(0, 10), (70_000, 65_536), (65_530, 12), (196_600, 8), (131_072, 65_536), (65_536, 1), (0, 196_608)];
        for (at, bytes) in parts {
            assert_eq!(read(&opened, &sealed, at, bytes).unwrap(), plain[at..at + bytes], "{bytes} at {at}");
        }
        for (at, bytes) in [(196_600, 9), (196_608, 1), (196_700, 1)] {
            assert_eq!(read(&opened, &sealed, at, bytes).unwrap_err().kind(), Kind::Corrupt, "{bytes} at {at}");
        }
        assert_eq!(opened.read(Vec::new(), 70_000, 10).unwrap_err().kind(), Kind::Corrupt, "nothing is at hand");
        assert_eq!(opened.read(Vec::new(), u64::MAX, 10).unwrap_err().kind(), Kind::Corrupt);

        let mut changed = sealed.to_vec();
        let in_the_last = changed.len() - 20;
        changed[in_the_last] ^= 1;
        let changed = Bytes::from(changed);
        let opened = open(&changed);
        assert_eq!(read(&opened, &changed, 0, 131_072).unwrap(), plain[..131_072]);
        assert_eq!(read(&opened, &changed, 131_072, 1).unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(read(&opened, &changed, 131_071, 1).unwrap(), plain[131_071..131_072], "a failure is not kept");
        assert_eq!(read(&opened, &changed, 131_071, 2).unwrap_err().kind(), Kind::Corrupt);
    }

    #[test]
    fn several_readers_read_what_one_does() {
        let (identity, plain) = (x25519::Identity::generate(), plain());
        let sealed = seal::Sealed::seal(&plain, &[&identity.to_public()]).unwrap().bytes().clone();
        let opened = Opened::new(&sealed, sealed.len() as u64, &[identity]).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (opened, sealed, plain) = (&opened, &sealed, &plain);
                scope.spawn(move || {
                    for turn in 0..200 {
                        let at = (thread * 7_919 + turn * 104_729) % 190_000;
                        assert_eq!(read(opened, sealed, at, 5_000).unwrap(), plain[at..at + 5_000]);
                    }
                });
            }
        });
        assert!(lock(&opened.readers).len() <= READERS_KEPT);
    }
}
