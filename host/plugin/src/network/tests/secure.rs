//! TLS: whose certificates are believed, and what is not taken for the server's.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use dozo_job::{Error, Kind};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256, Sha384};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::{impatient, server, session, session_within};
use crate::network::{Connection, Network, NetworkGrant};

/// An authority and what it signed, in a directory.
pub(super) struct Authority {
    dir: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        Authority::signing_by(&PKCS_ECDSA_P256_SHA256)
    }

    fn signing_by(algorithm: &'static SignatureAlgorithm) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate_for(algorithm).unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { dir, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    /// A certificate for a name and its key; in files too.
    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_string()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        (certificate, key)
    }

    /// Takes connections for a name; returns its certificate too.
    pub(super) fn acceptor(&self, name: &str, clients: Option<&Authority>) -> (TlsAcceptor, CertificateDer<'static>) {
        let (certificate, key) = self.sign(name);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(clients.roots()), provider).build().unwrap(),
            ),
        };
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        (TlsAcceptor::from(Arc::new(config)), certificate.der().clone())
    }

    /// Grants of targets whose certificates this authority signs.
    pub(super) fn network(&self, targets: &[&str]) -> Network {
        Network::new(targets.iter().map(|target| self.granting(target)).collect()).unwrap()
    }

    pub(super) fn granting(&self, target: &str) -> NetworkGrant {
        NetworkGrant { ca: Some(self.path("ca.pem")), ..granted(target) }
    }

    /// The same of one target, which is shown a certificate that this authority signs.
    pub(super) fn network_as_client(&self, target: &str, name: &str) -> Network {
        let _ = self.sign(name);
        let certificate = Some((self.path(&format!("{name}.pem")), self.path(&format!("{name}.key"))));
        Network::new(vec![NetworkGrant { certificate, ..self.granting(target) }]).unwrap()
    }
}

fn granted(target: &str) -> NetworkGrant {
    NetworkGrant { target: target.into(), ..NetworkGrant::default() }
}

/// A server that is asked for TLS as PostgreSQL is, says yes, and then echoes a line.
async fn postgres(acceptor: TlsAcceptor) -> SocketAddr {
    server(move |mut stream: TcpStream| {
        let acceptor = acceptor.clone();
        async move {
            let mut request = [0; 8];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(b"S").await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut line = [0; 5];
            if stream.read_exact(&mut line).await.is_ok() {
                stream.write_all(&line).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        }
    })
    .await
}

/// A connection that goes on in TLS, and what it is bound by.
async fn upgraded(network: Network, address: SocketAddr, name: &str) -> Result<(Connection, Vec<u8>), Error> {
    let connection =
        Connection::connect(session(network), &format!("tcp://localhost:{}", address.port())).await.unwrap();
    connection.write(Bytes::from_static(&[0, 0, 0, 8, 4, 210, 22, 47])).await.unwrap();
    assert_eq!(connection.read(1).await.unwrap(), "S");
    let binding = connection.start_tls(name).await?;
    Ok((connection, binding))
}

async fn echoes(connection: &Connection) -> Result<(), Error> {
    connection.write(Bytes::from_static(b"hello")).await?;
    assert_eq!(connection.read(5).await?, "hello");
    assert!(connection.read(5).await?.is_empty(), "TLS said that it was all");
    Ok(())
}

#[tokio::test]
async fn a_connection_goes_on_in_tls() {
    let (connection, certificate, binding) = bound(&Authority::new()).await;
    assert_eq!(binding, Sha256::digest(&certificate).to_vec());
    echoes(&connection).await.unwrap();
}

/// A connection to a server of this authority, its certificate, and what the channel is bound by.
async fn bound(authority: &Authority) -> (Connection, CertificateDer<'static>, Vec<u8>) {
    let (acceptor, certificate) = authority.acceptor("localhost", None);
    let network = authority.network(&["localhost:*"]);
    let (connection, binding) = upgraded(network, postgres(acceptor).await, "localhost").await.unwrap();
    (connection, certificate, binding)
}

#[tokio::test]
async fn a_channel_is_bound_by_the_hash_of_the_signature() {
    let (_, certificate, binding) = bound(&Authority::signing_by(&PKCS_ECDSA_P384_SHA384)).await;
    assert_eq!(binding, Sha384::digest(&certificate).to_vec());
    let (_, _, binding) = bound(&Authority::signing_by(&PKCS_ED25519)).await;
    assert!(binding.is_empty(), "RFC 5929 defines none");
}

#[tokio::test]
async fn only_the_name_that_was_asked_for_or_is_granted_will_do() {
    let authority = Authority::new();
    let (acceptor, _) = authority.acceptor("db.example", None);
    let address = postgres(acceptor).await;
    let port = address.port();
    let fails = async |targets: &[&str], name| upgraded(authority.network(targets), address, name).await.err().unwrap();
    // The certificate is another's.
    let error = fails(&["localhost:*"], "localhost").await;
    assert!(error.kind() == Kind::Invalid && error.chain().contains("localhost"), "{}", error.chain());
    // The name would fit, but nobody granted it.
    let error = fails(&["localhost:*"], "db.example").await;
    assert_eq!(error.kind(), Kind::NotGranted, "{}", error.chain());
    assert!(error.hint().unwrap().contains(&format!("db.example:{port}")), "{:?}", error.hint());
    let network = authority.network(&["localhost:*", "db.example:*"]);
    echoes(&upgraded(network, address, "db.example").await.unwrap().0).await.unwrap();
}

#[tokio::test]
async fn an_unknown_authority_is_not_believed() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (acceptor, _) = authority.acceptor("localhost", None);
    let address = postgres(acceptor).await;
    let error = upgraded(other.network(&["localhost:*"]), address, "localhost").await.err().unwrap();
    assert!(error.kind() == Kind::Invalid && error.hint().unwrap().contains("`ca`"), "{}", error.chain());
}

#[tokio::test]
async fn a_server_may_want_a_certificate_of_ours() {
    let authority = Authority::new();
    let (acceptor, _) = authority.acceptor("localhost", Some(&authority));
    let address = postgres(acceptor).await;
    let network = authority.network_as_client("localhost:*", "client");
    echoes(&upgraded(network, address, "localhost").await.unwrap().0).await.unwrap();
    // In TLS 1.3 the server says no after the handshake.
    let refused = match upgraded(authority.network(&["localhost:*"]), address, "localhost").await {
        Ok((connection, _)) => connection.read(1).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(refused.kind(), Kind::Denied, "{}", refused.chain());
    // A key that is another's is noticed before anything is connected to.
    let other = Authority::new();
    let _ = other.sign("other");
    let certificate = Some((authority.path("client.pem"), other.path("other.key")));
    let unfit = Network::new(vec![NetworkGrant { certificate, ..granted("localhost:*") }]).err().unwrap();
    assert!(unfit.kind() == Kind::Invalid && unfit.chain().contains("localhost:*"), "{}", unfit.chain());
}

#[tokio::test]
async fn files_without_certificates_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, text).unwrap();
        let error = Network::new(vec![NetworkGrant { ca: Some(file), ..granted("db:1") }]).err().unwrap();
        assert!(error.kind() == Kind::Invalid && error.chain().contains("ca.pem"), "{text:?}: {}", error.chain());
    }
}

#[tokio::test]
async fn tls_that_ends_without_saying_so_was_cut() {
    let authority = Authority::new();
    let (acceptor, _) = authority.acceptor("localhost", None);
    let address = server(move |mut stream: TcpStream| {
        let acceptor = acceptor.clone();
        async move {
            stream.read_exact(&mut [0; 8]).await.unwrap();
            stream.write_all(b"S").await.unwrap();
            let mut stream = acceptor.accept(stream).await.unwrap();
            stream.write_all(b"half").await.unwrap();
            stream.flush().await.unwrap();
            // The socket is closed under TLS.
            stream.get_mut().0.shutdown().await.unwrap();
        }
    });
    let (connection, _) = upgraded(authority.network(&["localhost:*"]), address.await, "localhost").await.unwrap();
    assert_eq!(connection.read(4).await.unwrap(), "half");
    let error = connection.read(1).await.unwrap_err();
    assert!(error.kind() == Kind::Unavailable && error.to_string().contains("was cut"), "{}", error.chain());
}

#[tokio::test]
async fn what_came_before_tls_is_not_taken_for_the_servers() {
    let authority = Authority::new();
    let (acceptor, _) = authority.acceptor("localhost", None);
    let address = server(move |mut stream: TcpStream| {
        let acceptor = acceptor.clone();
        async move {
            stream.read_exact(&mut [0; 8]).await.unwrap();
            stream.write_all(b"Sinjected").await.unwrap();
            let _ = acceptor.accept(stream).await;
        }
    });
    let error = upgraded(authority.network(&["localhost:*"]), address.await, "localhost").await.err().unwrap();
    assert!(error.kind() == Kind::Denied && error.chain().contains("brought more"), "{}", error.chain());
}

#[tokio::test]
async fn a_server_that_never_answers_in_tls_is_given_up() {
    let address = server(|stream| async move {
        let _held = stream;
        std::future::pending().await
    });
    let session = session_within(Authority::new().network(&["localhost:*"]), impatient());
    let target = format!("tcp://localhost:{}", address.await.port());
    let connection = Connection::connect(session, &target).await.unwrap();
    let error = connection.start_tls("localhost").await.unwrap_err();
    assert!(error.kind() == Kind::Unavailable && error.chain().contains("did not answer in TLS"), "{}", error.chain());
    // Nobody can read or write on, as if nothing had happened.
    assert!(connection.read(1).await.is_err() && connection.write(Bytes::from_static(b"x")).await.is_err());
    assert!(connection.start_tls("localhost").await.is_err());
}
