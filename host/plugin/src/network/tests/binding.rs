//! What a channel is bound by, of certificates that OpenSSL made (`openssl req -x509 -days 36500 -outform DER`, with
//! `-sigopt rsa_padding_mode:pss` for PSS).

use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::network::binding;

macro_rules! certificate {
    ($name:literal) => {
        include_bytes!(concat!("certificates/", $name, ".der")).as_slice()
    };
}

fn holds<D: Digest>(certificates: &[&[u8]]) {
    for (number, certificate) in certificates.iter().enumerate() {
        assert_eq!(binding::of(certificate), D::digest(certificate).to_vec(), "number {number}");
    }
}

#[test]
fn the_hash_is_that_of_the_signature() {
    holds::<Sha256>(&[certificate!("rsa-sha256"), certificate!("pss-sha256"), certificate!("ecdsa-sha256")]);
    holds::<Sha384>(&[certificate!("rsa-sha384"), certificate!("ecdsa-sha384")]);
    holds::<Sha512>(&[certificate!("rsa-sha512"), certificate!("pss-sha512"), certificate!("ecdsa-sha512")]);
}

#[test]
fn sha_1_is_replaced() {
    holds::<Sha256>(&[certificate!("rsa-sha1"), certificate!("pss-sha1"), certificate!("ecdsa-sha1")]);
}

#[test]
fn without_a_hash_there_is_none() {
    assert!(binding::of(certificate!("ed25519")).is_empty());
    let whole = certificate!("rsa-sha256");
    for end in 0..whole.len() {
        assert!(binding::of(&whole[..end]).is_empty(), "{end}");
    }
}
