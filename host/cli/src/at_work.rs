//! Who of this host is at work. For each lease that a process takes there is a file with the lease's id as its name, locked as
//! long as the process lives: whoever can lock it knows that its holder is dead, however that ended, and need not wait for
//! the lease to end. And there is a locked file for each job, so that a job never runs twice on one host.
//!
//! They lie beside what this host remembers, not in its cache: a cache goes with its container. Locks that cannot be had
//! (a directory that is read-only) keep nobody from work, which the leases in the store guard all the same.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dozo_job::Error;
use dozo_repository::LeaseId;

/// By now nobody heeds a lease that was not renewed: half an hour, and a day for those who delete.
const KEPT: Duration = Duration::from_secs(26 * 3_600);
/// Leases of dead holders that a new one names: a host whose every command is killed has more urgent worries.
const DEAD_MAX: usize = 1_000;

/// The files of one repository.
pub(crate) struct Places {
    directory: PathBuf,
}

/// A lease of this process, and those of this host whose holders are dead.
pub(crate) struct Registered {
    pub(crate) held: Held,
    pub(crate) dead: Vec<LeaseId>,
}

/// A locked file; the lock ends with the process, however that ends.
pub(crate) struct Held {
    path: PathBuf,
    _file: File,
}

impl Held {
    /// The lease was released: nobody needs to know of it.
    pub(crate) fn forget(self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Places {
    /// In a directory, which is made when it is needed.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Places { directory }
    }

    /// Takes a job's place; none if that is taken.
    pub(crate) fn job(&self, name: &str) -> Result<Option<File>, Error> {
        let path = self.directory.join(format!("job-{name}"));
        let failed = |e| Error::io(format!("use the lock file {}", path.display()), e);
        fs::create_dir_all(&self.directory).map_err(failed)?;
        let file = open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(failed(e)),
        }
    }

    /// Notes that this process takes a lease, and finds those whose holders are dead.
    pub(crate) fn register(&self, lease: LeaseId) -> Result<Registered, Error> {
        let directory = self.directory.join("leases");
        let failed = |e| Error::io(format!("note a lease in {}", directory.display()), e);
        fs::create_dir_all(&directory).map_err(failed)?;
        let dead = dead(&directory).map_err(failed)?;
        let held = create_locked(directory.join(lease.to_string())).map_err(failed)?;
        Ok(Registered { held, dead })
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// A locked file that has its name only when it is locked, so that nobody takes its holder for dead.
fn create_locked(path: PathBuf) -> io::Result<Held> {
    let new = path.with_extension("new");
    let file = open(&new)?;
    file.try_lock().map_err(io::Error::from)?;
    fs::rename(&new, &path)?;
    Ok(Held { path, _file: file })
}

/// The leases whose files nobody holds, the newest first. Files that are so old that their leases count no more are removed.
fn dead(directory: &Path) -> io::Result<Vec<LeaseId>> {
    let mut dead = Vec::new();
    for item in fs::read_dir(directory)? {
        let path = item?.path();
        let Some(written) = fs::metadata(&path).ok().and_then(|metadata| metadata.modified().ok()) else { continue };
        let lease = path.file_name().and_then(|name| name.to_str()?.parse::<LeaseId>().ok());
        let free = || open(&path).is_ok_and(|file| file.try_lock().is_ok());
        // A clock that went back keeps a file for a while longer.
        let old = SystemTime::now().duration_since(written).is_ok_and(|age| age > KEPT);
        match lease {
            _ if !free() => {}
            _ if old => _ = fs::remove_file(&path),
            Some(lease) => dead.push((written, lease)),
            None => {}
        }
    }
    dead.sort_unstable_by(|a, b| b.cmp(a));
    Ok(dead.into_iter().take(DEAD_MAX).map(|(_, lease)| lease).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(n: u8) -> LeaseId {
        LeaseId([n; 16])
    }

    #[test]
    fn a_job_has_one_place() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path().join("at-work"));
        let first = places.job("a").unwrap();
        assert!(first.is_some() && places.job("a").unwrap().is_none() && places.job("b").unwrap().is_some());
        drop(first);
        assert!(places.job("a").unwrap().is_some());
    }

    #[test]
    fn who_is_dead_is_known_and_who_lives_is_not_taken_for_dead() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path().to_path_buf());
        let first = places.register(lease(1)).unwrap();
        let second = places.register(lease(2)).unwrap();
        assert_eq!(second.dead, []);
        drop(first);
        assert_eq!(places.register(lease(3)).unwrap().dead, [lease(1)]);
        // The third ended at once; it, too, is known.
        let mut dead = places.register(lease(4)).unwrap().dead;
        dead.sort_unstable();
        assert_eq!(dead, [lease(1), lease(3)]);
        drop(second);
        places.register(lease(5)).unwrap().held.forget();
        assert_eq!(places.register(lease(6)).unwrap().dead.len(), 4, "what was released is not known as dead");
    }

    #[test]
    fn what_is_old_or_strange_goes_or_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path().to_path_buf());
        drop(places.register(lease(1)).unwrap());
        let leases = dir.path().join("leases");
        fs::write(leases.join("mine"), "").unwrap();
        let long_ago = SystemTime::now() - KEPT - Duration::from_secs(60);
        File::options().write(true).open(leases.join(lease(1).to_string())).unwrap().set_modified(long_ago).unwrap();
        assert_eq!(places.register(lease(2)).unwrap().dead, []);
        assert!(!leases.join(lease(1).to_string()).exists() && leases.join("mine").exists());
    }
}
