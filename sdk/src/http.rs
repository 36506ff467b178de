//! HTTP that the host makes, to what the operator granted. Nothing is followed, kept or unpacked: an answer comes back as it
//! is, its body as [`Content`] that can be handed on without entering the plugin.
//!
//! ```no_run
//! use dozo_sdk::http::{Request, segment};
//! use dozo_sdk::prelude::*;
//!
//! #[derive(Deserialize)]
//! struct Document {
//!     id: String,
//! }
//!
//! fn back_up(url: &str, key: &str, backup: &Backup) -> Result<()> {
//!     let list = Request::get(format!("{url}/documents")).header("x-api-key", key).send()?.error_for_status()?;
//!     for Document { id } in list.json::<Vec<Document>>()? {
//!         let got = Request::get(format!("{url}/documents/{}", segment(&id))).header("x-api-key", key).send()?;
//!         backup.file(dozo_sdk::escape(&id)).copy_from(got.error_for_status()?.body)?;
//!     }
//!     Ok(())
//! }
//! ```

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::bindings::dozo::plugin::http::Header;
use crate::bindings::dozo::plugin::{http, streaming};
use crate::{Content, Error, Needs, Result};

/// Longest answer that [`Response::json`] takes into memory.
pub const JSON_BYTES: usize = 16 << 20;
/// Of an answer that is an error, so much is told.
const ERROR_BYTES: u32 = 500;

/// A name as one segment of a URL's path: all but letters, digits and `-._~` becomes `%` and two digits, and so do the dots of
/// `.` and `..`. The path of an object whose key has slashes is that of its segments, joined by `/`.
///
/// The host sends a path as it is written, so a name that is not encoded is refused, or names another resource. What a server makes
/// of `%2E%2E` is its own affair: to some it is the directory above.
///
/// ```
/// use dozo_sdk::http::segment;
///
/// assert_eq!(segment("a b/c?d#e"), "a%20b%2Fc%3Fd%23e");
/// assert_eq!(segment("100%"), "100%25");
/// assert_eq!(segment("..") + &segment(b"\xff".as_slice()), "%2E%2E%FF");
/// let path: Vec<_> = "2026/../ü.txt".split('/').map(segment).collect();
/// assert_eq!(path.join("/"), "2026/%2E%2E/%C3%BC.txt");
/// ```
pub fn segment(name: impl AsRef<[u8]>) -> String {
    match name.as_ref() {
        dots @ (b"." | b"..") => "%2E".repeat(dots.len()),
        name => percent_encode(name, &ENCODED).to_string(),
    }
}

/// A name or a value in a URL's query: all but letters, digits and `-._~` becomes `%` and two digits. A space is `%20`, which every
/// server reads as one, and not `+`; signatures of AWS want the same.
///
/// ```
/// use dozo_sdk::http::query;
///
/// assert_eq!(format!("?prefix={}", query("a b+c&d=é")), "?prefix=a%20b%2Bc%26d%3D%C3%A9");
/// ```
pub fn query(value: impl AsRef<[u8]>) -> String {
    percent_encode(value.as_ref(), &ENCODED).to_string()
}

/// What is not unreserved (RFC 3986, 2.3).
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a plugin that asks this URL needs, and nothing else.
///
/// ```
/// let needs = dozo_sdk::http::needs("https://user.example/dav/")?;
/// assert_eq!(needs.network, ["user.example:443"]);
/// # Ok::<_, dozo_sdk::Error>(())
/// ```
///
/// # Errors
/// [`Error::Invalid`] if it is no URL of HTTP, or has something in it that is never sent: a user name, a fragment (`#`), white
/// space, letters that are not ASCII.
pub fn needs(url: &str) -> Result<Needs> {
    Ok(Needs { network: vec![target(url)?], ..Needs::default() })
}

/// The server of a URL, as it is granted: `HOST:PORT`.
fn target(url: &str) -> Result<String> {
    let wrong = || Error::Invalid(format!("`{url}` is not a URL such as `https://HOST` or `http://HOST:PORT/PATH`"));
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let port = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return Err(wrong()),
    };
    let server = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let named =
        server.rsplit_once(':').filter(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let host = named.map_or(server, |(host, _)| host);
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let is_sent = url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if host.is_empty() || server.contains('@') || (host.contains(':') && !bracketed) || !is_sent {
        return Err(wrong());
    }
    Ok(if named.is_some() { server.to_string() } else { format!("{host}:{port}") })
}

/// A request in the making.
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<Header>,
    body: http::Body,
    failed: Option<Error>,
}

impl Request {
    /// Any method.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        Request { method: method.into(), url: url.into(), headers: vec![], body: http::Body::None, failed: None }
    }

    /// `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        Request::new("GET", url)
    }

    /// `POST`.
    pub fn post(url: impl Into<String>) -> Self {
        Request::new("POST", url)
    }

    /// `PUT`.
    pub fn put(url: impl Into<String>) -> Self {
        Request::new("PUT", url)
    }

    /// `DELETE`.
    pub fn delete(url: impl Into<String>) -> Self {
        Request::new("DELETE", url)
    }

    /// Adds a header: text or bytes, which are sent as they are; its name in lower case. Those that belong to the connection
    /// (`host`, `connection`, `transfer-encoding` …) are the host's.
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push(Header { name: name.to_ascii_lowercase(), value: value.into() });
        self
    }

    /// Adds `authorization: Bearer TOKEN`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Bytes as the body.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = http::Body::Bytes(bytes.into());
        self
    }

    /// A value as the body, in JSON.
    pub fn json(self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.header("content-type", "application/json").body(bytes),
            Err(error) => Request { failed: Some(Error::Internal(format!("write JSON: {error}"))), ..self },
        }
    }

    /// Content that the host holds as the body; it never enters the plugin. With a length that is known beforehand, the
    /// server is told, and content of another length is an error.
    pub fn content(mut self, content: Content, length: Option<u64>) -> Self {
        self.body = http::Body::Content(content);
        match length {
            Some(length) => self.header("content-length", length.to_string()),
            None => self,
        }
    }

    /// Sends it; returns when the answer's headers are there, whatever its status.
    ///
    /// # Errors
    /// [`Error::NotGranted`] names the line that the operator would have to add; [`Error::Unavailable`] if nobody answers.
    pub fn send(self) -> Result<Response> {
        let (what, request) = self.ready()?;
        http::send(request).map(|response| Response::new(what, response))
    }

    /// The same, while other futures of the plugin go on.
    pub async fn fetch(self) -> Result<Response> {
        let (what, request) = self.ready()?;
        streaming::fetch(request).await.map(|response| Response::new(what, response))
    }

    fn ready(self) -> Result<(String, http::Request)> {
        let Request { method, url, headers, body, failed } = self;
        if let Some(error) = failed {
            return Err(error);
        }
        // What stands behind a server's name may be a secret.
        let (scheme, rest) = url.split_once("://").unwrap_or(("", &url));
        let server = rest.split(['/', '?', '#']).next().unwrap_or_default();
        Ok((format!("{method} {scheme}://{server}"), http::Request { method, url, headers, body }))
    }
}

/// An answer.
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers, their names in lower case, those of one name in their order. Values are bytes.
    pub headers: Vec<Header>,
    /// Its body; it is [`std::io::Read`]. One that ends before its length is an error, not an end.
    pub body: Content,
    what: String,
}

impl Response {
    fn new(what: String, response: http::Response) -> Self {
        let http::Response { status, headers, body } = response;
        Response { status, headers, body, what }
    }

    /// The values of a name, in lower case, in their order.
    pub fn headers<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |header| header.name == name).map(|header| header.value.as_slice())
    }

    /// The first value of a name, in lower case, as text.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not UTF-8: [`headers`](Response::headers) has the bytes.
    pub fn header(&self, name: &str) -> Result<Option<&str>> {
        let text = |value| {
            let none = |_| Error::Corrupt(format!("{} answered with a header `{name}` that is not UTF-8", self.what));
            std::str::from_utf8(value).map_err(none)
        };
        self.headers(name).next().map(text).transpose()
    }

    /// How long the server asks to wait before the next try. None if it does not, or says a date.
    pub fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after").ok()??.trim().parse().ok().map(Duration::from_secs)
    }

    /// The answer, if its status is one of success (2xx); else an error of the kind that its status means, with the
    /// beginning of what the server says.
    pub fn error_for_status(self) -> Result<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let said = self.body.read(ERROR_BYTES).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).split_whitespace().collect::<Vec<_>>().join(" ");
        let location = self.headers("location").next().map(String::from_utf8_lossy);
        let more = match (location, self.retry_after()) {
            (Some(location), _) if self.status < 400 => {
                format!(" (go to {location}, which the host does not do by itself)")
            }
            (_, Some(wait)) => format!(" (try again in {} s)", wait.as_secs()),
            _ => String::new(),
        };
        let colon = if said.is_empty() { "" } else { ": " };
        Err(kind_of(self.status)(format!("{} answered {}{more}{colon}{said}", self.what, self.status)))
    }

    /// The body, of at most `max` bytes.
    pub fn bytes(&self, max: usize) -> Result<Vec<u8>> {
        self.body.bytes(max).map_err(|e| e.context(&self.what))
    }

    /// The body as text, of at most `max` bytes.
    pub fn text(&self, max: usize) -> Result<String> {
        let none = |_| Error::Corrupt(format!("the answer to {} is not UTF-8", self.what));
        String::from_utf8(self.bytes(max)?).map_err(none)
    }

    /// The body, in JSON, of at most [`JSON_BYTES`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let none = |e| Error::Corrupt(format!("the answer to {} is not the expected JSON: {e}", self.what));
        serde_json::from_slice(&self.bytes(JSON_BYTES)?).map_err(none)
    }
}

/// What the operator can do about a status.
fn kind_of(status: u16) -> fn(String) -> Error {
    match status {
        401 | 403 | 407 => Error::Denied,
        408 | 425 | 429 | 500.. => Error::Unavailable,
        _ => Error::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_the_kind_of_error_that_it_means() {
        for status in [401, 403] {
            assert!(matches!(kind_of(status)(String::new()), Error::Denied(_)), "{status}");
        }
        for status in [301, 304, 400, 404, 410, 422] {
            assert!(matches!(kind_of(status)(String::new()), Error::Invalid(_)), "{status}");
        }
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(matches!(kind_of(status)(String::new()), Error::Unavailable(_)), "{status}");
        }
    }

    #[test]
    fn a_url_is_granted_by_its_server() {
        for (url, expected) in [
            ("https://a.example", "a.example:443"),
            ("http://a.example/x:1/@y", "a.example:80"),
            ("https://a.example:8443?x", "a.example:8443"),
            ("http://[::1]:8065/", "[::1]:8065"),
            ("http://[::1]", "[::1]:80"),
        ] {
            assert_eq!(target(url).unwrap(), expected);
        }
        for wrong in
            ["", "a.example", "ftp://a.example", "https://", "https://me:pw@a.example", "https://a:b", "http://::1"]
                .into_iter()
                .chain(["https://a.example/#x", "https://a.example/ ", "https://a.example/\n", "https://ü.example/"])
        {
            assert!(matches!(target(wrong), Err(Error::Invalid(_))), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_comes_back_and_is_one_segment(name: Vec<u8>) {
            for encoded in [segment(&name), query(&name)] {
                assert_eq!(percent_encoding::percent_decode_str(&encoded).collect::<Vec<_>>(), name);
                assert!(encoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)), "{encoded}");
            }
        }

        #[test]
        fn two_names_are_never_one_segment(one in "[.%2eE/]{0,6}", other in "[.%2eE/]{0,6}") {
            assert!(![".", ".."].contains(&segment(&one).as_str()));
            assert_eq!(segment(&one) == segment(&other), one == other);
        }
    }

    #[test]
    fn messages_name_the_server_and_no_path() {
        let (what, _) = Request::post("https://hooks.example/T0/secret?key=secret").ready().unwrap();
        assert_eq!(what, "POST https://hooks.example");
    }
}
