//! `streaming`: streams and waiting side by side. A stream is pumped by a task outside the store, through a bounded
//! channel, into the writer; content of the host's own that comes back as a stream is recognised and moved without a
//! detour through the plugin.

use std::any::{Any, TypeId};
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use dozo_job::port::Content;
use dozo_job::{EntryWriter, Error};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::PollSender;
use wasmtime::component::{
    Access, Accessor, Destination, FutureReader, Resource, Source, StreamConsumer, StreamProducer, StreamReader,
    StreamResult, VecBuffer,
};
use wasmtime::{AsContextMut, Result, StoreContextMut};

use crate::bindings::dozo::plugin::http::{Request, Response};
use crate::bindings::dozo::plugin::streaming;
use crate::bindings::dozo::plugin::types::{Entry, Error as Told};
use crate::convert::entry_from_wit;
use crate::handles::{ContentHandle, WriterHandle};
use crate::interface::batch::create_all;
use crate::interface::contents::{read_once, unreadable};
use crate::interface::snapshot::busy;
use crate::interface::{Host, blocking, told};
use crate::limits::{READ_BYTES, STREAM_PIECE_BYTES, STREAM_PIECES};
use crate::network::{Body, Connection};
use crate::state::{InHost, Life, State};
use crate::tree::Directory;
use crate::unfinished::End;

type Writer = Box<dyn EntryWriter>;

impl streaming::Host for State {}

impl streaming::HostWithStore<State> for Host {
    async fn append(
        accessor: &Accessor<State, Self>,
        handle: Resource<WriterHandle>,
        mut bytes: StreamReader<u8>,
    ) -> Result<Result<u64, Told>> {
        let writer = match take_writer(accessor, &handle)? {
            Ok(writer) => writer,
            Err(error) => {
                // A reader that is neither piped nor closed would leave the plugin waiting for ever.
                accessor.with(|mut store| bytes.close(&mut store))?;
                return Ok(Err(error));
            }
        };
        let mut end = given_up(accessor, "a stream that it appended");
        let appended = match recover(accessor, bytes)? {
            Recovered::Content(content) => append_content(accessor, writer, content).await,
            Recovered::Stream(bytes) => append_stream(accessor, writer, bytes).await?,
        };
        end.told();
        give_back(accessor, &handle, appended)
    }

    async fn append_content(
        accessor: &Accessor<State, Self>,
        handle: Resource<WriterHandle>,
        from: Resource<ContentHandle>,
    ) -> Result<Result<u64, Told>> {
        let content = accessor.with(|mut store| store.get().table.delete(from))?.hand_on();
        let writer = match take_writer(accessor, &handle)? {
            Ok(writer) => writer,
            Err(error) => return Ok(Err(error)),
        };
        let mut end = given_up(accessor, "a content that it appended");
        let appended = append_content(accessor, writer, content).await;
        end.told();
        give_back(accessor, &handle, appended)
    }

    async fn create(
        accessor: &Accessor<State, Self>,
        directory: Resource<Directory>,
        entry: Entry,
        from: Option<Resource<ContentHandle>>,
    ) -> Result<Result<u64, Told>> {
        let entry = entry_from_wit(entry);
        let (directory, item, _busy) = accessor.with(|mut store| -> Result<_> {
            let state = store.get();
            state.settle()?;
            let content = match from {
                Some(from) => Some(state.table.delete(from)?.hand_on()),
                None => None,
            };
            let role = state.role_of(&entry);
            Ok((state.table.get(&directory)?.clone(), (entry, role, content), state.life.enter()))
        })?;
        let mut end = given_up(accessor, "an entry that it began to create");
        let mut created = create_all(directory, vec![item]).await?;
        end.told();
        let created = created.pop().ok_or_else(|| wasmtime::format_err!("an entry was created without a word"))?;
        Ok(created.map_err(|error| State::told(&error)))
    }

    async fn fetch(accessor: &Accessor<State, Self>, request: Request) -> Result<Result<Response, Told>> {
        let (http, request, _busy) = accessor.with(|mut store| -> Result<_> {
            let state = store.get();
            Ok((state.http.clone(), state.request(request)?, state.life.enter()))
        })?;
        // A request that hands nothing on may be given up: it is asked again.
        let mut end = given_up(accessor, "a content that it sent");
        if !matches!(request.body, Body::Pieces(_)) {
            end.told();
        }
        let sent = http.send(request).await;
        end.told();
        accessor.with(|mut store| store.get().response(sent))
    }

    async fn read(
        accessor: &Accessor<State, Self>,
        from: Resource<ContentHandle>,
        max: u32,
    ) -> Result<Result<Vec<u8>, Told>> {
        let (content, _busy) = accessor.with(|mut store| -> Result<_> {
            let state = store.get();
            Ok((state.table.get_mut(&from)?.lend(), state.life.enter()))
        })?;
        let Some(content) = content else { return Ok(Err(unreadable())) };
        let mut end = given_up(accessor, "a content that it read");
        let (content, read) = read_once(content, max).await?;
        end.told();
        accessor.with(|mut store| -> Result<()> {
            store.get().table.get_mut(&from)?.give_back(content, &read);
            Ok(())
        })?;
        told(read)
    }

    async fn connect(accessor: &Accessor<State, Self>, target: String) -> Result<Result<Resource<Connection>, Told>> {
        let (session, _busy) = accessor.with(|mut store| {
            let state = store.get();
            (state.network.clone(), state.life.enter())
        });
        match Connection::connect(session, &target).await {
            Ok(connection) => accessor.with(|mut store| Ok(Ok(store.get().hold(connection)?))),
            Err(error) => told(Err(error)),
        }
    }

    async fn receive(
        accessor: &Accessor<State, Self>,
        from: Resource<Connection>,
        max: u32,
    ) -> Result<Result<Vec<u8>, Told>> {
        let (connection, _busy) = connection(accessor, &from)?;
        told(connection.read(max.clamp(1, READ_BYTES) as usize).await.map(Vec::from))
    }

    async fn send(
        accessor: &Accessor<State, Self>,
        to: Resource<Connection>,
        bytes: Vec<u8>,
    ) -> Result<Result<(), Told>> {
        let (connection, _busy) = connection(accessor, &to)?;
        told(connection.write(bytes.into()).await)
    }

    fn stream(
        mut store: Access<'_, State, Self>,
        from: Resource<ContentHandle>,
    ) -> Result<(StreamReader<u8>, FutureReader<Result<(), Told>>)> {
        let (content, end) = store.get().table.delete(from)?.into_parts();
        let (verdict, told) = oneshot::channel();
        let life = store.get().life.clone();
        let outgoing = Outgoing { source: Outflow::Idle(content), verdict: Some((verdict, end)), life };
        let stream = StreamReader::new(&mut store, outgoing)?;
        // A stream that just ends says nothing: its end is told when the plugin asks for the verdict.
        let verdict = async move {
            Ok::<_, wasmtime::Error>(match told.await {
                Ok((verdict, mut end)) => {
                    end.told();
                    verdict
                }
                Err(_) => Err(Told::Internal("the stream was left unread".into())),
            })
        };
        Ok((stream, FutureReader::new(&mut store, verdict)?))
    }

    async fn wait(accessor: &Accessor<State, Self>, milliseconds: u32) -> Result<()> {
        accessor.with(|mut store| drop(store.get().life.enter()));
        tokio::time::sleep(Duration::from_millis(milliseconds.into())).await;
        Ok(())
    }
}

/// What a call moves is lost when the plugin lets go of the call: then this says so, unless its end was told.
fn given_up(accessor: &Accessor<State, Host>, what: &str) -> End {
    let mut end = accessor.with(|mut store| store.get().unfinished.whole(what, Arc::default()));
    end.begun();
    end
}

/// A connection, for as long as something is done with it.
fn connection(accessor: &Accessor<State, Host>, handle: &Resource<Connection>) -> Result<(Connection, InHost)> {
    accessor.with(|mut store| {
        let state = store.get();
        Ok((state.table.get(handle)?.clone(), state.life.enter()))
    })
}

/// Takes the writer out of the table while it is written to elsewhere.
fn take_writer(accessor: &Accessor<State, Host>, handle: &Resource<WriterHandle>) -> Result<Result<Writer, Told>> {
    accessor.with(|mut store| {
        let slot = &mut store.get().table.get_mut(handle)?.0;
        Ok(match slot.take() {
            Some(Ok(writer)) => Ok(writer),
            Some(Err(error)) => {
                let told = State::told(&error);
                *slot = Some(Err(error));
                Err(told)
            }
            None => Err(busy()),
        })
    })
}

/// Puts the writer back, or the error in its place.
fn give_back(
    accessor: &Accessor<State, Host>,
    handle: &Resource<WriterHandle>,
    appended: Appended,
) -> Result<Result<u64, Told>> {
    let (back, told) = match appended {
        Ok((writer, bytes)) => (Ok(writer), Ok(bytes)),
        Err(error) => (Err(error.clone()), Err(State::told(&error))),
    };
    accessor.with(|mut store| -> Result<()> {
        store.get().table.get_mut(handle)?.0 = Some(back);
        Ok(())
    })?;
    Ok(told)
}

type Appended = Result<(Writer, u64), Error>;

async fn append_content(accessor: &Accessor<State, Host>, mut writer: Writer, content: Content) -> Appended {
    let _busy = accessor.with(|mut store| store.get().life.enter());
    let bytes = writer.append(content).await?;
    Ok((writer, bytes))
}

/// A stream that the plugin made: its bytes go through a bounded channel to a task that owns the writer.
async fn append_stream(
    accessor: &Accessor<State, Host>,
    mut writer: Writer,
    bytes: StreamReader<u8>,
) -> Result<Appended> {
    let (sender, mut pieces) = mpsc::channel::<Vec<u8>>(STREAM_PIECES);
    accessor.with(|mut store| {
        let life = store.get().life.clone();
        bytes.pipe(store.as_context_mut(), Incoming { piece: Vec::new(), sender: PollSender::new(sender), life })
    })?;
    let pump = tokio::spawn(async move {
        let mut total = 0;
        while let Some(piece) = pieces.recv().await {
            writer.write(&piece).await?;
            total += piece.len() as u64;
        }
        Ok((writer, total))
    });
    pump.await.map_err(|e| wasmtime::format_err!("a task of the host ended early: {e}"))
}

enum Recovered {
    Content(Content),
    Stream(StreamReader<u8>),
}

/// Recognises content of the host's own in a stream that comes back.
fn recover(accessor: &Accessor<State, Host>, bytes: StreamReader<u8>) -> Result<Recovered> {
    accessor.with(|mut store| {
        Ok(match bytes.try_into::<Unread>(&mut store) {
            Ok(Unread(content)) => Recovered::Content(content),
            Err(bytes) => Recovered::Stream(bytes),
        })
    })
}

/// Takes what the plugin writes. Its end says nothing about success: that is for `finish` to say.
struct Incoming {
    piece: Vec<u8>,
    sender: PollSender<Vec<u8>>,
    life: Arc<Life>,
}

impl StreamConsumer<State> for Incoming {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<State>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let mut source = source.as_direct(store);
        self.life.sign();
        while !source.remaining().is_empty() {
            if self.piece.len() == STREAM_PIECE_BYTES {
                match self.sender.poll_reserve(cx) {
                    Poll::Ready(Ok(())) => {
                        let piece = std::mem::take(&mut self.piece);
                        // The task behind the channel failed: `append` tells why, the plugin may stop writing.
                        if self.sender.send_item(piece).is_err() {
                            return Poll::Ready(Ok(StreamResult::Dropped));
                        }
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Ok(StreamResult::Dropped)),
                    Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            let room = STREAM_PIECE_BYTES - self.piece.len();
            let taken = source.remaining().len().min(room);
            let piece = &mut self.piece;
            piece.extend_from_slice(&source.remaining()[..taken]);
            source.mark_read(taken);
        }
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Drop for Incoming {
    /// The stream is over. What is left goes on as soon as there is room; the channel closes behind it.
    fn drop(&mut self) {
        let Some(sender) = self.sender.get_ref().cloned() else { return };
        let piece = std::mem::take(&mut self.piece);
        if !piece.is_empty() {
            tokio::spawn(async move { sender.send(piece).await });
        }
    }
}

/// Content that was handed out as a stream and came back before a byte of it was read.
struct Unread(Content);

/// Gives the plugin what the host has.
struct Outgoing {
    source: Outflow,
    /// Where its end is told.
    verdict: Option<(oneshot::Sender<(Verdict, End)>, End)>,
    life: Arc<Life>,
}

type Verdict = Result<(), Told>;

enum Outflow {
    /// Nobody has asked yet: it can still be taken back whole.
    Idle(Content),
    /// A thread reads ahead, a few pieces.
    Flowing {
        pieces: mpsc::Receiver<Result<Bytes, Error>>,
        current: Bytes,
    },
    Over,
}

impl Outgoing {
    fn end(&mut self, verdict: Verdict) -> Poll<Result<StreamResult>> {
        self.source = Outflow::Over;
        if let Some((sender, mut end)) = self.verdict.take() {
            if verdict.is_err() {
                end.failed();
            }
            let _ = sender.send((verdict, end));
        }
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

impl StreamProducer<State> for Outgoing {
    type Item = u8;
    type Buffer = VecBuffer<u8>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, State>,
        destination: Destination<'a, u8, Self::Buffer>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        self.life.sign();
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        if let Outflow::Idle(_) = self.source
            && let Outflow::Idle(content) = std::mem::replace(&mut self.source, Outflow::Over)
        {
            self.source = Outflow::Flowing { pieces: read_ahead(content), current: Bytes::new() };
            if let Some((_, end)) = &mut self.verdict {
                end.begun();
            }
        }
        let Outflow::Flowing { pieces, current } = &mut self.source else {
            return Poll::Ready(Ok(StreamResult::Dropped));
        };
        if current.is_empty() {
            let next = match pieces.poll_recv(cx) {
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                next => ready!(next),
            };
            match next {
                Some(Ok(piece)) if piece.is_empty() => return self.end(Ok(())),
                Some(Ok(piece)) => *current = piece,
                Some(Err(error)) => return self.end(Err(State::told(&error))),
                None => {
                    return self.end(Err(Told::Internal("a thread of the host that reads content ended early".into())));
                }
            }
        }
        let mut direct = destination.as_direct(store, STREAM_PIECE_BYTES);
        let taken = current.len().min(direct.remaining().len());
        current.copy_to_slice(&mut direct.remaining()[..taken]);
        direct.mark_written(taken);
        Poll::Ready(Ok(StreamResult::Completed))
    }

    fn try_into(me: Pin<Box<Self>>, wanted: TypeId) -> Result<Box<dyn Any>, Pin<Box<Self>>> {
        if wanted != TypeId::of::<Unread>() || !matches!(me.source, Outflow::Idle(_)) {
            return Err(me);
        }
        let mut me = *Pin::into_inner(me);
        match std::mem::replace(&mut me.source, Outflow::Over) {
            Outflow::Idle(content) => {
                // Errors will surface where it is appended; as a stream it has ended well.
                let _ = me.end(Ok(()));
                Ok(Box::new(Unread(content)))
            }
            other => {
                me.source = other;
                Err(Box::pin(me))
            }
        }
    }
}

/// Reads content on a thread that may block. An empty piece is the end: a channel that closes without one is none.
pub(super) fn read_ahead(mut content: Content) -> mpsc::Receiver<Result<Bytes, Error>> {
    let (sender, pieces) = mpsc::channel(STREAM_PIECES);
    tokio::spawn(blocking(move || {
        loop {
            let mut piece = vec![0; STREAM_PIECE_BYTES];
            let read = match content.read(&mut piece) {
                Ok(read) => read,
                Err(error) => {
                    let _ = sender.blocking_send(Err(Error::io("read the content", error)));
                    return;
                }
            };
            piece.truncate(read);
            if sender.blocking_send(Ok(piece.into())).is_err() || read == 0 {
                return;
            }
        }
    }));
    pieces
}
