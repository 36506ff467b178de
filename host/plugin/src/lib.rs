//! WebAssembly components as sources: the only crate that knows wasmtime. Implements the ports of `dozo-job`; knows no
//! repository, no configuration file, no terminal.
//!
//! [`Plugins`] loads a [`Plugin`]; with a [`Permit`] it is a source. A call is a store of its own in a task of its own,
//! watched from outside, and dropped with all its handles as soon as it ends, however it ends.

mod bindings;
mod cache;
mod convert;
mod engine;
mod exports;
mod handles;
mod interface;
mod limits;
mod network;
mod plugin;
mod program;
mod redact;
mod source;
mod state;
mod stderr;
mod tree;
mod watchdog;

pub use engine::Plugins;
pub use limits::Limits;
pub use network::{Network, NetworkGrant};
pub use plugin::{Permit, Plugin, died};
pub use program::{ProgramGrant, Programs};
pub use redact::Secrets;
pub use source::WasmSource;
pub use state::Grants;
pub use tree::{Access, Directory};
