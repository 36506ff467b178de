//! Messages of PostgreSQL's protocol (version 3.0), over a connection that the host made. Framing is ours, because what is
//! copied must not be copied once more and `postgres-protocol` does not know replication's messages; the rest is that crate's.

use bytes::BytesMut;
use dozo_sdk::net::Connection;
use dozo_sdk::{Error, Result};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::failure::{Failure, ServerError};

/// Read at once: larger reads gained nothing.
const READ_BYTES: usize = 256 << 10;
/// The longest message that is taken: a row of a question's answer. What is copied comes in pieces of 128 KiB at most.
const MESSAGE_BYTES: usize = 16 << 20;
/// Rows of one answer: all that is asked for has few.
const ROWS: usize = 100_000;

/// Rows of text; a null is none.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// A connection, and what of it was read and not looked at.
pub(crate) struct Wire {
    connection: Connection,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Wire {
    pub(crate) fn new(connection: Connection) -> Self {
        Wire { connection, buffer: vec![0; 2 * READ_BYTES], begin: 0, end: 0 }
    }

    /// The next message: its tag, and its body as it came.
    pub(crate) fn next(&mut self) -> Result<(u8, &[u8])> {
        self.fill(5)?;
        let head = &self.buffer[self.begin..self.begin + 5];
        let (tag, length) = (head[0], u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize);
        if !(4..=MESSAGE_BYTES).contains(&length) {
            return Err(no_server());
        }
        self.fill(1 + length)?;
        let body = self.begin + 5..self.begin + 1 + length;
        self.begin = body.end;
        Ok((tag, &self.buffer[body]))
    }

    /// The next message that is not about something else: notices, and settings that changed. An error is one.
    pub(crate) fn message(&mut self) -> Result<Message, Failure> {
        loop {
            let (tag, body) = self.next()?;
            if tag == b'W' {
                return Err(Error::Corrupt("the server began to copy both ways unasked".into()).into());
            }
            match parse(tag, body)? {
                Message::ErrorResponse(body) => return Err(ServerError::new(body.fields())?.into()),
                Message::NoticeResponse(body) => {
                    let notice = ServerError::new(body.fields())?;
                    dozo_sdk::log::debug(format!("the server says: {}", notice.message));
                }
                Message::ParameterStatus(_) => {}
                message => return Ok(message),
            }
        }
    }

    /// An error that came as a message among others.
    pub(crate) fn failure(body: &[u8]) -> Failure {
        match parse(b'E', body) {
            Ok(Message::ErrorResponse(body)) => match ServerError::new(body.fields()) {
                Ok(error) => error.into(),
                Err(error) => error.into(),
            },
            Ok(_) => Error::Corrupt("the server sent an error that is none".into()).into(),
            Err(error) => error.into(),
        }
    }

    /// A notice or warning that came as a message among others.
    pub(crate) fn notice(body: &[u8]) -> Result<ServerError> {
        match parse(b'N', body)? {
            Message::NoticeResponse(body) => ServerError::new(body.fields()),
            _ => Err(Error::Corrupt("the server sent a notice that is none".into())),
        }
    }

    /// A row of text that came as a message among others.
    pub(crate) fn row(body: &[u8]) -> Result<Vec<Option<String>>> {
        match parse(b'D', body)? {
            Message::DataRow(body) => row(&body),
            _ => Err(Error::Corrupt("the server sent a row that is none".into())),
        }
    }

    /// Waits until something has come, however long the server says nothing: each time `every` has passed, `meanwhile` looks
    /// whether it still works, and ends the wait if not.
    pub(crate) async fn ready(
        &mut self,
        every: Duration,
        mut meanwhile: impl FnMut() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        while self.begin == self.end {
            let began = Instant::now();
            match self.connection.read_while(READ_BYTES as u32, every, &mut meanwhile).await {
                Ok(bytes) if bytes.is_empty() => return Err(ended(Error::Unavailable(String::new())).into()),
                Ok(bytes) => {
                    (self.begin, self.end) = (0, bytes.len());
                    self.buffer.resize(self.buffer.len().max(bytes.len()), 0);
                    self.buffer[..bytes.len()].copy_from_slice(&bytes);
                }
                // The host's own limit on silence: a connection that was cut fails again at once.
                Err(Failure::Other(Error::Unavailable(_))) if began.elapsed() > every => meanwhile()?,
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Sends what `write` makes.
    pub(crate) fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> std::io::Result<()>) -> Result<()> {
        let mut bytes = BytesMut::new();
        write(&mut bytes)?;
        self.connection.write_all(&bytes)?;
        Ok(())
    }

    /// Asks, and reads the answer to its end: all rows of all its parts.
    pub(crate) fn query(&mut self, sql: &str) -> Result<Rows, Failure> {
        self.send(|out| frontend::query(sql, out))?;
        self.rows()
    }

    /// One statement and no more, whatever its text: by the extended protocol, which takes no second one.
    pub(crate) fn statement(&mut self, sql: &str) -> Result<Rows, Failure> {
        self.send(|out| {
            frontend::parse("", sql, [], out)?;
            frontend::bind("", "", [], [], |(), _| Ok(postgres_protocol::IsNull::Yes), [], out)
                .map_err(|_| std::io::Error::other("a statement without parameters cannot be bound"))?;
            frontend::execute("", 0, out)?;
            frontend::sync(out);
            Ok(())
        })?;
        self.rows()
    }

    /// Reads rows until the server is ready for the next question. An error is kept until then, so that the connection can
    /// be used again.
    fn rows(&mut self) -> Result<Rows, Failure> {
        let (mut rows, mut failed) = (Rows::new(), None);
        loop {
            match self.message() {
                Ok(Message::DataRow(body)) => {
                    if rows.len() == ROWS {
                        return Err(Error::Invalid(format!("the answer has more than {ROWS} rows")).into());
                    }
                    rows.push(row(&body)?);
                }
                Ok(Message::ReadyForQuery(_)) => return failed.map_or(Ok(rows), Err),
                Ok(_) => {}
                Err(failure @ Failure::Server(_)) if !failure.is_end() => failed = failed.or(Some(failure)),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The one row of an answer that has one.
    pub(crate) fn one(&mut self, sql: &str) -> Result<Vec<Option<String>>, Failure> {
        let mut rows = self.query(sql)?;
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok(row),
            _ => Err(Error::Unsupported(format!("the server answered `{sql}` not with one row")).into()),
        }
    }

    /// Takes leave, so that the server does not log a lost connection.
    pub(crate) fn close(mut self) {
        let _ = self.send(|out| {
            frontend::terminate(out);
            Ok(())
        });
    }

    /// The next byte, and none behind it: what TLS begins with must not be read.
    pub(crate) fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.connection.read_exact(&mut byte).map_err(|error| ended(error.into()))?;
        Ok(byte[0])
    }

    /// Goes on in TLS; the channel binding data of the server's certificate.
    pub(crate) fn start_tls(&mut self, server_name: &str) -> Result<Vec<u8>> {
        self.connection.start_tls(server_name)
    }

    /// Reads until there are so many bytes.
    fn fill(&mut self, bytes: usize) -> Result<()> {
        while self.end - self.begin < bytes {
            if self.begin == self.end {
                (self.begin, self.end) = (0, 0);
            }
            if self.buffer.len() - self.begin < bytes.max(READ_BYTES) {
                self.buffer.copy_within(self.begin..self.end, 0);
                (self.begin, self.end) = (0, self.end - self.begin);
                self.buffer.resize(self.buffer.len().max(bytes + READ_BYTES), 0);
            }
            let free = self.end..self.buffer.len();
            match self.connection.read(&mut self.buffer[free])? {
                0 => return Err(ended(Error::Unavailable(String::new()))),
                read => self.end += read,
            }
        }
        Ok(())
    }
}

/// Somebody else listens there.
pub(crate) fn no_server() -> Error {
    let what = "what answers is no PostgreSQL server; hint: is it the right port? `SHOW port` there tells";
    Error::Invalid(what.into())
}

/// An end that comes before the protocol's.
fn ended(error: Error) -> Error {
    match error.message() {
        "" | "failed to fill whole buffer" => Error::Unavailable("the server closed the connection".into()),
        _ => error,
    }
}

fn parse(tag: u8, body: &[u8]) -> Result<Message> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    let mut bytes = BytesMut::with_capacity(body.len() + 5);
    bytes.extend_from_slice(&[tag]);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(body);
    let damaged = |why: String| Error::Corrupt(format!("the server sent a message that is not understood: {why}"));
    Message::parse(&mut bytes).map_err(|e| damaged(e.to_string()))?.ok_or_else(|| damaged("it is too short".into()))
}

fn row(body: &postgres_protocol::message::backend::DataRowBody) -> Result<Vec<Option<String>>> {
    let buffer = body.buffer();
    let text =
        |range: Option<std::ops::Range<usize>>| range.map(|range| String::from_utf8_lossy(&buffer[range]).into_owned());
    Ok(body.ranges().map(|range| Ok(text(range))).collect()?)
}
