//! Through a proxy: what it is asked (`CONNECT`, RFC 9110, 9.3.6), and what its answer means.

use bytes::Bytes;
use dozo_job::{Error, Kind, Result};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;

use super::dial::Socket;
use super::target::Endpoint;

/// Asks the proxy for a connection to another server, and returns that connection.
pub(super) async fn tunnel(proxy: Socket, to: &Endpoint, login: Option<&HeaderValue>) -> Result<Socket> {
    let failed = |e: hyper::Error| Error::unavailable("it gave no answer").caused_by(e);
    let mut request = Request::connect(to.to_string()).header(HOST, to.to_string());
    if let Some(login) = login {
        request = request.header(PROXY_AUTHORIZATION, login);
    }
    let request = request.body(Empty::<Bytes>::new());
    let request = request.map_err(|e| Error::internal("there is no way to ask a proxy for this").caused_by(e))?;
    let (mut asked, connection) = http1::handshake(TokioIo::new(proxy)).await.map_err(failed)?;
    // Moves the bytes until the answer is there; then the connection is ours.
    tokio::spawn(connection.with_upgrades());
    let answer = asked.send_request(request).await.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(refused(answer.status()));
    }
    let through = hyper::upgrade::on(answer).await.map_err(failed)?;
    Ok(Box::new(TokioIo::new(through)))
}

fn refused(status: StatusCode) -> Error {
    let kind = match status {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Kind::Denied,
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => Kind::Unavailable,
        _ => Kind::Invalid,
    };
    let error = Error::new(kind, format!("it answered {}", status.as_u16()));
    match status {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            error.hinted("it wants a login: `http://USER:PASSWORD@HOST:PORT` in the variable that names the proxy")
        }
        StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED => {
            error.hinted("allow this connection in the proxy; many proxies allow port 443 only")
        }
        _ => error,
    }
}
