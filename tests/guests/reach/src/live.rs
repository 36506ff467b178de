//! A live connection beside a full pipeline, as a replication client has it: frames of data go into an entry as fast as the
//! host takes them, the server's keepalives are answered when they are read, and every 200 ms the server is told that somebody
//! is there, whatever the pipeline does.
//!
//! A frame is a letter, a length (four bytes, the largest first) and so many bytes: `d` data, `k` keepalive, `e` the end with
//! the number of bytes of data. The answers are single letters: `r` for each keepalive, `s` for somebody.

use std::cell::Cell;

use dozo_sdk::bindings::dozo::plugin::streaming;
use dozo_sdk::net::Connection;
use dozo_sdk::prelude::*;
use futures::future::join;

pub(crate) async fn live(to: &str, backup: &Backup) -> Result<()> {
    let connection = &Connection::connect(to)?;
    let done = &Cell::new(false);
    let mut writer = backup.file("live").create();
    let receiving = async {
        let received = writer.produce(async |mut sink| receive(connection, &mut sink).await).await;
        done.set(true);
        received
    };
    let telling = async {
        while !done.get() {
            streaming::wait(200).await;
            // When it is done nobody may listen any more.
            if let Err(error) = connection.send(b"s".to_vec()).await
                && !done.get()
            {
                return Err(error);
            }
        }
        Ok(())
    };
    let (received, told) = join(receiving, telling).await;
    let received = received?;
    told?;
    backup.set_attribute("received", &received.to_string());
    writer.finish().map(|_| ())
}

async fn receive(connection: &Connection, sink: &mut dozo_sdk::Sink) -> Result<()> {
    let (mut unread, mut buffer, mut total) = (Vec::new(), Vec::new(), 0u64);
    loop {
        let bytes = connection.read_some(256 << 10).await?;
        if bytes.is_empty() {
            return Err(Error::Unavailable("the server ended without saying so".into()));
        }
        unread.extend_from_slice(&bytes);
        let mut rest = unread.as_slice();
        while let Some((letter, payload, behind)) = frame(rest) {
            match letter {
                b'd' => {
                    total += payload.len() as u64;
                    buffer.extend_from_slice(payload);
                }
                b'k' => connection.send(b"r".to_vec()).await?,
                b'e' if payload == total.to_be_bytes() => {
                    return if buffer.is_empty() { Ok(()) } else { sink.send(buffer).await.map(|_| ()) };
                }
                _ => return Err(Error::Corrupt(format!("the server said `{}` after {total} bytes", letter as char))),
            }
            rest = behind;
        }
        unread = rest.to_vec();
        if !buffer.is_empty() {
            buffer = sink.send(buffer).await?;
        }
    }
}

/// The first frame, if it is whole, and what is behind it.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(5)?;
    let length = u32::from_be_bytes(head[1..].try_into().ok()?) as usize;
    let (payload, rest) = rest.split_at_checked(length)?;
    Some((head[0], payload, rest))
}
