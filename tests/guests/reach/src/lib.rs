//! A plugin that reaches out, in every way there is: each `act` is one. The tests stand in host/plugin/tests/reach, and
//! `cargo xtask bench net` measures with it.

mod live;
mod wire;

use std::io::{Read, Write};

use dozo_sdk::http::Request;
use dozo_sdk::net::Connection;
use dozo_sdk::prelude::*;

/// What to do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The name of an act.
    act: String,
    /// Where to: `tcp://HOST:PORT`, `HOST:PORT`, a URL.
    to: String,
    /// How many bytes are expected.
    #[serde(default)]
    bytes: u64,
}

struct Reach;

impl Source for Reach {
    type Config = Config;
    const INFO: Info = Info { name: "reach", version: "0.1.0", summary: "reaches out on demand" };

    async fn backup(config: Config, backup: Backup) -> Result<()> {
        backup.identify("reach")?;
        let Config { act, to, bytes } = config;
        match act.as_str() {
            "net-read" => read(&Connection::connect(&to)?, &backup),
            "net-count" => count(Connection::connect(&to)?, &backup),
            "net-hand-on" => hand_on(Connection::connect(&to)?.receive(bytes)?, &backup),
            "net-to-http" => net_to_http(&to, bytes),
            "live" => live::live(&to, &backup).await,
            "http-get" => hand_on(Request::get(to).send()?.error_for_status()?.body, &backup),
            "http-count" => count(Request::get(to).send()?.error_for_status()?.body, &backup),
            "http-fetch" => hand_on(Request::get(to).fetch().await?.error_for_status()?.body, &backup),
            "http-in-part" => {
                let piece = Request::get(to).send()?.error_for_status()?.body.read(1 << 10)?;
                backup.file("said").write(&piece).map(|_| ())
            }
            "http-status" => match Request::get(to).send()?.status {
                200 => Ok(()),
                other => Err(Error::Unavailable(format!("it answers {other}"))),
            },
            "http-exact" => wire::exact(&to, &backup),
            "net-hold" => wire::hold(&to, bytes),
            "net-many" => wire::many(&to, bytes, &backup).await,
            "http-follow" => follow(&to, &backup),
            "std-read" => read(std::net::TcpStream::connect(&to)?, &backup),
            "std-others" => others(),
            other => Err(Error::Invalid(format!("`{other}` is no act"))),
        }
    }
}

/// All that comes, through the plugin's memory, into an entry.
fn read(mut from: impl Read, backup: &Backup) -> Result<()> {
    let mut writer = backup.file("said").create();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => break,
            read => writer.write_all(&buffer[..read])?,
        }
    }
    writer.finish().map(|_| ())
}

/// The same, and nothing is kept of it but how much it was.
fn count(mut from: impl Read, backup: &Backup) -> Result<()> {
    let (mut buffer, mut total) = (vec![0; 1 << 20], 0);
    loop {
        match from.read(&mut buffer)? {
            0 => break,
            read => total += read as u64,
        }
    }
    let mut writer = backup.file("said").create();
    write!(writer, "{total}")?;
    writer.finish().map(|_| ())
}

/// The same without a byte in the plugin.
fn hand_on(content: Content, backup: &Backup) -> Result<()> {
    backup.file("said").copy_from(content).map(|_| ())
}

/// What one server says, told to another: `tcp://A>http://B`.
fn net_to_http(to: &str, bytes: u64) -> Result<()> {
    let (from, to) = to.split_once('>').unwrap_or_default();
    let content = Connection::connect(from)?.receive(bytes)?;
    Request::put(to).content(content, Some(bytes)).send()?.error_for_status().map(|_| ())
}

/// Goes by hand where a redirect leads.
fn follow(url: &str, backup: &Backup) -> Result<()> {
    let response = Request::get(url).send()?;
    match response.header("location")? {
        Some(location) => hand_on(Request::get(location).send()?.error_for_status()?.body, backup),
        None => Err(Error::Internal(format!("no redirect, but {}", response.status))),
    }
}

/// All that sockets can do beside connecting must fail.
fn others() -> Result<()> {
    let mut got = Vec::new();
    for address in ["0.0.0.0:0", "127.0.0.1:0", "[::]:0"] {
        if std::net::UdpSocket::bind(address).is_ok() {
            got.push(format!("UDP at {address}"));
        }
        if std::net::TcpListener::bind(address).is_ok() {
            got.push(format!("a listener at {address}"));
        }
    }
    if got.is_empty() { Ok(()) } else { Err(Error::Internal(format!("reached: {}", got.join(", ")))) }
}

dozo_sdk::export!(Reach);
