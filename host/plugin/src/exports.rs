//! The kinds of plugins and their API tracks. What a component is, and which track it speaks, is read from its exports
//! once, when it is loaded; afterwards there is one trait and no question.

use std::sync::Arc;

use dozo_job::{Error, Result};
use wasmtime::Store;
use wasmtime::component::{Accessor, Instance, InstancePre};

use crate::bindings::dozo::plugin::source_types::{Moment, Request, RestoreRequest, ScratchServer};
use crate::bindings::dozo::plugin::types::{Description, Error as Told, Needs};
use crate::bindings::exports::dozo::plugin::{notifier, source, source_sync};
use crate::plugin::{Answer, PluginKind};
use crate::state::State;

/// What plugins export, whatever their kind and track. What one kind alone has is asked of no other ([`Plugin::as_kind`]).
///
/// [`Plugin::as_kind`]: crate::Plugin::as_kind
pub(crate) trait Exports: Send + Sync {
    fn describe<'a>(&'a self, store: &'a Accessor<State>) -> Answer<'a, Description>;
    fn requires<'a>(&'a self, store: &'a Accessor<State>, config: String) -> Answer<'a, Result<Needs, Told>>;
    fn check<'a>(&'a self, store: &'a Accessor<State>, config: String) -> Answer<'a, Result<Pairs, Told>>;

    fn backup<'a>(&'a self, _: &'a Accessor<State>, _: Request) -> Answer<'a, Result<(), Told>> {
        of_another_kind()
    }
    fn committed<'a>(&'a self, _: &'a Accessor<State>, _: String, _: Pairs) -> Answer<'a, Result<(), Told>> {
        of_another_kind()
    }
    fn abandoned<'a>(&'a self, _: &'a Accessor<State>, _: String) -> Answer<'a, Result<(), Told>> {
        of_another_kind()
    }
    fn restore<'a>(&'a self, _: &'a Accessor<State>, _: RestoreRequest) -> Answer<'a, Result<(), Told>> {
        of_another_kind()
    }
    fn covers<'a>(&'a self, _: &'a Accessor<State>, _: Pairs, _: Moment) -> Answer<'a, Result<Option<String>, Told>> {
        of_another_kind()
    }
    fn scratch<'a>(&'a self, _: &'a Accessor<State>, _: String, _: String) -> Answer<'a, Result<Scratch, Told>> {
        of_another_kind()
    }
    fn probe<'a>(&'a self, _: &'a Accessor<State>, _: String, _: String) -> Answer<'a, Result<String, Told>> {
        of_another_kind()
    }

    fn notify<'a>(&'a self, _: &'a Accessor<State>, _: String, _: notifier::Event) -> Answer<'a, Result<(), Told>> {
        of_another_kind()
    }
}

fn of_another_kind<'a, R: Send + 'a>() -> Answer<'a, Result<R, Told>> {
    Box::pin(async { Ok(Err(Told::Internal("this is a plugin of another kind".into()))) })
}

type Pairs = Vec<(String, String)>;
type Scratch = Option<ScratchServer>;

/// What all kinds export.
macro_rules! common {
    () => {
        fn describe<'a>(&'a self, store: &'a Accessor<State>) -> Answer<'a, Description> {
            Box::pin(self.call_describe(store))
        }
        fn requires<'a>(&'a self, store: &'a Accessor<State>, config: String) -> Answer<'a, Result<Needs, Told>> {
            Box::pin(self.call_requires(store, config))
        }
        fn check<'a>(&'a self, store: &'a Accessor<State>, config: String) -> Answer<'a, Result<Pairs, Told>> {
            Box::pin(self.call_check(store, config))
        }
    };
}

macro_rules! source {
    ($guest:ty) => {
        impl Exports for $guest {
            common!();
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
            fn covers<'a>(
                &'a self,
                store: &'a Accessor<State>,
                attributes: Pairs,
                at: Moment,
            ) -> Answer<'a, Result<Option<String>, Told>> {
                Box::pin(self.call_covers(store, attributes, at))
            }
            fn scratch<'a>(
                &'a self,
                store: &'a Accessor<State>,
                config: String,
                directory: String,
            ) -> Answer<'a, Result<Scratch, Told>> {
                Box::pin(self.call_scratch(store, config, directory))
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

source!(source::Guest);
source!(source_sync::Guest);

impl Exports for notifier::Guest {
    common!();
    fn notify<'a>(
        &'a self,
        store: &'a Accessor<State>,
        config: String,
        event: notifier::Event,
    ) -> Answer<'a, Result<(), Told>> {
        Box::pin(self.call_notify(store, config, event))
    }
}

/// Where a component has the exports of one kind.
#[derive(Clone)]
pub(crate) struct Track(Arc<Indices>);

enum Indices {
    Source(source::GuestIndices),
    SourceSync(source_sync::GuestIndices),
    Notifier(notifier::GuestIndices),
}

impl Track {
    /// Finds the exports of a component: one track for each kind that it is, and at least one.
    pub(crate) fn all_of(pre: &InstancePre<State>) -> Result<Vec<Self>> {
        let source = source::GuestIndices::new(pre).map(Indices::Source);
        let source = source.or_else(|_| source_sync::GuestIndices::new(pre).map(Indices::SourceSync));
        let notifier = notifier::GuestIndices::new(pre).map(Indices::Notifier);
        match (source, notifier) {
            (Err(error), Err(_)) => Err(not_a_plugin(pre, &error)),
            (source, notifier) => Ok(source.into_iter().chain(notifier).map(|it| Track(Arc::new(it))).collect()),
        }
    }

    /// What a component with these exports is.
    pub(crate) fn kind(&self) -> PluginKind {
        match &*self.0 {
            Indices::Source(_) | Indices::SourceSync(_) => PluginKind::Source,
            Indices::Notifier(_) => PluginKind::Notifier,
        }
    }

    /// The exports of an instance.
    pub(crate) fn load(&self, store: &mut Store<State>, instance: &Instance) -> wasmtime::Result<Box<dyn Exports>> {
        Ok(match &*self.0 {
            Indices::Source(indices) => Box::new(indices.load(store, instance)?),
            Indices::SourceSync(indices) => Box::new(indices.load(store, instance)?),
            Indices::Notifier(indices) => Box::new(indices.load(store, instance)?),
        })
    }
}

/// What a component exports instead, if it is anything of ours.
fn not_a_plugin(pre: &InstancePre<State>, error: &wasmtime::Error) -> Error {
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
        names => Error::invalid(format!(
            "it exports {}, which is neither a source nor a notifier of track 0.1",
            names.join(", ")
        ))
        .caused_by(why)
        .hinted("this version runs sources and notifiers of `dozo:plugin@0.1`"),
    }
}
