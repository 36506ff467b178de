//! `[notify.NAME]`: who is told of what, through which plugin; and what must be so of it.

use std::collections::BTreeMap;

use dozo_job::port::EventKind;
use schemars::JsonSchema;
use serde::Deserialize;

use super::place::did_you_mean;
use super::raw_grant::{GrantTable, LimitsTable};
use super::{ConfigError, Loaded};

/// Somebody who is told what became of runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotifyTable {
    /// The name of a notifier that is bundled or in `plugin_dir`, or a path (with `/`) to a component.
    pub(crate) plugin: String,
    /// Of what. Default: of all but `"success"`.
    #[serde(default = "usual")]
    #[schemars(length(min = 1))]
    pub(crate) on: Vec<On>,
    /// Of which jobs. Default: of all. What is about the repository as a whole is told whatever stands here.
    #[serde(default)]
    pub(crate) jobs: Vec<String>,
    /// The plugin's own table: `dozo plugin info NAME` prints its schema.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub(crate) config: toml::Table,
    /// What the plugin may reach. Nothing else.
    #[serde(default)]
    pub(crate) grant: GrantTable,
    /// What the plugin may use. Whatever `wall` says, one attempt takes two minutes at most.
    #[serde(default)]
    pub(crate) limits: LimitsTable,
}

/// What somebody is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum On {
    /// A run made a complete snapshot. Who is told of these is told of recoveries, too.
    Success,
    /// A run made a snapshot that lacks something. Who is told of these is told of suspicious ones, too.
    Partial,
    /// A run made a snapshot that is much smaller than the last good one (`guard`).
    Suspicious,
    /// A run made no snapshot, or could not be begun.
    Failure,
    /// A run made a complete snapshot after one that did not; or a mirror, a prune, a repair, a verification ended well after
    /// one that did not.
    Recovered,
    /// A run made a snapshot, and moments between it and the one before cannot be recovered.
    RecoveryGap,
    /// A verification found damage, or a store that shows less than it did.
    Damage,
    /// A verification could not be done.
    Verify,
    /// A mirror could not be filled, or is not complete.
    Mirror,
    /// `dozo prune --yes` failed, or could not delete everything.
    Prune,
    /// `dozo repair --yes` failed, or could not repair everything.
    Repair,
}

/// Whatever is bad, and its end.
fn usual() -> Vec<On> {
    use On::{Damage, Failure, Mirror, Partial, Prune, Recovered, RecoveryGap, Repair, Suspicious, Verify};
    vec![Failure, Partial, Suspicious, Recovered, RecoveryGap, Damage, Verify, Mirror, Prune, Repair]
}

impl From<On> for EventKind {
    fn from(on: On) -> Self {
        match on {
            On::Success => EventKind::Success,
            On::Partial => EventKind::Partial,
            On::Suspicious => EventKind::Suspicious,
            On::Failure => EventKind::Failure,
            On::Recovered => EventKind::Recovered,
            On::RecoveryGap => EventKind::RecoveryGap,
            On::Damage => EventKind::Damage,
            On::Verify => EventKind::Verify,
            On::Mirror => EventKind::Mirror,
            On::Prune => EventKind::Prune,
            On::Repair => EventKind::Repair,
        }
    }
}

impl Loaded {
    /// Whoever is to be told is told of something, and of jobs that there are.
    pub(super) fn check_notifiers(&self) -> Vec<ConfigError> {
        let mut mistakes = Vec::new();
        for (name, table) in &self.config.notify {
            if table.on.is_empty() {
                let message = format!("the notifier `{name}` would never tell anything");
                let fault = self.fault(&["notify", name, "on"], message);
                mistakes.push(fault.hinted("leave `on` out for what is usual"));
            }
            let unknown = table.jobs.iter().enumerate().filter(|(_, job)| !self.config.job.contains_key(*job));
            for (number, job) in unknown {
                let keys = ["notify", name, "jobs", &number.to_string()];
                let known = self.config.job.keys().map(String::as_str);
                mistakes.push(self.fault(&keys, format!("there is no job `{job}`")).hinted(did_you_mean(job, known)));
            }
            if let Some(path) = table.grant.read.first() {
                let message = format!("a notifier reads no directories, so {} cannot be granted", path.display());
                mistakes.push(self.fault(&["notify", name, "grant", "read"], message));
            }
        }
        mistakes
    }

    /// The notifiers that were named, or all in order of their names.
    pub(crate) fn notifiers<'a>(&'a self, named: &'a [String]) -> anyhow::Result<Vec<(&'a str, &'a NotifyTable)>> {
        let all = &self.config.notify;
        if named.is_empty() {
            return Ok(all.iter().map(|(name, table)| (name.as_str(), table)).collect());
        }
        let find = |name: &'a String| {
            all.get(name).map(|table| (name.as_str(), table)).ok_or_else(|| {
                let error = self.fault(&[], format!("there is no notifier `{name}` in {}", self.file.display()));
                error.hinted(did_you_mean(name, all.keys().map(String::as_str))).into()
            })
        };
        named.iter().map(find).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::raw;

    fn loaded(notify: &str) -> Result<Loaded, ConfigError> {
        let text = format!(
            "[repository]\nurl = \"file:///r\"\nkey = \"k\"\n[job.db]\nplugin = \"p\"\n[notify.ops]\nplugin = \"slack-notify\"\n{notify}\n"
        );
        let file = Path::new("/etc/dozo.toml");
        let config = raw::parse(file, &text)?;
        let loaded = Loaded { file: file.into(), text, config };
        loaded.check_notifiers().into_iter().next().map_or(Ok(loaded), Err)
    }

    #[test]
    fn trouble_is_told_if_nobody_says_otherwise() {
        let loaded = loaded("").unwrap();
        let on = &loaded.config.notify["ops"].on;
        assert!(on.contains(&On::Failure) && on.contains(&On::Damage) && !on.contains(&On::Success), "{on:?}");
        assert_eq!(loaded.notifiers(&[]).unwrap().len(), 1);
        let missing = loaded.notifiers(&["opps".to_string()]).map(|_| ()).unwrap_err().to_string();
        assert!(missing.contains("there is no notifier `opps`"), "{missing}");
    }

    #[test]
    fn mistakes_are_shown_at_their_place() {
        for (line, place, words) in [
            ("on = [\"failure\", \"fail\"]", ":8:18", "`fail` is none of the words"),
            ("on = [\"test\"]", ":8:7", "`test` is none of the words"),
            ("on = []", ":8:1", "never tell anything"),
            ("jobs = [\"db\", \"dbs\"]", ":8:15", "there is no job `dbs`"),
            ("grant = { read = [\"/etc\"] }", ":8:11", "reads no directories"),
            ("one = 1", ":8:1", "`one` is not a key"),
        ] {
            let error = loaded(line).err().unwrap().to_string();
            assert!(error.contains(place) && error.contains(words), "{line}: {error}");
        }
    }
}
