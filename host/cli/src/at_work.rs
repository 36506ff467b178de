//! Who of this host is at work: a locked file for each job. A run that was killed leaves the lock open and its lease in the
//! file, so that the next one need not wait for that lease to end. The file has the leases of several: one that was killed
//! before its own lease came to the store has released nobody's.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use dozo_job::Error;
use dozo_repository::LeaseId;

/// So many runs in a row may be killed before their leases come to the store, without the next one having to wait.
const LEASES_MAX: usize = 64;
/// The ids of these, in lines of 33 bytes, and more than is ever written.
const FILE_BYTES_MAX: u64 = 4 << 10;

/// This process is the only one of this host at this work, as long as it has this.
pub(crate) struct AtWork {
    /// Locked; the lock ends with the process, however that ends.
    _file: File,
    /// This process's lease.
    pub(crate) lease: LeaseId,
    /// Those of the last ones at this work, which are over.
    pub(crate) predecessors: Vec<LeaseId>,
}

impl AtWork {
    /// Takes the lock of `name` in a directory, which is made. `what` is at work already if that fails.
    pub(crate) fn begin(directory: &Path, name: &str, what: &str) -> anyhow::Result<Self> {
        let path = directory.join(name);
        let failed = |e| Error::io(format!("use the lock file {}", path.display()), e);
        std::fs::create_dir_all(directory).map_err(failed)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let busy = Error::busy(format!("{what} is at work already on this host"));
                return Err(busy.hinted("wait until it is done").into());
            }
            Err(TryLockError::Error(e)) => return Err(failed(e).into()),
        }
        let mut before = String::new();
        (&mut file).take(FILE_BYTES_MAX).read_to_string(&mut before).map_err(failed)?;
        let mut predecessors: Vec<LeaseId> = before.lines().filter_map(|line| line.parse().ok()).collect();
        predecessors.drain(..predecessors.len().saturating_sub(LEASES_MAX - 1));
        let lease = LeaseId(crate::context::random()?);
        let lines: String = predecessors.iter().chain([&lease]).map(|id| format!("{id}\n")).collect();
        let write = |file: &mut File| {
            // Over what is there, which differs only at its end until there are many: a kill in between loses nobody.
            file.rewind()?;
            file.write_all(lines.as_bytes())?;
            file.set_len(lines.len() as u64)?;
            file.sync_all()
        };
        write(&mut file).map_err(failed)?;
        Ok(AtWork { _file: file, lease, predecessors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_the_next_knows_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let begin = || AtWork::begin(&dir.path().join("at-work"), "job", "the job");
        let first = begin().unwrap();
        assert_eq!(first.predecessors, []);
        let error = begin().err().unwrap();
        assert_eq!(error.downcast_ref::<Error>().unwrap().kind(), dozo_job::Kind::Busy);
        let lease = first.lease;
        drop(first);
        assert_eq!(begin().unwrap().predecessors, [lease]);
    }

    /// One that is killed before its lease is in the store has released nobody: the one before it must still be known.
    #[test]
    fn several_that_were_killed_are_all_known_up_to_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        let begin = || AtWork::begin(dir.path(), "job", "the job").unwrap();
        let leases: Vec<LeaseId> = (0..100).map(|_| begin().lease).collect();
        assert_eq!(begin().predecessors, leases[100 - (LEASES_MAX - 1)..]);
        assert!(std::fs::metadata(dir.path().join("job")).unwrap().len() < FILE_BYTES_MAX);
    }

    /// What a crash left of a line, or of the file of an earlier version, is no lease.
    #[test]
    fn what_is_torn_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let begin = || AtWork::begin(dir.path(), "job", "the job").unwrap();
        let whole = begin().lease;
        let torn = &begin().lease.to_string()[..20];
        std::fs::write(dir.path().join("job"), format!("{whole}\n{torn}")).unwrap();
        assert_eq!(begin().predecessors, [whole]);
    }
}
