//! `dozo plugin`: what plugins there are, and what they say of themselves.

use serde_json::Value;

use crate::args::{Global, PluginCommand, PluginInfoArgs};
use crate::config::{Loaded, Secrecy};
use crate::context::PluginShelf;
use crate::exit::Exit;
use crate::ui;

pub(crate) async fn plugin(global: &Global, command: &PluginCommand) -> anyhow::Result<Exit> {
    let shelf = || {
        let loaded = Loaded::read_if_any(global.config.as_deref())?;
        let plugins = PluginShelf::open(loaded.as_ref())?;
        anyhow::Ok((loaded, plugins))
    };
    match command {
        PluginCommand::List => list(global, shelf()?.1).await,
        PluginCommand::Info(args) => {
            let (loaded, plugins) = shelf()?;
            info(global, loaded.as_ref(), plugins, args).await
        }
        PluginCommand::Test(args) => super::plugin_test::test(global, args).await,
        PluginCommand::New(args) => super::plugin_new::new(args),
    }
}

async fn list(global: &Global, mut plugins: PluginShelf) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    for name in plugins.names()? {
        match plugins.get(&name).await {
            Ok(plugin) => {
                let (stamp, about) = (plugin.stamp(), plugin.description());
                if global.json {
                    ui::json(&serde_json::json!({
                        "schema": "dozo/plugin/1", "file": name, "name": stamp.name, "version": stamp.version,
                        "digest": stamp.digest, "summary": about.summary,
                    }))?;
                } else {
                    ui::line(format!("{:20} {:10} {}", name, stamp.version, about.summary));
                }
            }
            Err(error) => {
                ui::errors::print(&error);
                exit = exit.worst(Exit::of(&error));
            }
        }
    }
    Ok(exit)
}

async fn info(
    global: &Global,
    loaded: Option<&Loaded>,
    mut plugins: PluginShelf,
    args: &PluginInfoArgs,
) -> anyhow::Result<Exit> {
    let plugin = plugins.get(&args.plugin).await?;
    let (stamp, about) = (plugin.stamp(), plugin.description());
    let schema: Value = serde_json::from_str(&about.config_schema)?;
    let mut needs = Vec::new();
    if let Some(loaded) = loaded {
        for (name, job) in loaded.config.job.iter().filter(|(_, job)| job.plugin == args.plugin) {
            let resolved = loaded.resolve(name, job, &about.config_schema, Secrecy::Pretend)?;
            needs.push((name, plugin.needs(&resolved.json, resolved.secrets).await?));
        }
    }
    if global.json {
        let needs: serde_json::Map<String, Value> = needs
            .iter()
            .map(|(name, n)| {
                let value = serde_json::json!({
                    "network": n.network, "read": n.read, "write": n.write, "programs": n.programs,
                });
                (name.to_string(), value)
            })
            .collect();
        ui::json(&serde_json::json!({
            "schema": "dozo/plugin-info/1", "name": stamp.name, "version": stamp.version, "digest": stamp.digest,
            "summary": about.summary, "config_schema": schema, "needs": needs,
        }))?;
        return Ok(Exit::Done);
    }
    ui::line(format!("{} {}: {}", stamp.name, stamp.version, about.summary));
    ui::line(format!("sha256 {}", stamp.digest));
    ui::line("\n[job.NAME.config]");
    print_schema(&schema);
    for (name, needs) in needs {
        ui::line(format!("\n[job.{name}.grant] must hold"));
        for (key, list) in
            [("network", needs.network), ("read", needs.read), ("write", needs.write), ("programs", needs.programs)]
        {
            if !list.is_empty() {
                ui::line(format!("{key} = {}", Value::from(list)));
            }
        }
    }
    Ok(Exit::Done)
}

/// The keys of a configuration, as comments above what could be written.
fn print_schema(schema: &Value) {
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, property) in properties.into_iter().flatten() {
        let text = |name: &str| property.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
        for line in text("description").lines() {
            ui::line(format!("# {line}").trim_end());
        }
        let kind = if property.get("writeOnly") == Some(&Value::Bool(true)) { "secret".into() } else { text("type") };
        let needed = if required.contains(&Value::from(key.as_str())) { "required" } else { "optional" };
        ui::line(format!("{key} = …  # {needed} {kind}"));
    }
}
