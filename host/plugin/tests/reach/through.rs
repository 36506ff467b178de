//! What is granted comes through, whole, in every way.

use std::sync::{Arc, Mutex};

use dozo_job::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::intake::Memory;
use crate::{Call, server};

const LONG: usize = 5_000_000;

fn noise() -> Vec<u8> {
    (0..LONG as u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

async fn got(call: Call) -> Vec<u8> {
    let intake = Arc::new(Memory::default());
    call.run(&intake).await.unwrap();
    intake.content("said").unwrap()
}

#[tokio::test]
async fn a_connection_is_read_and_handed_on() {
    let address = server(|mut stream| async move { stream.write_all(&noise()).await.unwrap() }).await;
    let (name, granted) = (format!("localhost:{}", address.port()), format!("localhost:{}", address.port()));
    let target = format!("tcp://{name}");
    assert!(got(Call::new("net-read", &target, &[&granted])).await == noise());
    let mut call = Call::new("net-hand-on", &target, &[&granted]);
    call.bytes = LONG as u64;
    assert!(got(call).await == noise());
    assert!(got(Call::new("std-read", &name, &[&granted])).await == noise(), "by name");
    assert!(got(Call::new("std-read", address.to_string(), &["127.0.0.0/8:*"])).await == noise(), "by address");
    // One byte more than there is.
    let mut call = Call::new("net-hand-on", &target, &[&granted]);
    call.bytes = LONG as u64 + 1;
    let error = call.said().await.unwrap_err();
    assert!(error.kind() == Kind::Unavailable && error.chain().contains("1 bytes too early"), "{}", error.chain());
}

#[tokio::test]
async fn an_answer_is_handed_on() {
    let address = server(|mut stream| async move {
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await;
        let said = format!("HTTP/1.1 200 OK\r\ncontent-length: {LONG}\r\n\r\n");
        stream.write_all(&[said.as_bytes(), &noise()].concat()).await.unwrap();
    });
    let address = address.await.to_string();
    for act in ["http-get", "http-fetch"] {
        assert!(got(Call::new(act, format!("http://{address}/"), &[&address])).await == noise(), "{act}");
    }
    assert_eq!(
        got(Call::new("http-count", format!("http://{address}/"), &[&address])).await,
        LONG.to_string().as_bytes()
    );
}

#[tokio::test]
async fn what_one_server_says_is_told_to_another() {
    let from = server(|mut stream| async move { stream.write_all(&noise()).await.unwrap() }).await.to_string();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = heard.clone();
    let to = server(move |mut stream| {
        let hear = hear.clone();
        async move {
            let mut all = vec![0; LONG];
            while !all.ends_with(b"\r\n\r\n") || all.len() == LONG {
                all.truncate(if all.len() == LONG { 0 } else { all.len() });
                all.push(stream.read_u8().await.unwrap());
            }
            let mut body = vec![0; LONG];
            stream.read_exact(&mut body).await.unwrap();
            *hear.lock().unwrap() = body;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    });
    let to = to.await.to_string();
    let mut call = Call::new("net-to-http", format!("tcp://{from}>http://{to}/"), &[&from, &to]);
    call.bytes = LONG as u64;
    call.run(&Arc::default()).await.unwrap();
    assert!(*heard.lock().unwrap() == noise());
}

#[tokio::test]
async fn an_answer_that_ends_early_fails_the_run() {
    let address = server(|mut stream| async move {
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
    });
    let address = address.await.to_string();
    for act in ["http-get", "http-fetch", "http-count"] {
        let error = Call::new(act, format!("http://{address}/"), &[&address]).said().await.unwrap_err();
        assert!(error.kind() == Kind::Unavailable && error.chain().contains("was cut"), "{act}: {}", error.chain());
    }
}

#[tokio::test]
async fn an_answer_of_success_is_read_to_its_end() {
    let address = server(|mut stream| async move {
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n").await;
        let _ = stream.write_all(&[b'x'; 9000]).await;
    });
    let address = address.await.to_string();
    let call = |act| Call::new(act, format!("http://{address}/"), &[&address]);
    let error = call("http-in-part").said().await.unwrap_err();
    let words = format!("it ended well without having seen the answer to GET to {address} to its end");
    assert!(error.chain().contains(&words), "{}", error.chain());
    // Whoever wants the status alone need not read.
    call("http-status").run(&Arc::default()).await.unwrap();
}
