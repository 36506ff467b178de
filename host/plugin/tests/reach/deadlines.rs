//! Each deadline fires, whoever waits and for what.

use std::time::{Duration, Instant};

use dozo_job::{Error, Kind};
use dozo_plugin::Limits;

use crate::{Call, server};

/// A server that takes everything and says nothing.
async fn silent() -> String {
    let silent = server(|mut stream| async move {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        std::future::pending().await
    });
    silent.await.to_string()
}

async fn fails(act: &'static str, to: String, limits: Limits, within: Duration) -> Error {
    let mut call = Call::new(act, to, &["127.0.0.0/8:*"]);
    (call.limits, call.bytes) = (limits, 5);
    let begun = Instant::now();
    let error = call.said().await.unwrap_err();
    assert!(begun.elapsed() < within, "{act} took {:?}: {}", begun.elapsed(), error.chain());
    error
}

#[tokio::test]
async fn nothing_that_comes() {
    let (short, within) = (Duration::from_millis(300), Duration::from_secs(5));
    let to = silent().await;
    for (act, to) in [
        ("net-read", format!("tcp://{to}")),
        ("net-hand-on", format!("tcp://{to}")),
        ("live", format!("tcp://{to}")),
        ("http-get", format!("http://{to}/")),
        ("http-fetch", format!("http://{to}/")),
    ] {
        let error = fails(act, to, Limits { idle: short, ..Limits::default() }, within).await;
        assert_eq!(error.kind(), Kind::Unavailable, "{act}: {}", error.chain());
    }
}

#[tokio::test]
async fn nobody_who_answers() {
    // A queue that is full: the system does not answer then.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    let moment = Duration::from_millis(200);
    while let Ok(stream) = tokio::time::timeout(moment, tokio::net::TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    for (act, to) in [("net-read", format!("tcp://{address}")), ("http-get", format!("http://{address}/"))] {
        let limits = Limits { connect: Duration::from_millis(300), ..Limits::default() };
        let error = fails(act, to, limits, Duration::from_secs(5)).await;
        assert!(error.kind() == Kind::Unavailable && error.chain().contains("nobody answered"), "{}", error.chain());
    }
}

#[tokio::test]
async fn the_whole_call() {
    let to = silent().await;
    let limits = || Limits { wall: Duration::from_millis(700), ..Limits::default() };
    for (act, to) in [
        ("net-read", format!("tcp://{to}")),
        ("net-hand-on", format!("tcp://{to}")),
        ("live", format!("tcp://{to}")),
        ("http-get", format!("http://{to}/")),
        ("http-fetch", format!("http://{to}/")),
        ("std-read", to.clone()),
    ] {
        let error = fails(act, to, limits(), Duration::from_secs(5)).await;
        assert!(error.chain().contains("took longer than its limit"), "{act}: {}", error.chain());
    }
}

#[tokio::test]
async fn sockets_of_the_standard_library_that_stand_still() {
    let limits = Limits { stall: Duration::from_millis(700), ..Limits::default() };
    let error = fails("std-read", silent().await, limits, Duration::from_secs(5)).await;
    assert!(error.chain().contains("asked nothing of the host"), "{}", error.chain());
}
