//! Connecting: what one call of a plugin may reach, its pinned addresses, its count of connections. Every connection, of `net`
//! and of `http`, is made here.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use dozo_job::{Error, Kind, Result};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;

use super::address::plain;
use super::places::{Place, Places};
use super::proxy::Via;
use super::resolve::Pins;
use super::target::{Endpoint, Host};
use super::tunnel::tunnel;
use super::{Network, tls};
use crate::limits::{CONNECT_TRY_MIN, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES, Limits, REFUSALS_TOLD};
use crate::state::Names;

/// A connection's bytes, both ways.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection, of whatever kind.
pub(super) type Socket = Box<dyn Io>;

/// The network as one call of a plugin has it.
#[derive(Clone)]
pub(crate) struct Session(Arc<Inner>);

struct Inner {
    network: Network,
    pins: Pins,
    places: Places,
    told: Mutex<HashSet<String>>,
    names: Arc<Names>,
    limits: Limits,
    ended: CancellationToken,
}

impl Session {
    pub(crate) fn new(network: Network, limits: Limits, names: Arc<Names>) -> Self {
        let (pins, told, ended) = (network.pins(), Mutex::default(), CancellationToken::new());
        let places = Places::new("connections", limits.idle, ended.clone());
        Session(Arc::new(Inner { network, pins, places, told, names, limits, ended }))
    }

    /// Tells, when it is cancelled, everybody who still moves bytes that the call is over.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.0.ended.clone()
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Connects to what the plugin asks for, as soon as it may have one more connection.
    ///
    /// # Errors
    /// [`NotGranted`](Kind::NotGranted), with the line to add; [`Unavailable`](Kind::Unavailable) if nobody answers in time.
    pub(super) async fn dial(&self, endpoint: &Endpoint) -> Result<Socket> {
        let grant = self.told(self.0.network.grant(endpoint).map_err(Error::from))?;
        let place = self.0.places.take().await?;
        let connect = async {
            match endpoint {
                Endpoint::Tcp(host, port) => match self.0.network.via(grant, endpoint) {
                    Some(proxy) => self.through(&proxy, host, *port, endpoint).await,
                    None => self.tcp(host, *port).await,
                },
                Endpoint::Unix(path) => {
                    Ok(Box::new(UnixStream::connect(path).await.map_err(|e| failed(&e))?) as Socket)
                }
            }
        };
        let (allowed, what) = (self.0.limits.connect, format!("connect to {endpoint}"));
        match tokio::time::timeout(allowed, connect).await {
            Ok(Ok(socket)) => Ok(Box::new(Placed(socket, place))),
            Ok(Err(e)) => Err(if e.kind() == Kind::NotGranted { e } else { e.context(what) }),
            Err(_) => Err(Error::unavailable(format!("{what}: nobody answered within {allowed:?}"))),
        }
    }

    /// Tries one address after the other; each is judged right before it is connected to.
    async fn tcp(&self, host: &Host, port: u16) -> Result<Socket> {
        let addresses = self.0.pins.addresses(host, port).await?;
        let share = self.0.limits.connect / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut failure = Error::unavailable("there is no address to connect to");
        for (number, address) in addresses.iter().enumerate() {
            let tried = async {
                self.told(self.0.network.judge(host, *address).map_err(Error::from))?;
                let late = Error::unavailable("nobody answered");
                let connect = async { TcpStream::connect(*address).await.map_err(|e| failed(&e)) };
                let connected = tokio::time::timeout(share.max(CONNECT_TRY_MIN), connect).await.unwrap_or(Err(late));
                connected.map_err(|e| e.context(address.to_string()))
            };
            match tried.await {
                Ok(stream) => return Ok(ready(stream)),
                // That an address was refused says more than that another did not answer.
                Err(error) if number == 0 || error.kind() == Kind::NotGranted => failure = error,
                Err(_) => {}
            }
        }
        Err(failure)
    }

    /// Has a proxy connect. Where a name leads is for the proxy to find out, and so is whether it may; an address is judged as
    /// ever. The proxy itself is the operator's word, and not judged.
    async fn through(&self, proxy: &Via, host: &Host, port: u16, endpoint: &Endpoint) -> Result<Socket> {
        if let Host::Address(address) = host {
            self.told(self.0.network.judge(host, (*address, port).into()).map_err(Error::from))?;
        }
        let connect = async {
            let stream = TcpStream::connect((proxy.host.to_string(), proxy.port)).await.map_err(|e| failed(&e))?;
            let socket = match proxy.is_tls {
                true => tls::secure(self.0.network.system_tls()?, &proxy.host.to_string(), ready(stream)).await?.0,
                false => ready(stream),
            };
            tunnel(socket, endpoint, proxy.login.as_ref()).await
        };
        connect.await.map_err(|e| e.context(format!("through the proxy {proxy}")))
    }

    /// Speaks TLS to a server of that name over a connection that was made for `asked`.
    ///
    /// # Errors
    /// [`NotGranted`](Kind::NotGranted) if it is neither the name that the plugin asked for nor granted itself.
    pub(super) async fn secure(
        &self,
        (asked, port): (&Host, u16),
        name: &str,
        socket: Socket,
    ) -> Result<(Socket, Vec<u8>)> {
        let host = Host::parse(name).ok_or_else(|| Error::invalid(format!("`{name}` is no server's name")))?;
        let of = Endpoint::Tcp(host.clone(), port);
        let grant = self.told(self.0.network.grant(&of).map_err(Error::from))?;
        let config = self.0.network.tls(grant)?;
        let allowed = self.0.limits.connect;
        let late = |_| Error::unavailable(format!("{asked}:{port} did not answer in TLS within {allowed:?}"));
        tokio::time::timeout(allowed, tls::secure(config, &host.to_string(), socket)).await.map_err(late)?
    }

    /// Whether a socket of the plugin's own standard library may connect to an address: one that a granted name led to in this
    /// call, or that is granted itself.
    pub(crate) fn admits_socket(&self, address: SocketAddr) -> bool {
        let network = &self.0.network;
        let judged = |host: &Host| {
            network.grant(&Endpoint::Tcp(host.clone(), address.port()))?;
            network.judge(host, address)
        };
        let leads = |addresses: &[SocketAddr]| addresses.iter().any(|pinned| plain(pinned.ip()) == plain(address.ip()));
        let mut verdict = judged(&Host::Address(plain(address.ip())));
        for (host, _) in self.0.pins.pinned().iter().filter(|(_, addresses)| leads(addresses)) {
            if verdict.is_err() {
                verdict = judged(host);
            }
        }
        // WASI has no words for it: the plugin is told "permission denied", the operator gets the line.
        self.told(verdict.map_err(Error::from)).is_ok()
    }

    /// The addresses of a name, for the plugin's own standard library; none unless it is granted for some port.
    pub(crate) async fn addresses(&self, host: &Host) -> Result<Arc<[SocketAddr]>> {
        self.told(self.0.network.names(host).map_err(Error::from))?;
        let resolved = self.0.pins.addresses(host, 0);
        let late = |_| Error::unavailable(format!("there was no address for {host} in time"));
        tokio::time::timeout(self.0.limits.connect, resolved).await.map_err(late)?
    }

    /// Notes a refusal in the log, once: what the plugin makes of its error the operator may never see.
    fn told<T>(&self, judged: Result<T>) -> Result<T> {
        let refused = |error: &Error| {
            let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() < REFUSALS_TOLD && told.insert(error.to_string()) {
                let Names { job, plugin } = &*self.0.names;
                let hint = error.hint().unwrap_or_default();
                tracing::warn!(target: "plugin", %job, %plugin, "refused: {error}; to allow it: {hint}");
            }
        };
        judged.inspect_err(refused)
    }
}

fn failed(error: &std::io::Error) -> Error {
    let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
    Error::new(if denied { Kind::Denied } else { Kind::Unavailable }, error.to_string())
}

fn ready(stream: TcpStream) -> Socket {
    // Small messages must not wait for each other; where that cannot be said, they are only slower.
    let _ = stream.set_nodelay(true);
    keep_alive(&stream);
    Box::new(stream)
}

/// A connection on which nothing is said still sends a packet now and then: firewalls forget what is quiet, and a peer that is gone is
/// noticed. Where that cannot be said, it is as it was.
fn keep_alive(stream: &TcpStream) {
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_RETRIES);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

/// A connection that counts for as long as it is open.
struct Placed(Socket, #[allow(dead_code, reason = "held, not read")] Place);

impl AsyncRead for Placed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
