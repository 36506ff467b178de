//! `dozo plugin`: what plugins there are, what they say of themselves, which may run; and what their authors need.

mod info;
mod lock;
mod new;
mod test;

use dozo_job::port::ObjectId;

use crate::args::{Global, PluginCommand};
use crate::context::Context;
use crate::exit::Exit;
use crate::plugins::{PluginShelf, Shelved, Standing};
use crate::ui;

pub(crate) use new::PluginNewArgs;
pub(crate) use test::PluginTestArgs;

pub(crate) async fn plugin(global: &Global, command: &PluginCommand) -> anyhow::Result<Exit> {
    let shelf = || {
        let context = Context::load_if_any(global)?;
        let plugins = PluginShelf::open(context.as_ref().map(|context| &context.loaded))?;
        anyhow::Ok((context, plugins))
    };
    match command {
        PluginCommand::List => list(global, shelf()?.1).await,
        PluginCommand::Info(args) => {
            let (context, plugins) = shelf()?;
            info::info(global, context.as_ref(), plugins, &args.plugin).await
        }
        PluginCommand::Add(args) => {
            let (context, plugins) = shelf()?;
            lock::add(global, context.as_ref(), plugins, &args.plugin).await
        }
        PluginCommand::Lock => lock::lock(global, shelf()?.1).await,
        // For authors: there need be no host and no configuration of one.
        PluginCommand::Test(args) => test::test(global, args).await,
        PluginCommand::New(args) => new::new(args),
    }
}

async fn list(global: &Global, mut plugins: PluginShelf) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    for (name, shelved) in plugins.all()? {
        let told = match shelved {
            Ok(shelved) => tell(global, &mut plugins, &shelved).await,
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            let error = error.context(format!("`{name}` cannot be used"));
            ui::errors::tell(global, &error);
            exit = exit.worst(Exit::of(&error));
        }
    }
    Ok(exit)
}

/// One line about one plugin. Of a component that may not run, nothing runs here either: who it is stays unknown.
async fn tell(global: &Global, plugins: &mut PluginShelf, shelved: &Shelved) -> anyhow::Result<()> {
    let bytes = shelved.read()?;
    let digest = bytes.digest();
    let standing = plugins.standing(shelved, digest);
    let plugin = match &standing {
        None | Some(Standing::Locked) => Some(plugins.load(shelved, bytes).await?),
        Some(Standing::Unlocked | Standing::Changed(_)) => None,
    };
    let (origin, name) = (shelved.origin.word(), &shelved.name);
    let about = plugin.as_ref().map(dozo_plugin::Plugin::description);
    if global.json {
        return ui::json(&serde_json::json!({
            "schema": "dozo/plugin/1", "file": name, "origin": origin, "digest": digest,
            "path": shelved.origin.file(), "lock": standing.as_ref().map(word),
            "name": about.map(|about| &about.name), "version": about.map(|about| &about.version),
            "summary": about.map(|about| &about.summary),
        }));
    }
    let (version, summary) = match about {
        Some(about) => (about.version.as_str(), about.summary.as_str()),
        None => ("?", "not looked into: `dozo plugin add` does that, and locks it"),
    };
    let state = standing.as_ref().map_or("", word);
    ui::line(format!("{name:20} {version:10} {origin:10} {:8} {state:10} {summary}", digest.short()));
    Ok(())
}

/// What a lock says, in a word.
fn word(standing: &Standing) -> &'static str {
    match standing {
        Standing::Locked => "locked",
        Standing::Unlocked => "not locked",
        Standing::Changed(_) => "changed",
    }
}

/// Where a component comes from and whether it may run, in words.
fn provenance(plugins: &PluginShelf, shelved: &Shelved, digest: ObjectId) -> String {
    let from = match shelved.origin.file() {
        Some(file) => file.display().to_string(),
        None => "bundled in this program".to_string(),
    };
    match plugins.standing(shelved, digest) {
        None => from,
        Some(standing) => format!("{from}, {}", word(&standing)),
    }
}
