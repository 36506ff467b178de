//! The judgement: may a plugin that asks for this host be connected to that address? Nothing here resolves or connects.

use std::fmt;
use std::net::SocketAddr;

use dozo_job::Error;

use super::address::{Reach, plain, reach};
use super::target::{Endpoint, Host, Port, Target};
use super::{Grant, Network};

/// Why not, and what would have to be granted.
#[derive(Debug)]
pub(super) struct Refusal {
    asked: Target,
    /// The address that the name leads to, and what it is.
    leads: Option<&'static str>,
    pub(super) missing: Target,
}

impl Network {
    /// The grant by which a plugin may ask for an endpoint at all.
    pub(super) fn grant(&self, endpoint: &Endpoint) -> Result<&Grant, Refusal> {
        let asked = endpoint.target();
        self.covering(&asked).ok_or_else(|| Refusal { missing: asked.clone(), asked, leads: None })
    }

    /// Whether a host's name is granted, on whatever port.
    pub(super) fn names(&self, host: &Host) -> Result<(), Refusal> {
        let asked = match host {
            Host::Name(name) => Target::Name(name.clone(), Port::Any),
            Host::Address(address) => Target::Address(*address, Port::Any),
        };
        match self.grants.iter().any(|grant| grant.target.clone().on_any_port().covers(&asked)) {
            true => Ok(()),
            false => Err(Refusal { missing: asked.clone(), asked, leads: None }),
        }
    }

    /// Whether a host that may be asked for may be at this address. What is near must have been written out: a name is
    /// somebody else's to point where they like.
    pub(super) fn judge(&self, host: &Host, address: SocketAddr) -> Result<(), Refusal> {
        let missing = Target::Address(plain(address.ip()), Port::One(address.port()));
        let mut covering = self.grants.iter().map(|grant| &grant.target).filter(|target| target.covers(&missing));
        let (written, leads) = match reach(address.ip()) {
            _ if self.trusts_resolver() => return Ok(()),
            Reach::Public => return Ok(()),
            Reach::Near("this machine") if *host == Host::Name("localhost".into()) => return Ok(()),
            Reach::Near(what) => (covering.next().is_some(), what),
            Reach::Special(what) => (covering.any(|target| matches!(target, Target::Address(..))), what),
        };
        let asked = Endpoint::Tcp(host.clone(), address.port()).target();
        if written { Ok(()) } else { Err(Refusal { asked, leads: Some(leads), missing }) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { asked, leads, missing } = self;
        match leads {
            None => write!(f, "a connection to {asked} is not granted"),
            Some(what) if asked == missing => {
                write!(f, "a connection to {asked} is not granted: it is {what}, which must be granted by itself")
            }
            Some(what) => write!(
                f,
                "a connection to {asked} is granted, but the name leads to {missing}, {what}, which must be granted too"
            ),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let Refusal { asked, leads, missing } = &refusal;
        let line = match leads {
            Some(_) if asked != missing => format!("grant = {{ network = [\"{asked}\", \"{missing}\"] }}"),
            _ => format!("grant = {{ network = [\"{missing}\"] }}"),
        };
        Error::not_granted(refusal.to_string()).hinted(line)
    }
}
