//! Real servers on this machine, and what a session does with them.

mod binding;
mod exact;
mod http;
mod judging;
mod net;
mod proxied;
mod secure;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dozo_job::port::Content;
use dozo_job::{Error, Result};
use tokio::net::{TcpListener, TcpStream};

use super::{Network, NetworkGrant, Resolve, Session};
use crate::limits::Limits;
use crate::state::Names;

/// Grants of targets alone.
fn network(targets: &[&str]) -> Network {
    let grant = |target: &&str| NetworkGrant { target: (*target).into(), ..NetworkGrant::default() };
    Network::new(targets.iter().map(grant).collect()).unwrap()
}

fn session(network: Network) -> Session {
    session_within(network, Limits::default())
}

fn session_within(network: Network, limits: Limits) -> Session {
    Session::new(network, limits, Arc::new(Names { job: "test".into(), plugin: "test".into() }))
}

/// Deadlines that a test can wait for.
fn impatient() -> Limits {
    Limits { connect: Duration::from_millis(300), idle: Duration::from_millis(300), ..Limits::default() }
}

/// A resolver that knows what it was told, and gives the answers in turn.
#[derive(Default)]
struct Answers {
    known: HashMap<String, Vec<Vec<SocketAddr>>>,
    asked: AtomicUsize,
    trusted: bool,
}

impl Answers {
    fn new(known: &[(&str, &[&[SocketAddr]])]) -> Arc<Self> {
        let turns = |turns: &[&[SocketAddr]]| turns.iter().map(|turn| turn.to_vec()).collect();
        let known = known.iter().map(|(name, answers)| ((*name).into(), turns(answers))).collect();
        Arc::new(Answers { known, ..Answers::default() })
    }
}

#[async_trait]
impl Resolve for Answers {
    async fn resolve(&self, host: &str, _: u16) -> Result<Vec<SocketAddr>> {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        let turns = self.known.get(host).ok_or_else(|| Error::unavailable(format!("nobody knows {host}")))?;
        Ok(turns[turn.min(turns.len() - 1)].clone())
    }

    fn trusted(&self) -> bool {
        self.trusted
    }
}

/// A server that does the same with every connection.
async fn server<F: Future<Output = ()> + Send>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let serve = serve.clone();
            tokio::spawn(async move { serve(stream).await });
        }
    });
    address
}

/// All of a content, as the host reads it: on a thread that may block.
async fn read_all(mut content: Content) -> Result<Vec<u8>> {
    let read = move || {
        let mut all = Vec::new();
        std::io::Read::read_to_end(&mut content, &mut all).map(|_| all).map_err(|e| Error::io("read", e))
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}
