//! What this host remembers of repositories from one process to the next: the newest snapshot of each job, in one small file
//! for each repository. The file is replaced as a whole, so that a crash leaves the old one or the new one.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dozo_job::{Error, Memory, Seen};
use dozo_repository::{Repository, RepositoryId};

use crate::context::Context;
use crate::ui;

/// A line for each job.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Others write a small file and are done.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const SCHEMA: &str = "dozo/seen/1";

impl Context {
    /// What this host remembers of a repository.
    pub(crate) fn memory(&self, repository: &Repository) -> FileMemory {
        FileMemory::new(&self.state_dir(), repository.id())
    }

    /// Says, once in a process, that this host cannot remember what it does. It changes nothing of what is done.
    pub(crate) fn not_remembered(&self, why: &Error) {
        static SAID: AtomicBool = AtomicBool::new(false);
        if SAID.swap(true, Ordering::Relaxed) {
            return;
        }
        // Why, without the name of each file.
        let mut innermost: &dyn std::error::Error = why;
        while let Some(cause) = innermost.source() {
            innermost = cause;
        }
        let directory = self.state_dir();
        let directory = directory.display();
        ui::note(format!("note: what this host does is not remembered in {directory} (`state_dir`): {innermost}"));
    }

    /// Not where the cache is: what lies here is worth keeping.
    pub(crate) fn state_dir(&self) -> PathBuf {
        if let Some(directory) = &self.loaded.config.state_dir {
            return self.loaded.path(directory);
        }
        if let Some(user) = std::env::var_os("XDG_STATE_HOME").filter(|dir| Path::new(dir).is_absolute()) {
            return Path::new(&user).join("dozo");
        }
        if rustix::process::geteuid().is_root() {
            return "/var/lib/dozo".into();
        }
        match std::env::var_os("HOME") {
            Some(home) => Path::new(&home).join(".local/state/dozo"),
            // A service without a home has its key somewhere all the same.
            None => self.key_file().with_file_name("dozo-state"),
        }
    }
}

/// The memory of one repository.
pub(crate) struct FileMemory {
    directory: PathBuf,
    repository: RepositoryId,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Text {
    schema: String,
    repository: RepositoryId,
    jobs: Vec<Seen>,
}

impl FileMemory {
    pub(crate) fn new(state_dir: &Path, repository: RepositoryId) -> Self {
        FileMemory { directory: state_dir.join("seen"), repository }
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.directory.join(format!("{}.{ending}", self.repository))
    }

    /// From now on this is what is remembered, and nothing newer.
    pub(crate) fn replace(&self, seen: &[Seen]) -> Result<(), Error> {
        let _turn = self.turn()?;
        self.write(seen.to_vec())
    }

    /// Held by whoever changes the file, because two may run at the same time.
    fn turn(&self) -> Result<File, Error> {
        let path = self.file("lock");
        let failed = |e| Error::io(format!("use the lock file {}", path.display()), e);
        fs::create_dir_all(&self.directory).map_err(failed)?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        let begun = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_WAIT => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::busy(format!("somebody holds the lock file {}", path.display())));
                }
                Err(TryLockError::Error(e)) => return Err(failed(e)),
            }
        }
    }

    fn write(&self, jobs: Vec<Seen>) -> Result<(), Error> {
        let (new, file) = (self.file("new"), self.file("json"));
        let text = Text { schema: SCHEMA.into(), repository: self.repository, jobs };
        let text = serde_json::to_vec_pretty(&text).map_err(|e| Error::internal("write JSON").caused_by(e))?;
        let write = || {
            let mut open = File::create(&new)?;
            open.write_all(&text)?;
            open.sync_all()?;
            fs::rename(&new, &file)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|e| Error::io(format!("write {}", file.display()), e))
    }
}

impl Memory for FileMemory {
    fn recall(&self) -> Result<Option<Vec<Seen>>, Error> {
        let file = self.file("json");
        let what = || format!("read {}", file.display());
        let length = match fs::metadata(&file) {
            Ok(metadata) => metadata.len(),
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(what(), e)),
        };
        if length > FILE_BYTES_MAX {
            return Err(Error::corrupt(format!("{}: it is too long", what())));
        }
        let bytes = fs::read(&file).map_err(|e| Error::io(what(), e))?;
        let text: Text = serde_json::from_slice(&bytes).map_err(|e| Error::corrupt(what()).caused_by(e))?;
        if text.schema != SCHEMA || text.repository != self.repository {
            return Err(Error::corrupt(format!("{}: it is of another kind, or of another repository", what())));
        }
        Ok(Some(text.jobs))
    }

    fn remember(&self, seen: &[Seen]) -> Result<(), Error> {
        let _turn = self.turn()?;
        let old = match self.recall() {
            Ok(old) => old,
            // Whoever reads told of it; what cannot be read is kept beside the new one, for those who want to know.
            Err(why) if why.kind() == dozo_job::Kind::Corrupt => {
                let aside = self.file("unreadable");
                fs::rename(self.file("json"), &aside)
                    .map_err(|e| Error::io(format!("write {}", aside.display()), e))?;
                None
            }
            Err(why) => return Err(why),
        };
        let known = old.is_some();
        let old = old.unwrap_or_default();
        let mut jobs: BTreeMap<_, Seen> = old.iter().map(|seen| (seen.job.uid, seen.clone())).collect();
        for seen in seen {
            let best = jobs.entry(seen.job.uid).or_insert_with(|| seen.clone());
            if seen.sequence > best.sequence {
                *best = seen.clone();
            }
        }
        let jobs: Vec<Seen> = jobs.into_values().collect();
        if known && jobs == old { Ok(()) } else { self.write(jobs) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dozo_repository::format::snapshot::Named;
    use dozo_repository::{JobUid, ObjectId};

    fn seen(job: u8, sequence: u64) -> Seen {
        let job = Named { uid: JobUid([job; 16]), name: format!("job {job}") };
        Seen { job, sequence, snapshot: ObjectId([sequence as u8; 32]) }
    }

    fn memory(dir: &tempfile::TempDir) -> FileMemory {
        FileMemory::new(dir.path(), RepositoryId([7; 32]))
    }

    #[test]
    fn the_highest_is_kept_and_only_a_word_lowers_it() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(memory(&dir).recall().unwrap(), None);
        memory(&dir).remember(&[]).unwrap();
        assert_eq!(memory(&dir).recall().unwrap(), Some(vec![]), "remembering nothing is not forgetting");
        memory(&dir).remember(&[seen(1, 5), seen(2, 1)]).unwrap();
        memory(&dir).remember(&[seen(1, 4), seen(2, 3)]).unwrap();
        assert_eq!(memory(&dir).recall().unwrap(), Some(vec![seen(1, 5), seen(2, 3)]));
        memory(&dir).replace(&[seen(1, 4)]).unwrap();
        assert_eq!(memory(&dir).recall().unwrap(), Some(vec![seen(1, 4)]));
        let other = FileMemory::new(dir.path(), RepositoryId([8; 32]));
        assert_eq!(other.recall().unwrap(), None, "each repository has its own");
    }

    #[test]
    fn jobs_that_run_at_once_forget_nothing_of_each_other() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for job in 0..4 {
                let memory = memory(&dir);
                scope.spawn(move || (1..=10).for_each(|n| memory.remember(&[seen(job, n)]).unwrap()));
            }
        });
        let all: Vec<Seen> = (0..4).map(|job| seen(job, 10)).collect();
        assert_eq!(memory(&dir).recall().unwrap(), Some(all));
    }

    #[test]
    fn what_cannot_be_read_is_told_and_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        memory(&dir).remember(&[seen(1, 5)]).unwrap();
        let file = memory(&dir).file("json");
        fs::write(&file, &fs::read(&file).unwrap()[..40]).unwrap();
        assert!(memory(&dir).recall().is_err());
        memory(&dir).remember(&[seen(1, 6)]).unwrap();
        assert_eq!(memory(&dir).recall().unwrap(), Some(vec![seen(1, 6)]));
        assert!(memory(&dir).file("unreadable").exists());
        // A crash leaves a new file that was not put in the place of the old one.
        fs::write(memory(&dir).file("new"), "half of a").unwrap();
        memory(&dir).remember(&[seen(1, 7)]).unwrap();
        assert_eq!(memory(&dir).recall().unwrap(), Some(vec![seen(1, 7)]));
    }
}
