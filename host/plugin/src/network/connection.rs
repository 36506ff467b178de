//! A connection of a plugin. Two tasks outside of the plugin's store move its bytes, one each way, so that it goes on while the
//! plugin waits for something else, and both ends can be held at once.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use dozo_job::port::{Content, ReadContent};
use dozo_job::{Error, Kind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::dial::{Session, Socket};
use super::pieces::{Piece, Pieces};
use super::target::Endpoint;
use super::tls;
use crate::limits::{CONNECTION_PIECE_BYTES, CONNECTION_PIECES, LETTING_GO};

/// A connection to something granted. Dropped, it is closed; what was written before has gone out.
#[derive(Clone)]
#[allow(unreachable_pub, reason = "generated code re-exports it")]
pub struct Connection(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    session: Session,
    incoming: Arc<tokio::sync::Mutex<Pieces>>,
    outgoing: tokio::sync::Mutex<mpsc::Sender<Outgoing>>,
    /// None after TLS could not be started: nobody knows then what the next byte would be.
    pumps: Mutex<Option<Pumps>>,
}

/// Bytes to write, and whom to tell.
struct Outgoing {
    bytes: Bytes,
    done: oneshot::Sender<Result<()>>,
}

/// The two tasks; told to let go, they give back what they hold.
struct Pumps {
    let_go: CancellationToken,
    reader: JoinHandle<ReadHalf<Socket>>,
    writer: JoinHandle<WriteHalf<Socket>>,
}

impl Connection {
    /// Connects to `tcp://HOST:PORT` or `unix:///PATH`.
    pub(crate) async fn connect(session: Session, target: &str) -> Result<Self> {
        let endpoint = Endpoint::parse(target)?;
        let socket = session.dial(&endpoint).await?;
        let (pieces, outgoing, pumps) = pump(socket, &endpoint, &session);
        Ok(Connection(Arc::new(Inner {
            endpoint,
            session,
            incoming: Arc::new(tokio::sync::Mutex::new(pieces)),
            outgoing: tokio::sync::Mutex::new(outgoing),
            pumps: Mutex::new(Some(pumps)),
        })))
    }

    /// At most `max` bytes, as soon as there are any; none at the orderly end.
    pub(crate) async fn read(&self, max: usize) -> Result<Bytes> {
        self.incoming()?.next(max).await
    }

    /// Writes all of it; returns when the system has taken it.
    pub(crate) async fn write(&self, bytes: Bytes) -> Result<()> {
        let endpoint = &self.0.endpoint;
        let closed = || Error::unavailable(format!("the connection to {endpoint} failed before"));
        let outgoing = self.0.outgoing.lock().await;
        let (done, told) = oneshot::channel();
        outgoing.send(Outgoing { bytes, done }).await.map_err(|_| closed())?;
        // Who comes next may queue while these are written, and they stay in order.
        drop(outgoing);
        told.await.unwrap_or_else(|_| Err(closed()))
    }

    /// The next `length` bytes, for whoever the plugin hands them to. Until they have been read nobody else reads.
    pub(crate) fn receive(&self, length: u64) -> Result<Content> {
        let incoming = if length == 0 { None } else { Some(self.incoming()?) };
        let of = format!("the connection to {}", self.0.endpoint);
        Ok(Box::new(Received { incoming, remaining: length, of, runtime: Handle::current() }))
    }

    /// Goes on in TLS; returns what binds the channel to the server's certificate ([`tls::secure`]).
    ///
    /// # Errors
    /// [`Denied`](Kind::Denied) if the server sent more before TLS began: whoever is in between could have put it there, to be
    /// taken for the server's own (CVE-2021-23222).
    pub(crate) async fn start_tls(&self, name: &str) -> Result<Vec<u8>> {
        let Endpoint::Tcp(asked, port) = &self.0.endpoint else {
            let what = format!("{} never leaves this machine: there is no TLS to speak there", self.0.endpoint);
            return Err(Error::unsupported(what));
        };
        let mut incoming = self.incoming()?;
        let mut outgoing = self.0.outgoing.lock().await;
        let pumps = self.0.pumps.lock().unwrap_or_else(PoisonError::into_inner).take();
        let pumps = pumps.ok_or_else(|| Error::invalid("TLS could not be started on this connection before"))?;
        let started = async {
            let socket = pumps.let_go(LETTING_GO).await?;
            incoming.is_quiet().map_err(|e| e.context("TLS can begin only where nothing else is left to read"))?;
            self.0.session.secure((asked, *port), name, socket).await
        };
        match started.await {
            Ok((socket, binding)) => {
                let (pieces, sender, pumps) = pump(socket, &self.0.endpoint, &self.0.session);
                (*incoming, *outgoing) = (pieces, sender);
                *self.0.pumps.lock().unwrap_or_else(PoisonError::into_inner) = Some(pumps);
                Ok(binding)
            }
            Err(error) => {
                // The writer is gone with its channel; a reader must not take silence for an end.
                incoming.fail(error.context(format!("the connection to {}", self.0.endpoint)))
            }
        }
    }

    fn incoming(&self) -> Result<OwnedMutexGuard<Pieces>> {
        let endpoint = &self.0.endpoint;
        self.0.incoming.clone().try_lock_owned().map_err(|_| {
            Error::invalid(format!(
                "the connection to {endpoint} is being read already, or bytes of it were handed on and not read yet"
            ))
        })
    }
}

/// The next bytes of a connection, handed on. Left unread, it leaves the connection unreadable.
struct Received {
    /// None as soon as the last byte was read, so that the plugin can read on.
    incoming: Option<OwnedMutexGuard<Pieces>>,
    remaining: u64,
    of: String,
    runtime: Handle,
}

impl ReadContent for Received {}

impl Read for Received {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let Some(incoming) = &mut self.incoming else { return Ok(0) };
        if buf.is_empty() {
            return Ok(0);
        }
        let max = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buf.len());
        let bytes = self.runtime.block_on(incoming.next(max))?;
        if bytes.is_empty() {
            let missing = self.remaining;
            return Err(Error::unavailable(format!("{} ended {missing} bytes too early", self.of)).into());
        }
        buf[..bytes.len()].copy_from_slice(&bytes);
        self.remaining -= bytes.len() as u64;
        if self.remaining == 0 {
            self.incoming = None;
        }
        Ok(bytes.len())
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(incoming) = &mut self.incoming {
            let why = format!("{} bytes of {} were handed on and never read", self.remaining, self.of);
            let _ = incoming.fail::<()>(Error::invalid(why));
        }
    }
}

/// Starts the tasks that move the bytes.
fn pump(socket: Socket, endpoint: &Endpoint, session: &Session) -> (Pieces, mpsc::Sender<Outgoing>, Pumps) {
    let (read, write) = tokio::io::split(socket);
    let (pieces, receiver) = mpsc::channel(CONNECTION_PIECES);
    let (sender, queue) = mpsc::channel(1);
    let let_go = CancellationToken::new();
    let of = format!("the connection to {endpoint}");
    let reader = tokio::spawn(read_on(read, pieces, let_go.clone(), of.clone()));
    let writer = tokio::spawn(write_on(write, queue, let_go.clone(), session.clone()));
    (Pieces::new(receiver, session, of), sender, Pumps { let_go, reader, writer })
}

impl Pumps {
    /// Stops both, and puts the socket together again.
    async fn let_go(self, allowed: Duration) -> Result<Socket> {
        self.let_go.cancel();
        let both = async { tokio::try_join!(self.reader, self.writer) };
        let ended = |_| Error::internal("a task of the host did not let go of a connection");
        let (read, write) = tokio::time::timeout(allowed, both)
            .await
            .map_err(ended)?
            .map_err(|e| Error::internal("a task of the host that moves bytes ended early").caused_by(e))?;
        Ok(read.unsplit(write))
    }
}

async fn read_on(
    mut socket: ReadHalf<Socket>,
    pieces: mpsc::Sender<Piece>,
    let_go: CancellationToken,
    of: String,
) -> ReadHalf<Socket> {
    let mut buffer = BytesMut::new();
    loop {
        let place = tokio::select! {
            place = pieces.reserve() => place,
            () = let_go.cancelled() => return socket,
        };
        let Ok(place) = place else { return socket };
        buffer.reserve(CONNECTION_PIECE_BYTES);
        let read = tokio::select! {
            read = socket.read_buf(&mut buffer) => read,
            () = let_go.cancelled() => return socket,
            () = pieces.closed() => return socket,
        };
        match read {
            Ok(1..) => place.send(Piece::Bytes(buffer.split().freeze())),
            Ok(0) => {
                place.send(Piece::End);
                return socket;
            }
            Err(error) => {
                place.send(Piece::Cut(cut(&of, error)));
                return socket;
            }
        }
    }
}

/// A connection that ended without its end: cut, or refused by TLS after all.
pub(super) fn cut(of: &str, error: std::io::Error) -> Error {
    let kind = tls::kind(&error).unwrap_or(Kind::Unavailable);
    Error::new(kind, format!("{of} was cut")).caused_by(error)
}

async fn write_on(
    mut socket: WriteHalf<Socket>,
    mut queue: mpsc::Receiver<Outgoing>,
    let_go: CancellationToken,
    session: Session,
) -> WriteHalf<Socket> {
    let (idle, ended) = (session.limits().idle, session.ended());
    loop {
        let next = tokio::select! {
            // What was handed in before goes out before.
            biased;
            next = queue.recv() => next,
            () = let_go.cancelled() => return socket,
        };
        let Some(Outgoing { bytes, done }) = next else { break };
        let written = tokio::select! {
            written = write_all(&mut socket, bytes, idle) => written,
            () = ended.cancelled() => return socket,
        };
        let failed = written.is_err();
        // Nobody waits for the answer any more if the plugin has given up on it.
        let _ = done.send(written);
        if failed {
            return socket;
        }
    }
    // TLS says that this was all; a peer that does not listen any more is left alone.
    let _ = tokio::time::timeout(LETTING_GO, socket.shutdown()).await;
    socket
}

async fn write_all(socket: &mut WriteHalf<Socket>, mut bytes: Bytes, idle: Duration) -> Result<()> {
    let late = |_| Error::unavailable(format!("the other side took nothing for {idle:?}"));
    let failed = |e| cut("the connection", e);
    while bytes.has_remaining() {
        let written = tokio::time::timeout(idle, socket.write(&bytes)).await.map_err(late)?.map_err(failed)?;
        if written == 0 {
            return Err(Error::unavailable("the connection takes nothing any more"));
        }
        bytes.advance(written);
    }
    tokio::time::timeout(idle, socket.flush()).await.map_err(late)?.map_err(failed)
}
