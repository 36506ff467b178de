//! Bytes of a server on this machine, through a plugin's connection and a plugin's HTTP into a sink that counts, and read by a
//! socket of this program's own. The server is this program too, in another process.

mod sink;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use dozo_job::Source;
use dozo_job::port::{BackupRequest, Scope};
use dozo_plugin::{Grants, Network, NetworkGrant, Permit, Plugins};

use crate::say;
use sink::Sink;

/// Bytes of one write and one read: what facts of sockets on this machine say is enough.
const PIECE: usize = 256 << 10;

/// Who takes the bytes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// A plugin's connection, handed on
    NetHandOn,
    /// A plugin's connection, read by the plugin
    NetRead,
    /// The body of a plugin's request, handed on
    HttpHandOn,
    /// The body of a plugin's request, read by the plugin
    HttpRead,
    /// A socket, no plugin
    Socket,
}

/// Take the bytes of a server
#[derive(Args)]
pub(crate) struct Net {
    #[arg(long)]
    way: Way,
    /// The server's address, for connections or for HTTP
    #[arg(long)]
    to: String,
    #[arg(long)]
    bytes: u64,
    /// The tests' guest that reaches out
    #[arg(long)]
    guest: PathBuf,
    /// Where compiled components are kept
    #[arg(long)]
    cache: PathBuf,
}

pub(crate) async fn take(net: &Net) -> Result<()> {
    let counted = match net.way {
        Way::Socket => socket(&net.to)?,
        way => plugin(net, way).await?,
    };
    ensure!(counted == net.bytes, "{counted} bytes came, not {}", net.bytes);
    say(format!("bytes={counted}"));
    Ok(())
}

fn socket(to: &str) -> Result<u64> {
    let (mut stream, mut buffer, mut total) = (TcpStream::connect(to)?, vec![0; PIECE], 0);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(total),
            read => total += read as u64,
        }
    }
}

async fn plugin(net: &Net, way: Way) -> Result<u64> {
    let (act, to) = match way {
        Way::NetHandOn => ("net-hand-on", format!("tcp://{}", net.to)),
        Way::NetRead => ("net-count", format!("tcp://{}", net.to)),
        Way::HttpHandOn => ("http-get", format!("http://{}/", net.to)),
        Way::HttpRead | Way::Socket => ("http-count", format!("http://{}/", net.to)),
    };
    let plugin = Plugins::new(net.cache.clone())?.load(&net.guest).await?;
    let grant = NetworkGrant { target: net.to.clone(), ..NetworkGrant::default() };
    let grants = Grants { network: Network::new(vec![grant])?, ..Grants::default() };
    let source = plugin.source(Permit { job: "bench".into(), grants, ..Permit::default() })?;
    let config = serde_json::json!({ "act": act, "to": to, "bytes": net.bytes }).to_string();
    let sink = Arc::new(Sink::default());
    source.backup(BackupRequest { config, scope: Scope::Full, probes: vec![] }, sink.clone()).await?;
    // A guest that reads by itself says how much it was.
    Ok(sink.said().unwrap_or_else(|| sink.counted()))
}

/// Serve bytes to everybody who connects, until standard input ends
#[derive(Args)]
pub(crate) struct Serve {
    #[arg(long)]
    bytes: u64,
}

/// Prints the two addresses, then serves.
pub(crate) fn serve(serve: &Serve) -> Result<()> {
    let (net, http) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    say(format!("net={} http={}", net.local_addr()?, http.local_addr()?));
    let bytes = serve.bytes;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {bytes}\r\n\r\n");
    for (listener, head) in [(net, None), (http, Some(head))] {
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let head = head.clone();
                // Whoever hangs up early is measured wrongly, and says so.
                std::thread::spawn(move || answer(stream, head.as_deref(), bytes));
            }
        });
    }
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).context("wait for the end")?;
    Ok(())
}

fn answer(mut stream: TcpStream, head: Option<&str>, bytes: u64) -> std::io::Result<()> {
    if let Some(head) = head {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            request.push(byte[0]);
        }
        stream.write_all(head.as_bytes())?;
    }
    let piece = vec![0x5a; PIECE];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(PIECE as u64);
        stream.write_all(&piece[..now as usize])?;
        left -= now;
    }
    Ok(())
}
