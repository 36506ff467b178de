//! `dozo plugin info`: who a plugin is, how it is configured, and what it needs with this configuration.

use dozo_plugin::{Limits, Plugin, PluginKind};
use jiff::SignedDuration;
use serde_json::Value;

use super::provenance;
use crate::args::Global;
use crate::config::{Need, NeedKind, PluginTable, Secrecy};
use crate::context::Context;
use crate::exit::Exit;
use crate::plugins::{PluginShelf, Shelved, Standing};
use crate::ui::{self, words};

/// What one job or notifier asks of a plugin.
pub(super) struct Asked {
    /// `job.NAME` or `notify.NAME`.
    table: String,
    needs: Vec<Need>,
    limits: Limits,
    /// The lines that are missing in its table.
    lines: Option<String>,
}

pub(super) async fn info(
    global: &Global,
    context: Option<&Context>,
    mut plugins: PluginShelf,
    typed: &str,
) -> anyhow::Result<Exit> {
    let shelved = plugins.find_typed(typed)?;
    let bytes = shelved.read()?;
    // A path that was typed is looked at whatever the lock says: nothing is granted to it.
    if !typed.contains('/') {
        plugins.admit(&shelved, bytes.digest())?;
    }
    let plugin = plugins.load(&shelved, bytes).await?;
    let asked = asked(context, &shelved, &plugin).await?;
    let (stamp, about) = (plugin.stamp(), plugin.description());
    let schema: Value = serde_json::from_str(&about.config_schema)?;
    if global.json {
        let of = |table: &str| -> serde_json::Map<String, Value> {
            let named =
                asked.iter().filter_map(|asked| Some((asked.table.strip_prefix(table)?.to_string(), json(asked))));
            named.collect()
        };
        let kinds: Vec<&str> = plugin.kinds().into_iter().map(PluginKind::word).collect();
        let standing = plugins.standing(&shelved, stamp.digest);
        ui::json(&serde_json::json!({
            "schema": "dozo/plugin-info/1", "name": stamp.name, "version": stamp.version, "digest": stamp.digest,
            "summary": about.summary, "origin": shelved.origin.word(), "path": shelved.origin.file(),
            "may_run": matches!(standing, None | Some(Standing::Locked)), "config_schema": schema, "kinds": kinds,
            "jobs": of("job."), "notifiers": of("notify."),
        }))?;
        return Ok(Exit::Done);
    }
    print_head(&plugins, &shelved, &plugin);
    ui::line(match plugin.kind() {
        PluginKind::Source => "\n[job.NAME.config]",
        PluginKind::Notifier => "\n[notify.NAME.config]",
    });
    print_schema(&schema);
    asked.iter().for_each(print_asked);
    Ok(Exit::Done)
}

/// Who it is.
pub(super) fn print_head(plugins: &PluginShelf, shelved: &Shelved, plugin: &Plugin) {
    let (stamp, about) = (plugin.stamp(), plugin.description());
    ui::line(format!("{} {}: {}", stamp.name, stamp.version, about.summary));
    ui::line(format!("sha256 {}", stamp.digest));
    ui::line(format!("from {}", provenance(plugins, shelved, stamp.digest)));
}

/// What the jobs and notifiers of this plugin need. Fetches no secret.
pub(super) async fn asked(context: Option<&Context>, shelved: &Shelved, plugin: &Plugin) -> anyhow::Result<Vec<Asked>> {
    let Some(context) = context else { return Ok(Vec::new()) };
    let config = &context.loaded.config;
    let mut all = Vec::new();
    for (name, job) in config.job.iter().filter(|(_, job)| job.plugin == shelved.name) {
        let plugin = plugin.as_kind(PluginKind::Source)?;
        all.push(ask(context, job.table(&["job", name]), &plugin).await?);
        for (target, table) in &job.target {
            all.push(ask(context, table.table(&["job", name, "target", target], job), &plugin).await?);
        }
    }
    for (name, notifier) in config.notify.iter().filter(|(_, notifier)| notifier.plugin == shelved.name) {
        let plugin = plugin.as_kind(PluginKind::Notifier)?;
        all.push(ask(context, notifier.table(&["notify", name]), &plugin).await?);
    }
    Ok(all)
}

async fn ask(context: &Context, table: PluginTable<'_>, plugin: &Plugin) -> anyhow::Result<Asked> {
    let loaded = &context.loaded;
    let resolved = loaded.resolve(table, &plugin.description().config_schema, Secrecy::Pretend)?;
    let granted = loaded.granted(table)?;
    let needs = context.needs(table, &granted, (plugin, &resolved)).await?;
    let missing: Vec<&Need> = needs.iter().filter(|need| !need.granted).collect();
    let lines = (!missing.is_empty()).then(|| loaded.lines_to_write(table, &missing));
    Ok(Asked { table: table.keys.join("."), needs, limits: loaded.limits(table)?, lines })
}

/// What a job or notifier needs, whether it is granted, and what bounds it.
pub(super) fn print_asked(asked: &Asked) {
    ui::line(format!("\n[{}] needs", asked.table));
    if asked.needs.is_empty() {
        ui::line("  nothing of this machine");
    }
    for need in &asked.needs {
        let word = if need.granted { "granted" } else { "NOT granted" };
        let what = [vec![need.what.clone()], need.files()].concat().join(", ");
        ui::line(format!("  {:9} {what}: {word}", need.grant.key()));
    }
    if asked.needs.iter().any(|need| need.grant == NeedKind::Programs) {
        ui::line("  a program dials for itself: what it reaches is not limited by `network`");
    }
    if let Some(lines) = &asked.lines {
        ui::line(format!("  {lines}"));
    }
    ui::line(format!("  limits    {}", limits(&asked.limits)));
}

/// The limits in force, in words.
fn limits(limits: &Limits) -> String {
    let time = |time| words::duration(SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX));
    let response = limits.response_bytes.map_or("any length".to_string(), words::bytes);
    format!(
        "memory {}, wall {}, stall {}, handles {}, host_calls {}, log_lines {}, response_bytes {response}",
        words::bytes(limits.memory_bytes),
        time(limits.wall),
        time(limits.stall),
        words::count(limits.handles as u64),
        words::count(limits.host_calls),
        words::count(limits.log_lines),
    )
}

fn json(asked: &Asked) -> Value {
    let limits = &asked.limits;
    serde_json::json!({
        "needs": asked.needs,
        "to_write": asked.lines,
        "limits": {
            "memory_bytes": limits.memory_bytes, "wall_seconds": limits.wall.as_secs(),
            "stall_seconds": limits.stall.as_secs(), "handles": limits.handles, "host_calls": limits.host_calls,
            "log_lines": limits.log_lines, "response_bytes": limits.response_bytes,
        },
    })
}

/// The keys of a configuration, as comments above what could be written.
fn print_schema(schema: &Value) {
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, property) in properties.into_iter().flatten() {
        let text = |name: &str| property.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
        for line in text("description").lines() {
            ui::line(words::plain(format!("# {line}").trim_end()));
        }
        let kind = if property.get("writeOnly") == Some(&Value::Bool(true)) { "secret".into() } else { text("type") };
        let needed = if required.contains(&Value::from(key.as_str())) { "required" } else { "optional" };
        ui::line(words::plain(&format!("{key} = …  # {needed} {kind}")));
    }
}
