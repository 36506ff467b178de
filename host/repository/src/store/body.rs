//! Bodies of requests and answers: paced, and with an end to every wait.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body::{Body, Frame, SizeHint};
use object_store::client::{HttpError, HttpErrorKind};
use tokio::time::{Instant, Sleep, sleep_until};

use super::http::{Late, body_failed};
use super::pace::Pace;
use crate::limits::{PACE_BYTES, STALL_SECONDS};

/// A body that is sent in slices, each in its turn.
pub(super) fn outgoing(bytes: Bytes, pace: Arc<Pace>) -> reqwest::Body {
    reqwest::Body::wrap_stream(stream::unfold(bytes, move |mut rest| {
        let pace = pace.clone();
        async move {
            if rest.is_empty() {
                return None;
            }
            let slice = rest.split_to(PACE_BYTES.min(rest.len()));
            tokio::time::sleep_until(pace.turn(slice.len())).await;
            Some((Ok::<_, std::io::Error>(slice), rest))
        }
    }))
}

/// The body of an answer as it comes.
pub(super) struct Incoming {
    inner: reqwest::Body,
    pace: Option<Arc<Pace>>,
    /// Until then nothing more is taken from the line.
    turn: Option<Pin<Box<Sleep>>>,
    /// A byte must come before that.
    stalled: Pin<Box<Sleep>>,
    /// All of them must have come by then.
    end: Pin<Box<Sleep>>,
    allowed: Duration,
}

impl Incoming {
    /// A body that may take `allowed` in all.
    pub(super) fn new(inner: reqwest::Body, pace: Option<Arc<Pace>>, allowed: Duration) -> Self {
        Incoming {
            inner,
            pace,
            turn: None,
            stalled: Box::pin(sleep_until(stall())),
            end: Box::pin(sleep_until(Instant::now() + allowed)),
            allowed,
        }
    }

    fn took(&mut self, bytes: usize) {
        // A pause of ours is no stall of theirs.
        let turn = self.pace.as_ref().map(|pace| pace.turn(bytes) + pace.takes(bytes as u64));
        self.stalled.as_mut().reset(turn.map_or_else(stall, |turn| turn.max(stall())));
        self.turn = turn.map(|turn| Box::pin(sleep_until(turn)));
    }
}

fn stall() -> Instant {
    Instant::now() + Duration::from_secs(STALL_SECONDS)
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Some(turn) = &mut self.turn {
            ready!(turn.as_mut().poll(cx));
            self.turn = None;
        }
        if let Poll::Ready(next) = Pin::new(&mut self.inner).poll_frame(cx) {
            let next = next.map(|frame| frame.map_err(body_failed));
            if let Some(Ok(frame)) = &next {
                self.took(frame.data_ref().map_or(0, Bytes::len));
            }
            return Poll::Ready(next);
        }
        let allowed = match (self.stalled.as_mut().poll(cx), self.end.as_mut().poll(cx)) {
            (Poll::Ready(()), _) => Duration::from_secs(STALL_SECONDS),
            (_, Poll::Ready(())) => self.allowed,
            _ => return Poll::Pending,
        };
        Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Timeout, Late(allowed)))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
