//! Receives WAL (PostgreSQL, "Streaming Replication Protocol"): timeline by timeline, up to where the server is now.

use dozo_sdk::Timestamp;
use dozo_sdk::prelude::*;
use postgres_protocol::message::frontend;

use super::segments::Segments;
use crate::chain::{Finds, Known};
use crate::failure::Failure;
use crate::lsn::{Lsn, Segment};
use crate::server::{Micros, Walsender};
use crate::timeline::History;
use crate::wire::Wire;

/// What is to be received.
pub(crate) struct Legs<'a> {
    pub(crate) segment_bytes: u64,
    pub(crate) slot: &'a str,
    /// Where to begin.
    pub(crate) from: Segment,
    /// What of the segments from there on is known already.
    pub(crate) known: Vec<Known>,
    /// The timelines up to the server's own.
    pub(crate) history: &'a History,
    /// Where to end, on the server's own.
    pub(crate) to: Lsn,
    /// What time it is at the server.
    pub(crate) time: Timestamp,
}

/// What was received.
#[derive(Default)]
pub(crate) struct Received {
    pub(crate) through: Lsn,
    /// Where the last whole record ends.
    pub(crate) whole: Lsn,
    pub(crate) last_commit: Option<Micros>,
    pub(crate) tail: Vec<Known>,
    /// Names of the segments that were stored.
    pub(crate) stored: Vec<String>,
    pub(crate) finds: Finds,
}

/// Receives all of it into the snapshot.
///
/// # Errors
/// [`Failure::Gap`] if the server has the WAL no more, or another one, or nothing can be recovered from it. What was stored until
/// then lies before any base backup that is taken later. The session is of no use after an error.
pub(crate) fn receive(backup: &Backup, walsender: &mut Walsender, legs: &Legs<'_>) -> Result<Received, Failure> {
    let (mut from, mut known) = (legs.from, legs.known.clone());
    let mut received = Received::default();
    loop {
        let left = legs.history.left_at(from.timeline)?;
        let to = left.unwrap_or(legs.to);
        let known = (std::mem::take(&mut known), legs.time);
        let mut segments = Segments::begin(backup, legs.segment_bytes, (from, to), known);
        let all = leg(walsender, legs.slot, from, to, &mut segments).and_then(|()| {
            (received.through, received.whole) = (segments.through(), segments.whole());
            segments.finish()
        });
        if let Err(failure) = all {
            segments.cancel();
            return Err(failure);
        }
        received.take(segments);
        match legs.history.after(from.timeline).zip(left) {
            None => return Ok(received),
            Some((timeline, left)) => from = Segment { timeline, start: left.segment_start(legs.segment_bytes) },
        }
    }
}

impl Received {
    /// Takes in what came of one timeline.
    fn take(&mut self, mut segments: Segments<'_>) {
        self.tail = segments.tail();
        self.last_commit = self.last_commit.max(segments.last_commit);
        self.stored.append(&mut segments.stored);
        self.finds.restore_points.append(&mut segments.finds.restore_points);
        self.finds.made.append(&mut segments.finds.made);
        self.finds.least.append(&mut segments.finds.least);
    }
}

/// One timeline's part, from a segment's beginning to a position.
fn leg(
    walsender: &mut Walsender,
    slot: &str,
    from: Segment,
    to: Lsn,
    segments: &mut Segments<'_>,
) -> Result<(), Failure> {
    if from.start >= to {
        return Ok(());
    }
    let wire = &mut walsender.wire;
    let Segment { timeline, start } = from;
    let command = format!("START_REPLICATION SLOT \"{slot}\" PHYSICAL {start} TIMELINE {timeline}");
    wire.send(|out| frontend::query(&command, out))?;
    begin(wire)?;
    copy(wire, to, segments)?;
    wire.send(|out| {
        frontend::copy_done(out);
        Ok(())
    })?;
    end(wire)
}

/// Waits for the server to begin.
fn begin(wire: &mut Wire) -> Result<(), Failure> {
    loop {
        match wire.next()? {
            (b'W', _) => return Ok(()),
            (b'E', body) => return Err(Wire::failure(body).of_wal()),
            (b'N' | b'S', _) => {}
            (tag, _) => return Err(unexpected(tag)),
        }
    }
}

/// Takes what comes until the position, or until the timeline is over.
fn copy(wire: &mut Wire, to: Lsn, segments: &mut Segments<'_>) -> Result<(), Failure> {
    while segments.through() < to {
        match wire.next()? {
            (b'd', [b'w', body @ ..]) if body.len() >= 24 => {
                let (head, bytes) = body.split_at(24);
                let at = Lsn(number(head));
                if at != segments.through() {
                    let wanted = segments.through();
                    return Err(Error::Corrupt(format!("the server sent WAL of {at} where {wanted} comes next")).into());
                }
                let room = usize::try_from(to.0 - at.0).unwrap_or(usize::MAX);
                segments.write(&bytes[..bytes.len().min(room)])?;
            }
            (b'd', [b'k', body @ ..]) if body.len() >= 17 => {
                if body[16] != 0 {
                    let at = segments.through();
                    wire.send(|out| frontend::CopyData::new(&status(at)[..]).map(|data| data.write(out)))?;
                }
            }
            // The timeline was left here; that it is where it was to be is looked at behind the loop.
            (b'c', _) => break,
            (b'E', body) => return Err(Wire::failure(body).of_wal()),
            (b'N' | b'S', _) => {}
            (tag, _) => return Err(unexpected(tag)),
        }
    }
    let through = segments.through();
    if through < to {
        return Err(Error::Unavailable(format!("the server ended the WAL at {through}, before {to}")).into());
    }
    Ok(())
}

/// Reads what the server still says until it is ready for the next command.
fn end(wire: &mut Wire) -> Result<(), Failure> {
    loop {
        match wire.next()? {
            (b'Z', _) => return Ok(()),
            (b'E', body) => return Err(Wire::failure(body).of_wal()),
            // WAL that was on its way, the position of the next timeline, and that it is done.
            (b'd' | b'c' | b'T' | b'D' | b'C' | b'N' | b'S', _) => {}
            (tag, _) => return Err(unexpected(tag)),
        }
    }
}

fn unexpected(tag: u8) -> Failure {
    let tag = char::from(tag).escape_default();
    Error::Corrupt(format!("the server sent a message `{tag}` in the middle of WAL")).into()
}

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// A standby's status: how far it has come. It says nothing of what is safe on our side (0), so that the server keeps all of
/// it until the snapshot is stored, and never waits for us with a commit.
fn status(at: Lsn) -> [u8; 34] {
    let mut message = [0; 34];
    message[0] = b'r';
    message[1..9].copy_from_slice(&at.0.to_be_bytes());
    message
}
