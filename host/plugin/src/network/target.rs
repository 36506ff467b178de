//! Targets as the operator grants them, and endpoints as a plugin asks for them: what each is, and which grant covers which
//! endpoint. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Component, Path, PathBuf};

use dozo_job::{Error, Result};

use super::address::{contains, plain};

/// What a grant covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `HOST:PORT`.
    Name(String, Port),
    /// `*.SUFFIX:PORT`: every name below it, not itself.
    Below(String, Port),
    /// `ADDRESS:PORT`, `[V6]:PORT`.
    Address(IpAddr, Port),
    /// `NETWORK/PREFIX:PORT`.
    Network(IpAddr, u8, Port),
    /// `unix:///PATH`.
    Unix(PathBuf),
}

/// The port of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Any,
    One(u16),
}

impl Port {
    /// Whether this is that port, or all.
    pub(crate) fn covers(self, other: Port) -> bool {
        self == Port::Any || self == other
    }
}

/// What a plugin wants to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Tcp(Host, u16),
    Unix(PathBuf),
}

/// The name that it asks for, or an address instead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// In lower case, without a dot at its end.
    Name(String),
    Address(IpAddr),
}

impl Host {
    /// Reads a name or an address, that of IPv6 with or without brackets.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Ok(v6) = bare.unwrap_or(text).parse::<Ipv6Addr>() {
            return Some(Host::Address(plain(v6.into())));
        }
        match text.parse::<IpAddr>() {
            Ok(address) => Some(Host::Address(address)),
            Err(_) => name(text).map(Host::Name),
        }
    }
}

impl Endpoint {
    /// `tcp://HOST:PORT` or `unix:///PATH`.
    ///
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid) if it is neither.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let tcp = |text: &str| {
            let (host, port) = text.rsplit_once(':')?;
            Some(Endpoint::Tcp(Host::parse(host)?, number(port)?))
        };
        let read = match text.strip_prefix("tcp://") {
            Some(text) => tcp(text),
            None => socket(text).map(Endpoint::Unix),
        };
        read.ok_or_else(|| Error::invalid(format!("`{text}` is neither `tcp://HOST:PORT` nor `unix:///PATH`")))
    }

    /// The grant that would cover it and nothing else.
    pub(crate) fn target(&self) -> Target {
        match self {
            Endpoint::Tcp(Host::Name(name), port) => Target::Name(name.clone(), Port::One(*port)),
            Endpoint::Tcp(Host::Address(address), port) => Target::Address(*address, Port::One(*port)),
            Endpoint::Unix(path) => Target::Unix(path.clone()),
        }
    }
}

impl Target {
    /// Reads a target as the operator wrote it, or as a plugin says that it needs it.
    ///
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid), with the target.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Self::read(text).ok_or_else(|| {
            Error::invalid(format!("`{text}` is no target of a connection")).hinted(
                "a target is `HOST:PORT`, `*.SUFFIX:PORT`, `ADDRESS:PORT`, `[V6]:PORT`, `NETWORK/PREFIX:PORT` (the port may \
                 be `*`), or `unix:///PATH`",
            )
        })
    }

    fn read(text: &str) -> Option<Self> {
        if text.contains("://") {
            return socket(text).map(Target::Unix);
        }
        let (host, port) = text.rsplit_once(':')?;
        let port = if port == "*" { Port::Any } else { Port::One(number(port)?) };
        if let Some(suffix) = host.strip_prefix("*.") {
            return name(suffix).map(|suffix| Target::Below(suffix, port));
        }
        if let Some((network, prefix)) = host.rsplit_once('/') {
            return network_of(network, prefix).map(|(network, prefix)| Target::Network(network, prefix, port));
        }
        match Host::parse(host)? {
            // Without brackets nobody can tell where such an address ends.
            Host::Address(IpAddr::V6(_)) if !host.starts_with('[') => None,
            Host::Address(address) => Some(Target::Address(address, port)),
            Host::Name(name) => Some(Target::Name(name, port)),
        }
    }

    /// Whether everything that the other covers is covered by this.
    pub(crate) fn covers(&self, other: &Target) -> bool {
        match (self, other) {
            (Target::Name(a, p), Target::Name(b, q)) => a == b && p.covers(*q),
            (Target::Below(a, p), Target::Name(b, q)) => is_below(b, a) && p.covers(*q),
            (Target::Below(a, p), Target::Below(b, q)) => (a == b || is_below(b, a)) && p.covers(*q),
            (Target::Address(a, p), Target::Address(b, q)) => a == b && p.covers(*q),
            (Target::Network(a, n, p), Target::Address(b, q)) => contains(*a, *n, *b) && p.covers(*q),
            (Target::Network(a, n, p), Target::Network(b, m, q)) => n <= m && contains(*a, *n, *b) && p.covers(*q),
            (Target::Unix(a), Target::Unix(b)) => a == b,
            _ => false,
        }
    }

    /// The same for every port.
    pub(crate) fn on_any_port(mut self) -> Self {
        match &mut self {
            Target::Name(_, port) | Target::Below(_, port) | Target::Address(_, port) | Target::Network(_, _, port) => {
                *port = Port::Any;
            }
            Target::Unix(_) => {}
        }
        self
    }

    /// The one endpoint that it is, if it is one.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        match self {
            Target::Name(name, Port::One(port)) => Some(Endpoint::Tcp(Host::Name(name.clone()), *port)),
            Target::Address(address, Port::One(port)) => Some(Endpoint::Tcp(Host::Address(*address), *port)),
            Target::Unix(path) => Some(Endpoint::Unix(path.clone())),
            _ => None,
        }
    }

    /// Of two that cover the same, the one with more of this says more about it.
    pub(crate) fn precision(&self) -> (usize, bool) {
        let one = |port: &Port| *port != Port::Any;
        match self {
            Target::Name(_, port) | Target::Address(_, port) => (usize::MAX, one(port)),
            Target::Below(suffix, port) => (suffix.len(), one(port)),
            Target::Network(_, prefix, port) => (usize::from(*prefix), one(port)),
            Target::Unix(_) => (usize::MAX, true),
        }
    }
}

fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// A host's name as resolvers take it; what only looks like one (an address in a strange spelling, an underscore is fine) is
/// none, because a resolver might take it for an address that nobody granted.
fn name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(plain)
    };
    // `127.1`, `0x7f.1`, `2130706433` are addresses to some resolvers: no name ends in a number (RFC 3696, 2).
    let last = name.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    (name.len() <= 253 && !number && name.split('.').all(label)).then_some(name)
}

/// A port, in digits.
pub(crate) fn number(port: &str) -> Option<u16> {
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    port.parse().ok().filter(|port| digits && *port != 0)
}

/// A network without bits behind its prefix: one that has some was meant otherwise.
fn network_of(network: &str, prefix: &str) -> Option<(IpAddr, u8)> {
    let bare = network.strip_prefix('[').and_then(|network| network.strip_suffix(']')).unwrap_or(network);
    let network: IpAddr = bare.parse().ok()?;
    let prefix: u8 = prefix.parse().ok()?;
    let behind = match network {
        IpAddr::V4(v4) => prefix > 32 || u32::from(v4).checked_shl(prefix.into()).unwrap_or(0) != 0,
        IpAddr::V6(v6) => prefix > 128 || u128::from(v6).checked_shl(prefix.into()).unwrap_or(0) != 0,
    };
    (!behind).then_some((network, prefix))
}

/// `unix:///PATH`: absolute, without `.` and `..`.
fn socket(text: &str) -> Option<PathBuf> {
    let path = Path::new(text.strip_prefix("unix://")?);
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    (path.is_absolute() && plain && path.file_name().is_some()).then(|| path.components().collect())
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Port::Any => f.write_str("*"),
            Port::One(port) => write!(f, "{port}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Name(name, port) => write!(f, "{name}:{port}"),
            Target::Below(suffix, port) => write!(f, "*.{suffix}:{port}"),
            Target::Address(IpAddr::V4(address), port) => write!(f, "{address}:{port}"),
            Target::Address(IpAddr::V6(address), port) => write!(f, "[{address}]:{port}"),
            Target::Network(IpAddr::V4(network), prefix, port) => write!(f, "{network}/{prefix}:{port}"),
            Target::Network(IpAddr::V6(network), prefix, port) => write!(f, "[{network}]/{prefix}:{port}"),
            Target::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target().fmt(f)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        Target::parse(text).unwrap()
    }

    #[test]
    fn targets_are_read_and_written_the_same() {
        for text in [
            "db.internal:5432",
            "*.example.com:443",
            "10.0.0.5:5432",
            "[fd00::1]:443",
            "10.0.0.0/8:*",
            "[fd00::]/8:443",
            "unix:///run/postgresql/.s.PGSQL.5432",
            "localhost:*",
            "db_1.internal:1",
        ] {
            assert_eq!(target(text).to_string(), text);
        }
        assert_eq!(target("DB.Internal.:80").to_string(), "db.internal:80");
        assert_eq!(target("[::ffff:10.0.0.1]:80").to_string(), "10.0.0.1:80");
        assert_eq!(target("fd00::/8:443").to_string(), "[fd00::]/8:443");
        assert_eq!(target("unix:///run//a").to_string(), "unix:///run/a");
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for text in [
            "",
            "db",
            "db:",
            "db:0",
            "db:65536",
            "db:+80",
            ":80",
            "*:80",
            "*.:80",
            "a.*.com:80",
            "::1:80",
            "10.0.0.1/8:80",
            "10.0.0.0/33:80",
            "127.1:80",
            "0x7f.1:80",
            "2130706433:80",
            "0x7f000001:80",
            "a b:80",
            "a..b:80",
            "http://a:80",
            "unix://run/a",
            "unix:///",
            "unix:///run/../etc/a",
            "tcp://a:80",
            "user@db:80",
            "db:80/x",
            "[fd00::1:80",
        ] {
            assert!(Target::parse(text).is_err(), "{text}: {:?}", Target::parse(text));
        }
    }

    #[test]
    fn a_grant_covers_what_it_says_and_nothing_beside() {
        let covers = |grant: &str, need: &str| target(grant).covers(&target(need));
        for (grant, need) in [
            ("db:5432", "DB.:5432"),
            ("db:*", "db:1"),
            ("*.a.com:443", "x.a.com:443"),
            ("*.a.com:443", "y.x.a.com:443"),
            ("*.a.com:443", "*.b.a.com:443"),
            ("10.0.0.0/8:*", "10.1.2.3:9"),
            ("10.0.0.0/8:*", "10.1.0.0/16:9"),
            ("0.0.0.0/0:80", "9.9.9.9:80"),
            ("unix:///run/a", "unix:///run/a"),
            ("10.0.0.1:80", "[::ffff:10.0.0.1]:80"),
        ] {
            assert!(covers(grant, need), "{grant} covers {need}");
        }
        for (grant, need) in [
            ("db:5432", "db:5433"),
            ("db:5432", "db:*"),
            ("db:5432", "db.evil:5432"),
            ("*.a.com:443", "a.com:443"),
            ("*.a.com:443", "xa.com:443"),
            ("*.a.com:443", ".a.com.evil:443".trim_start_matches('.')),
            ("10.1.0.0/16:*", "10.0.0.0/8:*"),
            ("10.0.0.0/8:80", "11.0.0.1:80"),
            ("10.0.0.0/8:80", "db:80"),
            ("unix:///run/a", "unix:///run/a/b"),
            ("0.0.0.0/0:80", "[fd00::1]:80"),
        ] {
            assert!(!covers(grant, need), "{grant} does not cover {need}");
        }
    }

    #[test]
    fn endpoints_are_names_addresses_and_sockets() {
        let shown = |text| Endpoint::parse(text).map(|endpoint| endpoint.to_string());
        assert_eq!(shown("tcp://DB.internal:5432").unwrap(), "db.internal:5432");
        assert_eq!(shown("tcp://[::1]:80").unwrap(), "[::1]:80");
        assert_eq!(shown("tcp://::ffff:127.0.0.1:80").unwrap(), "127.0.0.1:80");
        assert_eq!(shown("unix:///run/a").unwrap(), "unix:///run/a");
        for text in
            ["db:80", "tcp://db", "tcp://db:*", "tcp://*.db:80", "udp://db:80", "unix://a", "tcp://2130706433:80"]
        {
            assert!(shown(text).is_err(), "{text}");
        }
    }
}
