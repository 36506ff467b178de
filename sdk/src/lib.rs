//! What a dozo plugin is written with: a trait, [`Source`] or [`Notifier`], and a macro, [`export!`] or
//! [`export_notifier!`].
//!
//! A plugin is a crate of type `cdylib`, built for `wasm32-wasip2`, that depends on this crate alone:
//!
//! ```no_run
//! use dozo_sdk::prelude::*;
//!
//! /// What the operator writes into `[job.NAME.config]`. Doc comments become the schema's descriptions.
//! #[derive(Deserialize, JsonSchema)]
//! struct Config {
//!     /// Whom to greet.
//!     name: String,
//! }
//!
//! struct Greeting;
//!
//! impl Source for Greeting {
//!     type Config = Config;
//!     const INFO: Info = Info { name: "greeting", version: "0.1.0", summary: "backs up a greeting" };
//!
//!     async fn backup(config: Config, backup: Backup) -> Result<()> {
//!         backup.identify(&config.name)?;
//!         let mut writer = backup.file("greeting.txt").create();
//!         writeln!(writer, "hello, {}", config.name)?;
//!         writer.finish()?;
//!         Ok(())
//!     }
//! }
//!
//! dozo_sdk::export!(Greeting);
//! ```
//!
//! A notifier tells people what happened:
//!
//! ```no_run
//! use dozo_sdk::prelude::*;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Config {}
//!
//! struct Journal;
//!
//! impl Notifier for Journal {
//!     type Config = Config;
//!     const INFO: Info = Info { name: "journal", version: "0.1.0", summary: "tells the host's log" };
//!
//!     async fn notify(_: Config, event: Event) -> Result<()> {
//!         dozo_sdk::log::warn(format!("{}: {}", event.kind.word(), event.summary));
//!         for (path, why) in event.report.omitted.iter().take(5) {
//!             dozo_sdk::log::warn(format!("not backed up: /{path}: {why}"));
//!         }
//!         Ok(())
//!     }
//! }
//!
//! dozo_sdk::export_notifier!(Journal);
//! ```

extern crate self as dozo_sdk;

mod backup;
#[cfg(not(target_family = "wasm"))]
#[doc(hidden)]
pub mod conformance;
mod content;
mod error;
mod escape;
mod event;
mod glue;
pub mod http;
mod left_out;
pub mod log;
mod measure;
mod needs;
pub mod net;
pub mod program;
mod report;
mod restore;
mod secret;
pub mod tree;
pub mod words;
mod writer;

#[doc(hidden)]
pub use wit_bindgen;

/// The contract, as generated. The rest of this crate is what to use.
#[doc(hidden)]
#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit/v0.1",
        world: "source-plugin",
        generate_all,
        additional_derives: [PartialEq],
        additional_derives_ignore: [
            "content-entry", "new-entry", "place", "body", "request", "response",
        ],
        pub_export_macro: true,
        export_macro_name: "__export_source",
        default_bindings_module: "dozo_sdk::bindings",
        runtime_path: "dozo_sdk::wit_bindgen::rt",
    });
}

/// The same for notifiers: what both worlds share is generated once.
#[doc(hidden)]
#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
pub mod notifier_bindings {
    wit_bindgen::generate!({
        path: "../wit/v0.1",
        world: "notifier-plugin",
        with: {
            "dozo:plugin/types@0.1.0": crate::bindings::dozo::plugin::types,
            "dozo:plugin/log@0.1.0": crate::bindings::dozo::plugin::log,
            "dozo:plugin/contents@0.1.0": crate::bindings::dozo::plugin::contents,
            "dozo:plugin/net@0.1.0": crate::bindings::dozo::plugin::net,
            "dozo:plugin/http@0.1.0": crate::bindings::dozo::plugin::http,
        },
        pub_export_macro: true,
        export_macro_name: "__export_notifier",
        default_bindings_module: "dozo_sdk::notifier_bindings",
        runtime_path: "dozo_sdk::wit_bindgen::rt",
    });
}

pub use backup::{Backup, EntryBuilder, Probe};
pub use bindings::dozo::plugin::contents::Content;
pub use bindings::dozo::plugin::snapshot::{ContentEntry, SmallEntry};
pub use bindings::dozo::plugin::source_types::{Conflict, Moment, Scope, ScratchServer};
pub use bindings::dozo::plugin::types::{Chunking, Entry, Error, Kind, Needs, Posix, ProgramNeed, Timestamp};
pub use escape::{escape, unescape};
pub use event::{Event, EventKind};
#[doc(hidden)]
pub use glue::{Glue, NotifierGlue};
pub use left_out::LeftOut;
pub use measure::{Measure, Part};
pub use report::{Failure, PluginStamp, Report};
pub use restore::Restore;
pub use secret::Secret;
pub use writer::{Sink, Writer};

/// The result of nearly everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who a plugin is.
pub struct Info {
    /// The name that configurations use: letters, digits, `-._+`, at most 64.
    pub name: &'static str,
    /// Its version, of the same letters.
    pub version: &'static str,
    /// One sentence.
    pub summary: &'static str,
}

/// A source of data. Only [`INFO`](Source::INFO) and [`backup`](Source::backup) are required.
///
/// Every function begins with a fresh instance: nothing is kept between calls but what the snapshot keeps.
#[allow(async_fn_in_trait, reason = "plugins are single-threaded: their futures need not be Send")]
pub trait Source: 'static {
    /// What the operator configures. Its JSON Schema is published from the type.
    type Config: serde::de::DeserializeOwned + schemars::JsonSchema + 'static;
    /// Who it is.
    const INFO: Info;

    /// What this configuration needs of the host.
    fn needs(_config: &Self::Config) -> Result<Needs> {
        Ok(Needs::default())
    }

    /// Reachable, privileged enough, configured rightly? Changes nothing. Returns facts by name.
    async fn check(_config: Self::Config) -> Result<Vec<(String, String)>> {
        Ok(vec![])
    }

    /// Reads the source. Whatever is begun must be finished or omitted; returning `Ok` is the word that it was all.
    async fn backup(config: Self::Config, backup: Backup) -> Result<()>;

    /// The snapshot is durable: the source may forget. Idempotent.
    async fn committed(_config: Self::Config, _attributes: Vec<(String, String)>) -> Result<()> {
        Ok(())
    }

    /// The run failed: remove what was left at the source.
    async fn abandoned(_config: Self::Config) -> Result<()> {
        Ok(())
    }

    /// How to start a throw-away server on a restored directory, if the source is one.
    async fn scratch(_config: Self::Config, _directory: String) -> Result<Option<ScratchServer>> {
        Ok(None)
    }

    /// Whether a snapshot with these attributes can be recovered to this moment: none if it can, else what it can be
    /// recovered to, in words. Asks nobody: the source may be gone.
    async fn covers(_attributes: Vec<(String, String)>, at: Moment) -> Result<Option<String>> {
        match at {
            Moment::Latest => Ok(None),
            _ => Err(Error::Unsupported(format!("{} cannot recover to a moment within a snapshot", Self::INFO.name))),
        }
    }

    /// Puts a snapshot into the granted directories ([`tree::granted`]), and nowhere else: nothing of the job's is there, no
    /// configuration, no secret, no network, because the machine may know nothing of the job. What a restore needs to know
    /// stands in the snapshot's attributes, or is an option of the operator's.
    async fn restore_to_directory(_restore: Restore) -> Result<()> {
        Err(Error::Unsupported(format!(
            "{} does not restore into a directory; hint: name a target of the job that is a service, \
             `[job.NAME.target.NAME]`; `dozo cat` reads single entries",
            Self::INFO.name
        )))
    }

    /// Puts a snapshot into a service, with the configuration of a target that the operator named for this: never the job's
    /// own.
    async fn restore_to_service(_config: Self::Config, _restore: Restore) -> Result<()> {
        Err(Error::Unsupported(format!(
            "{} does not restore into a service; hint: name a directory, `--to ./DIR`",
            Self::INFO.name
        )))
    }

    /// Asks the source a question in its own language. Read-only.
    async fn probe(_config: Self::Config, _question: String) -> Result<String> {
        Err(Error::Unsupported(format!("{} answers no questions", Self::INFO.name)))
    }
}

/// Tells people what happened. Only [`INFO`](Notifier::INFO) and [`notify`](Notifier::notify) are required.
///
/// Every call is a fresh instance with about two minutes to live.
#[allow(async_fn_in_trait, reason = "plugins are single-threaded: their futures need not be Send")]
pub trait Notifier: 'static {
    /// What the operator configures in `[notify.NAME.config]`. Its JSON Schema is published from the type.
    type Config: serde::de::DeserializeOwned + schemars::JsonSchema + 'static;
    /// Who it is.
    const INFO: Info;

    /// What this configuration needs of the host. Secrets are not at hand everywhere: what is needed must not depend on
    /// them.
    fn needs(_config: &Self::Config) -> Result<Needs> {
        Ok(Needs::default())
    }

    /// Reachable, credentials right? Tells nobody anything. Returns facts by name.
    async fn check(_config: Self::Config) -> Result<Vec<(String, String)>> {
        Ok(vec![])
    }

    /// Tells it, once.
    ///
    /// # Errors
    /// [`Error::Unavailable`] has the host try again, some seconds apart and not for ever; a service that says how long to
    /// wait is best waited for here, up to a minute ([`std::thread::sleep`]).
    async fn notify(config: Self::Config, event: Event) -> Result<()>;
}

/// Makes a type that implements [`Source`] the component's export.
#[macro_export]
macro_rules! export {
    ($source:ty) => {
        const _: () = {
            type DozoGlue = $crate::Glue<$source>;
    $crate::bindings::__export_source!(DozoGlue with_types_in $crate::bindings);
        };
    };
}

/// Makes a type that implements [`Notifier`] the component's export. A component can be a source too.
#[macro_export]
macro_rules! export_notifier {
    ($notifier:ty) => {
        const _: () = {
            type DozoNotifierGlue = $crate::NotifierGlue<$notifier>;
    $crate::notifier_bindings::__export_notifier!(DozoNotifierGlue with_types_in $crate::notifier_bindings);
        };
    };
}

/// All that most plugins need.
pub mod prelude {
    pub use std::io::Write as _;

    pub use schemars::JsonSchema;
    pub use serde::Deserialize;

    pub use crate::{
        Backup, Chunking, Content, Entry, Error, Event, EventKind, Info, Kind, Moment, Needs, Notifier, Restore,
        Result, Scope, Secret, Source, Writer,
    };
}

/// What docs/PLUGINS.md shows is compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/PLUGINS.md")]
mod the_plugins_of_the_documents {}

#[doc(hidden)]
pub use schemars;
#[doc(hidden)]
pub use serde;
