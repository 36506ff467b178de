//! A plugin as the port through which people are told.

use async_trait::async_trait;
use dozo_job::Result;
use dozo_job::port::{Event, Notifier, PluginStamp};

use crate::convert;
use crate::limits::TELLING_WALL;
use crate::plugin::{Function, Permit, Plugin};
use crate::state::Call;

/// A notifier that is a component.
pub struct WasmNotifier {
    plugin: Plugin,
    permit: Permit,
}

impl WasmNotifier {
    pub(crate) fn new(plugin: Plugin, permit: Permit) -> Self {
        WasmNotifier { plugin, permit }
    }

    /// Nobody waits longer for a notifier, whatever its limits say.
    async fn ask<R: Send + 'static>(
        &self,
        function: Function<Result<R, crate::bindings::dozo::plugin::types::Error>>,
    ) -> Result<R> {
        let wall = self.permit.limits.wall.min(TELLING_WALL);
        Ok(self.plugin.call_fallible(Call::Question, &self.permit, wall, function).await?.0)
    }
}

#[async_trait]
impl Notifier for WasmNotifier {
    fn stamp(&self) -> &PluginStamp {
        self.plugin.stamp()
    }

    async fn check(&self, config: &str) -> Result<Vec<(String, String)>> {
        let config = config.to_string();
        self.ask(Box::new(move |exports, store| exports.check(store, config))).await
    }

    async fn notify(&self, config: &str, event: Event) -> Result<()> {
        let (config, event) = (config.to_string(), convert::event_to_wit(event));
        self.ask(Box::new(move |exports, store| exports.notify(store, config, event))).await
    }
}
