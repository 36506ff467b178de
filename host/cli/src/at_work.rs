//! Who of this host is at work: a locked file for each job. A run that was killed leaves the lock open and its lease in the
//! file, so that the next one need not wait for that lease to end.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use dozo_job::Error;
use dozo_repository::LeaseId;

/// A lease id in hex is 32 bytes.
const ID_BYTES_MAX: u64 = 64;

/// This process is the only one of this host at this work, as long as it has this.
pub(crate) struct AtWork {
    /// Locked; the lock ends with the process, however that ends.
    _file: File,
    /// This process's lease.
    pub(crate) lease: LeaseId,
    /// That of the last one at this work, which has ended.
    pub(crate) predecessor: Option<LeaseId>,
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
        (&mut file).take(ID_BYTES_MAX).read_to_string(&mut before).map_err(failed)?;
        let lease = LeaseId(crate::context::random()?);
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(lease.to_string().as_bytes())?;
            file.sync_all()
        };
        write(&mut file).map_err(failed)?;
        Ok(AtWork { _file: file, lease, predecessor: before.trim().parse().ok() })
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
        assert_eq!(first.predecessor, None);
        let error = begin().err().unwrap();
        assert_eq!(error.downcast_ref::<Error>().unwrap().kind(), dozo_job::Kind::Busy);
        let lease = first.lease;
        drop(first);
        assert_eq!(begin().unwrap().predecessor, Some(lease));
    }
}
