//! A real component that reaches out to real servers: what is refused and how, what comes through, and that a live connection
//! stays alive beside a full pipeline. `cargo xtask test` builds the component.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, and say why")]

mod deadlines;
mod hostile;
mod intake;
mod live;
mod through;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dozo_job::Result;
use dozo_job::port::{BackupRequest, Scope, Source};
use dozo_plugin::{Grants, Limits, Network, NetworkGrant, Permit, Plugins};
use tokio::net::{TcpListener, TcpStream};

use intake::Memory;

/// The directory of the tests' own components.
fn guests() -> PathBuf {
    let named = std::env::var_os("DOZO_TEST_GUESTS").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests"))
}

/// Grants of targets alone.
fn network(targets: &[&str]) -> Network {
    let grant = |target: &&str| NetworkGrant { target: (*target).into(), ..NetworkGrant::default() };
    Network::new(targets.iter().map(grant).collect()).unwrap()
}

/// One backup of the guest.
struct Call {
    act: &'static str,
    to: String,
    bytes: u64,
    network: Network,
    limits: Limits,
}

impl Call {
    fn new(act: &'static str, to: impl Into<String>, grants: &[&str]) -> Self {
        Call { act, to: to.into(), bytes: 0, network: network(grants), limits: Limits::default() }
    }

    async fn run(self, intake: &Arc<Memory>) -> Result<()> {
        let guests = guests();
        let plugin = Plugins::new(guests.join("cache"))?.load(&guests.join("reach.wasm")).await?;
        let grants = Grants { network: self.network, ..Grants::default() };
        let permit = Permit { job: "test".into(), grants, limits: self.limits, ..Permit::default() };
        let config = serde_json::json!({ "act": self.act, "to": self.to, "bytes": self.bytes }).to_string();
        let request = BackupRequest { config, scope: Scope::Full, probes: vec![] };
        plugin.source(permit)?.backup(request, intake.clone()).await.map(|_| ())
    }

    /// What the guest got, or why not.
    async fn said(self) -> Result<String> {
        let intake = Arc::new(Memory::default());
        self.run(&intake).await?;
        Ok(String::from_utf8(intake.content("said").unwrap()).unwrap())
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
