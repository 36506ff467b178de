//! Where a plugin may connect to, and how such a connection is made. A target is judged by the name that the plugin asks
//! for; the host resolves the name, holds on to its addresses for as long as the call lives, and looks at each once more when
//! it connects.

mod address;
mod binding;
mod connection;
mod dial;
mod http;
mod judge;
mod pieces;
mod places;
mod proxy;
mod resolve;
mod target;
mod tls;
mod tunnel;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use dozo_job::Result;
use rustls::ClientConfig;

#[allow(unreachable_pub, reason = "generated code re-exports it")]
pub use connection::Connection;
pub(crate) use dial::Session;
pub(crate) use http::{Body, Http, Request, Response};
pub use proxy::Proxy;
pub use resolve::Resolve;
pub(crate) use target::Host;

use proxy::{Route, Via};
use resolve::{Pins, System};
use target::{Endpoint, Target};

/// A target that the operator wrote, with how TLS is spoken there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkGrant {
    /// `HOST:PORT`, `*.SUFFIX:PORT`, `ADDRESS:PORT`, `CIDR:PORT` (`*` for any port), or `unix:///PATH`.
    pub target: String,
    /// File of the certificates that may sign the server's, PEM. None: the system's.
    pub ca: Option<PathBuf>,
    /// Files of this host's certificate and its private key, PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The proxy through which it is reached. None: it is connected to.
    pub proxy: Option<Proxy>,
}

/// What of the network one plugin may reach in one job. Default: nothing.
#[derive(Clone, Default)]
pub struct Network {
    grants: Arc<[Grant]>,
    resolver: Option<Arc<dyn Resolve>>,
    /// TLS with the certificates of the system, made when it is first needed.
    system: Arc<OnceLock<Arc<ClientConfig>>>,
}

/// A grant, read.
struct Grant {
    target: Target,
    /// None: the system's.
    tls: Option<Arc<ClientConfig>>,
    route: Option<Route>,
}

impl Network {
    /// Reads the targets, and the certificates that they name.
    ///
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid), with the target, if one cannot be read.
    pub fn new(grants: Vec<NetworkGrant>) -> Result<Self> {
        let read = |grant: NetworkGrant| {
            let (target, tls) = (Target::parse(&grant.target)?, tls::configured(&grant));
            let route = grant.proxy.as_ref().map(Route::new).transpose();
            let whose = |e: dozo_job::Error| e.context(format!("the grant of {}", grant.target));
            Ok(Grant { target, tls: tls.map_err(whose)?, route: route.map_err(whose)? })
        };
        Ok(Network { grants: grants.into_iter().map(read).collect::<Result<_>>()?, ..Network::default() })
    }

    /// The same, with another resolver than the system's.
    #[must_use]
    pub fn with_resolver(self, resolver: Arc<dyn Resolve>) -> Self {
        Network { resolver: Some(resolver), ..self }
    }

    /// Whether a target that a plugin says it needs (`HOST:PORT`, `unix:///PATH`) is granted by its name.
    pub fn admits(&self, need: &str) -> bool {
        Target::parse(need).is_ok_and(|need| self.covering(&need).is_some())
    }

    /// What is missing among the grants for a target that a plugin says it needs, as it is to be granted: its name, or the
    /// address that its name leads to if that must be written out too. None: nothing is.
    ///
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid) if it is no target, [`Unavailable`](dozo_job::Kind::Unavailable) if its name has
    /// no address.
    pub async fn missing(&self, need: &str) -> Result<Option<String>> {
        let target = Target::parse(need)?;
        let Some(grant) = self.covering(&target) else { return Ok(Some(target.to_string())) };
        let Some(endpoint) = target.endpoint() else { return Ok(None) };
        let is_proxied = self.via(grant, &endpoint).is_some();
        let Endpoint::Tcp(host, port) = endpoint else { return Ok(None) };
        if is_proxied && matches!(host, Host::Name(_)) {
            // Where it leads the proxy alone knows.
            return Ok(None);
        }
        let found = self.pins().addresses(&host, port).await?;
        let refusals: Vec<_> = found.iter().filter_map(|found| self.judge(&host, *found).err()).collect();
        match refusals.first() {
            Some(refusal) if refusals.len() == found.len() => Ok(Some(refusal.missing.to_string())),
            _ => Ok(None),
        }
    }

    /// The grant that says most about a target.
    fn covering(&self, target: &Target) -> Option<&Grant> {
        let covering = self.grants.iter().rev().filter(|grant| grant.target.covers(target));
        covering.max_by_key(|grant| grant.target.precision())
    }

    /// The proxy through which an endpoint is reached by this grant. A harness that answers for every name stands in between
    /// itself.
    fn via(&self, grant: &Grant, endpoint: &Endpoint) -> Option<Via> {
        grant.route.as_ref().filter(|_| !self.trusts_resolver())?.to(endpoint)
    }

    fn pins(&self) -> Pins {
        Pins::new(self.resolver.clone().unwrap_or_else(|| Arc::new(System)))
    }

    fn trusts_resolver(&self) -> bool {
        self.resolver.as_ref().is_some_and(|resolver| resolver.trusted())
    }
}
