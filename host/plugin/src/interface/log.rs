//! `log`: a plugin's words in the host's log, under its name, without secrets.

use std::sync::atomic::Ordering;

use wasmtime::Result;

use crate::bindings::dozo::plugin::log;
use crate::convert::printable;
use crate::state::State;

impl log::Host for State {
    fn emit(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) -> Result<()> {
        let _busy = self.life.enter();
        if self.life.log_lines.fetch_add(1, Ordering::Relaxed) >= self.limits.log_lines {
            return Ok(());
        }
        let mut line = message;
        for (name, value) in fields {
            line.push_str(&format!(" {name}={value}"));
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
