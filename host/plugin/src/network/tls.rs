//! TLS towards the servers that plugins talk to: whose certificates are believed, and what this host shows of itself. A plugin
//! chooses neither.

use std::path::Path;
use std::sync::Arc;

use dozo_job::{Error, Kind, Result};
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, ClientConfig, ConfigBuilder, RootCertStore};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use super::dial::Socket;
use super::{Grant, Network, NetworkGrant, binding};

/// What a grant says of its own; none if that is nothing.
pub(super) fn configured(grant: &NetworkGrant) -> Result<Option<Arc<ClientConfig>>> {
    if grant.ca.is_none() && grant.certificate.is_none() {
        return Ok(None);
    }
    let builder = match &grant.ca {
        Some(file) => builder()?.with_root_certificates(roots(file)?),
        None => system()?,
    };
    let Some((certificate, key)) = &grant.certificate else {
        return Ok(Some(Arc::new(builder.with_no_client_auth())));
    };
    let chain = certificates(certificate)?;
    let damaged = |e| Error::invalid(format!("{} holds no private key in PEM", key.display())).caused_by(e);
    let key = PrivateKeyDer::from_pem_file(key).map_err(damaged)?;
    let (shown, refused) = (certificate.display(), "the certificate and its key do not fit");
    let failed = |e: rustls::Error| Error::invalid(format!("{shown}: {refused}")).caused_by(e);
    Ok(Some(Arc::new(builder.with_client_auth_cert(chain, key).map_err(failed)?)))
}

impl Network {
    /// How TLS is spoken where a grant leads.
    pub(super) fn tls(&self, grant: &Grant) -> Result<Arc<ClientConfig>> {
        grant.tls.as_ref().map_or_else(|| self.system_tls(), |tls| Ok(tls.clone()))
    }

    /// How it is spoken with what no grant says otherwise of.
    pub(super) fn system_tls(&self) -> Result<Arc<ClientConfig>> {
        if let Some(tls) = self.system.get() {
            return Ok(tls.clone());
        }
        let made = Arc::new(system()?.with_no_client_auth());
        Ok(self.system.get_or_init(|| made).clone())
    }
}

/// Speaks TLS over a socket; returns what binds the channel to the server's certificate beside it ([`binding`]).
///
/// # Errors
/// [`Invalid`](Kind::Invalid) if the certificate is not to be believed, [`Denied`](Kind::Denied) if the server does not
/// believe ours.
pub(super) async fn secure(config: Arc<ClientConfig>, name: &str, socket: Socket) -> Result<(Socket, Vec<u8>)> {
    let server = ServerName::try_from(name.to_string())
        .map_err(|e| Error::invalid(format!("`{name}` is no name that a certificate can have")).caused_by(e))?;
    let stream = TlsConnector::from(config).connect(server, socket).await.map_err(|e| refused(name, e))?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = certificates.first().ok_or_else(|| Error::invalid(format!("{name} showed no certificate")))?;
    let binding = binding::of(certificate);
    Ok((Box::new(stream), binding))
}

/// What is wrong with certificates that were made by hand, as the verifier calls it, and what makes them right.
const CERTIFICATES: [(&str, &str); 3] = [
    (
        "UnsupportedCertVersion",
        "the server's certificate is of version 1, which names no host: make it anew with `-extfile` and `subjectAltName=DNS:HOST`",
    ),
    (
        "CaUsedAsEndEntity",
        "the server shows an authority's certificate as its own: have that authority sign one for the server, and name the \
         authority's with `ca` in the grant",
    ),
    ("Expired", "the server's certificate has expired, or this machine's clock is wrong"),
];

fn refused(name: &str, error: std::io::Error) -> Error {
    let what = format!("start TLS with {name}");
    let Some(kind) = kind(&error) else { return Error::unavailable(what).caused_by(error) };
    // Of an authority with the same name and another key, too.
    let unknown = ["UnknownIssuer", "BadSignature"].iter().any(|why| error.to_string().contains(why));
    let odd = CERTIFICATES.iter().find(|(word, _)| error.to_string().contains(word)).map(|(_, hint)| *hint);
    let error = Error::new(kind, what).caused_by(error);
    if let Some(hint) = odd {
        return error.hinted(hint);
    }
    match kind {
        Kind::Denied => error.hinted("the server wants another certificate: name one with `certificate` in the grant"),
        _ if unknown => error.hinted("name the file of the authority that signed it with `ca` in the grant"),
        _ => error,
    }
}

/// What the operator can do about a failure of TLS; none if the connection failed and not TLS.
pub(super) fn kind(error: &std::io::Error) -> Option<Kind> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate,
        ) => Some(Kind::Denied),
        _ => Some(Kind::Invalid),
    }
}

fn builder() -> Result<ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |e: rustls::Error| Error::internal("set up TLS").caused_by(e);
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(failed)
}

/// The system's certificates.
fn system() -> Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let verifier = Verifier::new(Arc::new(rustls::crypto::ring::default_provider())).map_err(|e| {
        Error::invalid("this system has no certificates to know a server by")
            .caused_by(e)
            .hinted("install them (Debian: ca-certificates), or name a file with `ca` in the grant")
    })?;
    // Not dangerous: it is the system's own store of certificates, checked by webpki.
    Ok(builder()?.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
}

fn roots(file: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        let refused =
            |e| Error::invalid(format!("a certificate in {} cannot be believed", file.display())).caused_by(e);
        roots.add(certificate).map_err(refused)?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let shown = file.display();
    let failed = |e| Error::invalid(format!("read the certificates of {shown}")).caused_by(e);
    let found: Vec<_> =
        CertificateDer::pem_file_iter(file).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    match found.is_empty() {
        true => Err(Error::invalid(format!("there is no certificate in {shown}"))
            .hinted("it wants certificates in PEM: `-----BEGIN CERTIFICATE-----`")),
        false => Ok(found),
    }
}
