//! The tables that say what a plugin runs with: `[job.NAME]`, `[job.NAME.target.NAME]`, `[notify.NAME]`.

use super::raw_grant::{GrantTable, LimitsTable};
use super::{JobTable, NotifyTable, TargetTable};

/// One of them, as far as they are the same.
#[derive(Clone, Copy)]
pub(crate) struct PluginTable<'a> {
    /// The keys that lead to it; the second is the name of the job or the notifier.
    pub(crate) keys: &'a [&'a str],
    pub(crate) config: &'a toml::Table,
    pub(crate) grant: &'a GrantTable,
    pub(crate) limits: &'a LimitsTable,
}

impl JobTable {
    /// The job at these keys.
    pub(crate) fn table<'a>(&'a self, keys: &'a [&'a str]) -> PluginTable<'a> {
        PluginTable { keys, config: &self.config, grant: &self.grant, limits: &self.limits }
    }
}

impl NotifyTable {
    /// The notifier at these keys.
    pub(crate) fn table<'a>(&'a self, keys: &'a [&'a str]) -> PluginTable<'a> {
        PluginTable { keys, config: &self.config, grant: &self.grant, limits: &self.limits }
    }
}

impl TargetTable {
    /// The target at these keys of a job, whose limits are the target's too.
    pub(crate) fn table<'a>(&'a self, keys: &'a [&'a str], job: &'a JobTable) -> PluginTable<'a> {
        PluginTable { keys, config: &self.config, grant: &self.grant, limits: &job.limits }
    }
}
