//! `dozo plugin add` and `lock`: an operator's word that a component may run. Files stay where they are: whoever put one
//! there, by hand or by a package, replaces it there, and the lock then says that it changed.

use dozo_plugin::{Plugin, PluginKind};

use super::info::{asked, print_asked, print_head};
use crate::args::Global;
use crate::context::Context;
use crate::exit::Exit;
use crate::plugins::{Locked, Origin, PluginShelf};
use crate::ui;

/// Looks at a component, and locks it.
pub(super) async fn add(
    global: &Global,
    context: Option<&Context>,
    mut plugins: PluginShelf,
    typed: &str,
) -> anyhow::Result<Exit> {
    let shelved = plugins.find_typed(typed)?;
    if let Origin::Bundled(_) = shelved.origin {
        print_bundled(global, &shelved.name)?;
        return Ok(Exit::Done);
    }
    // Without a lock to write into, nothing of the component is run either.
    plugins.lock()?;
    let plugin = plugins.load(&shelved, shelved.read()?).await?;
    let lock = plugins.lock()?;
    let old = lock.insert(&shelved.name, locked(&plugin));
    lock.write()?;
    let file = lock.file.display().to_string();
    let change = Change::of(&shelved.name, old, &plugin);
    if global.json {
        change.json()?;
        return Ok(Exit::Done);
    }
    print_head(&plugins, &shelved, &plugin);
    ui::line(format!("{}, in {file}", change.words()));
    let asked = asked(context, &shelved, &plugin).await?;
    if asked.is_empty() {
        let table = match plugin.kind() {
            PluginKind::Source => "a job runs it with",
            PluginKind::Notifier => "a notifier names it with",
        };
        ui::line(format!("{table}: plugin = {}", toml::Value::from(shelved.name.as_str())));
    }
    asked.iter().for_each(print_asked);
    Ok(Exit::Done)
}

/// Locks what the configuration names as it is now, and nothing else.
pub(super) async fn lock(global: &Global, mut plugins: PluginShelf) -> anyhow::Result<Exit> {
    plugins.lock()?;
    let (mut changes, mut names) = (Vec::new(), Vec::new());
    for name in plugins.named().to_vec() {
        let shelved = plugins.find(&name)?;
        if let Origin::Bundled(_) = shelved.origin {
            continue;
        }
        let plugin = plugins.load(&shelved, shelved.read()?).await?;
        let old = plugins.lock()?.insert(&name, locked(&plugin));
        changes.push(Change::of(&name, old, &plugin));
        names.push(name);
    }
    let lock = plugins.lock()?;
    let gone = lock.keep_only(&names);
    lock.write()?;
    let file = lock.file.display().to_string();
    changes.extend(gone.into_iter().map(|name| Change { name, old: None, new: None }));
    for change in &changes {
        if global.json {
            change.json()?;
        } else {
            ui::line(change.words());
        }
    }
    if !global.json {
        let count = ui::words::counted(names.len() as u64, "plugin", "plugins");
        ui::line(format!("{file}: {count} locked; what is bundled needs no lock"));
    }
    Ok(Exit::Done)
}

fn locked(plugin: &Plugin) -> Locked {
    let stamp = plugin.stamp();
    Locked { sha256: stamp.digest, version: stamp.version.clone() }
}

fn print_bundled(global: &Global, name: &str) -> anyhow::Result<()> {
    if global.json {
        return ui::json(&serde_json::json!({ "schema": "dozo/plugin-lock/1", "plugin": name, "what": "bundled" }));
    }
    ui::line(format!("`{name}` is bundled in this program, and needs no lock"));
    Ok(())
}

/// What became of one line of the lock.
struct Change {
    name: String,
    old: Option<Locked>,
    new: Option<Locked>,
}

impl Change {
    fn of(name: &str, old: Option<Locked>, plugin: &Plugin) -> Self {
        Change { name: name.to_string(), old, new: Some(locked(plugin)) }
    }

    fn word(&self) -> &'static str {
        match (&self.old, &self.new) {
            (_, None) => "removed",
            (None, Some(_)) => "added",
            (Some(old), Some(new)) if old == new => "unchanged",
            (Some(_), Some(_)) => "changed",
        }
    }

    fn words(&self) -> String {
        let shown = |locked: &Locked| format!("{} (sha256 {})", locked.version, locked.sha256.short());
        let name = &self.name;
        match (&self.old, &self.new) {
            (_, None) => format!("`{name}` removed: nothing in the configuration names it"),
            (None, Some(new)) => format!("`{name}` locked: {}", shown(new)),
            (Some(old), Some(new)) if old == new => format!("`{name}` unchanged: {}", shown(new)),
            (Some(old), Some(new)) => format!("`{name}` changed: it was {}, and is {}", shown(old), shown(new)),
        }
    }

    fn json(&self) -> anyhow::Result<()> {
        let value = |locked: &Option<Locked>| {
            locked.as_ref().map(|locked| serde_json::json!({ "sha256": locked.sha256, "version": locked.version }))
        };
        ui::json(&serde_json::json!({
            "schema": "dozo/plugin-lock/1", "plugin": self.name, "what": self.word(),
            "old": value(&self.old), "new": value(&self.new),
        }))
    }
}
