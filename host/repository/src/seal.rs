//! Sealing and opening: age around bytes in memory. The only file that makes a [`Sealed`], which is all that the store
//! takes.

use std::io::{Read, Write};

use age::stream::StreamReader;
use bytes::Bytes;

use crate::error::{Error, Result};
use crate::id::ObjectId;

/// Bytes that may lie in a store, and their digest.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    bytes: Bytes,
    id: ObjectId,
}

impl Sealed {
    /// Seals `plaintext` to every one of `recipients`.
    pub(crate) fn seal(plaintext: &[u8], recipients: &[&dyn age::Recipient]) -> Result<Self> {
        let failed = |e: std::io::Error| Error::internal("seal an object").caused_by(e);
        let encryptor = age::Encryptor::with_recipients(recipients.iter().copied())
            .map_err(|e| Error::internal("seal an object").caused_by(e))?;
        // The header takes some 200 bytes for each recipient, every 64 KiB of payload 16 bytes.
        let room = plaintext.len() + plaintext.len() / 2048 + 1024;
        let mut writer = encryptor.wrap_output(Vec::with_capacity(room)).map_err(failed)?;
        writer.write_all(plaintext).map_err(failed)?;
        Ok(Sealed::digested(writer.finish().map_err(failed)?))
    }

    /// The repository's sign: the one object in the clear.
    pub(crate) fn sign(text: Vec<u8>) -> Self {
        Sealed::digested(text)
    }

    /// An object that another store holds: it was sealed before it came there, which its digest proves.
    ///
    /// # Errors
    /// [`Corrupt`](crate::error::Kind::Corrupt) if the bytes have another digest.
    pub(crate) fn found(bytes: Bytes, id: ObjectId) -> Result<Self> {
        if ObjectId::of(&bytes) != id {
            return Err(Error::corrupt("its bytes do not have the digest that it is named by"));
        }
        Ok(Sealed { bytes, id })
    }

    /// The same for a key document, whose name has no digest.
    pub(crate) fn found_key(bytes: Bytes) -> Result<Self> {
        check_header(&bytes)?;
        let id = ObjectId::of(&bytes);
        Ok(Sealed { bytes, id })
    }

    fn digested(bytes: Vec<u8>) -> Self {
        let id = ObjectId::of(&bytes);
        Sealed { bytes: bytes.into(), id }
    }

    /// The object's bytes.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// SHA-256 of the bytes.
    pub(crate) fn id(&self) -> ObjectId {
        self.id
    }
}

/// Opens a whole age file; `max` bounds its plaintext, which is never longer than the file.
///
/// # Errors
/// [`Denied`](crate::error::Kind::Denied) if no identity fits, [`Corrupt`](crate::error::Kind::Corrupt) if a byte was
/// changed or the file ends early.
pub(crate) fn open(sealed: &[u8], identities: &[&dyn age::Identity], max: usize) -> Result<Vec<u8>> {
    if sealed.len() > max.saturating_add(max / 1024 + (64 << 10)) {
        return Err(Error::corrupt(format!("{} bytes are more than the format allows here", sealed.len())));
    }
    let mut reader = reader(sealed, identities)?;
    let mut plaintext = Vec::with_capacity(sealed.len());
    reader.read_to_end(&mut plaintext).map_err(damaged)?;
    Ok(plaintext)
}

/// Whether bytes begin as an age file does and have something behind that.
pub(crate) fn check_header(sealed: &[u8]) -> Result<()> {
    age::Decryptor::new_buffered(sealed)
        .map(drop)
        .map_err(|e| Error::corrupt("it is not an age file, or its header is damaged").caused_by(e))
}

/// Opens an age file for reading in pieces: each piece is authentic; only the end says that it was whole.
pub(crate) fn reader<R: Read>(sealed: R, identities: &[&dyn age::Identity]) -> Result<StreamReader<R>> {
    let decryptor = age::Decryptor::new(sealed)
        .map_err(|e| Error::corrupt("it is not an age file, or its header is damaged").caused_by(e))?;
    use age::DecryptError as E;
    decryptor.decrypt(identities.iter().copied()).map_err(|e| match e {
        E::NoMatchingKeys => Error::denied("it is sealed to other keys than those at hand"),
        // A passphrase has no other way to be wrong.
        E::DecryptionFailed | E::KeyDecryptionFailed => Error::denied("it does not open with this passphrase or key"),
        E::ExcessiveWork { .. } => Error::corrupt("it asks for more work than a passphrase may cost"),
        E::Plugin(_) | E::PluginResolve(_) | E::Io(_) => {
            Error::denied("the program of this kind of key did not open it").caused_by(e)
        }
        other => Error::corrupt("its age header is damaged").caused_by(other),
    })
}

/// What a failure to read on inside an age file means.
pub(crate) fn damaged(error: std::io::Error) -> Error {
    Error::corrupt("it was changed, or ends early").caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let identity = age::x25519::Identity::generate();
        let plain = b"all that they own".repeat(5000);
        let sealed = Sealed::seal(&plain, &[&identity.to_public()]).unwrap();
        assert_eq!(open(sealed.bytes(), &[&identity], plain.len()).unwrap(), plain);
        let bytes = sealed.bytes();
        for at in (0..bytes.len()).step_by(61).chain(bytes.len() - 20..bytes.len()) {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            assert!(open(&changed, &[&identity], plain.len()).is_err(), "flipped byte {at}");
            assert!(open(&bytes[..at], &[&identity], plain.len()).is_err(), "cut to {at}");
        }
    }

    #[test]
    fn another_key_is_denied_not_corrupt() {
        let (one, other) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
        let sealed = Sealed::seal(b"x", &[&one.to_public()]).unwrap();
        assert_eq!(open(sealed.bytes(), &[&other], 10).unwrap_err().kind(), Kind::Denied);
    }
}
