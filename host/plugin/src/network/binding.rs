//! What binds a channel to the certificate that the server showed: `tls-server-end-point` of RFC 5929.

use pkcs1::RsaPssParams;
use sha2::{Digest, Sha256, Sha384, Sha512};
use spki::AlgorithmIdentifierRef;
use spki::der::asn1::{AnyRef, ObjectIdentifier};
use spki::der::{self, Decode, Reader, SliceReader};

/// A hash function, as far as TLS believes certificates that were signed with it. MD5 and SHA-1 it does not; RFC 5929 puts
/// SHA-256 in their place.
#[derive(Clone, Copy)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// Which hash function a signature algorithm uses, by its identifier.
const SIGNATURES: [(ObjectIdentifier, Hash); 11] = [
    // RSA, PKCS #1 v1.5.
    (oid("1.2.840.113549.1.1.4"), Hash::Sha256),
    (oid("1.2.840.113549.1.1.5"), Hash::Sha256),
    (oid("1.2.840.113549.1.1.11"), Hash::Sha256),
    (oid("1.2.840.113549.1.1.12"), Hash::Sha384),
    (oid("1.2.840.113549.1.1.13"), Hash::Sha512),
    // ECDSA, with SHA-1 first.
    (oid("1.2.840.10045.4.1"), Hash::Sha256),
    (oid("1.2.840.10045.4.3.2"), Hash::Sha256),
    (oid("1.2.840.10045.4.3.3"), Hash::Sha384),
    (oid("1.2.840.10045.4.3.4"), Hash::Sha512),
    // DSA.
    (oid("1.2.840.10040.4.3"), Hash::Sha256),
    (oid("2.16.840.1.101.3.4.3.2"), Hash::Sha256),
];

/// RSASSA-PSS: its parameters name the hash function.
const PSS: ObjectIdentifier = oid("1.2.840.113549.1.1.10");

/// The hash functions themselves: MD5, SHA-1, SHA-256, SHA-384, SHA-512.
const HASHES: [(ObjectIdentifier, Hash); 5] = [
    (oid("1.2.840.113549.2.5"), Hash::Sha256),
    (oid("1.3.14.3.2.26"), Hash::Sha256),
    (oid("2.16.840.1.101.3.4.2.1"), Hash::Sha256),
    (oid("2.16.840.1.101.3.4.2.2"), Hash::Sha384),
    (oid("2.16.840.1.101.3.4.2.3"), Hash::Sha512),
];

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// The binding of a certificate; empty where none is defined (Ed25519 names no hash function) or the algorithm is unknown:
/// then there is nothing that both sides would agree on.
pub(super) fn of(certificate: &[u8]) -> Vec<u8> {
    match hash_of(certificate) {
        Some(Hash::Sha256) => Sha256::digest(certificate).to_vec(),
        Some(Hash::Sha384) => Sha384::digest(certificate).to_vec(),
        Some(Hash::Sha512) => Sha512::digest(certificate).to_vec(),
        None => Vec::new(),
    }
}

fn hash_of(certificate: &[u8]) -> Option<Hash> {
    let algorithm = signature_algorithm(certificate).ok()?;
    if algorithm.oid != PSS {
        return find(&SIGNATURES, algorithm.oid);
    }
    let parameters = algorithm.parameters?.decode_as::<RsaPssParams<'_>>().ok()?;
    find(&HASHES, parameters.hash.oid)
}

fn find(among: &[(ObjectIdentifier, Hash)], wanted: ObjectIdentifier) -> Option<Hash> {
    among.iter().find(|(oid, _)| *oid == wanted).map(|(_, hash)| *hash)
}

/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }`.
fn signature_algorithm(certificate: &[u8]) -> der::Result<AlgorithmIdentifierRef<'_>> {
    SliceReader::new(certificate)?.sequence(|fields| {
        AnyRef::decode(fields)?;
        let algorithm = AlgorithmIdentifierRef::decode(fields)?;
        AnyRef::decode(fields)?;
        Ok(algorithm)
    })
}
