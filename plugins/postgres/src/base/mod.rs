//! A base backup (PostgreSQL, `BASE_BACKUP`): every file of the cluster an entry, checked against the server's own manifest
//! and the checksums of its pages while it passes by, and against what the catalog says there is.

mod expected;
mod files;
mod notices;
mod stream;

use dozo_sdk::Posix;
use dozo_sdk::prelude::*;

use crate::chain::{Base, Damaged, Tablespace};
use crate::config::Checkpoint;
use crate::failure::{DATA_CORRUPTED, Failure};
use crate::lsn::{Lsn, Segment};
use crate::manifest::Manifest;
use crate::server::{Micros, Server, Walsender, column};
use expected::Expected;
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
    pub(crate) checkpoint: Checkpoint,
    /// Paths in the data directory that may be missing.
    pub(crate) tolerate: &'a [String],
    /// There is a base backup already that lacks no data: one that does is refused.
    pub(crate) has_whole: bool,
}

/// Takes a base backup into the snapshot. One that fails leaves nothing in it.
///
/// # Errors
/// If anything that the server sent is not what its manifest says, or what no copy could start without was left out. A page that
/// was damaged at the server already is no error: it is omitted by name, so that the snapshot is partial, and is in
/// [`Base::damaged`]; so is what the server left out.
pub(crate) async fn take(
    request: &Request<'_>,
    server: &mut Server,
    walsender: &mut Walsender,
) -> Result<Base, Failure> {
    let backup = request.backup;
    let began = server.now()?;
    let expected = Expected::read(server)?;
    let mut stream = Stream::begin(walsender, &command(server, request), (server, backup)).await?;
    let begin = Segment { timeline: stream.timeline, start: stream.start };
    let id = id(begin, server.segment_bytes, &request.taken);
    let root = format!("{DIRECTORY}/{id}");
    let taken = all(request, server, (&mut stream, expected), (began, &id, &root));
    match taken {
        Ok(base) => Ok(base),
        Err(failure) => {
            backup.discard_under(&root)?;
            Err(failure)
        }
    }
}

/// Everything behind its beginning.
fn all(
    request: &Request<'_>,
    server: &mut Server,
    (stream, expected): (&mut Stream<'_>, Expected),
    (began, id, root): (Micros, &str, &str),
) -> Result<Base, Failure> {
    let (backup, start) = (request.backup, stream.start);
    let mut files = Files::begin(backup, root, (start, expected, &stream.tablespaces), server);
    stream.read(&mut files, &mut |done, total| {
        backup.progress(done, total);
        server.keep_alive()
    })?;
    // Damaged pages are told by name; the server counts them and tells only that there are some.
    let told = |failure: &Failure| failure.is(DATA_CORRUPTED) && !files.damaged.is_empty();
    if let Some(failure) = stream.failed.take().filter(|failure| !told(failure)) {
        return Err(failure);
    }
    let (manifest, end) = (files.finish()?, stream.end()?);
    check(&manifest, (request.system, start, end))?;
    let lacking = files.lacking(server, &stream.notices, request.tolerate)?;
    if let Some(why) = lacking.refuses(request.has_whole) {
        return Err(Error::Unsupported(why).into());
    }
    stream.notices.note(backup, !files.damaged.is_empty());
    lacking.tolerated.iter().try_for_each(|one| backup.tolerate(&one.what, &Error::Corrupt(one.why.clone())))?;
    let needs = server.needs()?;
    Ok(Base {
        id: id.into(),
        timeline: stream.timeline,
        start,
        end,
        began,
        ended: server.now()?,
        entries: files.entries,
        bytes: files.content_bytes,
        tablespaces: tablespaces(server, &stream.tablespaces)?,
        lacks_data: lacking.data,
        damaged: files.damaged.into_iter().chain(lacking.missing).collect(),
        needs: Some(needs),
        in_place: has_in_place(server)?,
    })
}

/// Says again what of a base backup is damaged or missing, in a snapshot that takes it over.
pub(crate) fn omit_damaged(backup: &Backup, damaged: &[Damaged]) -> Result<()> {
    for one in damaged {
        backup.omit(&one.what, &Error::Corrupt(one.why.clone()))?;
    }
    Ok(())
}

/// The command, in the grammar of the server's version.
fn command(server: &Server, request: &Request<'_>) -> String {
    let rate = |word: &str| request.max_rate.map(|rate| format!("{word} {rate}")).unwrap_or_default();
    if server.major < 15 {
        let (rate, fast) = (rate(" MAX_RATE"), if request.checkpoint == Checkpoint::Fast { " FAST" } else { "" });
        return format!(
            "BASE_BACKUP LABEL 'dozo' PROGRESS{fast} NOWAIT{rate} MANIFEST 'yes' MANIFEST_CHECKSUMS 'CRC32C'"
        );
    }
    let (rate, checkpoint) = (rate(", MAX_RATE"), request.checkpoint.word());
    format!(
        "BASE_BACKUP (LABEL 'dozo', PROGRESS, CHECKPOINT '{checkpoint}', WAIT false{rate}, MANIFEST 'yes', \
         MANIFEST_CHECKSUMS 'CRC32C')"
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

/// The manifest is of this cluster, and lists the WAL that the backup is said to need.
fn check(manifest: &Manifest, (system, start, end): (&str, Lsn, Lsn)) -> Result<()> {
    if let Some(other) = manifest.system_identifier.filter(|identifier| identifier.to_string() != system) {
        return Err(Error::Corrupt(format!("the base backup is of the cluster {other}, not of {system}")));
    }
    let covers = manifest.wal_ranges.iter().any(|range| range.start <= start)
        && manifest.wal_ranges.iter().any(|range| range.end == end);
    match covers {
        true => Ok(()),
        false => {
            Err(Error::Corrupt(format!("the manifest of the base backup tells of other WAL than {start} to {end}")))
        }
    }
}

/// Names of the tablespaces, which the protocol does not tell. Those made in place lie in the data directory and are no others.
fn tablespaces(server: &mut Server, found: &[(u32, String)]) -> Result<Vec<Tablespace>, Failure> {
    let mut tablespaces = Vec::new();
    for (oid, location) in found.iter().filter(|(_, location)| !is_in_place(location)) {
        let rows = server.wire.query(&format!("SELECT spcname FROM pg_tablespace WHERE oid = {oid}"))?;
        // One that was dropped meanwhile is dropped again when WAL is replayed; until then it needs a place.
        let name = column(&rows, 0).map_or_else(|| oid.to_string(), str::to_string);
        tablespaces.push(Tablespace { oid: *oid, name, location: location.clone() });
    }
    Ok(tablespaces)
}

/// Whether a tablespace lies in `pg_tblspc` itself (`allow_in_place_tablespaces`): the server has no absolute path for it then.
pub(crate) fn is_in_place(location: &str) -> bool {
    !location.starts_with('/')
}

/// Whether the cluster has tablespaces in place. Numbers from 16384 on are of what somebody made.
fn has_in_place(server: &mut Server) -> Result<bool, Failure> {
    let rows = "SELECT 1 FROM pg_tablespace WHERE oid >= 16384 AND NOT starts_with(pg_tablespace_location(oid), '/')";
    Ok(!server.wire.query(rows)?.is_empty())
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
