//! @NAME@: a notifier for dozo. It tells the host's log; put your own way of telling in its place.

use dozo_sdk::prelude::*;

/// What the operator writes into `[notify.NAME.config]`; these comments are their manual.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What each message begins with.
    #[schemars(length(min = 1))]
    greeting: String,
}

struct Plugin;

impl Notifier for Plugin {
    type Config = Config;
    const INFO: Info =
        Info { name: "@NAME@", version: env!("CARGO_PKG_VERSION"), summary: "tells the host's log what became of backups" };

    /// Asked by `dozo check`: can anybody be told? Tells nobody. Facts for people.
    async fn check(config: Config) -> Result<Vec<(String, String)>> {
        Ok(vec![("greeting".into(), config.greeting)])
    }

    async fn notify(config: Config, event: Event) -> Result<()> {
        dozo_sdk::log::warn(format!("{}, {}: {}", config.greeting, event.kind.word(), event.summary));
        for (path, why) in event.report.omitted.iter().take(5) {
            dozo_sdk::log::warn(format!("not backed up: /{path}: {why}"));
        }
        Ok(())
    }
}

dozo_sdk::export_notifier!(Plugin);
