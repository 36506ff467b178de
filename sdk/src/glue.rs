//! Between the contract's functions and the traits.

use std::marker::PhantomData;

use crate::bindings::dozo::plugin::source_types::{Request, RestoreRequest, Target};
use crate::bindings::dozo::plugin::types::Description;
use crate::bindings::exports::dozo::plugin::source::Guest;
use crate::notifier_bindings::exports::dozo::plugin::notifier;
use crate::{Backup, Error, Event, Info, Moment, Needs, Notifier, Probe, Restore, Result, ScratchServer, Source};

/// The exports of a source.
#[doc(hidden)]
pub struct Glue<S>(PhantomData<S>);

/// The exports of a notifier.
#[doc(hidden)]
pub struct NotifierGlue<N>(PhantomData<N>);

fn parse<C: serde::de::DeserializeOwned>(info: &Info, json: &str) -> Result<C> {
    serde_json::from_str(json).map_err(|e| Error::Invalid(format!("the configuration of {}: {e}", info.name)))
}

fn config<S: Source>(json: &str) -> Result<S::Config> {
    parse(&S::INFO, json)
}

fn description<C: schemars::JsonSchema>(info: &Info) -> Description {
    let schema = schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<C>();
    Description {
        name: info.name.into(),
        version: info.version.into(),
        summary: info.summary.into(),
        config_schema: schema.as_value().to_string(),
    }
}

impl<S: Source> Guest for Glue<S> {
    fn describe() -> Description {
        description::<S::Config>(&S::INFO)
    }

    fn requires(json: String) -> Result<Needs> {
        S::needs(&config::<S>(&json)?)
    }

    async fn check(json: String) -> Result<Vec<(String, String)>> {
        S::check(config::<S>(&json)?).await
    }

    async fn backup(request: Request) -> Result<()> {
        let probes = request.probes.into_iter().map(|(name, question)| Probe { name, question }).collect();
        S::backup(config::<S>(&request.config)?, Backup { scope: request.scope, probes }).await
    }

    async fn committed(json: String, attributes: Vec<(String, String)>) -> Result<()> {
        S::committed(config::<S>(&json)?, attributes).await
    }

    async fn abandoned(json: String) -> Result<()> {
        S::abandoned(config::<S>(&json)?).await
    }

    async fn scratch(json: String, directory: String) -> Result<Option<ScratchServer>> {
        S::scratch(config::<S>(&json)?, directory).await
    }

    async fn covers(attributes: Vec<(String, String)>, at: Moment) -> Result<Option<String>> {
        S::covers(attributes, at).await
    }

    async fn restore(request: RestoreRequest) -> Result<()> {
        let RestoreRequest { target, paths, at, conflict, options } = request;
        let restore = Restore { paths, at, conflict, options };
        match target {
            Target::Directory => S::restore_to_directory(restore).await,
            Target::Service(json) => S::restore_to_service(config::<S>(&json)?, restore).await,
        }
    }

    async fn probe(json: String, question: String) -> Result<String> {
        S::probe(config::<S>(&json)?, question).await
    }
}

impl<N: Notifier> notifier::Guest for NotifierGlue<N> {
    fn describe() -> Description {
        description::<N::Config>(&N::INFO)
    }

    fn requires(json: String) -> Result<Needs> {
        N::needs(&parse(&N::INFO, &json)?)
    }

    async fn check(json: String) -> Result<Vec<(String, String)>> {
        N::check(parse(&N::INFO, &json)?).await
    }

    async fn notify(json: String, event: notifier::Event) -> Result<()> {
        let notifier::Event { kind, job, host, summary, report } = event;
        N::notify(parse(&N::INFO, &json)?, Event::new(&kind, job, host, summary, report)).await
    }
}
