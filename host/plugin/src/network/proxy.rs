//! Which targets are reached through a proxy, and through which.

use std::fmt;

use dozo_job::{Error, Result};
use hyper::Uri;
use hyper::header::HeaderValue;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use super::target::{Endpoint, Host};

/// Never reached through a proxy: this machine itself, and link-local addresses, where metadata services are.
const NEAR: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16";

/// A proxy as environments name it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// `http://HOST:PORT` or `https://HOST:PORT`, with `USER:PASSWORD@` where it wants a login: a secret.
    pub url: String,
    /// What is reached without it, as `NO_PROXY` has it.
    pub except: String,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("except", &self.except).finish_non_exhaustive()
    }
}

/// The way to what one grant covers, where a proxy is granted with it.
pub(super) struct Route(Matcher);

/// A proxy to go through.
pub(super) struct Via {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) is_tls: bool,
    pub(super) login: Option<HeaderValue>,
}

impl Route {
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid) if it is no proxy that can be asked. The message does not contain the URL.
    pub(super) fn new(proxy: &Proxy) -> Result<Self> {
        let whole = Route(Matcher::builder().all(proxy.url.as_str()).build());
        let known = whole.intercept("any.example:1").and_then(|found| via(&found));
        known.ok_or_else(|| {
            Error::invalid("the proxy of the environment is none that plugins can be led through")
                .hinted("HTTPS_PROXY (or ALL_PROXY) is `http://HOST:PORT` or `https://HOST:PORT`; SOCKS is not spoken")
        })?;
        let except = format!("{NEAR},{}", proxy.except);
        Ok(Route(Matcher::builder().all(proxy.url.as_str()).no(except).build()))
    }

    /// The proxy through which an endpoint is reached; none if it is reached without.
    pub(super) fn to(&self, endpoint: &Endpoint) -> Option<Via> {
        match endpoint {
            Endpoint::Tcp(..) => via(&self.intercept(&endpoint.to_string())?),
            Endpoint::Unix(_) => None,
        }
    }

    fn intercept(&self, endpoint: &str) -> Option<Intercept> {
        let url = Uri::builder().scheme("http").authority(endpoint).path_and_query("/").build().ok()?;
        self.0.intercept(&url)
    }
}

fn via(found: &Intercept) -> Option<Via> {
    let (is_tls, port) = match found.uri().scheme_str()? {
        "http" => (false, 80),
        "https" => (true, 443),
        _ => return None,
    };
    let port = found.uri().port_u16().unwrap_or(port);
    Some(Via { host: Host::parse(found.uri().host()?)?, port, is_tls, login: found.basic_auth().cloned() })
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Endpoint::Tcp(self.host.clone(), self.port).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(url: &str, except: &str, endpoint: &str) -> Option<Via> {
        let route = Route::new(&Proxy { url: url.into(), except: except.into() }).unwrap();
        route.to(&Endpoint::parse(endpoint).unwrap())
    }

    #[test]
    fn what_is_near_or_excepted_is_reached_without() {
        let through = |endpoint: &str| via("http://proxy:3128", "internal.example,10.0.0.0/8", endpoint).is_some();
        for endpoint in
            ["tcp://a.example:443", "tcp://11.0.0.1:80", "tcp://[2001:db8::1]:80", "tcp://notinternal.example:1"]
        {
            assert!(through(endpoint), "{endpoint}");
        }
        for endpoint in [
            "tcp://internal.example:443",
            "tcp://db.internal.example:5432",
            "tcp://10.1.2.3:80",
            "tcp://localhost:80",
            "tcp://127.0.0.1:80",
            "tcp://[::1]:80",
            "tcp://169.254.169.254:80",
            "unix:///run/a",
        ] {
            assert!(!through(endpoint), "{endpoint}");
        }
        assert!(via("http://proxy:3128", "*", "tcp://a.example:443").is_none());
    }

    #[test]
    fn a_proxy_is_named_without_its_login() {
        for (url, shown, is_tls, has_login) in [
            ("http://proxy.example:3128", "proxy.example:3128", false, false),
            ("proxy.example:3128", "proxy.example:3128", false, false),
            ("https://me:hunter2@proxy.example/", "proxy.example:443", true, true),
            ("http://[::1]:8080", "[::1]:8080", false, false),
        ] {
            let via = via(url, "", "tcp://a.example:443").unwrap();
            assert_eq!(
                (via.to_string().as_str(), via.is_tls, via.login.is_some()),
                (shown, is_tls, has_login),
                "{url}"
            );
        }
        for wrong in ["", "socks5://hunter2:1", "ftp://hunter2", "http://", "http://hunter2 x/"] {
            let error = Route::new(&Proxy { url: wrong.into(), except: String::new() }).err().unwrap();
            let said = format!("{} {:?}", error.chain(), error.hint());
            assert!(said.contains("HTTPS_PROXY") && !said.contains("hunter2"), "{wrong}: {said}");
        }
        let proxy = Proxy { url: "http://me:hunter2@a".into(), except: String::new() };
        assert!(!format!("{proxy:?}").contains("hunter2"));
    }
}
