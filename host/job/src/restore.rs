//! A restore: the plugin pulls what the operator chose out of a snapshot. Silence is not success here either: what was
//! chosen and not read is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dozo_repository::format::snapshot::Status;
use dozo_repository::{EntryKind, Error, ObjectId, ReadKeys, Result, View};

use crate::limits::PAGE_ENTRIES;
use crate::port::{Conflict, RestoreRequest, Source};
use crate::progress::Progress;
use crate::report::RestoreReport;
use crate::room::{Room, Wanted};
use crate::run::Clock;
use crate::selection::{Seen, Selection};
use crate::stored::Chosen;

/// What to restore, and how.
pub struct RestoreJob<'a> {
    /// Which snapshot.
    pub snapshot: ObjectId,
    /// What of it.
    pub selection: Selection,
    /// Owners' keys.
    pub keys: &'a ReadKeys,
    /// What the source is told; `paths` is the selection's.
    pub request: RestoreRequest,
    /// Where it goes, if room is to be looked for there before anything is written.
    pub room: Option<&'a dyn Room>,
}

/// Restores through a source.
///
/// # Errors
/// [`Invalid`](dozo_repository::Kind::Invalid) if nothing was chosen; [`Corrupt`](dozo_repository::Kind::Corrupt) if
/// content is damaged, or the source says that it is done and has not read all that was chosen.
pub async fn restore(
    job: RestoreJob<'_>,
    view: &View,
    source: &dyn Source,
    clock: &dyn Clock,
    progress: Arc<Progress>,
) -> Result<RestoreReport> {
    let started = clock.now();
    let found = view.snapshots().iter().find(|(id, _)| *id == job.snapshot);
    let (id, snapshot) = found.cloned().ok_or_else(|| Error::invalid("that snapshot is not in the repository"))?;
    let files_read = Arc::new(AtomicU64::new(0));
    let chosen = Arc::new(Chosen {
        reader: view.reader(id, snapshot.clone()),
        selection: job.selection,
        data: view.data_chunks(job.keys),
        progress: progress.clone(),
        files_read: files_read.clone(),
    });
    let total = count(&chosen, job.room).await?;
    progress.bytes_total.store(total.bytes, Ordering::Relaxed);

    let conflict = job.request.conflict;
    let finished = source.restore(job.request, chosen).await?;
    let files_read = files_read.load(Ordering::Relaxed);
    if files_read < total.files && conflict != Conflict::Skip {
        let (files, plugin) = (total.files, &snapshot.plugin.name);
        return Err(Error::corrupt(format!(
            "{plugin} says that it is done, but read only {files_read} of {files} files"
        ))
        .hinted("what was written is right, but not all; the plugin has a bug"));
    }
    let mut notes = Vec::new();
    if snapshot.status == Status::Partial {
        notes.push(format!(
            "the snapshot is partial: {} entries could not be read when it was made",
            snapshot.omitted_count
        ));
    }
    notes.extend(finished.notes);
    Ok(RestoreReport {
        schema: RestoreReport::SCHEMA,
        snapshot: id,
        job: snapshot.job.name.clone(),
        taken: snapshot.started,
        started,
        ended: clock.now(),
        entries: total.entries,
        entries_left: finished.entries_left,
        entries_differing: finished.entries_differing,
        files: total.files,
        files_read,
        bytes: total.bytes,
        bytes_read: progress.bytes_restored.load(Ordering::Relaxed),
        notes,
        usage: finished.usage,
    })
}

#[derive(Default)]
struct Total {
    entries: u64,
    files: u64,
    bytes: u64,
}

/// What was chosen. A path that chose nothing is an error, also beside others that did: a mistyped path must not look like
/// a restore.
async fn count(chosen: &Chosen, room: Option<&dyn Room>) -> Result<Total> {
    let (mut total, mut after, mut seen) = (Total::default(), None::<String>, Seen::default());
    let mut wanted = Wanted::default();
    let root = chosen.selection.root();
    loop {
        let page = chosen.page(&root, after.as_deref(), PAGE_ENTRIES).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.entry.path.clone());
        for stored in &page {
            chosen.selection.note(&stored.entry.path, &mut seen);
            total.entries += 1;
            total.files += u64::from(stored.entry.kind == EntryKind::File);
            total.bytes += stored.entry.size.unwrap_or(0);
            room.iter().for_each(|room| wanted.add(&stored.entry, *room));
        }
    }
    room.map_or(Ok(()), |room| wanted.check(room))?;
    let unmatched: Vec<&str> = chosen.selection.unmatched(&seen).collect();
    match unmatched.as_slice() {
        [] if total.entries > 0 => Ok(total),
        [] => Err(Error::invalid("the snapshot has no entries")),
        patterns => Err(Error::invalid(format!("the snapshot has nothing under `{}`", patterns.join("`, `")))
            .hinted("`dozo ls` shows what it has; `*`, `?` and `[` in a name are written `\\*`, `\\?`, `\\[`")),
    }
}
