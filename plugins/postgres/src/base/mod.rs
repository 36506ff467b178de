//! A base backup (PostgreSQL, `BASE_BACKUP`): every file of the cluster an entry, checked against the server's own manifest
//! and the checksums of its pages while it passes by.

mod files;
mod stream;

use std::collections::HashMap;

use dozo_sdk::Posix;
use dozo_sdk::prelude::*;

use crate::chain::{Base, Damaged, Tablespace};
use crate::failure::{DATA_CORRUPTED, Failure};
use crate::lsn::{Lsn, Segment};
use crate::manifest::Manifest;
use crate::server::{Micros, Server, Walsender, column};
use files::Files;
use stream::Stream;

/// The directory of a snapshot that holds base backups.
pub(crate) const DIRECTORY: &str = "bases";
/// The server's manifest beside the files of a base backup.
pub(crate) const MANIFEST: &str = "backup_manifest";

/// What is asked of the server.
pub(crate) struct Request<'a> {
    pub(crate) backup: &'a Backup,
    /// The cluster that it must be of.
    pub(crate) system: &'a str,
    /// Names that base backups have already: two of a standby can begin in the same place.
    pub(crate) taken: Vec<String>,
    /// In KiB a second.
    pub(crate) max_rate: Option<u64>,
}

/// Takes a base backup into the snapshot.
///
/// # Errors
/// If anything that the server sent is not what its manifest says. A page that was damaged at the server already is no
/// error: it is left out by name, so that the snapshot is partial, and is in [`Base::damaged`].
pub(crate) fn take(request: &Request<'_>, server: &mut Server, walsender: &mut Walsender) -> Result<Base, Failure> {
    let backup = request.backup;
    let began = server.now()?;
    let mut stream = Stream::begin(&mut walsender.wire, &command(server, request.max_rate), server.major)?;
    let (start, timeline) = (stream.start, stream.timeline);
    let id = id(Segment { timeline, start }, server.segment_bytes, &request.taken);
    let root = format!("{DIRECTORY}/{id}");
    let mut files = Files::begin(backup, &root, start, server);
    let mut manifest = Vec::new();
    stream.read(&mut files, &mut manifest, &|done, total| backup.progress(done, total))?;
    let failed = stream.failed.take();
    let end = stream.end();
    files.finish()?;
    // Damaged pages are told by name; the server counts them and tells only that there are some.
    let end = match failed {
        Some(failure) if !failure.is(DATA_CORRUPTED) || files.damaged.is_empty() => return Err(failure),
        _ => end?,
    };
    let ended = server.now()?;
    let bytes = files.seen.values().map(|(bytes, _)| bytes).sum();
    check(&manifest, std::mem::take(&mut files.seen), (request.system, start, end))?;
    let entry = backup.file(format!("{root}/{MANIFEST}")).size(manifest.len() as u64).posix(files.owner()?);
    entry.write(&manifest)?;
    let tablespaces = tablespaces(server, &stream.tablespaces)?;
    let entries = files.entries + 1;
    Ok(Base { id, timeline, start, end, began, ended, entries, bytes, tablespaces, damaged: files.damaged })
}

/// Says again which pages of a base backup are damaged, in a snapshot that takes it over.
pub(crate) fn omit_damaged(backup: &Backup, damaged: &[Damaged]) -> Result<()> {
    for page in damaged {
        backup.omit(&page.what, &Error::Corrupt(page.why.clone()))?;
    }
    Ok(())
}

/// The command, in the grammar of the server's version. Checkpoints are made at once: a run that waits for the next one
/// waits for minutes, with the server's WAL growing.
fn command(server: &Server, max_rate: Option<u64>) -> String {
    let rate = |word: &str| max_rate.map(|rate| format!("{word} {rate}")).unwrap_or_default();
    if server.major < 15 {
        let rate = rate(" MAX_RATE");
        return format!(
            "BASE_BACKUP LABEL 'dozo' PROGRESS FAST NOWAIT{rate} MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'"
        );
    }
    let rate = rate(", MAX_RATE");
    format!(
        "BASE_BACKUP (LABEL 'dozo', PROGRESS, CHECKPOINT 'fast', WAIT false{rate}, MANIFEST 'yes', MANIFEST_CHECKSUMS \
         'CRC32C')"
    )
}

/// As the server names the history of a base backup: its first segment, and the place in it. If another has that name, a number
/// follows.
fn id(begin: Segment, segment_bytes: u64, taken: &[String]) -> String {
    let segment = Segment { start: begin.start.segment_start(segment_bytes), ..begin };
    let name = format!("{}.{:08X}", segment.name(segment_bytes), begin.start.0 % segment_bytes);
    let numbered = (2..).map(|number| format!("{name}.{number}"));
    let mut names = std::iter::once(name.clone()).chain(numbered);
    names.find(|name| !taken.contains(name)).unwrap_or_else(|| name.clone())
}

/// All that the manifest lists came, as it was when the server read it, and it lists the WAL that the backup is said to need.
fn check(manifest: &[u8], seen: Seen, (system, start, end): (&str, Lsn, Lsn)) -> Result<()> {
    let manifest = Manifest::parse(manifest)?;
    if let Some(other) = manifest.system_identifier.filter(|identifier| identifier.to_string() != system) {
        return Err(Error::Corrupt(format!("the base backup is of the cluster {other}, not of {system}")));
    }
    let covers = manifest.wal_ranges.iter().any(|range| range.start <= start)
        && manifest.wal_ranges.iter().any(|range| range.end == end);
    if !covers {
        return Err(Error::Corrupt(format!(
            "the manifest of the base backup tells of other WAL than {start} to {end}"
        )));
    }
    manifest.compare(seen)
}

/// Size and CRC-32C of each file that came, by its path in the manifest.
pub(crate) type Seen = HashMap<Vec<u8>, (u64, u32)>;

/// Names of the tablespaces, which the protocol does not tell.
fn tablespaces(server: &mut Server, found: &[(u32, String)]) -> Result<Vec<Tablespace>, Failure> {
    let mut tablespaces = Vec::new();
    for (oid, location) in found {
        let rows = server.wire.query(&format!("SELECT spcname FROM pg_tablespace WHERE oid = {oid}"))?;
        // One that was dropped meanwhile is dropped again when WAL is replayed; until then it needs a place.
        let name = column(&rows, 0).map_or_else(|| oid.to_string(), str::to_string);
        tablespaces.push(Tablespace { oid: *oid, name, location: location.clone() });
    }
    Ok(tablespaces)
}

/// Owner and mode of what the server has no file of.
pub(crate) fn like(posix: &Posix, mode: u32) -> Posix {
    Posix { mode, ..posix.clone() }
}

/// Seconds since 1970, of the server's clock.
pub(crate) fn timestamp(micros: Micros) -> dozo_sdk::Timestamp {
    let nanoseconds = u32::try_from(micros.rem_euclid(1_000_000)).unwrap_or(0) * 1000;
    dozo_sdk::Timestamp { seconds: micros.div_euclid(1_000_000), nanoseconds }
}

/// Where a backup begins, and on which timeline, as a row tells it.
pub(crate) fn position(row: &[Option<String>]) -> Result<(Lsn, u32)> {
    let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
    let odd = || Error::Corrupt(format!("the server tells `{}` and `{}` for a position", text(0), text(1)));
    Ok((text(0).parse().map_err(|_| odd())?, text(1).parse().map_err(|_| odd())?))
}
