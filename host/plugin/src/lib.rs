//! WebAssembly components as sources and notifiers: the only crate that knows wasmtime. Implements the ports of `dozo-job`; knows no
//! repository, no configuration file, no terminal.
//!
//! [`Plugins`] loads a [`Plugin`]; with a [`Permit`] it is a source, or a notifier. A call is a store of its own in a task of its own,
//! watched from outside, and dropped with all its handles as soon as it ends, however it ends.

mod bindings;
mod cache;
mod component;
mod convert;
mod engine;
mod exports;
mod handles;
mod interface;
mod limits;
mod machine;
mod network;
mod notifier;
mod plugin;
mod program;
mod quoted;
mod redact;
pub mod schema;
mod source;
mod state;
mod stderr;
mod tree;
mod unfinished;
mod watchdog;

pub use component::ComponentBytes;
pub use engine::Plugins;
pub use limits::Limits;
pub use network::{Network, NetworkGrant, Proxy, Resolve};
pub use notifier::WasmNotifier;
pub use plugin::{Permit, Plugin, PluginKind, died};
pub use program::{ProgramGrant, Programs, launched};
pub use redact::Secrets;
pub use source::WasmSource;
pub use state::Grants;
pub use tree::{Access, Action, Directory, MadeDirectories, Planned, Planner, Reached, Rooms};
