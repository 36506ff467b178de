//! Between the contract's functions and the trait.

use std::marker::PhantomData;

use crate::bindings::dozo::plugin::source_types::{Request, RestoreRequest};
use crate::bindings::dozo::plugin::types::Description;
use crate::bindings::exports::dozo::plugin::source::Guest;
use crate::{Backup, Error, Needs, Probe, Restore, Result, ScratchServer, Source};

/// The exports of a source.
#[doc(hidden)]
pub struct Glue<S>(PhantomData<S>);

fn config<S: Source>(json: &str) -> Result<S::Config> {
    serde_json::from_str(json).map_err(|e| Error::Invalid(format!("the configuration of {}: {e}", S::INFO.name)))
}

impl<S: Source> Guest for Glue<S> {
    fn describe() -> Description {
        let schema =
            schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<S::Config>();
        Description {
            name: S::INFO.name.into(),
            version: S::INFO.version.into(),
            summary: S::INFO.summary.into(),
            config_schema: schema.as_value().to_string(),
        }
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

    async fn restore(request: RestoreRequest) -> Result<()> {
        let RestoreRequest { config: json, paths, at, conflict, options } = request;
        let config = if json.is_empty() { None } else { Some(config::<S>(&json)?) };
        S::restore(config, Restore { paths, at, conflict, options }).await
    }

    async fn probe(json: String, question: String) -> Result<String> {
        S::probe(config::<S>(&json)?, question).await
    }
}
