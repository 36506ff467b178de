//! Ways around the grants, as a plugin would try them: each is refused, and the operator is told what was asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use dozo_job::{Error, Kind, Result};
use dozo_plugin::Resolve;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Call, server};

/// A server that nobody may reach, and how often somebody did.
async fn forbidden() -> (SocketAddr, Arc<AtomicUsize>) {
    let reached = Arc::new(AtomicUsize::new(0));
    let count = reached.clone();
    let address = server(move |mut stream| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await;
        }
    });
    (address.await, reached)
}

/// A resolver that somebody else controls: each answer is another.
struct Theirs {
    answers: Vec<SocketAddr>,
    asked: AtomicUsize,
}

#[async_trait]
impl Resolve for Theirs {
    async fn resolve(&self, _: &str, _: u16) -> Result<Vec<SocketAddr>> {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(vec![self.answers[turn.min(self.answers.len() - 1)]])
    }
}

fn theirs(answers: &[SocketAddr]) -> Arc<Theirs> {
    Arc::new(Theirs { answers: answers.to_vec(), asked: AtomicUsize::new(0) })
}

#[track_caller]
fn refused(said: Result<String>, missing: &str) {
    let error: Error = said.unwrap_err();
    assert_eq!(error.kind(), Kind::NotGranted, "{}", error.chain());
    assert!(error.hint().is_some_and(|hint| hint.contains(missing)), "no {missing} in {:?}", error.hint());
}

#[tokio::test]
async fn by_address() {
    let (address, reached) = forbidden().await;
    let port = address.port();
    let granted = format!("localhost:{port}");
    refused(Call::new("net-read", format!("tcp://{address}"), &[&granted]).said().await, &format!("\"{address}\""));
    for spelling in ["127.1", "2130706433", "0x7f.0.0.1", "%31%32%37.0.0.1", "127.0.0.1\\", "me@127.0.0.1"] {
        let error = Call::new("http-get", format!("http://{spelling}:{port}/"), &[&granted]).said().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{spelling}: {}", error.chain());
    }
    for spelling in ["127.0.0.1", "[::ffff:127.0.0.1]", "[0::ffff:7f00:1]"] {
        let url = format!("http://{spelling}:{port}/");
        refused(Call::new("http-get", url, &[&granted]).said().await, &format!("\"{address}\""));
    }
    assert_eq!(reached.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn by_a_name_that_leads_to_what_is_near() {
    let (address, reached) = forbidden().await;
    let name = format!("innocent.example:{}", address.port());
    for (act, to) in [("net-read", format!("tcp://{name}")), ("http-get", format!("http://{name}/"))] {
        let mut call = Call::new(act, to, &[&name]);
        call.network = call.network.with_resolver(theirs(&[address]));
        refused(call.said().await, &format!("\"{address}\""));
    }
    let mut call = Call::new("std-read", &name, &[&name]);
    call.network = call.network.with_resolver(theirs(&[address]));
    let error = call.said().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{}", error.chain());
    assert_eq!(reached.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn by_a_redirect() {
    let (address, reached) = forbidden().await;
    let redirects = server(move |mut stream| async move {
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await;
        let said = format!("HTTP/1.1 302 Found\r\nlocation: http://{address}/\r\ncontent-length: 0\r\n\r\n");
        let _ = stream.write_all(said.as_bytes()).await;
    });
    let redirects = redirects.await;
    let (url, granted) = (format!("http://{redirects}/"), redirects.to_string());
    // Not followed by the host …
    let error = Call::new("http-get", &url, &[&granted]).said().await.unwrap_err();
    assert!(error.chain().contains("302"), "{}", error.chain());
    assert_eq!(reached.load(Ordering::Relaxed), 0);
    // … and by the plugin only where that is granted.
    refused(Call::new("http-follow", &url, &[&granted]).said().await, &format!("\"{address}\""));
    assert_eq!(reached.load(Ordering::Relaxed), 0);
    let both = [granted.as_str(), &address.to_string()];
    assert_eq!(Call::new("http-follow", &url, &both).said().await.unwrap(), "secret");
}

#[tokio::test]
async fn by_rebinding() {
    let (address, reached) = forbidden().await;
    let port = address.port();
    let good = server(move |mut stream| async move {
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await;
        // Back to the same name, which the resolver by now says is elsewhere.
        let said = format!("HTTP/1.1 302 x\r\nlocation: http://rebind.example:{port}/\r\ncontent-length: 0\r\n\r\n");
        let _ = stream.write_all(said.as_bytes()).await;
    });
    let good = good.await;
    let good = SocketAddr::new("127.0.0.2".parse().unwrap(), good.port());
    // The first answer is granted, the second is not; both servers listen.
    let mut call =
        Call::new("http-follow", format!("http://rebind.example:{port}/"), &["rebind.example:*", "127.0.0.2:*"]);
    call.network = call.network.with_resolver(theirs(&[good, address]));
    let error = call.said().await.unwrap_err();
    assert!(error.kind() != Kind::NotGranted, "asked a second time: {}", error.chain());
    assert_eq!(reached.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn by_sockets_of_the_standard_library() {
    let (address, reached) = forbidden().await;
    let elsewhere = format!("localhost:{}", address.port() ^ 1);
    for grants in [&[][..], &[elsewhere.as_str()], &["127.0.0.2:*"]] {
        let error = Call::new("std-read", address.to_string(), grants).said().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{}", error.chain());
        // What the standard library makes of a name that it may not resolve is its own.
        Call::new("std-read", format!("localhost:{}", address.port()), grants).said().await.unwrap_err();
    }
    assert_eq!(reached.load(Ordering::Relaxed), 0);
    let call = Call::new("std-others", "", &["0.0.0.0/0:*", "[::]/0:*"]);
    let intake = Arc::default();
    call.run(&intake).await.unwrap();
}
