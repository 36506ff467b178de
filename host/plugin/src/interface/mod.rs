//! The host's side of the contract, one file for each interface. They translate and count; what they do is done by the
//! ports of `job` and by [`crate::tree`].

mod batch;
mod contents;
mod http;
mod log;
mod net;
mod program;
mod snapshot;
pub(crate) mod sockets;
mod stored;
mod streaming;
mod tree;

use wasmtime::component::{HasData, Linker};

use crate::bindings::dozo::plugin as wit;
use crate::state::State;

/// How bindings find the state in the store.
pub(crate) struct Host;

impl HasData for Host {
    type Data<'a> = &'a mut State;
}

impl wit::types::Host for State {}
impl wit::source_types::Host for State {}

/// Links every interface for every plugin, whatever was granted: languages import whole worlds, and what is not granted
/// is told when it is used.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    sockets::link(linker)?;
    wit::types::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::contents::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::log::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::snapshot::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::stored::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::tree::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::program::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::net::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::http::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::streaming::add_to_linker::<_, Host>(linker, |state| state)?;
    wit::source_types::add_to_linker::<_, Host>(linker, |state| state)?;
    Ok(())
}

/// The answer of a call that has an error of ours.
pub(crate) fn told<T>(result: dozo_job::Result<T>) -> wasmtime::Result<Result<T, wit::types::Error>> {
    Ok(result.map_err(|error| State::told(&error)))
}

/// Runs what blocks on a thread for that. A panic there is the host's own and fails the run.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> wasmtime::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| wasmtime::format_err!("a thread of the host ended early: {e}"))
}
