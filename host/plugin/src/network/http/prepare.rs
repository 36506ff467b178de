//! From what a plugin asks for to a request that can be sent; what a plugin may not say is refused here.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use dozo_job::{Error, Result};
use hyper::Method;
use hyper::body::Body as _;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue, RANGE, TRANSFER_ENCODING};

use super::Request;
use super::fields::fields;
use super::location::Location;
use super::upload::Upload;

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
    let Location { endpoint, host, uri } = Location::read(&url)?;
    let what = format!("{method} to {endpoint}");
    let (mut headers, length) = fields(headers).map_err(|e| e.context(what.clone()))?;
    headers.insert(HOST, host);
    let (moved, taken, failure) = (Arc::default(), Arc::<AtomicBool>::default(), Arc::default());
    let upload = Upload::new(body, length, Arc::clone(&moved), Arc::clone(&taken), Arc::clone(&failure));
    let upload = upload.map_err(|e| e.context(what.clone()))?;
    if upload.is_end_stream() && [Method::POST, Method::PUT, Method::PATCH].contains(&method) {
        // The client says nothing of a body that is none, and servers want to hear it (RFC 9110, 8.6).
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if upload.size_hint().exact().is_none() {
        // Or the client would send none with a GET, and say nothing.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
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
        refused(request("GET", "http://me:hunter2@a/", &[]), "credentials");
        refused(request("GET", "ftp://a/hunter2", &[]), "http://");
        refused(request("GET", "hunter2", &[]), "URL");
        refused(request("CONNECT", "http://a/", &[]), "CONNECT");
        refused(request("GET /\r\n", "http://a/", &[]), "method");
        refused(request("GET", "http://a/hunter2", &[("host", "b")]), "GET to a:80");
        refused(request("POST", "http://a/", &[("content-length", "7")]), "7");
    }

    #[test]
    fn messages_name_the_endpoint_and_no_path() {
        let what = request("POST", "https://Hooks.example/T0/secret?x", &[]).unwrap().what;
        assert_eq!(what, "POST to hooks.example:443");
        assert_eq!(request("GET", "http://[::ffff:127.0.0.1]/", &[]).unwrap().what, "GET to 127.0.0.1:80");
    }
}
