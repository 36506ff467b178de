//! Commands in what people read: with the configuration that this process was started with.

use std::sync::OnceLock;

use dozo_job::Commands;

use crate::args::{Command, Global, PluginCommand};

static COMMANDS: OnceLock<Commands> = OnceLock::new();

/// Says how this process was started, before anything is printed.
pub(super) fn begin(global: &Global, command: &Command) {
    // There it is no configuration of this host.
    let is_another = matches!(command, Command::Plugin(PluginCommand::Test(_)));
    let _ = COMMANDS.set(Commands::with(global.config.as_deref().filter(|_| !is_another)));
}

/// How commands are typed.
pub(crate) fn commands() -> &'static Commands {
    COMMANDS.get_or_init(Commands::default)
}
