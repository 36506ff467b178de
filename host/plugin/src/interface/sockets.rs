//! What a plugin's own standard library gets of the network (`wasi:sockets`): TCP, outwards, to the addresses that granted
//! names lead to. Names are resolved by the host, once, as everywhere else; WASI's own resolver is not linked.

use std::net::IpAddr;

use tokio::task::JoinHandle;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, HostResolveAddressStream, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketError};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsView};

use crate::interface::Host;
use crate::network::{Host as HostName, Session};
use crate::state::State;

/// Puts the host's resolver in the place of WASI's.
pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    ip_name_lookup::add_to_linker::<_, Host>(linker, |state| state)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Lets sockets connect where the session admits it, and do nothing else: no listening, no UDP.
pub(crate) fn admit(builder: &mut WasiCtxBuilder, session: Session) -> &mut WasiCtxBuilder {
    builder.allow_tcp(true).allow_udp(false).allow_ip_name_lookup(false).socket_addr_check(move |address, used| {
        let admitted = match used {
            SocketAddrUse::TcpConnect => session.admits_socket(address),
            // What every connection begins with.
            SocketAddrUse::TcpBind => address.ip().is_unspecified() && address.port() == 0,
            _ => false,
        };
        Box::pin(std::future::ready(admitted))
    })
}

/// A name that is being resolved. It lies in the table in the place of WASI's own stream, whose handle stands for it.
enum Lookup {
    Asking(JoinHandle<dozo_job::Result<Vec<IpAddr>>>),
    Found(std::vec::IntoIter<IpAddr>),
    Failed(ErrorCode),
}

#[async_trait::async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        let Lookup::Asking(asking) = self else { return };
        *self = match asking.await {
            Ok(Ok(found)) => Lookup::Found(found.into_iter()),
            Ok(Err(error)) if error.kind() == dozo_job::Kind::NotGranted => Lookup::Failed(ErrorCode::AccessDenied),
            _ => Lookup::Failed(ErrorCode::NameUnresolvable),
        };
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        if let Lookup::Asking(asking) = self {
            asking.abort();
        }
    }
}

impl ip_name_lookup::Host for State {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<ResolveAddressStream>, SocketError> {
        self.table.get(&network)?;
        let _busy = self.life.enter();
        let host = HostName::parse(&name).ok_or(ErrorCode::InvalidArgument)?;
        let session = self.network.clone();
        let asking = tokio::spawn(async move {
            let found = session.addresses(&host).await?;
            Ok(found.iter().map(std::net::SocketAddr::ip).collect())
        });
        let lookup = self.table.push(Lookup::Asking(asking))?;
        Ok(Resource::new_own(lookup.rep()))
    }
}

fn lookup(stream: &Resource<ResolveAddressStream>) -> Resource<Lookup> {
    Resource::new_own(stream.rep())
}

impl HostResolveAddressStream for State {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        match self.table.get_mut(&lookup(&stream))? {
            Lookup::Asking(_) => Err(ErrorCode::WouldBlock.into()),
            Lookup::Found(found) => Ok(found.next().map(Into::into)),
            Lookup::Failed(code) => Err((*code).into()),
        }
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        wasmtime_wasi::p2::subscribe(&mut self.table, lookup(&stream))
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table.delete(lookup(&stream))?;
        Ok(())
    }
}

/// The bindings want the errors of `network` translated by whoever implements the lookup; WASI does it.
impl network::Host for State {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        network::Host::convert_error_code(&mut self.sockets(), error)
    }

    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.sockets(), error)
    }
}

impl network::HostNetwork for State {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.sockets(), network)
    }
}
