//! Suspicious snapshots, as commands tell of them.

use dozo_repository::{Found, ObjectId, View};

use crate::ui::{self, words};
use crate::zones::Zones;

/// What to do about a suspicious snapshot.
pub(crate) fn hint(id: &ObjectId) -> String {
    format!(
        "is the whole source there, every file system mounted? Then run the job again. If so little is right: `dozo accept \
         {}`; until then nothing is deleted because of this snapshot",
        id.short()
    )
}

/// Tells that a snapshot that somebody reads is suspicious, or that newer ones are and were passed over.
pub(crate) fn tell(view: &View, found: &Found) {
    if let Some(reason) = view.suspicion(found).first() {
        ui::note(format!("note: the snapshot {} is suspicious: {}", found.0.short(), words::plain(reason)));
    }
}

/// Tells that newer snapshots of the same job are suspicious and were passed over.
pub(crate) fn tell_passed_over<'a>(
    view: &View,
    zones: &Zones,
    found: &Found,
    of_job: impl IntoIterator<Item = &'a Found>,
) {
    let newer = of_job.into_iter().filter(|(_, s)| s.order() > found.1.order());
    let newer: Vec<&Found> = newer.filter(|newer| view.is_suspicious(newer)).collect();
    let Some(newest) = newer.iter().max_by_key(|(_, s)| s.order()) else { return };
    let (count, taken) =
        (words::counted(newer.len() as u64, "newer snapshot is", "newer snapshots are"), found.0.short());
    let (id, time) = (newest.0.short(), zones.taken(&newest.1));
    let reason = view.suspicion(newest).first().map(|reason| words::plain(reason)).unwrap_or_default();
    ui::note(format!("note: {count} suspicious, so this is {taken}; the newest is {id} of {time}: {reason}"));
}
