//! The URL of a request, taken apart and not changed. Parsers of URLs repair what they read: they fold `..` and `%2e%2e`, turn
//! `\` into `/`, drop tabs and what follows a `#`. Another resource would then be read under the name of the one that was
//! meant. What arrives at the server is what the plugin wrote, or nothing does.

use dozo_job::{Error, Result};
use hyper::Uri;
use hyper::header::HeaderValue;

use super::connector::Scheme;
use crate::network::target::{Endpoint, Host, number};

/// What no request line carries, or the client would not send as it is; beside it all of ASCII that can be seen is sent.
const REFUSED: &[u8] = b"\"#<>`";

/// Where a request goes.
#[derive(Debug)]
pub(super) struct Location {
    pub(super) endpoint: Endpoint,
    /// The value of `host`: the server as it stands in the URL, without the port that its scheme has anyway.
    pub(super) host: HeaderValue,
    /// For the client: the endpoint as the pool of connections is keyed by, and path and query as they were written.
    pub(super) uri: Uri,
}

impl Location {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid), without the path, which may be a secret.
    pub(super) fn read(url: &str) -> Result<Self> {
        let (scheme, rest) = scheme(url)?;
        let (server, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if server.contains('@') {
            return Err(Error::invalid("there are credentials in the URL of the request")
                .hinted("the plugin should send them in an `authorization` header"));
        }
        let (host, port) = authority(server).ok_or_else(no_server)?;
        let endpoint = Endpoint::Tcp(Host::parse(host).ok_or_else(no_server)?, port.unwrap_or(scheme.port()));
        let shown =
            port.filter(|port| *port != scheme.port()).map_or(host.to_string(), |port| format!("{host}:{port}"));
        let host = HeaderValue::from_str(&shown).map_err(|_| no_server())?;
        let uri = exact(scheme, &endpoint, target)?;
        Ok(Location { endpoint, host, uri })
    }
}

fn scheme(url: &str) -> Result<(Scheme, &str)> {
    let https = url.strip_prefix("https://").map(|rest| (Scheme::Https, rest));
    let known = https.or_else(|| url.strip_prefix("http://").map(|rest| (Scheme::Http, rest)));
    known.ok_or_else(|| Error::invalid("the URL of the request does not begin with `http://` or `https://`"))
}

/// Host and port as they are written; an address of IPv6 stands in brackets.
fn authority(server: &str) -> Option<(&str, Option<u16>)> {
    let end = if server.starts_with('[') { server.find(']')? + 1 } else { server.find(':').unwrap_or(server.len()) };
    let (host, port) = server.split_at(end);
    let port = match port.strip_prefix(':') {
        // One that would be written otherwise in `host` is none.
        Some(port) => Some(number(port).filter(|number| number.to_string() == port)?),
        None if port.is_empty() => None,
        None => return None,
    };
    Some((host, port))
}

fn no_server() -> Error {
    Error::invalid("there is no server in the URL of the request that a connection could be made to").hinted(
        "it is `https://HOST/` or `https://HOST:PORT/`; a name is written in ASCII (`xn--…`), an address of IPv4 as four \
         numbers, one of IPv6 in brackets",
    )
}

/// The client's form of it, if that has path and query as they were written.
fn exact(scheme: Scheme, endpoint: &Endpoint, target: &str) -> Result<Uri> {
    let refused = |c: char| !c.is_ascii_graphic() || REFUSED.contains(&(c as u8));
    if let Some(odd) = target.chars().find(|c| refused(*c)) {
        return Err(Error::invalid(format!(
            "path and query of the URL of the request to {endpoint} have the character {odd:?}, which cannot be sent as it is"
        ))
        .hinted("names and values are percent-encoded before they become a part of a URL: `%20` for a space"));
    }
    // What an empty path is sent as (RFC 9112, 3.2.1).
    let target = if target.starts_with('/') { target.to_string() } else { format!("/{target}") };
    let made = Uri::builder().scheme(scheme.word()).authority(endpoint.to_string()).path_and_query(target.as_str());
    let made = made.build().map_err(|e| {
        let what = format!("path and query of the URL of the request to {endpoint} cannot be sent");
        Error::invalid(what).caused_by(e)
    })?;
    match made.path_and_query().is_some_and(|kept| kept.as_str() == target) {
        true => Ok(made),
        false => Err(Error::internal(format!("the request to {endpoint} would not go out as it was written"))),
    }
}

#[cfg(test)]
mod tests {
    use dozo_job::Kind;

    use super::*;

    #[test]
    fn the_server_is_named_as_it_is_written_without_the_port_of_the_scheme() {
        for (url, host, endpoint) in [
            ("https://a.example", "a.example", "a.example:443"),
            ("https://a.example:443/", "a.example", "a.example:443"),
            ("http://a.example:80/", "a.example", "a.example:80"),
            ("http://a.example:443/", "a.example:443", "a.example:443"),
            ("https://a.example:9000/x:1", "a.example:9000", "a.example:9000"),
            ("https://A.Example/", "A.Example", "a.example:443"),
            ("https://a.example./", "a.example.", "a.example:443"),
            ("http://127.0.0.1:81/", "127.0.0.1:81", "127.0.0.1:81"),
            ("https://[FD00::0:1]/", "[FD00::0:1]", "[fd00::1]:443"),
            ("http://[::1]:8080/", "[::1]:8080", "[::1]:8080"),
            ("http://[::ffff:127.0.0.1]/", "[::ffff:127.0.0.1]", "127.0.0.1:80"),
        ] {
            let location = Location::read(url).unwrap();
            assert_eq!(
                (location.host.to_str().unwrap(), location.endpoint.to_string().as_str()),
                (host, endpoint),
                "{url}"
            );
        }
    }

    #[test]
    fn path_and_query_stay_as_they_are() {
        for target in [
            "/",
            "//",
            "/a/../b",
            "/..",
            "/%2e%2e/x",
            "/%2F%5c",
            r"/a\b",
            "/%zz",
            "/100%",
            "/a//b/./c/",
            "/;a=b",
            "/*",
            "/x?",
            "/x??a=b&c[]=|^{}'",
            "/?",
            "/x?a=../..",
            "/{x}",
        ] {
            let read = Location::read(&format!("http://a{target}")).unwrap();
            assert_eq!(read.uri.path_and_query().unwrap().as_str(), target);
        }
        for (url, target) in [("http://a", "/"), ("http://a?x", "/?x")] {
            assert_eq!(Location::read(url).unwrap().uri.path_and_query().unwrap().as_str(), target);
        }
    }

    #[test]
    fn what_would_not_arrive_is_refused_and_not_told() {
        for target in [
            "/hunter2 x",
            "/hunter2#x",
            "#hunter2",
            "/hunter2\t",
            "/hunter2\r\nx: y",
            "/hunter2\0",
            "/hunter2\u{7f}",
            "/hunter2/ü",
            "/hunter2?\"",
            "/hunter2?<",
            "/hunter2`",
            "/hunter2 ",
        ] {
            let error = Location::read(&format!("http://a{target}")).unwrap_err();
            let said = format!("{} {:?}", error.chain(), error.hint());
            assert!(
                error.kind() == Kind::Invalid && said.contains("a:80") && said.contains("percent-encoded"),
                "{said}"
            );
            assert!(!said.contains("hunter2"), "{said}");
        }
        let long = Location::read(&format!("http://a/{}", "x".repeat(70_000))).unwrap_err();
        assert!(long.chain().contains("too long") && long.chain().len() < 200, "{}", long.chain());
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for url in [
            "",
            "a.example/",
            "ftp://a/",
            "HTTPS://a/",
            " https://a/",
            "https:a",
            "https:///x",
            "https://",
            "https://a:/",
            "https://a:0/",
            "https://a:080/",
            "https://a:+80/",
            "https://a:b/",
            "https://::1/",
            "https://fe80::1:80/",
            "https://[::1/",
            "https://[::1]x/",
            "https://[127.0.0.1]/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://127.1/",
            "https://ü.example/",
            "https://a b/",
            "https://a\\b/",
            "https://%61/",
            "https://me@a/",
            "https://me:pw@a/",
            "https://a\r\nx: y/",
        ] {
            let error = Location::read(url).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{url:?}: {}", error.chain());
        }
    }
}
