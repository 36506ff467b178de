//! What `dozo status` is to expect, as far as the configuration says.

use super::{ConfigError, Loaded};

impl Loaded {
    /// Whether a prune would ever delete something.
    pub(crate) fn deletes_anything(&self) -> bool {
        let config = &self.config;
        let of_jobs = config.job.values().any(|job| job.retention.is_some());
        of_jobs || config.defaults.retention.is_some() || config.prune.others.is_some()
    }

    /// What is expected every so often is expected after some time.
    pub(super) fn check_expectations(&self) -> Result<(), ConfigError> {
        let config = &self.config;
        let jobs = config.job.iter().map(|(name, job)| (vec!["job", name, "expect_every"], job.expect_every));
        let mirrors = config.repository.mirrors.iter().map(|m| (vec!["repository", "mirrors"], m.expect_every));
        let default = (vec!["defaults", "expect_every"], config.defaults.expect_every);
        for (keys, every) in jobs.chain(mirrors).chain([default]) {
            if every.is_some_and(|every| !every.is_positive()) {
                let fault = self.fault(&keys, "`expect_every` is a time that must pass: it cannot be zero or less");
                return Err(fault.hinted("such as `\"26h\"`"));
            }
        }
        Ok(())
    }
}
