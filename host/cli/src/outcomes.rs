//! What became of each job's last run, as far as this host knows: what tells a job that is well again from one that always
//! was. One small file for each job, replaced as a whole. Kept here and not read from the repository's records, because it
//! must know of runs that failed because the repository could not be reached, and because a run must not read a year of
//! records.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use dozo_job::Error;
use dozo_repository::format::record::Outcome;

use crate::context::Context;

const SCHEMA: &str = "dozo/outcome/1";
/// Of the repository's URL, in the name of a directory.
const NAME_BYTES_MAX: usize = 150;

/// The jobs of one repository.
pub(crate) struct Outcomes {
    directory: PathBuf,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Text {
    schema: String,
    outcome: Outcome,
}

impl Context {
    /// What became of the jobs' last runs.
    pub(crate) fn outcomes(&self) -> Outcomes {
        let url = &self.loaded.config.repository.url;
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = url.chars().map(plain).take(NAME_BYTES_MAX).collect();
        Outcomes { directory: self.state_dir().join("outcomes").join(name) }
    }
}

impl Outcomes {
    /// What became of a job's last run; none if nobody knows.
    pub(crate) fn last(&self, job: &str) -> Result<Option<Outcome>, Error> {
        let file = self.file(job);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(format!("read {}", file.display()), e)),
        };
        match serde_json::from_slice::<Text>(&text) {
            Ok(text) if text.schema == SCHEMA => Ok(Some(text.outcome)),
            Ok(_) => Err(Error::unsupported(format!("{} was written by another version", file.display()))),
            Err(e) => Err(Error::corrupt(format!("{} is damaged", file.display())).caused_by(e)),
        }
    }

    /// From now on this is what became of it.
    pub(crate) fn keep(&self, job: &str, outcome: Outcome) -> Result<(), Error> {
        let file = self.file(job);
        let text = serde_json::to_vec(&Text { schema: SCHEMA.into(), outcome });
        let text = text.map_err(|e| Error::internal("write JSON").caused_by(e))?;
        let write = || {
            fs::create_dir_all(&self.directory)?;
            let new = file.with_extension(format!("new-{}", std::process::id()));
            fs::write(&new, &text)?;
            fs::rename(&new, &file)
        };
        write().map_err(|e| Error::io(format!("write {}", file.display()), e))
    }

    fn file(&self, job: &str) -> PathBuf {
        self.directory.join(format!("{job}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_remembered_by_job() {
        let state = tempfile::tempdir().unwrap();
        let outcomes = Outcomes { directory: state.path().join("outcomes/file---r") };
        assert_eq!(outcomes.last("db").unwrap(), None);
        outcomes.keep("db", Outcome::Complete).unwrap();
        outcomes.keep("db", Outcome::Failed).unwrap();
        outcomes.keep("..", Outcome::Partial).unwrap();
        assert_eq!(outcomes.last("db").unwrap(), Some(Outcome::Failed));
        assert_eq!(outcomes.last("..").unwrap(), Some(Outcome::Partial));
        fs::write(outcomes.file("db"), "half a li").unwrap();
        assert!(outcomes.last("db").is_err(), "what cannot be read is not taken for a first run");
        outcomes.keep("db", Outcome::Complete).unwrap();
        assert_eq!(outcomes.last("db").unwrap(), Some(Outcome::Complete));
    }
}
