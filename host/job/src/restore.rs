//! A restore: the plugin pulls what the operator chose out of a snapshot. Silence is not success here either: what was
//! chosen and not read is told.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dozo_repository::format::snapshot::Status;
use dozo_repository::{Error, ObjectId, ReadKeys, Result, View};

use crate::port::{Conflict, RestoreRequest, Source};
use crate::progress::Progress;
use crate::report::RestoreReport;
use crate::room::Room;
use crate::run::Clock;
use crate::selection::Selection;
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
    pub room: Option<Arc<dyn Room>>,
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
    let reader = (view.reader(id, snapshot.clone()), view.data_chunks(job.keys));
    let chosen = Arc::new(Chosen::count(reader, job.selection, job.room, progress.clone()).await?);

    let (conflict, at) = (job.request.conflict, job.request.at.clone());
    let finished = source.restore(job.request, chosen.clone()).await;
    // The host knows better than the plugin why nothing could be written.
    let finished = chosen.refused().map_or(finished, Err)?;
    let (total, files_read) = chosen.done();
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
        at,
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
