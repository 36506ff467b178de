//! From a table of the configuration to a plugin's call: its configuration checked and complete, and what it is permitted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dozo_job::Error;
use dozo_plugin::{Access, Directory, Grants, Permit, Plugin, PluginKind};

use crate::config::{Granted, Need, PluginTable, ResolvedConfig, Secrecy};
use crate::context::Context;
use crate::plugins::PluginShelf;

/// A configuration as the plugin gets it, and what it is permitted.
pub(crate) struct Prepared {
    pub(crate) config: String,
    pub(crate) permit: Permit,
}

impl Prepared {
    /// Has the plugin read granted directories at other places, without its noticing.
    ///
    /// # Errors
    /// If one of them is not granted, or the other place is none.
    pub(crate) fn read_at(&mut self, granted: &[PathBuf], places: &BTreeMap<PathBuf, PathBuf>) -> Result<(), Error> {
        for (directory, place) in places {
            let shown = directory.display();
            let Some(number) = granted.iter().position(|granted| granted == directory) else {
                return Err(Error::invalid(format!("`read_at` names {shown}, which is not in `grant.read`")));
            };
            self.permit.grants.directories[number] = Directory::open_as(place, directory, Access::Read)
                .map_err(|e| e.context(format!("read {shown} at {}", place.display())))?;
        }
        Ok(())
    }
}

impl Context {
    /// Checks a table against its plugin, fetches its secrets, opens what is granted.
    pub(crate) async fn prepare(&self, table: PluginTable<'_>, plugin: &Plugin) -> anyhow::Result<Prepared> {
        let resolved = self.loaded.resolve(table, &plugin.description().config_schema, Secrecy::Fetch)?;
        let Granted { network, programs, .. } = self.grants(table, plugin, &resolved).await?;
        let directories =
            table.grant.read.iter().map(|path| Directory::open(path, Access::Read)).collect::<Result<Vec<_>, _>>()?;
        let permit = Permit {
            job: table.keys.get(1).copied().unwrap_or_default().to_string(),
            grants: Grants { directories, network, programs },
            limits: self.loaded.limits(table)?,
            secrets: resolved.secrets,
        };
        Ok(Prepared { config: resolved.json, permit })
    }

    /// Checks a table against its plugin. Fetches no secret, opens nothing. Returns what only one job can use.
    pub(crate) async fn check_table(&self, table: PluginTable<'_>, plugin: &Plugin) -> anyhow::Result<Vec<String>> {
        let resolved = self.loaded.resolve(table, &plugin.description().config_schema, Secrecy::Pretend)?;
        self.grants(table, plugin, &resolved).await?;
        self.loaded.limits(table)?;
        Ok(plugin.needs(&resolved.json, resolved.secrets).await?.exclusive)
    }

    /// The plugin that a table names, if it may run; one that is not there is shown where it is named.
    pub(crate) async fn plugin(
        &self,
        plugins: &mut PluginShelf,
        (keys, name): (&[&str], &str),
        kind: PluginKind,
    ) -> anyhow::Result<Plugin> {
        if let Err(error) = plugins.find(name) {
            let hint = error.downcast_ref::<Error>().and_then(Error::hint).unwrap_or_default().to_string();
            return Err(self.loaded.fault(&[keys, &["plugin"]].concat(), error.to_string()).hinted(hint).into());
        }
        plugins.get_as(name, kind).await
    }

    /// What is granted, if that is all that the plugin needs; else everything that is missing, and the line to write.
    async fn grants<'a>(
        &self,
        table: PluginTable<'a>,
        plugin: &Plugin,
        resolved: &ResolvedConfig,
    ) -> anyhow::Result<Granted<'a>> {
        let granted = self.loaded.granted(table)?;
        self.loaded.refuse_files(table)?;
        let needs = self.needs(table, &granted, (plugin, resolved)).await?;
        self.loaded.refuse_missing(table, &needs)?;
        Ok(granted)
    }

    /// Everything that the plugin needs, and whether it is granted.
    pub(crate) async fn needs(
        &self,
        table: PluginTable<'_>,
        granted: &Granted<'_>,
        (plugin, resolved): (&Plugin, &ResolvedConfig),
    ) -> anyhow::Result<Vec<Need>> {
        let needs = plugin.needs(&resolved.json, resolved.secrets.clone()).await;
        let needs = needs.map_err(|e| self.loaded.fault(&[table.keys, &["config"]].concat(), e.chain()))?;
        Ok(granted.needs(&needs))
    }
}
