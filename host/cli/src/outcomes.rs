//! What became of each job's last run, and of other work on the repository, as far as this host knows: what tells a job that
//! is well again from one that always was, and what `dozo status` judges. One small file for each, replaced as a whole. Kept
//! here and not read from the repository's records, because it must know of runs that failed because the repository could not
//! be reached, and because a run must not read a year of records.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use dozo_job::Error;
use dozo_job::health::{Last, Upkeep};
use dozo_repository::format::record::Outcome;
use jiff::Timestamp;

use crate::context::Context;

const SCHEMA: &str = "dozo/outcome/1";
/// Of the repository's URL, in the name of a directory.
const NAME_BYTES_MAX: usize = 150;
/// How the name of a file ends that is being written; the number of the process comes behind.
const HALF: &str = "new-";

/// What this host does for one repository.
pub(crate) struct Outcomes {
    directory: PathBuf,
}

/// Something that is done again and again.
#[derive(Clone, Copy)]
pub(crate) enum Task<'a> {
    Job(&'a str),
    Upkeep(&'a Upkeep),
}

/// What became of it.
pub(crate) struct Became {
    pub(crate) outcome: Outcome,
    /// Whether it was done, and found damage.
    pub(crate) damage: bool,
    /// Why it did not end well.
    pub(crate) why: Option<String>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Text {
    schema: String,
    #[serde(flatten)]
    last: Last,
}

impl Context {
    /// What became of what this host does.
    pub(crate) fn outcomes(&self) -> Outcomes {
        let url = &self.loaded.config.repository.url;
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = url.chars().map(plain).take(NAME_BYTES_MAX).collect();
        Outcomes { directory: self.state_dir().join("outcomes").join(name) }
    }
}

impl Outcomes {
    /// What became of it the last time; none if nobody knows.
    pub(crate) fn last(&self, task: Task<'_>) -> Result<Option<Last>, Error> {
        let file = self.file(task);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(format!("read {}", file.display()), e)),
        };
        match serde_json::from_slice::<Text>(&text) {
            Ok(text) if text.schema == SCHEMA => Ok(Some(text.last)),
            Ok(_) => Err(Error::unsupported(format!("{} was written by another version", file.display()))),
            Err(e) => Err(Error::corrupt(format!("{} is damaged", file.display())).caused_by(e)),
        }
    }

    /// From now on this is what became of it. Returns what became of it before, and what kept this from being known or kept.
    pub(crate) fn replace(&self, task: Task<'_>, at: Timestamp, became: Became) -> (Option<Last>, Vec<Error>) {
        let outcome = became.outcome;
        let mut errors = Vec::new();
        let before = self.last(task).unwrap_or_else(|error| {
            errors.push(error);
            None
        });
        let well = if outcome == Outcome::Complete { Some(at) } else { before.as_ref().and_then(|last| last.well) };
        let Became { outcome, damage, why } = became;
        errors.extend(self.keep(task, Last { outcome, at, why, well, damage, healed: false }).err());
        (before, errors)
    }

    /// Other work has put right the damage that this found, if it found any.
    pub(crate) fn heal(&self, task: Task<'_>) -> Result<(), Error> {
        match self.last(task)? {
            Some(last) if last.damage && !last.healed => self.keep(task, Last { healed: true, ..last }),
            _ => Ok(()),
        }
    }

    /// Whether it found damage the last time, which nothing is known to have put right.
    pub(crate) fn has_damage(&self, task: Task<'_>) -> bool {
        self.last(task).is_ok_and(|last| last.is_some_and(|last| last.damage && !last.healed))
    }

    fn keep(&self, task: Task<'_>, last: Last) -> Result<(), Error> {
        let file = self.file(task);
        let text = serde_json::to_vec(&Text { schema: SCHEMA.into(), last });
        let text = text.map_err(|e| Error::internal("write JSON").caused_by(e))?;
        let write = || {
            let directory = file.parent().unwrap_or(&self.directory);
            fs::create_dir_all(directory)?;
            remove_halves(directory)?;
            let new = file.with_extension(format!("{HALF}{}", std::process::id()));
            write_locked(&new, &text).and_then(|()| fs::rename(&new, &file)).inspect_err(|_| _ = fs::remove_file(&new))
        };
        write().map_err(|e| Error::io(format!("write {}", file.display()), e))
    }

    fn file(&self, task: Task<'_>) -> PathBuf {
        let (kind, name) = match task {
            Task::Job(name) => ("job", name),
            Task::Upkeep(Upkeep::Mirror(name)) => ("mirror", name.as_str()),
            Task::Upkeep(Upkeep::Verify(Some(mirror))) => ("verify-at", mirror.as_str()),
            Task::Upkeep(Upkeep::Repair(Some(mirror))) => ("repair-at", mirror.as_str()),
            Task::Upkeep(Upkeep::Verify(None)) => ("upkeep", "verify"),
            Task::Upkeep(Upkeep::Repair(None)) => ("upkeep", "repair"),
            Task::Upkeep(Upkeep::Prune) => ("upkeep", "prune"),
        };
        // Names of mirrors are anything.
        let plain = |b: u8| match b {
            b if b.is_ascii_alphanumeric() || b"-_.".contains(&b) => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        };
        let name: String = name.bytes().map(plain).collect();
        self.directory.join(kind).join(format!("{name}.json"))
    }
}

/// As long as it is locked, nobody takes it for left.
fn write_locked(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    let _ = file.try_lock();
    file.write_all(text)
}

/// Removes what was left by processes that were killed while they wrote.
fn remove_halves(directory: &Path) -> io::Result<()> {
    for item in fs::read_dir(directory)? {
        let path = item?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()?.strip_prefix(HALF));
        let is_half = ending.is_some_and(|process| !process.is_empty() && process.bytes().all(|b| b.is_ascii_digit()));
        if is_half && File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_remembered_by_task() {
        let state = tempfile::tempdir().unwrap();
        let outcomes = Outcomes { directory: state.path().join("outcomes/file---r") };
        let at = |second| Timestamp::from_second(second).unwrap();
        let keep = |task, outcome, second, why: Option<&str>| {
            let became = Became { outcome, damage: outcome == Outcome::Failed, why: why.map(str::to_string) };
            let (before, errors) = outcomes.replace(task, at(second), became);
            (before.map(|last| last.outcome), errors.len())
        };
        let (db, dots) = (Task::Job("db"), Task::Job(".."));
        assert_eq!(keep(db, Outcome::Complete, 1, None), (None, 0));
        assert_eq!(keep(db, Outcome::Failed, 2, Some("no disk")), (Some(Outcome::Complete), 0));
        assert_eq!(keep(dots, Outcome::Partial, 3, None), (None, 0));
        let last = outcomes.last(db).unwrap().unwrap();
        assert_eq!((last.at, last.why.as_deref(), last.well), (at(2), Some("no disk"), Some(at(1))));
        assert_eq!(outcomes.last(dots).unwrap().unwrap().outcome, Outcome::Partial);
        let away = Upkeep::Mirror("../../a way".into());
        assert_eq!(keep(Task::Upkeep(&away), Outcome::Failed, 4, None), (None, 0));
        assert_eq!(outcomes.last(Task::Upkeep(&Upkeep::Prune)).unwrap(), None);
        // What was put right is still what became of it: being well again is told when it is done again.
        assert!(outcomes.has_damage(Task::Upkeep(&away)));
        outcomes.heal(Task::Upkeep(&away)).unwrap();
        outcomes.heal(Task::Upkeep(&Upkeep::Prune)).unwrap();
        let healed = outcomes.last(Task::Upkeep(&away)).unwrap().unwrap();
        assert!(healed.outcome == Outcome::Failed && healed.healed && !outcomes.has_damage(Task::Upkeep(&away)));
        assert!(outcomes.directory.join("mirror/..%2F..%2Fa%20way.json").exists());
        let left = outcomes.file(db).with_extension("new-999999999");
        fs::write(&left, "half").unwrap();
        fs::write(outcomes.file(db), "half a li").unwrap();
        assert!(outcomes.last(db).is_err(), "what cannot be read is not taken for a first run");
        assert_eq!(keep(db, Outcome::Complete, 5, None), (None, 1));
        assert_eq!(outcomes.last(db).unwrap().unwrap().well, Some(at(5)));
        assert!(!left.exists(), "what a killed process left");
    }
}
