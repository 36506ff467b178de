//! From what a plugin asks for to a request that can be sent; what a plugin may not say is refused here.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use dozo_job::{Error, Result};
use hyper::body::Body as _;
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, RANGE, USER_AGENT};
use hyper::{Method, Uri};
use url::Url;

use super::Request;
use super::connector::endpoint;
use super::upload::Upload;

/// What belongs to the connection and not to the request, which is the host's to say.
const OURS: [&str; 11] = [
    "host",
    "connection",
    "proxy-connection",
    "proxy-authorization",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
    "expect",
];

/// A request that can be sent.
pub(super) struct Prepared {
    pub(super) request: hyper::Request<Upload>,
    /// Method and endpoint, for messages. A URL's path may be a secret.
    pub(super) what: String,
    /// Bytes of the body that have gone out.
    pub(super) moved: Arc<AtomicU64>,
    /// Whether all of the body has.
    pub(super) taken: Arc<AtomicBool>,
    /// Whether it asks for a part of something.
    pub(super) is_ranged: bool,
    /// Why the body could not be sent.
    pub(super) failure: Arc<OnceLock<Error>>,
}

pub(super) fn prepare(request: Request) -> Result<Prepared> {
    let Request { method, url, headers, body } = request;
    let method = verb(&method)?;
    let uri = address(&url)?;
    let what = format!("{method} to {}", endpoint(&uri)?.0);
    let (mut headers, length) = fields(headers).map_err(|e| e.context(what.clone()))?;
    let (moved, taken, failure) = (Arc::default(), Arc::<AtomicBool>::default(), Arc::default());
    let upload = Upload::new(body, length, Arc::clone(&moved), Arc::clone(&taken), Arc::clone(&failure));
    let upload = upload.map_err(|e| e.context(what.clone()))?;
    if upload.is_end_stream() && [Method::POST, Method::PUT, Method::PATCH].contains(&method) {
        // The client says nothing of a body that is none, and servers want to hear it (RFC 9110, 8.6).
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    // A body that is none is not asked for.
    taken.store(upload.is_end_stream(), Ordering::Relaxed);
    let is_ranged = headers.contains_key(RANGE);
    let mut request = hyper::Request::new(upload);
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
    Ok(Prepared { request, what, moved, taken, is_ranged, failure })
}

fn verb(method: &str) -> Result<Method> {
    let known = Method::from_bytes(method.as_bytes()).ok();
    // They are about connections, and would get past the judgement or show what the host adds.
    let known = known.filter(|method| *method != Method::CONNECT && *method != Method::TRACE);
    known.ok_or_else(|| Error::invalid(format!("`{method}` is no method of an HTTP request that a plugin can make")))
}

fn address(url: &str) -> Result<Uri> {
    let none = |e: String| Error::invalid(format!("the URL of the request is none: {e}"));
    let mut url = Url::parse(url).map_err(|e| none(e.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::invalid("there are credentials in the URL of the request")
            .hinted("the plugin should send them in an `authorization` header"));
    }
    url.set_fragment(None);
    url.as_str().parse().map_err(|e: hyper::http::uri::InvalidUri| none(e.to_string()))
}

/// The headers, and the length of the body if it is among them.
fn fields(given: Vec<(String, String)>) -> Result<(HeaderMap, Option<u64>)> {
    let (mut headers, mut length) = (HeaderMap::new(), None);
    for (name, value) in given {
        let none =
            || Error::invalid(format!("the header `{name}` cannot be sent: it has characters that no header has"));
        let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| none())?;
        if OURS.contains(&known.as_str()) {
            return Err(Error::invalid(format!("the header `{known}` is the host's to set")));
        }
        if known == CONTENT_LENGTH {
            let digits = value.bytes().all(|b| b.is_ascii_digit());
            let said = value.parse().ok().filter(|_| digits && length.is_none());
            length = Some(said.ok_or_else(|| Error::invalid("`content-length` is to be one number, once"))?);
            continue;
        }
        let mut value = HeaderValue::from_str(&value).map_err(|_| none())?;
        value.set_sensitive(true);
        headers.try_append(known, value).map_err(|_| Error::invalid("the request has too many headers"))?;
    }
    let ours = HeaderValue::from_static(concat!("dozo/", env!("CARGO_PKG_VERSION")));
    headers.entry(USER_AGENT).or_insert(ours);
    Ok((headers, length))
}

#[cfg(test)]
mod tests {
    use dozo_job::Kind;

    use super::super::Body;
    use super::*;

    fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<Prepared> {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        prepare(Request { method: method.into(), url: url.into(), headers, body: Body::None })
    }

    #[test]
    fn what_a_plugin_may_not_say_is_refused_and_its_secrets_are_not_told() {
        let refused = |made: Result<Prepared>, word: &str| {
            let error = made.err().unwrap_or_else(|| panic!("not refused: {word}"));
            let said = format!("{} {:?}", error.chain(), error.hint());
            assert!(error.kind() == Kind::Invalid && said.contains(word) && !said.contains("hunter2"), "{said}");
        };
        for name in OURS {
            refused(request("GET", "http://a/hunter2", &[(name, "hunter2")]), name);
        }
        refused(request("GET", "http://me:hunter2@a/", &[]), "credentials");
        refused(request("GET", "ftp://a/hunter2", &[]), "http://");
        refused(request("GET", "hunter2", &[]), "URL");
        refused(request("CONNECT", "http://a/", &[]), "CONNECT");
        refused(request("GET /\r\n", "http://a/", &[]), "method");
        refused(request("GET", "http://a/", &[("x", "hunter2\r\nhost: b")]), "`x`");
        refused(request("GET", "http://a/", &[("x y", "hunter2")]), "`x y`");
        refused(request("GET", "http://a/", &[("content-length", "0"), ("Content-Length", "0")]), "content-length");
        refused(request("POST", "http://a/", &[("content-length", "7")]), "7");
    }

    #[test]
    fn messages_name_the_endpoint_and_no_path() {
        assert_eq!(
            request("POST", "https://Hooks.example/T0/secret#x", &[]).unwrap().what,
            "POST to hooks.example:443"
        );
        // As servers and resolvers take it: a number is an address.
        assert_eq!(request("GET", "http://2130706433:81/", &[]).unwrap().what, "GET to 127.0.0.1:81");
        assert_eq!(request("GET", "http://[::ffff:127.0.0.1]/", &[]).unwrap().what, "GET to 127.0.0.1:80");
    }
}
