//! How requests to a store go over the network: TLS, deadlines, pace, and what a failed one means. `object_store` makes
//! and signs the requests and sends again those that this file calls worth it. Knows no service and no object.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use http_body::Body as _;
use object_store::client::{
    ClientConfigKey, ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};

use super::body::{Incoming, outgoing};
use super::config::{Hidden, Network, Traffic, Transport};
use super::listing;
use super::pace::Pace;
use super::refusal::{Refusal, Verdict};
use super::said::Said;
use super::tls;
use crate::error::{Error, Result};
use crate::limits::{
    CONNECT_SECONDS, FIRST_TRIES, LINE_BYTES_PER_SECOND_MIN, REFUSAL_BYTES_MAX, REQUEST_SECONDS, STALL_SECONDS,
};

/// Never asked through a proxy: this machine itself, and the addresses at which it is told what it is.
const NEAR: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16";

/// An answer that did not come in time.
#[derive(Debug)]
pub(super) struct Late(pub(super) Duration);

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing came for {} s", self.0.as_secs())
    }
}

impl std::error::Error for Late {}

/// A request that failed on its way, and where it went.
#[derive(Debug)]
pub(super) struct Towards {
    /// Host and port.
    pub(super) address: String,
    source: reqwest::Error,
}

impl Towards {
    fn of(error: reqwest::Error) -> Self {
        let address = error.url().and_then(|url| {
            let (host, port) = (url.host_str()?, url.port_or_known_default()?);
            Some(format!("{host}:{port}"))
        });
        Towards { address: address.unwrap_or_default(), source: error.without_url() }
    }
}

impl fmt::Display for Towards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for Towards {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Makes the clients of one store; they share its pace.
pub(super) struct Connector {
    tls: rustls::ClientConfig,
    proxy: Option<reqwest::Proxy>,
    line: Arc<Line>,
    connect_timeout: Option<String>,
}

/// What all requests to a store share.
struct Line {
    upload: Option<Arc<Pace>>,
    download: Option<Arc<Pace>>,
    requests_in_flight: u32,
    /// What a request may take beside moving its bytes.
    patience: Duration,
    hidden: Vec<Hidden>,
}

impl Connector {
    pub(super) fn new(network: &Network, traffic: &Traffic, mut hidden: Vec<Hidden>) -> Result<Self> {
        let pace = |rate: Option<u64>| rate.map(|rate| Arc::new(Pace::new(rate)));
        let proxy = match &network.proxy {
            None => None,
            Some(proxy) => {
                hidden.push(proxy.url.clone());
                let made = reqwest::Proxy::all(proxy.url.reveal())
                    .map_err(|_| Error::invalid("the address of the proxy is not a URL"))?;
                let except = format!("{NEAR},{}", proxy.except);
                Some(made.no_proxy(reqwest::NoProxy::from_string(&except)))
            }
        };
        let line = Line {
            upload: pace(traffic.upload_bytes_per_second),
            download: pace(traffic.download_bytes_per_second),
            requests_in_flight: u32::try_from(traffic.requests_in_flight).unwrap_or(u32::MAX),
            patience: Duration::from_secs(REQUEST_SECONDS),
            hidden,
        };
        let connect_timeout = options(network.transport).get_config_value(&ClientConfigKey::ConnectTimeout);
        let tls = tls::client(network.ca.as_deref(), network.transport)?;
        Ok(Connector { tls, proxy, line: Arc::new(line), connect_timeout })
    }
}

/// What `object_store` must know of it: it refuses addresses without TLS by itself.
pub(super) fn options(transport: Transport) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(transport == Transport::HttpToo)
        .with_connect_timeout(Duration::from_secs(CONNECT_SECONDS))
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // A shorter time than ours is asked for where a machine is asked for its role: most have none.
        let ours = options.get_config_value(&ClientConfigKey::ConnectTimeout) == self.connect_timeout;
        let allow_http = options.get_config_value(&ClientConfigKey::AllowHttp).as_deref() == Some("true");
        let mut builder = reqwest::ClientBuilder::new()
            .user_agent(concat!("dozo/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(self.tls.clone())
            // The environment's proxies are not read here: whoever made the configuration did.
            .no_proxy()
            // A redirected request would carry its signature elsewhere; a wrong region is said instead.
            .redirect(reqwest::redirect::Policy::none())
            .tcp_keepalive(Duration::from_secs(STALL_SECONDS))
            .tcp_user_timeout(Duration::from_secs(STALL_SECONDS))
            .connect_timeout(Duration::from_secs(if ours { CONNECT_SECONDS } else { 1 }))
            .https_only(!allow_http);
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(proxy.clone());
        }
        let failed = |e: reqwest::Error| object_store::Error::Generic { store: "HTTP client", source: Box::new(e) };
        let client = builder.build().map_err(failed)?;
        Ok(HttpClient::new(Service {
            client,
            line: self.line.clone(),
            answered: AtomicBool::new(false),
            tries: AtomicUsize::new(0),
        }))
    }
}

/// One client.
struct Service {
    client: reqwest::Client,
    line: Arc<Line>,
    answered: AtomicBool,
    tries: AtomicUsize,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let bytes = request.body().content_length() as u64;
        let allowed = self.line.allowed(bytes, self.line.upload.as_deref());
        let listing = listing::is_asked(request.uri());
        let request = self.prepare(request)?;
        let answer = match tokio::time::timeout(allowed, self.client.execute(request)).await {
            Ok(answer) => answer.map_err(|e| self.failed(e))?,
            Err(_) => return Err(HttpError::new(HttpErrorKind::Request, Late(allowed))),
        };
        self.answered.store(true, Ordering::Relaxed);
        let answer = self.hear(answer.into()).await?;
        if listing && answer.status().is_success() { listing::checked(answer).await } else { Ok(answer) }
    }
}

impl Service {
    fn prepare(&self, request: HttpRequest) -> Result<reqwest::Request, HttpError> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string().parse().map_err(|e| HttpError::new(HttpErrorKind::Unknown, Unsendable(e)))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        *request.body_mut() = Some(match (&self.line.upload, whole(body)) {
            (Some(pace), bytes) if !bytes.is_empty() => outgoing(bytes, pace.clone()),
            (_, bytes) => bytes.into(),
        });
        Ok(request)
    }

    /// An answer, with what it says beside the object; a refusal without all that must not be told.
    async fn hear(&self, answer: http::Response<reqwest::Body>) -> Result<HttpResponse, HttpError> {
        let (mut parts, body) = answer.into_parts();
        parts.extensions.insert(Said::of(&parts.headers));
        let length = body.size_hint().exact().unwrap_or(0);
        let allowed = self.line.allowed(length, self.line.download.as_deref());
        let body = HttpResponseBody::new(Incoming::new(body, self.line.download.clone(), allowed));
        if parts.status.is_success() || parts.status == StatusCode::NOT_MODIFIED {
            return Ok(HttpResponse::from_parts(parts, body));
        }
        let refusal = Refusal::parse(parts.status, &beginning(body).await, &self.line.hidden);
        match refusal.verdict() {
            Verdict::Final => Err(HttpError::new(HttpErrorKind::Unknown, refusal)),
            Verdict::Again => Err(HttpError::new(HttpErrorKind::Request, refusal)),
            Verdict::Pass => {
                let text = refusal.to_string();
                parts.headers.remove(http::header::CONTENT_LENGTH);
                parts.extensions.insert(refusal);
                Ok(HttpResponse::from_parts(parts, text.into()))
            }
        }
    }

    /// Whether it is worth to try again. Every request of ours may come twice: names are digests, so a second PUT puts the
    /// same, and a second DELETE deletes the same.
    fn failed(&self, error: reqwest::Error) -> HttpError {
        let towards = Towards::of(error);
        let never = !self.answered.load(Ordering::Relaxed)
            && towards.source.is_connect()
            && self.tries.fetch_add(1, Ordering::Relaxed) + 1 >= FIRST_TRIES;
        let hopeless = never || towards.source.is_builder() || tls::refused(&towards.source);
        let kind = if hopeless { HttpErrorKind::Unknown } else { HttpErrorKind::Request };
        HttpError::new(kind, towards)
    }
}

impl Line {
    /// How long so many bytes may take, on a slow line and beside as many other requests as there may be.
    fn allowed(&self, bytes: u64, pace: Option<&Pace>) -> Duration {
        let slow = self.patience + Duration::from_secs(bytes / LINE_BYTES_PER_SECOND_MIN);
        slow + pace.map_or(Duration::ZERO, |pace| pace.takes(bytes).saturating_mul(self.requests_in_flight))
    }
}

/// A body that did not come whole; it is asked for again from where it ended.
pub(super) fn body_failed(error: reqwest::Error) -> HttpError {
    HttpError::new(HttpErrorKind::Interrupted, error.without_url())
}

/// A request's body; ours is always one piece.
fn whole(body: object_store::client::HttpRequestBody) -> bytes::Bytes {
    if let Some(bytes) = body.as_bytes() {
        return bytes.clone();
    }
    let mut body = Box::pin(body);
    let mut pieces = Vec::new();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    // Such a body is in memory already: it is never pending.
    while let std::task::Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut context) {
        pieces.extend(frame.into_data());
    }
    match pieces.as_slice() {
        [piece] => piece.clone(),
        pieces => pieces.concat().into(),
    }
}

/// The beginning of an error document; one that does not come is none.
async fn beginning(body: HttpResponseBody) -> Vec<u8> {
    use futures::StreamExt;
    let (mut pieces, mut bytes) = (body.bytes_stream(), Vec::new());
    while let Some(Ok(piece)) = pieces.next().await {
        bytes.extend_from_slice(&piece[..piece.len().min(REFUSAL_BYTES_MAX - bytes.len())]);
        if bytes.len() == REFUSAL_BYTES_MAX {
            break;
        }
    }
    bytes
}

/// An address that is none.
#[derive(Debug)]
struct Unsendable(url::ParseError);

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the address of the request is not a URL: {}", self.0)
    }
}

impl std::error::Error for Unsendable {}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(upload: Option<Pace>) -> Line {
        let patience = Duration::from_millis(300);
        Line { upload: upload.map(Arc::new), download: None, requests_in_flight: 4, patience, hidden: Vec::new() }
    }

    #[test]
    fn a_limited_line_is_given_the_time_that_its_limit_takes() {
        let limited = line(Some(Pace::new(1 << 20)));
        let slow = Duration::from_secs(16 << 20 >> 15);
        assert_eq!(limited.allowed(16 << 20, None), limited.patience + slow);
        // Four such requests share the line.
        let all = limited.patience + slow + Duration::from_secs(64);
        assert_eq!(limited.allowed(16 << 20, limited.upload.as_deref()), all);
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (answered, tries) = (AtomicBool::new(false), AtomicUsize::new(0));
        let client =
            reqwest::ClientBuilder::new().tls_backend_preconfigured(tls::client(None, Transport::HttpToo).unwrap());
        let service = Service { client: client.build().unwrap(), line: Arc::new(line(None)), answered, tries };
        let uri = format!("http://{}/", server.local_addr().unwrap());
        let body = object_store::client::HttpRequestBody::from(vec![0_u8; 100]);
        let error = service.call(http::Request::put(uri).body(body).unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("nothing came"), "{error}");
        assert_eq!(error.kind(), HttpErrorKind::Request, "worth another try");
    }
}
