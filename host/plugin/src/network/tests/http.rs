//! HTTP against servers that say exactly what a test wants.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dozo_job::{Error, Kind, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::secure::Authority;
use super::{Answers, impatient, network, read_all, server, session, session_within};
use crate::limits::{CONNECTIONS, Limits};
use crate::network::{Body, Http, Request, Response};

/// Reads the head of a request.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// Answers each request of a connection with the same bytes, and closes it.
pub(super) async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8]) {
    if head(stream).await.is_some() {
        stream.write_all(bytes).await.unwrap();
        let _ = stream.shutdown().await;
    }
}

async fn answering(bytes: &'static [u8]) -> SocketAddr {
    server(move |mut stream| async move { answer(&mut stream, bytes).await }).await
}

pub(super) fn get(url: String) -> Request {
    Request { method: "GET".into(), url, headers: vec![], body: Body::None }
}

fn http(limits: Limits) -> Http {
    Http::new(session_within(network(&["127.0.0.1:*"]), limits))
}

async fn got(bytes: &'static [u8], limits: Limits) -> Result<Response> {
    http(limits).send(get(format!("http://{}/", answering(bytes).await))).await
}

/// Content as the interface hands it over.
fn pieces(bytes: &[&'static [u8]]) -> Body {
    let (sender, receiver) = mpsc::channel(bytes.len() + 1);
    for piece in bytes.iter().chain(&[&b""[..]]) {
        sender.try_send(Ok(Bytes::from_static(piece))).unwrap();
    }
    Body::Pieces(receiver)
}

#[tokio::test]
async fn an_answer_comes_back_as_it_is() {
    let said = b"HTTP/1.1 418 x\r\nX-Tea: \xff\xfegreen\r\nSet-Cookie: a\r\nset-cookie:\r\nSET-COOKIE: b\r\nContent-Length: 5\r\n\r\nshort";
    let response = got(said, Limits::default()).await.unwrap();
    assert_eq!(response.status, 418);
    let fields: Vec<_> = response.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let expected: [(&str, &[u8]); 5] = [
        ("x-tea", b"\xff\xfegreen"),
        ("set-cookie", b"a"),
        ("set-cookie", b""),
        ("set-cookie", b"b"),
        ("content-length", b"5"),
    ];
    assert_eq!(fields, expected);
    assert_eq!(read_all(response.body).await.unwrap(), b"short");
}

#[tokio::test]
async fn an_answer_that_may_be_a_part_is_none() {
    for (said, why) in [
        (&b"HTTP/1.1 206 x\r\ncontent-range: bytes 0-4/10\r\ncontent-length: 5\r\n\r\nshort"[..], "sends a part"),
        (b"HTTP/1.1 200 x\r\ntransfer-encoding: identity\r\ncontent-length: 50\r\n\r\nshort", "transfer encoding"),
        (b"HTTP/1.1 200 x\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "transfer encoding"),
    ] {
        let error = got(said, Limits::default()).await.err().unwrap_or_else(|| panic!("{why}"));
        assert!(error.chain().contains(why), "{}", error.chain());
    }
    let url = format!("http://{}/", answering(b"HTTP/1.1 206 x\r\ncontent-length: 5\r\n\r\nshort").await);
    let headers = vec![("range".into(), "bytes=0-4".into())];
    let response = http(Limits::default()).send(Request { headers, ..get(url) }).await.unwrap();
    assert_eq!(read_all(response.body).await.unwrap(), b"short");
}

#[tokio::test]
async fn success_before_the_body_was_taken_is_none() {
    let address = answering(b"HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n").await;
    // The sender stays: more of the body is to come.
    let (sender, receiver) = mpsc::channel(4);
    sender.try_send(Ok(Bytes::from_static(b"the beginning"))).unwrap();
    let body = Body::Pieces(receiver);
    let request = Request { method: "PUT".into(), body, ..get(format!("http://{address}/")) };
    let error = http(Limits::default()).send(request).await.err().unwrap();
    assert!(error.chain().contains("before it has taken the whole body"), "{}", error.chain());
    // A refusal may come as early as it likes.
    let address = answering(b"HTTP/1.1 413 x\r\ncontent-length: 0\r\n\r\n").await;
    let (sender, receiver) = mpsc::channel(4);
    sender.try_send(Ok(Bytes::from_static(b"the beginning"))).unwrap();
    let body = Body::Pieces(receiver);
    let request = Request { method: "PUT".into(), body, ..get(format!("http://{address}/")) };
    assert_eq!(http(Limits::default()).send(request).await.unwrap().status, 413);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Arc::new(AtomicUsize::new(0));
    let count = elsewhere.clone();
    let other = server(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        std::future::ready(())
    });
    let location = format!("HTTP/1.1 302 x\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n", other.await);
    let location: &'static str = location.leak();
    let response = got(location.as_bytes(), Limits::default()).await.unwrap();
    assert_eq!(response.status, 302);
    assert!(
        response
            .headers
            .iter()
            .any(|(name, value)| name == "location"
                && location.as_bytes().windows(value.len()).any(|part| part == value))
    );
    assert_eq!(elsewhere.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_body_that_ends_early_is_an_error() {
    for said in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n",
    ] {
        let response = got(said, Limits::default()).await.unwrap();
        let error = read_all(response.body).await.unwrap_err();
        let said = String::from_utf8_lossy(said);
        assert!(
            error.kind() == Kind::Unavailable && error.to_string().contains("was cut"),
            "{said}: {}",
            error.chain()
        );
    }
    let whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n\r\n";
    assert_eq!(read_all(got(whole, Limits::default()).await.unwrap().body).await.unwrap(), b"short");
}

#[tokio::test]
async fn answers_have_bounds() {
    let bounded = || Limits { response_bytes: Some(4), ..Limits::default() };
    let error = got(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nshort", bounded()).await.err().unwrap();
    assert!(error.kind() == Kind::Invalid && error.to_string().contains("its limit of 4 bytes"), "{error}");
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nsho\r\n2\r\nrt\r\n0\r\n\r\n";
    let error = read_all(got(chunked, bounded()).await.unwrap().body).await.unwrap_err();
    assert!(error.kind() == Kind::Invalid && error.to_string().contains("its limit of 4 bytes"), "{error}");
    for headers in ["x: y\r\n".repeat(10_000), format!("x: {}\r\n", "y".repeat(1 << 20))] {
        let said: &'static str = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 0\r\n\r\n").leak();
        assert!(got(said.as_bytes(), Limits::default()).await.is_err(), "{} bytes of headers", headers.len());
    }
}

#[tokio::test]
async fn bodies_go_out_as_said_or_not_at_all() {
    let heard = Arc::new(Mutex::new(Vec::<String>::new()));
    let hear = heard.clone();
    let address = server(move |mut stream| {
        let hear = hear.clone();
        async move {
            let mut all = Vec::new();
            // Whatever comes within a moment; a request that breaks off ends sooner.
            let _ = tokio::time::timeout(Duration::from_millis(300), stream.read_to_end(&mut all)).await;
            hear.lock().unwrap().push(String::from_utf8(all).unwrap());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let url = format!("http://{}/", address.await);
    let post = async |body: Body, length: Option<&str>| {
        let headers = length.map(|length| ("content-length".to_string(), length.into())).into_iter().collect();
        let request = Request { method: "POST".into(), url: url.clone(), headers, body };
        http(Limits::default()).send(request).await.map(|response| response.status)
    };
    for (body, length, expected) in [
        (Body::None, None, "content-length: 0"),
        (Body::Bytes(b"whole".to_vec()), None, "content-length: 5"),
        (Body::Bytes(b"whole".to_vec()), Some("5"), "\r\n\r\nwhole"),
        (pieces(&[b"two ", b"pieces"]), Some("10"), "\r\n\r\ntwo pieces"),
        (pieces(&[b"two ", b"pieces"]), None, "4\r\ntwo \r\n6\r\npieces\r\n0\r\n\r\n"),
    ] {
        assert_eq!(post(body, length).await.unwrap(), 200, "{expected}");
        let heard = heard.lock().unwrap().pop().unwrap();
        assert!(heard.contains(expected) && heard.contains("user-agent: dozo/"), "no {expected:?} in {heard:?}");
    }
    for (body, length) in [
        (Body::Bytes(b"whole".to_vec()), "4"),
        (pieces(&[b"two ", b"pieces"]), "11"),
        (pieces(&[b"two ", b"pieces"]), "9"),
        (pieces(&[b"two ", b"pieces"]), "4"),
        (pieces(&[]), "1"),
    ] {
        let error = post(body, Some(length)).await.unwrap_err();
        assert!(error.kind() == Kind::Invalid && error.chain().contains("content-length"), "{}", error.chain());
    }
}

#[tokio::test]
async fn what_fails_to_be_read_is_not_sent_as_if_it_were_all() {
    let address = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let (sender, receiver) = mpsc::channel(4);
    sender.try_send(Ok(Bytes::from_static(b"half"))).unwrap();
    sender.try_send(Err(Error::corrupt("the disk is on fire"))).unwrap();
    let post = |body| Request { method: "POST".into(), url: format!("http://{address}/"), headers: vec![], body };
    // The server of this test answers before it has read the body: what it says does not count then.
    if let Err(error) = http(Limits::default()).send(post(Body::Pieces(receiver))).await {
        assert!(error.kind() == Kind::Corrupt && error.chain().contains("on fire"), "{}", error.chain());
    }
    // A thread that died while it read is no end either.
    let (sender, receiver) = mpsc::channel::<Result<Bytes>>(4);
    drop(sender);
    let silent = server(|mut stream| async move {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
    });
    let request = Request { url: format!("http://{}/", silent.await), ..post(Body::Pieces(receiver)) };
    let error = http(Limits::default()).send(request).await.err().unwrap();
    assert!(error.kind() == Kind::Internal, "{}", error.chain());
}

#[tokio::test]
async fn a_connection_serves_several_requests_and_one_that_was_closed_meanwhile_is_made_anew() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let address = server(move |mut stream| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            for _ in 0..3 {
                let Some(_) = head(&mut stream).await else { return };
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            }
        }
    });
    let (http, url) = (http(Limits::default()), format!("http://{}/", address.await));
    for _ in 0..6 {
        let response = http.send(get(url.clone())).await.unwrap();
        assert_eq!(read_all(response.body).await.unwrap(), b"ok");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

/// Answers with a body that comes in more pieces than are read ahead.
async fn dribble(mut stream: TcpStream) {
    while head(&mut stream).await.is_some() {
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        if stream.write_all(&b"1\r\nx\r\n".repeat(20)).await.is_err() || stream.write_all(b"0\r\n\r\n").await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_thousand_requests_take_turns() {
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (open.clone(), most.clone());
    let address = server(move |stream| {
        let (now, peak) = (now.clone(), peak.clone());
        async move {
            peak.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            dribble(stream).await;
            now.fetch_sub(1, Ordering::Relaxed);
        }
    });
    let (http, url) = (http(Limits::default()), format!("http://{}/", address.await));
    let requests: Vec<_> = (0..1000)
        .map(|_| {
            let (http, url) = (http.clone(), url.clone());
            tokio::spawn(async move { read_all(http.send(get(url)).await?.body).await })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap(), [b'x'; 20]);
    }
    assert!(most.load(Ordering::Relaxed) <= CONNECTIONS, "{most:?}");
}

#[tokio::test]
async fn one_request_more_than_unread_responses_allow_is_an_error() {
    let limits = Limits { idle: Duration::from_secs(2), ..Limits::default() };
    let (http, url) = (http(limits), format!("http://{}/", server(dribble).await));
    let mut unread = Vec::new();
    for _ in 0..CONNECTIONS {
        unread.push(http.send(get(url.clone())).await.unwrap());
    }
    let error = http.send(get(url.clone())).await.err().unwrap();
    assert!(error.kind() == Kind::Invalid && error.chain().contains("256 requests at once"), "{}", error.chain());
    assert!(error.hint().unwrap().contains("to the end"), "{:?}", error.hint());
    drop(unread);
    http.send(get(url)).await.unwrap();
}

#[tokio::test]
async fn a_body_of_unknown_length_goes_out_whatever_the_method() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = heard.clone();
    let address = server(move |mut stream| {
        let hear = hear.clone();
        async move {
            let mut all = Vec::new();
            while !all.ends_with(b"0\r\n\r\n") {
                all.push(stream.read_u8().await.unwrap());
            }
            hear.lock().unwrap().push(String::from_utf8(all).unwrap());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let url = format!("http://{}/", address.await);
    for method in ["GET", "DELETE", "SEARCH"] {
        let body = pieces(&[b"a question"]);
        let request = Request { method: method.into(), body, ..get(url.clone()) };
        assert_eq!(http(Limits::default()).send(request).await.unwrap().status, 200);
        let heard = heard.lock().unwrap().pop().unwrap();
        assert_eq!(heard.matches("transfer-encoding: chunked").count(), 1, "{heard}");
        assert!(heard.ends_with("\r\n\r\nA\r\na question\r\n0\r\n\r\n"), "{heard}");
    }
}

#[tokio::test]
async fn every_url_is_judged_as_a_connection_is() {
    let near = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let resolver = Answers::new(&[("api.example", &[&[near]])]);
    let http = Http::new(session(network(&["api.example:*"]).with_resolver(resolver)));
    let port = near.port();
    for (url, line) in [
        (format!("http://api.example:{port}/"), format!("\"127.0.0.1:{port}\"")),
        ("https://evil.example/".into(), "\"evil.example:443\"".into()),
        ("http://evil.example/".into(), "\"evil.example:80\"".into()),
        (format!("http://127.0.0.1:{port}/"), format!("\"127.0.0.1:{port}\"")),
        (format!("http://[::ffff:7f00:1]:{port}/"), format!("\"127.0.0.1:{port}\"")),
    ] {
        let error = http.send(get(url.clone())).await.err().unwrap();
        assert_eq!(error.kind(), Kind::NotGranted, "{url}: {}", error.chain());
        assert!(error.hint().unwrap().contains(&line), "{url}: {:?}", error.hint());
    }
}

#[tokio::test]
async fn every_wait_has_an_end() {
    let begun = Instant::now();
    let silent = server(|mut stream| async move {
        head(&mut stream).await;
        std::future::pending().await
    });
    let error = http(impatient()).send(get(format!("http://{}/", silent.await))).await.err().unwrap();
    assert!(error.kind() == Kind::Unavailable && error.to_string().contains("no answer"), "{error}");
    let stalled = server(|mut stream| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
        std::future::pending().await
    });
    let response = http(impatient()).send(get(format!("http://{}/", stalled.await))).await.unwrap();
    let error = read_all(response.body).await.unwrap_err();
    assert!(error.kind() == Kind::Unavailable && error.to_string().contains("nothing came"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_slow_upload_is_no_standstill() {
    let address = server(|mut stream| async move {
        let mut all = Vec::new();
        while !all.ends_with(b"0\r\n\r\n") {
            all.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    });
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        for piece in [b"a", b"b", b"c", b"d", b"e", b"f"] {
            tokio::time::sleep(Duration::from_millis(150)).await;
            sender.send(Ok(Bytes::from_static(piece))).await.unwrap();
        }
        sender.send(Ok(Bytes::new())).await.unwrap();
    });
    let url = format!("http://{}/", address.await);
    let request = Request { method: "PUT".into(), url, headers: vec![], body: Body::Pieces(receiver) };
    assert_eq!(http(impatient()).send(request).await.unwrap().status, 200);
}

/// A server of HTTPS at `localhost`, and its URL.
async fn secure(authority: &Authority, clients: Option<&Authority>) -> String {
    let (acceptor, _) = authority.acceptor("localhost", clients);
    let address = server(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            answer(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecure").await;
        }
    });
    format!("https://localhost:{}/", address.await.port())
}

#[tokio::test]
async fn https_is_spoken_with_whom_the_grant_says() {
    let (authority, other) = (Authority::new(), Authority::new());
    let url = secure(&authority, None).await;
    let response = Http::new(session(authority.network(&["localhost:*"]))).send(get(url.clone())).await.unwrap();
    assert_eq!(read_all(response.body).await.unwrap(), b"secure");
    let error = Http::new(session(other.network(&["localhost:*"]))).send(get(url)).await.err().unwrap();
    assert!(error.kind() == Kind::Invalid && error.hint().unwrap().contains("`ca`"), "{}", error.chain());
}

#[tokio::test]
async fn a_server_of_https_may_want_a_certificate_of_ours() {
    let authority = Authority::new();
    let url = secure(&authority, Some(&authority)).await;
    let network = authority.network_as_client("localhost:*", "client");
    let response = Http::new(session(network)).send(get(url.clone())).await.unwrap();
    assert_eq!(read_all(response.body).await.unwrap(), b"secure");
    let error = Http::new(session(authority.network(&["localhost:*"]))).send(get(url)).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Denied, "{}", error.chain());
}
