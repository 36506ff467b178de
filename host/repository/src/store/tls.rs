//! TLS towards a store: whose certificates are believed.

use std::error::Error as StdError;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use super::causes::causes;
use super::config::Transport;
use crate::error::{Error, Result};

/// The system's certificates, or those of a file and no other.
pub(super) fn client(ca: Option<&[u8]>, transport: Transport) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |e: rustls::Error| Error::internal("set up TLS").caused_by(e);
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().map_err(failed)?;
    if let Some(pem) = ca {
        return Ok(builder.with_root_certificates(roots(pem)?).with_no_client_auth());
    }
    match Verifier::new(provider) {
        Ok(system) => {
            // Not dangerous: it is the system's own store of certificates, checked by webpki.
            let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(system));
            Ok(builder.with_no_client_auth())
        }
        // Nobody is believed then, which is enough for a store that is reached without TLS.
        Err(_) if transport == Transport::HttpToo => {
            Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
        }
        Err(e) => Err(Error::invalid("this system has no certificates to know a store by")
            .caused_by(e)
            .hinted("install them (Debian: ca-certificates), or name a file with `ca`")),
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| Error::invalid("a certificate in `ca` is damaged").caused_by(e))?;
        let refused = |e| Error::invalid("a certificate in `ca` cannot be believed").caused_by(e);
        roots.add(certificate).map_err(refused)?;
    }
    if roots.is_empty() {
        return Err(Error::invalid("there is no certificate in the file that `ca` names")
            .hinted("it wants certificates in PEM: `-----BEGIN CERTIFICATE-----`"));
    }
    Ok(roots)
}

/// Whether TLS itself was refused: another try would end the same way.
pub(super) fn refused(error: &(dyn StdError + 'static)) -> bool {
    use rustls::Error as E;
    let of_tls = causes(error).find_map(|cause| cause.downcast_ref::<E>());
    of_tls.is_some_and(|e| matches!(e, E::InvalidCertificate(_) | E::InvalidMessage(_) | E::AlertReceived(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_file_without_certificates_is_refused() {
        for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = client(Some(pem.as_bytes()), Transport::HttpToo).err().unwrap();
            assert_eq!(error.kind(), Kind::Invalid, "{pem}");
        }
    }
}
