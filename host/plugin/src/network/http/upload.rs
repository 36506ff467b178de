//! The body of a request on its way out.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use dozo_job::{Error, Result};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

use super::Body;

/// A body that must have the length that was said of it.
pub(super) struct Upload {
    source: Source,
    length: Option<u64>,
    sent: u64,
    /// The piece that is the last if what was said is true. It waits for the end: the client asks no more once it has the
    /// length, and would not notice that there is more.
    held: Option<Bytes>,
    moved: Arc<AtomicU64>,
    /// Set when the client has all of it.
    taken: Arc<AtomicBool>,
    failure: Arc<OnceLock<Error>>,
}

enum Source {
    Whole(Bytes),
    Pieces(mpsc::Receiver<Result<Bytes>>),
    Over,
}

impl Upload {
    pub(super) fn new(
        body: Body,
        said: Option<u64>,
        moved: Arc<AtomicU64>,
        taken: Arc<AtomicBool>,
        failure: Arc<OnceLock<Error>>,
    ) -> Result<Self> {
        let whole = |bytes: Vec<u8>| (Some(bytes.len() as u64), Source::Whole(bytes.into()));
        let (length, source) = match body {
            Body::None => whole(Vec::new()),
            Body::Bytes(bytes) => whole(bytes),
            Body::Pieces(pieces) => (said, Source::Pieces(pieces)),
        };
        match (length, said) {
            (Some(length), Some(said)) if length != said => Err(wrong(said, length)),
            _ => Ok(Upload { source, length, sent: 0, held: None, moved, taken, failure }),
        }
    }

    /// The next piece, or none at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        loop {
            let piece = match &mut self.source {
                Source::Over => return Poll::Ready(Ok(None)),
                Source::Whole(bytes) => {
                    let bytes = std::mem::take(bytes);
                    self.source = Source::Over;
                    return Poll::Ready(Ok(Some(bytes).filter(|bytes| !bytes.is_empty())));
                }
                Source::Pieces(pieces) => match ready!(pieces.poll_recv(cx)) {
                    Some(piece) => piece?,
                    None => return Poll::Ready(Err(Error::internal("what reads the body ended early"))),
                },
            };
            self.sent += piece.len() as u64;
            let said = self.length.unwrap_or(self.sent);
            if self.sent > said || piece.is_empty() && self.sent < said {
                return Poll::Ready(Err(wrong(said, self.sent)));
            }
            if piece.is_empty() {
                self.source = Source::Over;
                return Poll::Ready(Ok(self.held.take()));
            }
            if self.length != Some(self.sent) {
                return Poll::Ready(Ok(Some(piece)));
            }
            self.held = Some(piece);
        }
    }
}

fn wrong(said: u64, sent: u64) -> Error {
    let least = if sent > said { " at least" } else { "" };
    Error::invalid(format!("`content-length` says {said} bytes, but the body has{least} {sent}"))
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let piece = ready!(self.poll_piece(cx));
        self.taken.store(matches!(self.source, Source::Over), Ordering::Relaxed);
        // A request that goes out slowly is not stuck.
        self.moved.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(match piece {
            Ok(piece) => piece.map(|piece| Ok(Frame::data(piece))),
            Err(error) => {
                let _ = self.failure.set(error.clone());
                Some(Err(error))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Pieces(_) => false,
            Source::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, |length| SizeHint::with_exact(length.saturating_sub(self.sent)))
    }
}
