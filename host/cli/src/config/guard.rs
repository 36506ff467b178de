//! `guard`: from which drop on a snapshot is suspicious.

use dozo_job::limits::GUARD_PERCENT;
use schemars::JsonSchema;

use super::{ConfigError, JobTable, Loaded};

/// How it is written.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "for the schema alone: what is written wrong is explained by words of our own")]
pub(crate) enum GuardSchema {
    /// `false`: no snapshot is suspicious; `true`: what is usual.
    Switch(bool),
    /// `"50%"`.
    Percent(#[schemars(regex(pattern = r"^[1-9][0-9]?%$"))] String),
}

impl Loaded {
    /// The drop in percent from which on a job's snapshot is suspicious: what the job says, else what the defaults say, else
    /// what is usual. None: no snapshot is.
    pub(crate) fn guard(&self, name: &str, job: &JobTable) -> Result<Option<u8>, ConfigError> {
        match (&job.guard, &self.config.defaults.guard) {
            (Some(value), _) => self.percent(value, &["job", name, "guard"]),
            (None, Some(value)) => self.percent(value, &["defaults", "guard"]),
            (None, None) => Ok(Some(GUARD_PERCENT)),
        }
    }

    /// Everything about guards, whether a job uses it or not.
    pub(super) fn check_guards(&self) -> Result<(), ConfigError> {
        if let Some(value) = &self.config.defaults.guard {
            self.percent(value, &["defaults", "guard"])?;
        }
        self.config.job.iter().try_for_each(|(name, job)| self.guard(name, job).map(|_| ()))
    }

    fn percent(&self, value: &toml::Value, keys: &[&str]) -> Result<Option<u8>, ConfigError> {
        let number = match value {
            toml::Value::Boolean(false) => return Ok(None),
            toml::Value::Boolean(true) => return Ok(Some(GUARD_PERCENT)),
            toml::Value::String(text) => text.strip_suffix('%').and_then(|digits| digits.trim().parse::<u8>().ok()),
            _ => None,
        };
        match number {
            Some(percent @ 1..=99) => Ok(Some(percent)),
            _ => Err(self
                .fault(keys, format!("`guard = {value}` is not a drop"))
                .hinted("`\"1%\"` to `\"99%\"`, or `false` to compare nothing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(text: &str) -> Result<Option<u8>, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("dozo.toml");
        let text = format!("[repository]\nurl = \"file:///backup\"\nkey = \"host.key\"\n{text}");
        std::fs::write(&file, text).unwrap();
        let loaded = Loaded::read(Some(&file)).map_err(|error| format!("{error:#}"))?;
        Ok(loaded.guard("files", &loaded.config.job["files"]).unwrap())
    }

    #[test]
    fn a_job_says_it_else_the_defaults_do() {
        let job = "[job.files]\nplugin = \"filesystem\"\n";
        assert_eq!(guard(job), Ok(Some(50)));
        assert_eq!(guard(&format!("{job}guard = false")), Ok(None));
        assert_eq!(guard(&format!("{job}guard = true")), Ok(Some(50)));
        assert_eq!(guard(&format!("{job}guard = \"80%\"")), Ok(Some(80)));
        assert_eq!(guard(&format!("[defaults]\nguard = false\n{job}")), Ok(None));
        assert_eq!(guard(&format!("[defaults]\nguard = false\n{job}guard = \"5%\"")), Ok(Some(5)));
    }

    #[test]
    fn what_is_no_drop_is_a_mistake() {
        for value in ["50", "\"50\"", "\"0%\"", "\"100%\"", "\"-5%\"", "\"off\"", "0.5", "[]"] {
            for text in ["[defaults]\nguard = ", "[job.files]\nplugin = \"filesystem\"\nguard = "] {
                let shown = guard(&format!("{text}{value}\n")).unwrap_err();
                assert!(shown.contains("is not a drop") && shown.contains("dozo.toml:"), "{value}: {shown}");
            }
        }
    }
}
