//! The messages of a base backup: results, archives, the manifest. Two grammars: since version 15 all is in one stream of
//! typed messages, before that each archive has a stream of its own.

use dozo_sdk::{Error, Result};
use postgres_protocol::message::frontend;

use super::files::Files;
use super::position;
use crate::failure::Failure;
use crate::lsn::Lsn;
use crate::wire::{Rows, Wire};

/// The longest manifest that is taken: some two million files.
const MANIFEST_BYTES: usize = 100 << 20;

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
    /// Asks for it, and reads what comes before the archives.
    pub(super) fn begin(wire: &'a mut Wire, command: &str, major: u32) -> Result<Self, Failure> {
        wire.send(|out| frontend::query(command, out))?;
        let start = result(wire)?;
        let (start, timeline) = position(start.first().map(Vec::as_slice).unwrap_or_default())?;
        let (mut tablespaces, mut total) = (Vec::new(), 0);
        for row in result(wire)? {
            let text = |at: usize| row.get(at).cloned().flatten();
            total += text(2).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) << 10;
            // The row without an id is the data directory itself.
            if let Some(oid) = text(0) {
                let odd = |_| Error::Corrupt(format!("the server tells `{oid}` for a tablespace"));
                tablespaces.push((oid.parse().map_err(odd)?, text(1).unwrap_or_default()));
            }
        }
        Ok(Stream { wire, major, start, timeline, tablespaces, total, end: Rows::new(), failed: None })
    }

    /// Reads everything, until the server is ready for the next command.
    pub(super) fn read(
        &mut self,
        files: &mut Files<'_>,
        manifest: &mut Vec<u8>,
        progress: &dyn Fn(u64, Option<u64>),
    ) -> Result<(), Failure> {
        let (mut part, mut copies, mut done, mut shown) = (Part::Nothing, 0, 0, 0);
        loop {
            match self.wire.next()? {
                (b'd', body) if self.major < 15 => {
                    done += take(part, body, files, manifest)?;
                    shown = self.show(progress, (done, shown));
                }
                (b'd', body) => match typed(body)? {
                    Typed::Archive(name) => {
                        (part, copies) = (Part::Archive, copies + 1);
                        files.archive(name)?;
                    }
                    Typed::Manifest => part = end_archive(files, Part::Manifest)?,
                    Typed::Bytes(bytes) => {
                        done += take(part, bytes, files, manifest)?;
                        shown = self.show(progress, (done, shown));
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
                (b'H' | b'T' | b'C' | b'N' | b'S', _) => {}
                (tag, _) => return Err(unexpected(tag)),
            }
        }
        let wanted = self.tablespaces.len() + 1;
        if self.failed.is_none() && (copies < wanted || manifest.is_empty()) {
            return Err(Error::Corrupt(format!("the server sent {copies} of {wanted} archives")).into());
        }
        Ok(())
    }

    /// Tells now and then how far it is; how far it was when it was told last.
    fn show(&self, progress: &dyn Fn(u64, Option<u64>), (done, shown): (u64, u64)) -> u64 {
        if done - shown < PROGRESS_BYTES {
            return shown;
        }
        progress(done, Some(self.total.max(done)));
        done
    }

    /// Where the files fit together.
    pub(super) fn end(&self) -> Result<Lsn> {
        let row = self.end.last().map(Vec::as_slice).unwrap_or_default();
        position(row).map(|(end, _)| end)
    }
}

/// The rows of one result.
fn result(wire: &mut Wire) -> Result<Rows, Failure> {
    let mut rows = Rows::new();
    loop {
        match wire.next()? {
            (b'D', body) => rows.push(Wire::row(body)?),
            (b'C', _) => return Ok(rows),
            (b'E', body) => return Err(Wire::failure(body)),
            (b'T' | b'N' | b'S', _) => {}
            (tag, _) => return Err(unexpected(tag)),
        }
    }
}

/// Bytes of an archive or of the manifest; returns how many of an archive.
fn take(part: Part, bytes: &[u8], files: &mut Files<'_>, manifest: &mut Vec<u8>) -> Result<u64> {
    match part {
        Part::Archive => {
            files.bytes(bytes)?;
            Ok(bytes.len() as u64)
        }
        Part::Manifest if manifest.len() + bytes.len() > MANIFEST_BYTES => {
            Err(Error::Unsupported(format!("the server's manifest has more than {MANIFEST_BYTES} bytes")))
        }
        Part::Manifest => {
            manifest.extend_from_slice(bytes);
            Ok(0)
        }
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
