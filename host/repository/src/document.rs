//! Documents: every encrypted object but packs. FORMAT.md section 6.

use crate::error::{Error, Result};
use crate::format::name::Place;
use crate::format::pack::skippable;
use crate::keys::Keyring;
use crate::seal::{self, Sealed};

const MAGIC: u32 = 0x184D_2A5D;
const MARK: &[u8; 8] = b"dozo-mac";
const MAC_FRAME: usize = 8 + MARK.len() + 32;
const LEVEL: i32 = 3;

/// Seals a body as the document of this place.
pub(crate) fn seal(place: &Place, body: &[u8], keyring: &Keyring, recipient: &dyn age::Recipient) -> Result<Sealed> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL).map_err(|e| Error::internal("start zstd").caused_by(e))?;
    compressor.include_checksum(true).map_err(|e| Error::internal("start zstd").caused_by(e))?;
    let mut plaintext = compressor.compress(body).map_err(|e| Error::internal("compress a document").caused_by(e))?;
    let mac = mac(place, body, keyring);
    plaintext.extend_from_slice(&skippable(MAGIC, &[MARK.as_slice(), mac.as_bytes()].concat()));
    Sealed::seal(&plaintext, &[recipient])
}

/// Opens the document of this place; its body is at most `max` bytes.
///
/// # Errors
/// [`Corrupt`](crate::error::Kind::Corrupt) if it was changed, cut off, or belongs elsewhere;
/// [`Denied`](crate::error::Kind::Denied) if it is sealed to other keys.
pub(crate) fn open(
    place: &Place,
    sealed: &[u8],
    keyring: &Keyring,
    identities: &[&dyn age::Identity],
    max: usize,
) -> Result<Vec<u8>> {
    let plaintext = seal::open(sealed, identities, max)?;
    let (body, found) = split(&plaintext, max)?;
    check(place, &body, found, keyring)?;
    Ok(body)
}

/// Whether the code belongs to the body in this place.
pub(crate) fn check(place: &Place, body: &[u8], found: [u8; 32], keyring: &Keyring) -> Result<()> {
    // `blake3::Hash` compares in constant time.
    if mac(place, body, keyring) != blake3::Hash::from_bytes(found) {
        return Err(Error::corrupt("it was not written by this repository's hosts, or not for this place"));
    }
    Ok(())
}

/// A document's body and its code, which proves nothing yet.
pub(crate) fn split(plaintext: &[u8], max: usize) -> Result<(Vec<u8>, [u8; 32])> {
    let missing = || Error::corrupt("its message authentication code is missing");
    let at = plaintext.len().checked_sub(MAC_FRAME).ok_or_else(missing)?;
    let (frame, tail) = plaintext.split_at(at);
    let mac = tail.last_chunk::<32>().ok_or_else(missing)?;
    if tail != skippable(MAGIC, &[MARK.as_slice(), mac.as_slice()].concat()) {
        return Err(missing());
    }
    Ok((crate::format::pack::decompress(frame, max)?, *mac))
}

fn mac(place: &Place, body: &[u8], keyring: &Keyring) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(&keyring.document);
    for part in [place.kind().as_bytes(), place.prefix().as_bytes()] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    hasher.update(body).finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::keys::Secret;

    #[test]
    fn a_document_opens_in_its_own_place_alone() {
        let identity = age::x25519::Identity::generate();
        let ring = Secret::new([1; 32]).keyring();
        let sealed = seal(&Place::Index, b"body", &ring, &identity.to_public()).unwrap();
        let open_at = |place: &Place, ring: &Keyring| open(place, sealed.bytes(), ring, &[&identity], 1000);
        assert_eq!(open_at(&Place::Index, &ring).unwrap(), b"body");
        let elsewhere = Place::Key { epoch: 1, owner: "x".into() };
        assert_eq!(open_at(&elsewhere, &ring).unwrap_err().kind(), Kind::Corrupt);
        assert!(open_at(&Place::Index, &Secret::new([2; 32]).keyring()).is_err(), "another repository's");
        assert!(open(&Place::Index, sealed.bytes(), &ring, &[&identity], 3).is_err(), "longer than allowed");
    }

    #[test]
    fn a_thief_who_knows_the_recipient_cannot_write() {
        let identity = age::x25519::Identity::generate();
        let ring = Secret::new([1; 32]).keyring();
        let plain = zstd::bulk::compress(b"body", 3).unwrap();
        let forged = Sealed::seal(&plain, &[&identity.to_public()]).unwrap();
        assert!(open(&Place::Index, forged.bytes(), &ring, &[&identity], 1000).is_err());
        let signed = [plain, skippable(MAGIC, &[MARK.as_slice(), &[0; 32]].concat())].concat();
        let forged = Sealed::seal(&signed, &[&identity.to_public()]).unwrap();
        assert!(open(&Place::Index, forged.bytes(), &ring, &[&identity], 1000).is_err());
    }
}
