//! `dozo key`: owners, hosts, epochs, the recovery kit.

mod hosts;
mod kit;
mod owners;
mod reached;

use dozo_repository::{HostKey, Problem};

use crate::args::{Global, KeyCommand};
use crate::context::Context;
use crate::exit::Exit;
use crate::keyfile::replace_key;
use crate::ui;

pub(crate) async fn key(global: &Global, command: &KeyCommand) -> anyhow::Result<Exit> {
    match command {
        KeyCommand::Owners => owners::list(global).await,
        KeyCommand::Add(args) => owners::add(global, args).await,
        KeyCommand::Remove(args) => owners::remove(global, args).await,
        KeyCommand::Test(args) => owners::test(global, args).await,
        KeyCommand::Epoch(args) => owners::epoch(global, args).await,
        KeyCommand::Hosts => hosts::list(global).await,
        KeyCommand::Host(args) => hosts::make(global, args).await,
        KeyCommand::HostRemove(args) => hosts::remove(global, args).await,
        KeyCommand::Refresh(args) => hosts::refresh(global, args).await,
        KeyCommand::Kit(args) => kit::kit(global, args).await,
    }
}

/// Puts this host's new key in place.
fn take(context: &Context, key: &HostKey) -> anyhow::Result<std::path::PathBuf> {
    let file = context.key_file();
    replace_key(&file, &key.to_text()).map_err(|e| {
        let what =
            format!("epoch {} has begun, and {} is not of it yet: `dozo key refresh`", key.epoch(), file.display());
        e.context(what)
    })
}

/// What could not be read must not look as if it were not there.
fn problems(problems: &[Problem]) -> Exit {
    for problem in problems {
        ui::note(format!("damaged: {}: {}", problem.object, problem.why.chain()));
    }
    if problems.is_empty() { Exit::Done } else { Exit::Damaged }
}
