//! `log`: a plugin's words in the host's log, under its name, without secrets.

use wasmtime::Result;

use crate::bindings::dozo::plugin::log;
use crate::convert::printable;
use crate::state::State;

impl log::Host for State {
    fn emit(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) -> Result<()> {
        let _busy = self.life.enter();
        let mut line = message;
        for (name, value) in fields {
            line.push_str(&format!(" {name}={value}"));
        }
        if !self.life.may_log(line.len(), &self.limits) {
            return Ok(());
        }
        let line = printable(self.secrets.redact(line));
        let (job, plugin) = (&self.names.job, &self.names.plugin);
        match level {
            log::Level::Debug => tracing::debug!(target: "plugin", %job, %plugin, "{line}"),
            log::Level::Info => tracing::info!(target: "plugin", %job, %plugin, "{line}"),
            log::Level::Warn => tracing::warn!(target: "plugin", %job, %plugin, "{line}"),
            log::Level::Error => tracing::error!(target: "plugin", %job, %plugin, "{line}"),
        }
        Ok(())
    }
}
