//! What the HTTP client calls when it needs a connection.

use std::task::{Context, Poll};

use dozo_job::{Error, Result};
use futures::future::BoxFuture;
use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use crate::network::dial::{Io, Session, Socket};
use crate::network::target::{Endpoint, Host};

/// Connects as `net` does, and speaks TLS where the URL says so.
#[derive(Clone)]
pub(super) struct Connector(Session);

impl Connector {
    pub(super) fn new(session: Session) -> Self {
        Connector(session)
    }
}

/// Where a URL of [`Location`](super::location::Location) leads, and whether in TLS.
fn endpoint(uri: &Uri) -> Result<(Endpoint, Scheme)> {
    let none = || Error::internal("the client asks for a connection to nowhere");
    let scheme = if uri.scheme_str() == Some(Scheme::Https.word()) { Scheme::Https } else { Scheme::Http };
    let host = uri.host().and_then(Host::parse).ok_or_else(none)?;
    Ok((Endpoint::Tcp(host, uri.port_u16().ok_or_else(none)?), scheme))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(super) fn word(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port of a URL that has none.
    pub(super) fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Socket>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<TokioIo<Socket>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let session = self.0.clone();
        Box::pin(async move {
            let (endpoint, scheme) = endpoint(&uri)?;
            let socket = session.dial(&endpoint).await?;
            let (Scheme::Https, Endpoint::Tcp(host, port)) = (scheme, &endpoint) else {
                return Ok(TokioIo::new(socket));
            };
            let (socket, _) = session.secure((host, *port), &host.to_string(), socket).await?;
            Ok(TokioIo::new(socket))
        })
    }
}

impl Connection for Box<dyn Io> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
