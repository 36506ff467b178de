//! The snapshots that a job has already: which the next one builds on, counts from, and is compared with.

use dozo_repository::format::snapshot::Status;
use dozo_repository::{Found, HostUid, JobUid, ObjectId, SnapshotReader, View};

use crate::gap::recovers_until;
use crate::guard::Measure;

/// The snapshots of this very job that may serve as previous ones, newest last.
pub(crate) struct History {
    pub(crate) view: View,
    pub(crate) host: HostUid,
    pub(crate) job: JobUid,
    pub(crate) plugin: String,
}

impl History {
    /// The last snapshot of this job, plugin and source that is not suspicious; none if some of its manifest lies in packs that do
    /// not count. One whose clock was wrong is no exception: what the source let go of since the one before, it alone has. A
    /// suspicious one is built on only where its source says that it must be: a file that is back after its disk was away is then
    /// as the last good snapshot has it, and is not read.
    pub(super) fn previous(&self, source: &str) -> Option<SnapshotReader> {
        let of_source = self.of_plugin().filter(|(_, s)| s.source.as_deref() == Some(source));
        let fits =
            of_source.filter(|found| !self.view.is_suspicious(found) || Measure::of(&found.1.attributes).continues);
        let found = last(fits);
        let whole = found.filter(|(_, snapshot)| self.view.can_build_on(snapshot));
        whole.map(|(id, snapshot)| self.view.reader(*id, snapshot.clone()))
    }

    /// The last run of this job that left a snapshot, whatever its plugin and source.
    pub(crate) fn last_run(&self) -> Option<&Found> {
        self.view.last_run(self.host, self.job)
    }

    /// The snapshot that the next one is compared with: the last of this job and plugin that is not suspicious, whatever
    /// its source was. A file system that is not mounted is another source than one that is. A partial one counts if it was
    /// accepted, or if there is no other: else a few of them, each lacking more, would lead down to nothing step by step.
    pub(crate) fn last_good(&self) -> Option<Found> {
        let trusted = || self.of_plugin().filter(|found| !self.view.is_suspicious(found));
        let is_whole = |found: &&Found| found.1.status == Status::Complete || self.view.accepted(&found.0).is_some();
        last(trusted().filter(is_whole)).or_else(|| last(trusted())).cloned()
    }

    /// The attributes of this job's snapshot that recovers to the latest moment.
    pub(crate) fn furthest(&self) -> Vec<(String, String)> {
        let furthest = self.of_job().max_by_key(|(_, s)| recovers_until(&s.attributes));
        furthest.map(|(_, s)| s.attributes.clone()).unwrap_or_default()
    }

    /// The last snapshot of this job, and the last good one: what the run will build on, if the source is still the same.
    pub(crate) fn kept(&self) -> Vec<ObjectId> {
        let ids = [self.last_run().map(|(id, _)| *id), self.last_good().map(|(id, _)| id)];
        let mut ids: Vec<ObjectId> = ids.into_iter().flatten().collect();
        ids.dedup();
        ids
    }

    fn of_job(&self) -> impl Iterator<Item = &Found> {
        self.view.snapshots().iter().filter(|(_, s)| s.host.uid == self.host && s.job.uid == self.job)
    }

    fn of_plugin(&self) -> impl Iterator<Item = &Found> {
        self.of_job().filter(|(_, s)| s.plugin.name == self.plugin)
    }
}

fn last<'a>(snapshots: impl Iterator<Item = &'a Found>) -> Option<&'a Found> {
    snapshots.max_by_key(|(_, s)| s.order())
}
