//! From names to addresses: once for each name and call, and the same for as long as the call lives.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dozo_job::{Error, Result};
use tokio::sync::OnceCell;

use super::address::plain;
use super::target::Host;
use crate::limits::{PINNED_ADDRESSES, PINNED_NAMES};

/// Who knows the addresses of names.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// The addresses of a name, best first, never none.
    ///
    /// # Errors
    /// [`Unavailable`](dozo_job::Kind::Unavailable) if there is no answer, or none with an address.
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>>;

    /// Whether its answers are the operator's own word: they are connected to as they are, port and all, and it is asked for
    /// literal addresses too. For harnesses that put a proxy between a plugin and its server.
    fn trusted(&self) -> bool {
        false
    }
}

/// The system's resolver, with its `hosts` file.
pub(crate) struct System;

#[async_trait]
impl Resolve for System {
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>> {
        let failed = |e| Error::unavailable(format!("there is no address for the name {host}")).caused_by(e);
        let found: Vec<_> = tokio::net::lookup_host((host, port)).await.map_err(failed)?.collect();
        match found.is_empty() {
            true => Err(Error::unavailable(format!("the name {host} has no address"))),
            false => Ok(found),
        }
    }
}

/// What was resolved in one call of a plugin. A second question gets the first answer, so that no resolver can have one thing
/// judged and another connected to.
pub(crate) struct Pins {
    resolver: Arc<dyn Resolve>,
    pinned: Mutex<HashMap<(Host, u16), Pin>>,
}

type Pin = Arc<OnceCell<Arc<[SocketAddr]>>>;

impl Pins {
    pub(crate) fn new(resolver: Arc<dyn Resolve>) -> Self {
        Pins { resolver, pinned: Mutex::default() }
    }

    /// The addresses of a host. An address is its own, unless the resolver is trusted.
    pub(crate) async fn addresses(&self, host: &Host, port: u16) -> Result<Arc<[SocketAddr]>> {
        let trusted = self.resolver.trusted();
        if let (Host::Address(address), false) = (host, trusted) {
            return Ok([SocketAddr::new(*address, port)].into());
        }
        // A name has the same addresses whatever the port; only who is trusted may tell ports apart.
        let key = (host.clone(), if trusted { port } else { 0 });
        let found = self.pin(key)?.get_or_try_init(|| self.resolve(host, port)).await?.clone();
        match trusted {
            true => Ok(found),
            false => Ok(found.iter().map(|found| SocketAddr::new(plain(found.ip()), port)).collect()),
        }
    }

    /// The names that have been resolved, with their addresses.
    pub(crate) fn pinned(&self) -> Vec<(Host, Arc<[SocketAddr]>)> {
        let pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        pinned.iter().filter_map(|((host, _), pin)| Some((host.clone(), pin.get()?.clone()))).collect()
    }

    async fn resolve(&self, host: &Host, port: u16) -> Result<Arc<[SocketAddr]>> {
        let mut found = self.resolver.resolve(&host.to_string(), port).await?;
        found.truncate(PINNED_ADDRESSES);
        Ok(found.into())
    }

    fn pin(&self, key: (Host, u16)) -> Result<Pin> {
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        if pinned.len() >= PINNED_NAMES && !pinned.contains_key(&key) {
            return Err(Error::invalid(format!("the plugin asks for more than {PINNED_NAMES} names in one call")));
        }
        Ok(pinned.entry(key).or_default().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Knows an address for everybody.
    struct Anybody;

    #[async_trait]
    impl Resolve for Anybody {
        async fn resolve(&self, _: &str, port: u16) -> Result<Vec<SocketAddr>> {
            Ok((1..=255).map(|n| ([203, 0, 113, n], port).into()).collect())
        }
    }

    #[tokio::test]
    async fn names_and_their_addresses_have_a_bound() {
        let pins = Pins::new(Arc::new(Anybody));
        let name = |n: usize| Host::Name(format!("n{n}.example"));
        for n in 0..PINNED_NAMES {
            assert_eq!(pins.addresses(&name(n), 1).await.unwrap().len(), PINNED_ADDRESSES);
        }
        let error = pins.addresses(&name(PINNED_NAMES), 1).await.unwrap_err();
        assert!(error.to_string().contains("more than 1000 names"), "{error}");
        // Those that are known stay so.
        pins.addresses(&name(0), 2).await.unwrap();
    }
}
