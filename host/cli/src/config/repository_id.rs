//! Which repository a configuration means, whatever lies where it points: an owner's key of age or SSH does not say.

use dozo_repository::RepositoryId;

use super::{ConfigError, Loaded};

impl Loaded {
    /// The repository's id, if the configuration has it.
    pub(crate) fn repository_id(&self) -> Result<Option<RepositoryId>, ConfigError> {
        let Some(text) = &self.config.repository.id else { return Ok(None) };
        let wrong = |_| self.fault_of_id("this is no repository's id: that has 64 digits, 0-9 and a-f").hinted(WHERE);
        text.parse().map(Some).map_err(wrong)
    }

    /// Refuses a key that is of another repository than the configuration says.
    pub(crate) fn refuse_other_repository(&self, key: RepositoryId) -> Result<(), ConfigError> {
        match self.repository_id()? {
            Some(id) if id != key => {
                let why = format!("this is the id of another repository than that of this host's key, {}", key.short());
                Err(self.fault_of_id(&why).hinted(
                    "is `key` of another repository, or was the line copied from another host? What the key says holds: \
                     take out `id` if the key is right",
                ))
            }
            _ => Ok(()),
        }
    }

    fn fault_of_id(&self, why: &str) -> ConfigError {
        self.fault(&["repository", "id"], why)
    }
}

const WHERE: &str = "the recovery kit has it, and `dozo key kit` on any host of the repository";
