//! Connections that the host makes, to what the operator granted; TLS is the host's, with its authorities and certificates.
//!
//! ```no_run
//! use std::io::{Read, Write};
//!
//! use dozo_sdk::net::Connection;
//!
//! fn ping(host: &str) -> dozo_sdk::Result<()> {
//!     let mut redis = Connection::connect(&format!("tcp://{host}:6379"))?;
//!     redis.write_all(b"PING\r\n")?;
//!     let mut pong = [0; 7];
//!     redis.read_exact(&mut pong)?;
//!     Ok(())
//! }
//! ```
//!
//! Bytes that are only forwarded never enter the plugin: [`receive`](Connection::receive) hands them on.
//!
//! ```no_run
//! # use dozo_sdk::prelude::*;
//! # use dozo_sdk::net::Connection;
//! # fn dump(connection: &Connection, backup: &Backup, length: u64) -> Result<()> {
//! backup.file("dump.rdb").size(length).copy_from(connection.receive(length)?)?;
//! # Ok(())
//! # }
//! ```

use std::io::{Read, Write};

use futures::future::{Either, select};

use crate::bindings::dozo::plugin::{net, streaming};
use crate::{Content, Result};

/// A connection. It is [`Read`] and [`Write`], also by reference: both ends can be used at once.
pub struct Connection(net::Connection);

impl Connection {
    /// Connects to `tcp://HOST:PORT` or `unix:///PATH`.
    ///
    /// # Errors
    /// [`Error::NotGranted`] names the line that the operator would have to add; [`Error::Unavailable`] if nobody answers.
    pub fn connect(target: &str) -> Result<Self> {
        net::Connection::connect(target).map(Connection)
    }

    /// The same, while other futures of the plugin go on: beyond the limit of connections it waits until they
    /// close one.
    ///
    /// # Errors
    /// The same; [`Error::Invalid`] if none is closed.
    pub async fn connect_async(target: &str) -> Result<Self> {
        streaming::connect(target.into()).await.map(Connection)
    }

    /// Goes on in TLS (PostgreSQL's `SSLRequest`, SMTP's `STARTTLS`), with a server that proves to be `server_name`. Returns
    /// what binds the channel (RFC 5929, `tls-server-end-point`): the hash of its certificate, by the hash function of the
    /// certificate's signature. Empty where there is none, as with Ed25519.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the certificate is not to be believed, [`Error::Denied`] if the server wants another one of ours.
    pub fn start_tls(&self, server_name: &str) -> Result<Vec<u8>> {
        self.0.start_tls(server_name)
    }

    /// The next `length` bytes, to be handed on: to a writer, to a directory, into a request. Until they have been read
    /// nobody else can read; fewer are an error for whoever reads them.
    pub fn receive(&self, length: u64) -> Result<Content> {
        self.0.receive(length)
    }

    /// At most `max` bytes, as soon as there are any, while other futures of the plugin go on. None: the orderly end.
    pub async fn read_some(&self, max: u32) -> Result<Vec<u8>> {
        streaming::receive(&self.0, max).await
    }

    /// Waits for bytes, at most `max`, and does something meanwhile each time so long has passed: `meanwhile` may use other
    /// connections, and ends the wait with its error. Empty: the orderly end.
    pub async fn read_while<E: From<crate::Error>>(
        &self,
        max: u32,
        every: std::time::Duration,
        mut meanwhile: impl FnMut() -> Result<(), E>,
    ) -> Result<Vec<u8>, E> {
        let milliseconds = u32::try_from(every.as_millis()).unwrap_or(u32::MAX);
        // Not dropped before it is done: what it has read by then would be lost.
        let mut reading = std::pin::pin!(self.read_some(max));
        loop {
            let pause = std::pin::pin!(streaming::wait(milliseconds));
            match select(reading.as_mut(), pause).await {
                Either::Left((bytes, _)) => return Ok(bytes?),
                Either::Right(_) => meanwhile()?,
            }
        }
    }

    /// Writes all of it, while other futures of the plugin go on.
    pub async fn send(&self, bytes: Vec<u8>) -> Result<()> {
        streaming::send(&self.0, bytes).await
    }
}

impl Read for &Connection {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let max = u32::try_from(buf.len()).unwrap_or(u32::MAX);
        let bytes = self.0.read(max).map_err(std::io::Error::other)?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

impl Write for &Connection {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    /// What was written has gone out already.
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Read for Connection {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        Read::read(&mut &*self, buf)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Write::write(&mut &*self, bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
