//! What the operator writes.

use std::net::IpAddr;

use bytesize::ByteSize;
use dozo_sdk::prelude::*;
use jiff::SignedDuration;
use url::Url;

/// A PostgreSQL cluster to back up.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// How it is backed up: `"physical"`, the files of the whole cluster and its WAL.
    pub(crate) mode: Mode,
    /// Where the server is, and as whom to connect: `postgres://ROLE@HOST:PORT/DATABASE`, or for a Unix socket
    /// `postgres://ROLE@/DATABASE?host=/run/postgresql`. `?sslmode=verify-full` is the default, and `disable` where the
    /// server is on this machine; nothing between is taken. The database matters only for probes. Without a password: that
    /// has its own key.
    pub(crate) url: String,
    /// The role's password. Left out where the server asks for none.
    pub(crate) password: Option<Secret>,
    /// The replication slot in which the server keeps the WAL that was not backed up yet. It is made if there is none. Two
    /// jobs of one server need two names.
    #[serde(default = "slot")]
    pub(crate) slot: String,
    /// After a run that failed, the slot is dropped if it makes the server keep more WAL than this, so that the server's
    /// disk does not fill up; the next run is a full one then. What the server itself is to do while dozo does not run, says
    /// its setting `max_slot_wal_keep_size`.
    #[serde(default = "max_slot_lag")]
    pub(crate) max_slot_lag: String,
    /// A run takes a new base backup if the newest one is older than this, such as `"24h"` (`"168h"`, a week, is the
    /// default); other runs take only the WAL that is new. `dozo run --full` takes one at once.
    #[serde(default = "full_every")]
    pub(crate) full_every: String,
    /// Bytes in a second that the server may send of a base backup, such as `"50MiB"`. Default: as many as it can.
    #[serde(default)]
    pub(crate) max_rate: Option<String>,
    /// How the server makes the checkpoint that a base backup begins with: `"fast"`, at once (the default), or `"spread"`, a little
    /// at a time, which takes minutes and slows nobody down.
    #[serde(default)]
    pub(crate) checkpoint: Checkpoint,
    /// Paths in the data directory that may be missing from a base backup, such as `"server.key"`. A server leaves symbolic links
    /// out, and says so; what is not named here makes the snapshot partial. Tables and what the server cannot start without are
    /// never tolerated.
    #[serde(default)]
    pub(crate) tolerate: Vec<String>,
    /// The directory of PostgreSQL's programs on this machine, with which restored copies are tried, as `pg_config --bindir`
    /// prints it. Default: Debian's, `/usr/lib/postgresql/VERSION/bin`.
    #[serde(default)]
    pub(crate) bindir: Option<String>,
}

/// How a cluster is backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// The files of the whole cluster, and its WAL: recovers to any second. Needs a role with REPLICATION.
    Physical,
}

/// How the server makes a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Checkpoint {
    /// At once.
    #[default]
    Fast,
    /// Over as much of `checkpoint_timeout` as its `checkpoint_completion_target` says.
    Spread,
}

impl Checkpoint {
    /// As the server calls it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Checkpoint::Fast => "fast",
            Checkpoint::Spread => "spread",
        }
    }
}

fn slot() -> String {
    "dozo".into()
}

fn max_slot_lag() -> String {
    "16GiB".into()
}

fn full_every() -> String {
    "168h".into()
}

/// What the server may be asked to send in a second: PostgreSQL's own bounds of `MAX_RATE`, in bytes.
const MAX_RATE: std::ops::RangeInclusive<u64> = 32 << 10..=1 << 30;
/// The longest name that a slot may have (NAMEDATALEN).
const SLOT_BYTES: usize = 63;

/// The configuration, checked and ready.
pub(crate) struct Settings {
    pub(crate) place: Place,
    pub(crate) password: Option<Secret>,
    pub(crate) slot: String,
    pub(crate) max_slot_lag: u64,
    pub(crate) full_every: SignedDuration,
    /// In KiB, as the server wants it.
    pub(crate) max_rate: Option<u64>,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) tolerate: Vec<String>,
}

/// Where a server is, and as whom to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) role: String,
    pub(crate) database: String,
    pub(crate) endpoint: Endpoint,
}

/// How it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Tcp { host: String, port: u16, tls: bool },
    Unix { directory: String, port: u16 },
}

impl Config {
    /// Checks everything that can be checked without a server.
    pub(crate) fn settings(&self) -> Result<Settings> {
        let Mode::Physical = self.mode;
        let place = Place::parse(&self.url)?;
        check_slot(&self.slot)?;
        let max_slot_lag = bytes("max_slot_lag", &self.max_slot_lag)?;
        let full_every = self.full_every.parse::<SignedDuration>().ok().filter(SignedDuration::is_positive);
        let full_every = full_every.ok_or_else(|| {
            Error::Invalid(format!("full_every: `{}` is no time: write hours, such as \"24h\"", self.full_every))
        })?;
        let max_rate = self.max_rate.as_deref().map(|rate| bytes("max_rate", rate)).transpose()?;
        if let Some(rate) = max_rate.filter(|rate| !MAX_RATE.contains(rate)) {
            return Err(Error::Invalid(format!("max_rate: PostgreSQL takes 32KiB to 1GiB, not {}", ByteSize(rate))));
        }
        let max_rate = max_rate.map(|rate| rate >> 10);
        let (password, slot) = (self.password.clone(), self.slot.clone());
        let (checkpoint, tolerate) = (self.checkpoint, self.tolerate.clone());
        tolerate.iter().try_for_each(|path| check_tolerated(path))?;
        Ok(Settings { place, password, slot, max_slot_lag, full_every, max_rate, checkpoint, tolerate })
    }

    /// The same for a copy of the server that is reached elsewhere, as JSON.
    pub(crate) fn at(&self, endpoint: &Endpoint) -> Result<String> {
        let Endpoint::Tcp { host, port, .. } = endpoint else {
            return Err(Error::Internal("a copy is reached over TCP".into()));
        };
        let place = Place::parse(&self.url)?;
        let role: String = url::form_urlencoded::byte_serialize(place.role.as_bytes()).collect();
        let database: String = url::form_urlencoded::byte_serialize(place.database.as_bytes()).collect();
        let (role, database) = (role.replace('+', "%20"), database.replace('+', "%20"));
        let url = format!("postgres://{role}@{host}:{port}/{database}?sslmode=disable");
        let mut json = serde_json::json!({ "mode": "physical", "url": url, "slot": self.slot });
        if let Some(password) = &self.password {
            json["password"] = password.reveal().into();
        }
        Ok(json.to_string())
    }

    /// What this configuration needs.
    pub(crate) fn needs(&self) -> Result<Needs> {
        let server = self.settings()?.place.endpoint.grant();
        // One job would advance it past what the other has not stored.
        let slot = format!("the replication slot `{}` of {server}", self.slot);
        Ok(Needs { network: vec![server], exclusive: vec![slot], ..Needs::default() })
    }
}

fn bytes(key: &str, size: &str) -> Result<u64> {
    match size.parse::<ByteSize>() {
        Ok(ByteSize(bytes @ 1..)) => Ok(bytes),
        _ => Err(Error::Invalid(format!("{key}: `{size}` is no size: write a number and a unit, such as \"16GiB\""))),
    }
}

/// What may be missing is named as the server names it.
fn check_tolerated(path: &str) -> Result<()> {
    let odd = |name: &str| matches!(name, "" | "." | "..");
    let wrong = |why: &str| Err(Error::Invalid(format!("tolerate: `{path}` {why}")));
    match path.split('/').next() {
        _ if path.split('/').any(odd) => wrong("is no path in the data directory, such as \"server.key\""),
        Some("base" | "global" | "pg_tblspc" | "pg_wal" | "pg_xact" | "PG_VERSION") => {
            wrong("is what a cluster is made of, and never tolerated")
        }
        _ => Ok(()),
    }
}

/// Slots have names of few letters (PostgreSQL, "Replication Slots"), which need no quoting then.
fn check_slot(slot: &str) -> Result<()> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if slot.is_empty() || slot.len() > SLOT_BYTES || !slot.bytes().all(letter) {
        return Err(Error::Invalid(format!(
            "slot: `{slot}` is no name of a replication slot: 1 to {SLOT_BYTES} of a-z, 0-9 and _"
        )));
    }
    Ok(())
}

impl Place {
    fn parse(text: &str) -> Result<Self> {
        let wrong = |why: String| Error::Invalid(format!("url: {why}"));
        let url = Url::parse(&with_host(text)).map_err(|e| {
            wrong(format!("`{text}` is not understood ({e}): write postgres://ROLE@HOST:PORT/DATABASE"))
        })?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(wrong(format!("it begins with `{}://`, not with `postgres://`", url.scheme())));
        }
        if url.password().is_some() {
            return Err(wrong("it has a password in it: write `password = { env = \"NAME\" }` beside it".into()));
        }
        let role = decoded(url.username()).map_err(wrong)?;
        if role.is_empty() {
            return Err(wrong("it names no role: write postgres://ROLE@HOST:PORT/DATABASE".into()));
        }
        let database = decoded(url.path().trim_start_matches('/')).map_err(wrong)?;
        let database = if database.is_empty() { role.clone() } else { database };
        Ok(Place { endpoint: endpoint(&url).map_err(wrong)?, role, database })
    }
}

/// What of a URL says how the server is reached.
fn endpoint(url: &Url) -> Result<Endpoint, String> {
    let (mut sslmode, mut socket, mut port) = (None, None, None);
    for (key, value) in url.query_pairs() {
        match key.as_ref() {
            "sslmode" => sslmode = Some(value.into_owned()),
            "host" => socket = Some(value.into_owned()),
            "port" => port = Some(value.parse::<u16>().map_err(|_| format!("`port={value}` is no port"))?),
            other => {
                return Err(format!("`{other}` is not known: it takes `sslmode`, and `host` and `port` of a socket"));
            }
        }
    }
    let tls = match sslmode.as_deref() {
        None => None,
        Some("disable") => Some(false),
        Some("verify-full") => Some(true),
        Some(other) => {
            return Err(format!(
                "`sslmode={other}` is not taken: `verify-full` checks that the server is the one that is named (the grant's `ca` \
                 names an authority of your own), `disable` uses no TLS"
            ));
        }
    };
    let host = url.host_str().filter(|host| !host.is_empty() && *host != NO_HOST);
    match (host, socket) {
        (None, Some(directory)) if directory.starts_with('/') => {
            if tls == Some(true) {
                return Err("a Unix socket never leaves this machine: there is no TLS to speak there".into());
            }
            Ok(Endpoint::Unix { directory: directory.trim_end_matches('/').into(), port: port.unwrap_or(5432) })
        }
        (Some(host), None) if port.is_none() => {
            let (host, port) = (host.to_ascii_lowercase(), url.port().unwrap_or(5432));
            let tls = tls.unwrap_or_else(|| !is_local(&host));
            Ok(Endpoint::Tcp { host, port, tls })
        }
        (None, _) => {
            Err("it names no server: write postgres://ROLE@HOST:PORT/DATABASE, or `?host=` with the absolute \
                          directory of a socket"
                .into())
        }
        (Some(_), _) => {
            Err("`host` and `port` behind the `?` are for a Unix socket: leave the server's name out".into())
        }
    }
}

/// A name that nobody has (RFC 6761), in place of one that is left out: URLs must have a host where they have a user.
const NO_HOST: &str = "socket.invalid";

fn with_host(text: &str) -> String {
    match text.split_once("@/") {
        Some((before, behind)) if !before.contains(['?', '#']) => format!("{before}@{NO_HOST}/{behind}"),
        _ => text.into(),
    }
}

fn is_local(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

fn decoded(text: &str) -> Result<String, String> {
    let query = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    let value = url::form_urlencoded::parse(query.as_bytes()).next().map(|(_, value)| value.into_owned());
    let value = value.unwrap_or_default();
    if value.contains(['\0', '\u{fffd}']) { Err(format!("`{text}` is not UTF-8 behind its `%`")) } else { Ok(value) }
}

impl Endpoint {
    /// As the host connects to it.
    pub(crate) fn target(&self) -> String {
        match self {
            Endpoint::Tcp { host, port, .. } => format!("tcp://{host}:{port}"),
            Endpoint::Unix { directory, port } => format!("unix://{directory}/.s.PGSQL.{port}"),
        }
    }

    /// As an operator grants it.
    fn grant(&self) -> String {
        match self {
            Endpoint::Tcp { host, port, .. } => format!("{host}:{port}"),
            Endpoint::Unix { .. } => self.target(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> Place {
        Place::parse(url).unwrap()
    }

    fn tcp(host: &str, port: u16, tls: bool) -> Endpoint {
        Endpoint::Tcp { host: host.into(), port, tls }
    }

    #[test]
    fn a_server_is_named_by_a_url() {
        let found = place("postgres://dozo@db.internal:5433/app");
        assert_eq!((found.role.as_str(), found.database.as_str()), ("dozo", "app"));
        assert_eq!(found.endpoint, tcp("db.internal", 5433, true));
        assert_eq!(place("postgresql://d%40z@db").role, "d@z");
        assert_eq!(place("postgres://dozo@db").database, "dozo");
        assert_eq!(place("postgres://a@127.0.0.1/").endpoint, tcp("127.0.0.1", 5432, false));
        assert_eq!(place("postgres://a@[::1]:1/").endpoint, tcp("[::1]", 1, false));
        assert_eq!(place("postgres://a@localhost?sslmode=verify-full").endpoint, tcp("localhost", 5432, true));
        assert_eq!(place("postgres://a@db?sslmode=disable").endpoint, tcp("db", 5432, false));
    }

    #[test]
    fn a_socket_is_named_by_its_directory() {
        let socket = place("postgres://dozo@/app?host=/run/postgresql").endpoint;
        assert_eq!(socket.grant(), "unix:///run/postgresql/.s.PGSQL.5432");
        assert_eq!(place("postgres://dozo@/app?host=/run/&port=7").endpoint.target(), "unix:///run/.s.PGSQL.7");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (url, why) in [
            ("db.internal", "is not understood"),
            ("mysql://a@db", "not with `postgres://`"),
            ("postgres://a:b@db", "password"),
            ("postgres://db/app", "names no role"),
            ("postgres://a@/app", "names no server"),
            ("postgres://a@db?sslmode=require", "is not taken"),
            ("postgres://a@db?host=/run", "Unix socket"),
            ("postgres://a@/x?host=/run&sslmode=verify-full", "no TLS"),
            ("postgres://a@db?sslrootcert=x", "`sslrootcert` is not known"),
            ("postgres://a@/x?host=/run&port=x", "no port"),
        ] {
            let error = Place::parse(url).unwrap_err();
            assert!(error.message().contains(why), "{url}: {}", error.message());
        }
    }

    #[test]
    fn every_key_is_checked() {
        let config = |key: &str, value: serde_json::Value| {
            let mut json = serde_json::json!({ "mode": "physical", "url": "postgres://a@db" });
            json[key] = value;
            serde_json::from_value::<Config>(json).unwrap().settings().map(|_| ())
        };
        for (key, value) in [
            ("slot", "a_1"),
            ("max_slot_lag", "1GiB"),
            ("full_every", "24h"),
            ("max_rate", "50MiB"),
            ("checkpoint", "spread"),
        ] {
            config(key, value.into()).unwrap();
        }
        for (key, value) in [
            ("slot", "A"),
            ("slot", ""),
            ("slot", "a'b"),
            ("max_slot_lag", "much"),
            ("full_every", "soon"),
            ("full_every", "-1h"),
            ("max_rate", "1KiB"),
        ] {
            let error = config(key, value.into()).unwrap_err();
            assert!(error.message().starts_with(key), "{key} {value}: {}", error.message());
        }
        config("tolerate", serde_json::json!(["log", "ssl/server.key"])).unwrap();
        for value in ["/log", "../x", "", "base/5/1259", "global", "log/"] {
            let error = config("tolerate", serde_json::json!([value])).unwrap_err();
            assert!(error.message().starts_with("tolerate"), "{value}: {}", error.message());
        }
    }
}
