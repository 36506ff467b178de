//! HTTP for a plugin: one request, one answer, no redirect followed, no cookie. Every connection comes from
//! [`Session::dial`], so whatever a URL says, it is judged as `net` is.

mod connector;
mod fields;
mod location;
mod prepare;
mod upload;

use std::error::Error as StdError;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use dozo_job::port::{Content, ReadContent};
use dozo_job::{Error, Kind, Result};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use hyper::header::TRANSFER_ENCODING;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::connection::cut;
use super::dial::Session;
use super::pieces::{Piece, Pieces};
use super::places::{Place, Places, while_it_moves};
use super::tls;
use crate::limits::{HTTP_IDLE_CONNECTION, HTTP_PIECES, RESPONSE_HEADER_BYTES, RESPONSE_HEADERS};
use connector::Connector;
use prepare::{Prepared, prepare};
use upload::Upload;

/// What a plugin sends.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Body,
}

/// The body of a request.
pub(crate) enum Body {
    None,
    Bytes(Vec<u8>),
    /// What a thread reads ahead; an empty piece is its end.
    Pieces(mpsc::Receiver<Result<Bytes>>),
}

/// What comes back.
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Bytes as they came, those of one name in their order.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Content,
    /// Whose answer it is, for messages.
    pub(crate) of: String,
}

/// The client of one call of a plugin; connections are used again within the call.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<Connector, Upload>,
    session: Session,
    /// Of requests whose answers are still coming: each may take a connection.
    places: Arc<Places>,
}

impl Http {
    pub(crate) fn new(session: Session) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(HTTP_IDLE_CONNECTION)
            .http1_max_headers(RESPONSE_HEADERS)
            .build(Connector::new(session.clone()));
        let places = Arc::new(Places::new("requests at once", session.limits().idle, session.ended()));
        Http { client, session, places }
    }

    /// Sends a request and returns the answer when its headers are there, whatever its status.
    ///
    /// # Errors
    /// [`NotGranted`](dozo_job::Kind::NotGranted), with the line to add; [`Invalid`](dozo_job::Kind::Invalid) if the request
    /// is none; [`Unavailable`](dozo_job::Kind::Unavailable) if nothing moves in time, either way.
    pub(crate) async fn send(&self, request: Request) -> Result<Response> {
        let Prepared { request, what, moved, taken, is_ranged, failure } = prepare(request)?;
        let place = self.places.take().await.map_err(|e| e.context(what.clone()))?;
        let idle = self.session.limits().idle;
        let answer = match while_it_moves(self.client.request(request), &moved, idle).await {
            Some(answer) => answer.map_err(|e| failure.get().cloned().unwrap_or_else(|| failed(&what, e)))?,
            None => return Err(Error::unavailable(format!("{what}: no answer, and nothing moved, for {idle:?}"))),
        };
        let (head, body) = answer.into_parts();
        let all_taken = taken.load(Ordering::Relaxed);
        judge(&head, all_taken, is_ranged).map_err(|e| failure.get().cloned().unwrap_or(e).context(what.clone()))?;
        let headers: Vec<_> =
            head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        if headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > RESPONSE_HEADER_BYTES {
            return Err(Error::invalid(format!(
                "{what}: the answer has more than {RESPONSE_HEADER_BYTES} bytes of headers"
            )));
        }
        let of = format!("the answer to {what}");
        Ok(Response { status: head.status.as_u16(), headers, body: self.download(body, &what, place)?, of })
    }

    /// The answer's body as content, pumped by a task outside of the plugin's store.
    fn download(&self, body: Incoming, what: &str, place: Place) -> Result<Content> {
        let of = format!("{what}: the answer");
        let bound = Bound { max: self.session.limits().response_bytes, of: of.clone() };
        bound.check(body.size_hint().lower())?;
        let (sender, receiver) = mpsc::channel(HTTP_PIECES);
        tokio::spawn(async move {
            read_on(body, sender, bound).await;
            drop(place);
        });
        let pieces = Pieces::new(receiver, &self.session, of);
        Ok(Box::new(Download { pieces, runtime: Handle::current() }))
    }
}

/// Whether an answer says what it seems to say.
fn judge(head: &hyper::http::response::Parts, all_taken: bool, is_ranged: bool) -> Result<()> {
    if head.status.is_success() && !all_taken {
        return Err(Error::unavailable("the server says that all is well before it has taken the whole body"));
    }
    if head.status == StatusCode::PARTIAL_CONTENT && !is_ranged {
        return Err(Error::corrupt("the server sends a part, and the whole was asked for"));
    }
    // The client reads such an answer up to whatever end, and does not hold it against its length (RFC 9112, 6.3).
    let mut encodings = head.headers.get_all(TRANSFER_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(Error::unsupported("the answer comes in a transfer encoding other than `chunked`"));
    }
    Ok(())
}

/// A failed request; an error of ours that travelled through the client comes out as it went in.
fn failed(what: &str, error: hyper_util::client::legacy::Error) -> Error {
    let kind = causes(&error).find_map(|cause| tls::kind(cause.downcast_ref()?)).unwrap_or(Kind::Unavailable);
    let ours = causes(&error).find_map(|cause| cause.downcast_ref::<Error>().cloned());
    ours.unwrap_or_else(|| Error::new(kind, "the request failed").caused_by(error)).context(what)
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// How long an answer may be.
struct Bound {
    max: Option<u64>,
    of: String,
}

impl Bound {
    fn check(&self, bytes: u64) -> Result<()> {
        match self.max {
            Some(max) if bytes > max => {
                Err(Error::invalid(format!("{} is longer than its limit of {max} bytes", self.of)))
            }
            _ => Ok(()),
        }
    }
}

async fn read_on(mut body: Incoming, pieces: mpsc::Sender<Piece>, bound: Bound) {
    let mut total = 0;
    while let Ok(place) = pieces.reserve().await {
        let next = tokio::select! {
            next = body.frame() => next,
            () = pieces.closed() => return,
        };
        let piece = match next {
            None => Piece::End,
            // One that ends before its length is an error of the client's, as is one that TLS does not end.
            Some(Err(error)) => Piece::Cut(cut(&bound.of, std::io::Error::other(error))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) if !bytes.is_empty() => {
                    total += bytes.len() as u64;
                    bound.check(total).map_or_else(Piece::Cut, |()| Piece::Bytes(bytes))
                }
                // Trailers, and nothing.
                _ => continue,
            },
        };
        let over = !matches!(piece, Piece::Bytes(_));
        place.send(piece);
        if over {
            return;
        }
    }
}

/// An answer's body.
struct Download {
    pieces: Pieces,
    runtime: Handle,
}

impl ReadContent for Download {}

impl Read for Download {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.runtime.block_on(self.pieces.next(buf.len()))?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}
