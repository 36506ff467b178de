//! The line between a plugin and its servers, with faults: every name that the plugin may ask for leads to a proxy on loopback
//! that carries the bytes to the real server, refuses, cuts or stalls.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dozo_job::{Error, Result};
use dozo_plugin::Resolve;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Bytes carried at once.
const PIECE_BYTES: usize = 16 << 10;

/// What becomes of the bytes that servers send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LinePlan {
    /// They arrive.
    Carry,
    /// Nobody listens.
    Refuse,
    /// So many arrive, of all connections together, then every connection is reset.
    CutAfter(u64),
    /// So many arrive, then nothing more moves.
    StallAfter(u64),
}

/// A resolver whose every answer is a proxy of its own making. Dropped, it ends them.
pub(crate) struct Line {
    plan: LinePlan,
    carried: Arc<AtomicU64>,
    proxies: Mutex<HashMap<(String, u16), SocketAddr>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Line {
    pub(crate) fn new(plan: LinePlan) -> Arc<Self> {
        Arc::new(Line { plan, carried: Arc::default(), proxies: Mutex::default(), tasks: Mutex::default() })
    }

    /// Bytes that came from servers, as far as they were carried.
    pub(crate) fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Resolve for Line {
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>> {
        let key = (host.to_string(), port);
        let known = self.proxies.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if let Some(known) = known {
            return Ok(vec![known]);
        }
        let failed = |e| Error::io("put a proxy before the plugin's server", e);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        // A listener that is dropped leaves a port that refuses.
        if !matches!(self.plan, LinePlan::Refuse) {
            let accept = accept(listener, key.clone(), self.plan, self.carried.clone());
            self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(accept);
        }
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner).insert(key, address);
        Ok(vec![address])
    }

    fn trusted(&self) -> bool {
        true
    }
}

async fn accept(listener: TcpListener, server: (String, u16), plan: LinePlan, carried: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(carry(client, server.clone(), plan, carried.clone()));
    }
}

/// Carries one connection. What the kit's own machine does to it ends it, as a network would.
async fn carry(client: TcpStream, server: (String, u16), plan: LinePlan, carried: Arc<AtomicU64>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    // A connection that is dropped with this set is reset: nobody can take that for an orderly end.
    let reset = matches!(plan, LinePlan::CutAfter(_)) && client.set_zero_linger().is_ok();
    let ((client_reads, client_writes), (server_reads, server_writes)) = (client.into_split(), server.into_split());
    let there = async {
        if !copy(client_reads, server_writes, (LinePlan::Carry, &AtomicU64::new(0))).await {
            std::future::pending::<()>().await;
        }
    };
    let back = copy(server_reads, client_writes, (plan, &carried));
    if reset {
        // Whatever the client still wants to send: the end of the answer ends it.
        tokio::select! { () = there => {}, _ = back => {} }
    } else {
        tokio::join!(there, back);
    }
}

/// Copies until the end; returns whether it came to one.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, (plan, carried): (LinePlan, &AtomicU64)) -> bool {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let before = carried.load(Ordering::Relaxed);
        let room = match plan {
            LinePlan::CutAfter(bytes) | LinePlan::StallAfter(bytes) => bytes.saturating_sub(before),
            LinePlan::Carry | LinePlan::Refuse => u64::MAX,
        };
        match (room, plan) {
            (0, LinePlan::StallAfter(_)) => std::future::pending::<()>().await,
            (0, _) => return false,
            _ => {}
        }
        let most = usize::try_from(room).unwrap_or(usize::MAX).min(PIECE_BYTES);
        match from.read(&mut piece[..most]).await {
            Ok(0) => {
                let _ = to.shutdown().await;
                return true;
            }
            Ok(read) => {
                if to.write_all(&piece[..read]).await.is_err() {
                    return false;
                }
                carried.fetch_add(read as u64, Ordering::Relaxed);
            }
            Err(_) => return false,
        }
    }
}
