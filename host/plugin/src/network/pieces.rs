//! Bytes that come in from a server, read by whoever has them: a few pieces wait in a bounded channel, filled by a task outside
//! of the plugin's store, so that a plugin that waits elsewhere stops nothing but the server.

use std::time::Duration;

use bytes::Bytes;
use dozo_job::{Error, Result};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::dial::Session;

/// What a task that reads sends. Nothing after an end or an error.
pub(super) enum Piece {
    /// Some bytes, never none.
    Bytes(Bytes),
    /// The orderly end. A channel that closes without it was cut.
    End,
    Cut(Error),
}

/// The reader's end.
pub(super) struct Pieces {
    receiver: mpsc::Receiver<Piece>,
    current: Bytes,
    over: Option<Result<()>>,
    /// How long nothing may come.
    idle: Duration,
    /// The call is over; a thread that still reads is not to be waited for.
    ended: CancellationToken,
    /// Whose bytes these are, for messages.
    of: String,
}

impl Pieces {
    pub(super) fn new(receiver: mpsc::Receiver<Piece>, session: &Session, of: String) -> Self {
        let (idle, ended) = (session.limits().idle, session.ended());
        Pieces { receiver, current: Bytes::new(), over: None, idle, ended, of }
    }

    /// The next bytes, at most `max`, as soon as there are any; none at the end.
    ///
    /// # Errors
    /// [`Unavailable`](dozo_job::Kind::Unavailable) if nothing comes in time (the next call waits again), or if it was cut
    /// (and then for ever).
    pub(super) async fn next(&mut self, max: usize) -> Result<Bytes> {
        if self.current.is_empty() {
            match &self.over {
                Some(Ok(())) => return Ok(Bytes::new()),
                Some(Err(error)) => return Err(error.clone()),
                None => {}
            }
            let late = |_| Error::unavailable(format!("{}: nothing came for {:?}", self.of, self.idle));
            let next = tokio::select! {
                next = tokio::time::timeout(self.idle, self.receiver.recv()) => next.map_err(late)?,
                () = self.ended.cancelled() => Some(Piece::Cut(Error::unavailable("the call is over"))),
            };
            match next {
                Some(Piece::Bytes(bytes)) => self.current = bytes,
                Some(Piece::End) => self.over = Some(Ok(())),
                Some(Piece::Cut(error)) => return self.fail(error),
                None => return self.fail(Error::unavailable(format!("{} was cut", self.of))),
            }
        }
        let length = self.current.len().min(max);
        Ok(self.current.split_to(length))
    }

    /// Nothing more can be read, and why.
    pub(super) fn fail<T>(&mut self, error: Error) -> Result<T> {
        self.over = Some(Err(error.clone()));
        self.current.clear();
        self.receiver.close();
        Err(error)
    }

    /// Nothing may have come that nobody has read.
    ///
    /// # Errors
    /// [`Denied`](dozo_job::Kind::Denied) if there are bytes, or what ended it.
    pub(super) fn is_quiet(&mut self) -> Result<()> {
        let unread = || Error::denied(format!("{} brought more than was read", self.of));
        match (self.current.is_empty(), &self.over, self.receiver.try_recv()) {
            (false, ..) | (_, _, Ok(Piece::Bytes(_))) => Err(unread()),
            (_, _, Ok(Piece::Cut(error))) => Err(error),
            (_, Some(Err(error)), _) => Err(error.clone()),
            (_, _, Ok(Piece::End)) | (_, Some(Ok(())), _) => Err(Error::unavailable(format!("{} has ended", self.of))),
            (true, None, Err(_)) => Ok(()),
        }
    }
}
