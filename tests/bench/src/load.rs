//! The plugin as the binary loads it, and how long that takes in a process that has done nothing else yet.

use std::time::Instant;

use anyhow::{Context, Result};
use dozo_plugin::{Access, Directory, Grants, Permit, Plugins, Secrets, WasmSource};

use crate::{Component, Place, say};

/// The plugin as a source with a grant for the tree.
pub(crate) async fn source(place: &Place) -> Result<WasmSource> {
    let plugin = Plugins::new(place.component.cache.clone())?.load(&place.component.plugin).await?;
    let directory = Directory::open(&place.tree, Access::Read)?;
    let grants = Grants { directories: vec![directory], ..Grants::default() };
    Ok(plugin.source(Permit { job: "bench".into(), grants, ..Permit::default() }))
}

/// Times the engine's start, `load` (which ends with the first call, `describe`), and one more call in a fresh instance.
pub(crate) async fn time(component: &Component) -> Result<()> {
    let began = Instant::now();
    let plugins = Plugins::new(component.cache.clone())?;
    let engine = began.elapsed();
    let began = Instant::now();
    let plugin = plugins.load(&component.plugin).await?;
    let load = began.elapsed();
    let began = Instant::now();
    plugin.needs(r#"{"paths": ["/srv"]}"#, Secrets::default()).await.context("ask the plugin what it needs")?;
    let call = began.elapsed();
    say(format!("engine={} load={} call={}", engine.as_micros(), load.as_micros(), call.as_micros()));
    Ok(())
}
