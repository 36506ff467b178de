//! The API tracks. Which one a component speaks is read from its exports once, when it is loaded; afterwards there is
//! one trait and no question.

use std::sync::Arc;

use dozo_job::{Error, Result};
use wasmtime::Store;
use wasmtime::component::{Accessor, Instance, InstancePre};

use crate::bindings::dozo::plugin::source_types::{Request, RestoreRequest};
use crate::bindings::dozo::plugin::types::{Description, Error as Told, Needs};
use crate::bindings::exports::dozo::plugin::{source, source_sync};
use crate::plugin::Answer;
use crate::state::State;

/// What every source exports, whatever its track.
pub(crate) trait Exports: Send + Sync {
    fn describe<'a>(&'a self, store: &'a Accessor<State>) -> Answer<'a, Description>;
    fn requires<'a>(&'a self, store: &'a Accessor<State>, config: String) -> Answer<'a, Result<Needs, Told>>;
    fn check<'a>(&'a self, store: &'a Accessor<State>, config: String) -> Answer<'a, Result<Pairs, Told>>;
    fn backup<'a>(&'a self, store: &'a Accessor<State>, request: Request) -> Answer<'a, Result<(), Told>>;
    fn committed<'a>(
        &'a self,
        store: &'a Accessor<State>,
        config: String,
        attributes: Pairs,
    ) -> Answer<'a, Result<(), Told>>;
    fn abandoned<'a>(&'a self, store: &'a Accessor<State>, config: String) -> Answer<'a, Result<(), Told>>;
    fn restore<'a>(&'a self, store: &'a Accessor<State>, request: RestoreRequest) -> Answer<'a, Result<(), Told>>;
    fn probe<'a>(
        &'a self,
        store: &'a Accessor<State>,
        config: String,
        question: String,
    ) -> Answer<'a, Result<String, Told>>;
}

type Pairs = Vec<(String, String)>;

macro_rules! exports {
    ($guest:ty) => {
        impl Exports for $guest {
            fn describe<'a>(&'a self, store: &'a Accessor<State>) -> Answer<'a, Description> {
                Box::pin(self.call_describe(store))
            }
            fn requires<'a>(&'a self, store: &'a Accessor<State>, config: String) -> Answer<'a, Result<Needs, Told>> {
                Box::pin(self.call_requires(store, config))
            }
            fn check<'a>(&'a self, store: &'a Accessor<State>, config: String) -> Answer<'a, Result<Pairs, Told>> {
                Box::pin(self.call_check(store, config))
            }
            fn backup<'a>(&'a self, store: &'a Accessor<State>, request: Request) -> Answer<'a, Result<(), Told>> {
                Box::pin(self.call_backup(store, request))
            }
            fn committed<'a>(
                &'a self,
                store: &'a Accessor<State>,
                config: String,
                attributes: Pairs,
            ) -> Answer<'a, Result<(), Told>> {
                Box::pin(self.call_committed(store, config, attributes))
            }
            fn abandoned<'a>(&'a self, store: &'a Accessor<State>, config: String) -> Answer<'a, Result<(), Told>> {
                Box::pin(self.call_abandoned(store, config))
            }
            fn restore<'a>(
                &'a self,
                store: &'a Accessor<State>,
                request: RestoreRequest,
            ) -> Answer<'a, Result<(), Told>> {
                Box::pin(self.call_restore(store, request))
            }
            fn probe<'a>(
                &'a self,
                store: &'a Accessor<State>,
                config: String,
                question: String,
            ) -> Answer<'a, Result<String, Told>> {
                Box::pin(self.call_probe(store, config, question))
            }
        }
    };
}

exports!(source::Guest);
exports!(source_sync::Guest);

/// Where a component has its exports.
#[derive(Clone)]
pub(crate) struct Track(Arc<Indices>);

enum Indices {
    Source(source::GuestIndices),
    SourceSync(source_sync::GuestIndices),
}

impl Track {
    /// Finds the exports of a component.
    pub(crate) fn of(pre: &InstancePre<State>) -> Result<Self> {
        match (source::GuestIndices::new(pre), source_sync::GuestIndices::new(pre)) {
            (Ok(indices), _) => Ok(Track(Arc::new(Indices::Source(indices)))),
            (_, Ok(indices)) => Ok(Track(Arc::new(Indices::SourceSync(indices)))),
            (Err(error), Err(_)) => Err(not_a_source(pre, &error)),
        }
    }

    /// The exports of an instance.
    pub(crate) fn load(&self, store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<Box<dyn Exports>> {
        Ok(match &*self.0 {
            Indices::Source(indices) => Box::new(indices.load(store, instance)?),
            Indices::SourceSync(indices) => Box::new(indices.load(store, instance)?),
        })
    }
}

/// What a component exports instead, if it is anything of ours.
fn not_a_source(pre: &InstancePre<State>, error: &wasmtime::Error) -> Error {
    let component = pre.component();
    let ty = component.component_type();
    let ours: Vec<String> = ty
        .exports(pre.engine())
        .map(|(name, _)| name.to_string())
        .filter(|name| name.starts_with("dozo:plugin/"))
        .collect();
    let why = std::io::Error::other(format!("{error:#}"));
    match ours.as_slice() {
        [] => Error::invalid("it is a component, but not a plugin: it exports nothing of `dozo:plugin`").caused_by(why),
        names => Error::invalid(format!("it exports {}, which is not a source of track 0.1", names.join(", ")))
            .caused_by(why)
            .hinted("this version runs sources of `dozo:plugin@0.1`"),
    }
}
