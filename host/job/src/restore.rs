//! A restore: the plugin pulls what the operator chose out of a snapshot. Silence is not success here either: what was
//! chosen and not restored is reported.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dozo_repository::format::record::Outcome;
use dozo_repository::format::snapshot::Status;
use dozo_repository::{Error, Kind, ObjectId, ReadKeys, Result, View};

use crate::limits::OMITTED_IN_REPORT;
use crate::port::{Conflict, Finished, RestoreRequest, Source};
use crate::progress::Progress;
use crate::report::{Failure, RestoreReport};
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
    /// Whether the source only shows what it would do: then not all is read.
    pub is_plan: bool,
}

/// A restore that was begun, and why it did not come to its end, if it did not.
pub struct Restored {
    /// What it did.
    pub report: RestoreReport,
    /// Why it is not complete.
    pub error: Option<Error>,
    /// What to do about the first entry that could not be restored.
    pub hint: Option<String>,
    /// Whether anything was written, or might have been.
    pub has_written: bool,
}

/// Restores through a source. What was done is reported however it ends.
///
/// # Errors
/// [`Invalid`](dozo_repository::Kind::Invalid) if nothing was chosen, or what the repository says where it cannot be read: then
/// nothing was begun. What goes wrong later is part of the result: [`Corrupt`](dozo_repository::Kind::Corrupt) if content is
/// damaged, or the source says that it is done and has not read all that was chosen.
pub async fn restore(
    job: RestoreJob<'_>,
    view: &View,
    source: &dyn Source,
    clock: &dyn Clock,
    progress: Arc<Progress>,
) -> Result<Restored> {
    let started = clock.now();
    let found = view.snapshots().iter().find(|(id, _)| *id == job.snapshot);
    let (id, snapshot) = found.cloned().ok_or_else(|| Error::invalid("that snapshot is not in the repository"))?;
    let reader = (view.reader(id, snapshot.clone()), view.data_chunks(job.keys));
    let chosen = Arc::new(Chosen::count(reader, job.selection, job.room, progress.clone()).await?);

    let at = job.request.at.clone();
    let may_leave = job.is_plan || job.request.conflict == Conflict::Skip;
    let (finished, said) = source.restore(job.request, chosen.clone()).await;
    let (total, files_read) = chosen.done();
    // The host knows better than the plugin why nothing could be written, and what was not read.
    let error = chosen.refused().or(said.err()).or_else(|| {
        let is_missing = !may_leave && files_read + finished.uncreated_count < total.files;
        is_missing.then(|| unread(&snapshot.plugin.name, files_read, total.files))
    });
    let mut notes = chosen.notes().to_vec();
    if snapshot.status == Status::Partial {
        notes.push(format!(
            "the snapshot is partial: {} entries could not be read when it was made",
            snapshot.omitted_count
        ));
    }
    let outcome = outcome(error.as_ref(), &finished);
    notes.extend(finished.notes);
    let not_restored = finished.uncreated.iter().take(OMITTED_IN_REPORT);
    let report = RestoreReport {
        schema: RestoreReport::SCHEMA,
        outcome,
        snapshot: id,
        job: snapshot.job.name.clone(),
        taken: snapshot.started,
        at,
        started,
        ended: clock.now(),
        entries: total.entries,
        entries_left: finished.entries_left,
        entries_differing: finished.entries_differing,
        entries_deleted: finished.entries_deleted,
        files: total.files,
        files_read,
        bytes: total.bytes,
        bytes_read: progress.bytes_restored.load(Ordering::Relaxed),
        not_restored: not_restored.map(|(path, why)| (path.clone(), why.chain())).collect(),
        not_restored_count: finished.uncreated_count,
        notes,
        error: error.as_ref().map(Failure::from),
        usage: finished.usage,
    };
    let hint = finished.uncreated.iter().find_map(|(_, why)| why.hint()).map(str::to_string);
    // Damage is told as such, whoever met it.
    let damage = finished.uncreated.into_iter().map(|(_, why)| why).find(|why| why.kind() == Kind::Corrupt);
    Ok(Restored { report, error: damage.or(error), hint, has_written: chosen.is_settled() })
}

/// Partial if the plugin came back, and what is missing is named: whether it calls that a failure is all the same.
fn outcome(error: Option<&Error>, finished: &Finished) -> Outcome {
    match error {
        None if finished.uncreated_count + finished.entries_differing == 0 => Outcome::Complete,
        None => Outcome::Partial,
        Some(error) if finished.uncreated_count > 0 && error.kind() != Kind::Internal => Outcome::Partial,
        Some(_) => Outcome::Failed,
    }
}

fn unread(plugin: &str, read: u64, files: u64) -> Error {
    Error::corrupt(format!("{plugin} says that it is done, but read only {read} of {files} files"))
        .hinted("what was written is right, but not all; the plugin has a bug")
}
