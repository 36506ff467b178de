//! What retention found that a person should look at.

use std::fmt;

use dozo_repository::format::snapshot::Named;
use dozo_repository::{HostUid, JobUid, ObjectId};

use crate::words;

/// Something about a job's snapshots that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Whose snapshots.
    pub host: Named<HostUid>,
    /// Of which job.
    pub job: Named<JobUid>,
    /// What about them.
    pub finding: Finding,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Far more arrived than usual: nothing of the job is deleted.
    Flood {
        /// So many, in the last days.
        arrived: u64,
        /// So many in as many days before.
        usual: u64,
    },
    /// So many have a time that is not the store's. They are kept.
    WrongTime(u64),
    /// So many came after their host was removed. They are kept.
    HostRemoved(u64),
    /// The newest so many are suspicious. They push nothing out.
    Suspicious(u64),
    /// It is much smaller than the one before, and its host did not find it suspicious.
    Shrunk(ObjectId),
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (job, host) = (&self.job.name, &self.host.name);
        match self.finding {
            Finding::Suspicious(n) => write!(
                f,
                "job `{job}` of host `{host}`: the newest {} suspicious: much smaller than the last good one; nothing is \
                 deleted because of that until `dozo accept` says that it is right",
                words::counted(n, "snapshot is", "snapshots are")
            ),
            Finding::Shrunk(id) => write!(
                f,
                "job `{job}` of host `{host}`: the snapshot {} is much smaller than the one before, and its host did not \
                 find that suspicious; look whether it is genuine",
                id.short()
            ),
            Finding::Flood { arrived, usual } => write!(
                f,
                "job `{job}` of host `{host}`: {arrived} snapshots arrived in 3 days, where {usual} are usual; nothing \
                 of it is deleted until somebody has looked whether they are genuine"
            ),
            Finding::WrongTime(n) => write!(
                f,
                "job `{job}` of host `{host}`: the time of {n} snapshots is not the store's; they are kept and count \
                 for no rule: the host's clock is wrong, or the store was copied"
            ),
            Finding::HostRemoved(n) => write!(
                f,
                "job `{job}`: {n} snapshots came after the host `{host}` was removed; they are kept and count for no \
                 rule; somebody may have its key"
            ),
        }
    }
}
