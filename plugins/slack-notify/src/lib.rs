//! Tells Slack, or a server that speaks as Slack does, what became of a backup: job, host, what happened, why, how long, how
//! much, what to do next.

mod answer;
mod config;
mod deliver;
mod message;
mod request;
mod text;

use dozo_sdk::prelude::*;

use config::Config;

struct SlackNotify;

impl Notifier for SlackNotify {
    type Config = Config;
    const INFO: Info = Info {
        name: "slack-notify",
        version: env!("CARGO_PKG_VERSION"),
        summary: "tells a Slack channel what became of backups",
    };

    fn needs(config: &Config) -> Result<Needs> {
        config.needs()
    }

    async fn check(config: Config) -> Result<Vec<(String, String)>> {
        deliver::check(&config.way()?)
    }

    async fn notify(config: Config, event: Event) -> Result<()> {
        deliver::deliver(&config.way()?, message::of(&event))
    }
}

dozo_sdk::export_notifier!(SlackNotify);
