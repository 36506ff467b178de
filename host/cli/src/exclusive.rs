//! What only one job can use at a time, such as a replication slot: two jobs of one configuration that use the same would each take
//! from the other what it needs, and neither would notice.

use std::collections::HashMap;

use dozo_plugin::{Plugin, PluginKind};

use crate::config::{ConfigError, JobTable};
use crate::context::Context;
use crate::plugins::PluginShelf;

/// What jobs use, by the plugin that knows it under this name, and which job.
#[derive(Default)]
pub(crate) struct Used<'a>(HashMap<(String, String), &'a str>);

impl<'a> Used<'a> {
    /// A job uses this. Returns the mistakes: what another does already.
    pub(crate) fn by(
        &mut self,
        context: &Context,
        (job, plugin): (&'a str, &Plugin),
        exclusive: Vec<String>,
    ) -> Vec<ConfigError> {
        let mut mistakes = Vec::new();
        for what in exclusive {
            if let Some(other) = self.0.insert((plugin.stamp().name.clone(), what.clone()), job) {
                let why = format!("only one job can use {what}, and the job `{other}` does");
                let hint =
                    format!("let one of them use another: `dozo plugin info {}` lists the keys", plugin.stamp().name);
                mistakes.push(context.loaded.fault(&["job", job, "config"], why).hinted(hint));
            }
        }
        mistakes
    }
}

/// Refuses a job if another of the same plugin uses what only one can. What else is wrong with the other is not this job's.
pub(crate) async fn refuse_shared(
    context: &Context,
    plugins: &mut PluginShelf,
    (name, job): (&str, &JobTable),
) -> anyhow::Result<()> {
    let others = || context.loaded.config.job.iter().filter(|(other, it)| *other != name && it.plugin == job.plugin);
    if others().next().is_none() {
        return Ok(());
    }
    let mut used = Used::default();
    for (other, table) in others().map(|(other, table)| (other.as_str(), table)).chain([(name, job)]) {
        let keys = ["job", other];
        let plugin = context.plugin(plugins, (&keys, &table.plugin), PluginKind::Source).await?;
        let exclusive = context.check_table(table.table(&keys), &plugin).await;
        let mistakes = used.by(context, (other, &plugin), exclusive.unwrap_or_default());
        if let Some(mistake) = mistakes.into_iter().next().filter(|_| other == name) {
            return Err(mistake.into());
        }
    }
    Ok(())
}
