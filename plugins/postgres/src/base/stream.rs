//! The messages of a base backup: results, archives, the manifest. Two grammars: since version 15 all is in one stream of
//! typed messages, before that each archive has a stream of its own.

use std::time::{Duration, Instant};

use dozo_sdk::{Backup, Error, Result};
use postgres_protocol::message::frontend;

use super::files::Files;
use super::notices::Notices;
use super::position;
use crate::failure::Failure;
use crate::lsn::Lsn;
use crate::server::{Server, Walsender, column};
use crate::wire::{Rows, Wire};

/// How often it is looked what a server does that says nothing.
const LOOK: Duration = Duration::from_secs(5);
/// How many looks may find nothing that explains why it says nothing: five minutes.
const UNEXPLAINED: u32 = 60;

/// How far it is, is told each time so much has come.
const PROGRESS_BYTES: u64 = 4 << 20;

/// A base backup that has begun.
pub(super) struct Stream<'a> {
    wire: &'a mut Wire,
    major: u32,
    pub(super) start: Lsn,
    pub(super) timeline: u32,
    /// Object id and place of each tablespace, in the order of their archives.
    pub(super) tablespaces: Vec<(u32, String)>,
    /// Bytes of all archives, as the server estimates them.
    total: u64,
    /// What the server said behind the archives.
    end: Rows,
    /// What it warned of.
    pub(super) notices: Notices,
    /// The error that came last.
    pub(super) failed: Option<Failure>,
}

/// What is coming now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Nothing,
    Archive,
    Manifest,
}

impl<'a> Stream<'a> {
    /// Asks for it, and reads what comes before the archives. Until then the server makes a checkpoint and measures its files, for
    /// as long as that takes it: what it does is looked at through its other session.
    pub(super) async fn begin(
        walsender: &'a mut Walsender,
        command: &str,
        (server, backup): (&mut Server, &Backup),
    ) -> Result<Self, Failure> {
        let (process, wire, major) = (walsender.process, &mut walsender.wire, server.major);
        let mut notices = Notices::default();
        wire.send(|out| frontend::query(command, out))?;
        let (began, mut unexplained) = (Instant::now(), 0);
        wire.ready(LOOK, || look(server, process, (backup, began), &mut unexplained)).await?;
        backup.phase("base backup");
        let start = result(wire, &mut notices)?;
        let (start, timeline) = position(start.first().map(Vec::as_slice).unwrap_or_default())?;
        let (mut tablespaces, mut total) = (Vec::new(), 0);
        for row in result(wire, &mut notices)? {
            let text = |at: usize| row.get(at).cloned().flatten();
            total += text(2).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) << 10;
            // The row without an id is the data directory itself.
            if let Some(oid) = text(0) {
                let odd = |_| Error::Corrupt(format!("the server tells `{oid}` for a tablespace"));
                tablespaces.push((oid.parse().map_err(odd)?, text(1).unwrap_or_default()));
            }
        }
        Ok(Stream { wire, major, start, timeline, tablespaces, total, end: Rows::new(), notices, failed: None })
    }

    /// Reads everything, until the server is ready for the next command.
    pub(super) fn read(
        &mut self,
        files: &mut Files<'_>,
        progress: &mut dyn FnMut(u64, Option<u64>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (mut part, mut copies, mut done, mut shown) = (Part::Nothing, 0, 0, 0);
        loop {
            match self.wire.next()? {
                (b'd', body) if self.major < 15 => {
                    done += take(part, body, files)?;
                    shown = self.show(progress, (done, shown))?;
                }
                (b'd', body) => match typed(body)? {
                    Typed::Archive(name) => {
                        (part, copies) = (Part::Archive, copies + 1);
                        files.archive(name)?;
                    }
                    Typed::Manifest => part = end_archive(files, Part::Manifest)?,
                    Typed::Bytes(bytes) => {
                        done += take(part, bytes, files)?;
                        shown = self.show(progress, (done, shown))?;
                    }
                    Typed::Progress => {}
                },
                (b'H', _) if self.major < 15 => {
                    // Tablespaces come first, then the data directory, then the manifest.
                    part = if copies <= self.tablespaces.len() { Part::Archive } else { Part::Manifest };
                    if part == Part::Archive {
                        files.archive(self.tablespaces.get(copies).map(|(oid, _)| *oid))?;
                    }
                    copies += 1;
                }
                (b'c', _) => part = end_archive(files, Part::Nothing)?,
                (b'D', body) => self.end.push(Wire::row(body)?),
                (b'E', body) => {
                    let failure = Wire::failure(body);
                    if failure.is_end() {
                        return Err(failure);
                    }
                    self.failed = Some(failure);
                }
                (b'Z', _) => break,
                (b'N', body) => self.notices.take(Wire::notice(body)?),
                (b'H' | b'T' | b'C' | b'S', _) => {}
                (tag, _) => return Err(unexpected(tag)),
            }
        }
        let wanted = self.tablespaces.len() + 1;
        if self.failed.is_none() && (copies < wanted || !files.has_manifest()) {
            return Err(Error::Corrupt(format!("the server sent {copies} of {wanted} archives")).into());
        }
        Ok(())
    }

    /// Tells now and then how far it is; how far it was when it was told last.
    fn show(
        &self,
        progress: &mut dyn FnMut(u64, Option<u64>) -> Result<(), Failure>,
        (done, shown): (u64, u64),
    ) -> Result<u64, Failure> {
        if done - shown < PROGRESS_BYTES {
            return Ok(shown);
        }
        progress(done, Some(self.total.max(done)))?;
        Ok(done)
    }

    /// Where the files fit together.
    pub(super) fn end(&self) -> Result<Lsn> {
        let row = self.end.last().map(Vec::as_slice).unwrap_or_default();
        position(row).map(|(end, _)| end)
    }
}

/// Looks what a server does that has not begun to send, and shows it.
///
/// # Errors
/// [`Error::Unavailable`] if its process is gone, or does nothing that would explain it.
fn look(
    server: &mut Server,
    process: i32,
    (backup, began): (&Backup, Instant),
    unexplained: &mut u32,
) -> Result<(), Failure> {
    let rows = server.wire.query(&format!(
        "SELECT p.phase FROM pg_stat_activity a LEFT JOIN pg_stat_progress_basebackup p USING (pid) WHERE pid = {process}"
    ))?;
    let gone = || Error::Unavailable("the server's process that was to send the base backup is gone".into());
    if rows.is_empty() {
        return Err(gone().into());
    }
    let waited = match began.elapsed().as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    };
    let doing = match column(&rows, 0) {
        // Words of the view, which no server translates.
        Some("waiting for checkpoint to finish") => "waiting for the server's checkpoint",
        Some("estimating backup size") => "the server is measuring its files",
        _ => {
            *unexplained += 1;
            "waiting for the server"
        }
    };
    backup.phase(&format!("{doing} ({waited})"));
    match *unexplained {
        0..UNEXPLAINED => Ok(()),
        _ => {
            Err(Error::Unavailable("the server does not begin with the base backup, and does not say why".into())
                .into())
        }
    }
}

/// The rows of one result.
fn result(wire: &mut Wire, notices: &mut Notices) -> Result<Rows, Failure> {
    let mut rows = Rows::new();
    loop {
        match wire.next()? {
            (b'D', body) => rows.push(Wire::row(body)?),
            (b'C', _) => return Ok(rows),
            (b'E', body) => return Err(Wire::failure(body)),
            (b'N', body) => notices.take(Wire::notice(body)?),
            (b'T' | b'S', _) => {}
            (tag, _) => return Err(unexpected(tag)),
        }
    }
}

/// Bytes of an archive or of the manifest; returns how many of an archive.
fn take(part: Part, bytes: &[u8], files: &mut Files<'_>) -> Result<u64> {
    match part {
        Part::Archive => {
            files.bytes(bytes)?;
            Ok(bytes.len() as u64)
        }
        Part::Manifest => files.manifest(bytes).map(|()| 0),
        Part::Nothing => Err(Error::Corrupt("the server sent bytes of no archive".into())),
    }
}

fn end_archive(files: &mut Files<'_>, next: Part) -> Result<Part> {
    files.end_archive()?;
    Ok(next)
}

/// A message of the stream since version 15.
enum Typed<'a> {
    /// An archive begins: of a tablespace, or none for the data directory.
    Archive(Option<u32>),
    Manifest,
    Bytes(&'a [u8]),
    Progress,
}

fn typed(body: &[u8]) -> Result<Typed<'_>> {
    let damaged = || Error::Corrupt("the server sent a piece of a base backup that is not understood".into());
    let (kind, rest) = body.split_first().ok_or_else(damaged)?;
    match kind {
        b'd' => Ok(Typed::Bytes(rest)),
        b'm' => Ok(Typed::Manifest),
        b'p' => Ok(Typed::Progress),
        b'n' => {
            let name = rest.split(|byte| *byte == 0).next().unwrap_or_default();
            let name = std::str::from_utf8(name).ok().and_then(|name| name.strip_suffix(".tar")).ok_or_else(damaged)?;
            match name {
                "base" => Ok(Typed::Archive(None)),
                oid => oid.parse().map(|oid| Typed::Archive(Some(oid))).map_err(|_| damaged()),
            }
        }
        _ => Err(damaged()),
    }
}

fn unexpected(tag: u8) -> Failure {
    let tag = char::from(tag).escape_default();
    Error::Corrupt(format!("the server sent a message `{tag}` in the middle of a base backup")).into()
}
