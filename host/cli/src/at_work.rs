//! Who of this host is at work. For each lease that a process takes there is a file with the lease's id as its name, locked as
//! long as the process lives: whoever can lock it knows that its holder is dead, however that ended, and need not wait for
//! the lease to end. And there is a locked file for each job, so that a job never runs twice on one host; what stands in it
//! tells since when one runs, and afterwards that one was killed.
//!
//! They lie beside what this host remembers, not in its cache: a cache goes with its container. Locks that cannot be had
//! (a directory that is read-only) keep nobody from work, which the leases in the store guard all the same.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dozo_job::Error;
use dozo_repository::LeaseId;
use jiff::Timestamp;

/// By now nobody heeds a lease that was not renewed: half an hour, and a day for those who delete.
const KEPT: Duration = Duration::from_secs(26 * 3_600);
/// Leases of dead holders that a new one names: a host whose every command is killed has more urgent worries.
const DEAD_MAX: usize = 1_000;

/// So often a job's place is tried: who only looks at it has it for a moment.
const TRIES: u32 = 20;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(10);

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

/// A job's place on this host, for one process at a time.
pub(crate) struct JobPlace(File);

/// What is known of a job's run on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunState {
    /// It runs since then.
    Running(Timestamp),
    /// One that began then did not come to its end.
    Interrupted(Timestamp),
}

impl JobPlace {
    /// A run begins. Returns when the last one began, if that did not come to its end.
    pub(crate) fn begin(&self, now: Timestamp) -> io::Result<Option<Timestamp>> {
        let before = begun(&self.0)?;
        self.0.set_len(0)?;
        self.0.write_all_at(now.to_string().as_bytes(), 0)?;
        // What kills the next may be a power cut.
        self.0.sync_data()?;
        Ok(before)
    }

    /// The run came to its end, well or not.
    pub(crate) fn end(self) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.sync_data()
    }
}

/// When the run began that the file of a job's place tells of. A text that is no time is that of a run that was killed while it
/// wrote, right at its beginning: of that nothing is known.
fn begun(file: &File) -> io::Result<Option<Timestamp>> {
    let mut text = [0; 64];
    let read = file.read_at(&mut text, 0)?;
    Ok(std::str::from_utf8(&text[..read]).ok().and_then(|text| text.parse().ok()))
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
    pub(crate) fn job(&self, name: &str) -> Result<Option<JobPlace>, Error> {
        let path = self.file_of(name);
        let failed = |e| Error::io(format!("use the lock file {}", path.display()), e);
        fs::create_dir_all(&self.directory).map_err(failed)?;
        let file = open(&path).map_err(failed)?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Some(JobPlace(file))),
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(e)) => return Err(failed(e)),
            }
        }
        Ok(None)
    }

    /// Whether a job runs, or was interrupted; none if its last run came to its end, or nobody knows.
    pub(crate) fn run_state(&self, name: &str) -> Result<Option<RunState>, Error> {
        let path = self.file_of(name);
        let failed = |e| Error::io(format!("read the lock file {}", path.display()), e);
        let file = match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        // Locked before it is read: a run that ends in between would look as if it had been killed.
        let state = match file.try_lock() {
            Ok(()) => RunState::Interrupted,
            Err(TryLockError::WouldBlock) => RunState::Running,
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        };
        Ok(begun(&file).map_err(failed)?.map(state))
    }

    fn file_of(&self, job: &str) -> PathBuf {
        self.directory.join(format!("job-{job}"))
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
    fn a_run_that_did_not_end_is_known_and_one_that_runs_too() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::new(dir.path().to_path_buf());
        let at = |second| Timestamp::from_second(second).unwrap();
        let state = || places.run_state("a").unwrap();
        assert_eq!(state(), None);
        let first = places.job("a").unwrap().unwrap();
        assert_eq!(state(), None, "it has not begun");
        assert_eq!(first.begin(at(1)).unwrap(), None);
        assert_eq!(state(), Some(RunState::Running(at(1))));
        first.end().unwrap();
        assert_eq!(state(), None);
        let killed = places.job("a").unwrap().unwrap();
        assert_eq!(killed.begin(at(2)).unwrap(), None);
        drop(killed);
        assert_eq!(state(), Some(RunState::Interrupted(at(2))));
        // A place that is taken for something else than a run changes nothing of that.
        drop(places.job("a").unwrap().unwrap());
        let next = places.job("a").unwrap().unwrap();
        assert_eq!(next.begin(at(3)).unwrap(), Some(at(2)));
        next.end().unwrap();
        assert_eq!(state(), None);
        fs::write(dir.path().join("job-a"), "half a ti").unwrap();
        assert_eq!(state(), None);
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
