//! Across the sandbox: what a plugin asks is what the server sees, and how many connections it may have.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dozo_job::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::intake::Memory;
use crate::{Call, server};

#[tokio::test]
async fn a_request_and_an_answer_are_bytes() {
    // Says what it saw.
    let address = server(|mut stream| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let length = b"HTTP/1.1 200 OK\r\nX-Back: b\r\nx-back: \r\nx-BACK: ".to_vec();
        let rest = format!("\r\ncontent-length: {}\r\n\r\n", head.len()).into_bytes();
        stream.write_all(&[length, b"\xff\xfe".to_vec(), rest, head].concat()).await.unwrap();
    });
    let address = address.await.to_string();
    let intake = Arc::new(Memory::default());
    Call::new("http-exact", format!("http://{address}"), &[&address]).run(&intake).await.unwrap();
    let said = intake.content("said").unwrap();
    let line = b"GET /a%2Fb%20c/../%2e%2e//%2E%2E\\?q=%C3%BC%26 HTTP/1.1\r\n";
    assert!(said.starts_with(line), "{}", String::from_utf8_lossy(&said));
    for part in [&b"\r\nx-raw: \x80\xff  \t!\r\nx-raw: \r\n"[..], b"\r\n\r\n[b][][\xff\xfe]"] {
        assert!(said.windows(part.len()).any(|window| window == part), "{}", String::from_utf8_lossy(&said));
    }
}

#[tokio::test]
async fn connections_count_as_handles() {
    let address = server(|mut stream| async move { drop(stream.read_u8().await) }).await.to_string();
    let hold = |bytes| {
        let mut call = Call::new("net-hold", format!("tcp://{address}"), &[&address]);
        (call.bytes, call.limits.handles) = (bytes, 20);
        call
    };
    hold(10).run(&Arc::default()).await.unwrap();
    let error = hold(21).run(&Arc::default()).await.unwrap_err();
    assert!(error.chain().contains("more than 20 handles") && error.chain().contains("`handles`"), "{}", error.chain());
}

#[tokio::test]
async fn a_plugin_with_all_connections_waits_for_its_own_to_end() {
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (open, most.clone());
    let address = server(move |mut stream| {
        let (now, peak) = (now.clone(), peak.clone());
        async move {
            peak.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            stream.write_all(b"hello").await.unwrap();
            now.fetch_sub(1, Ordering::Relaxed);
        }
    });
    let address = address.await.to_string();
    let mut call = Call::new("net-many", format!("tcp://{address}"), &[&address]);
    call.bytes = 600;
    assert_eq!(call.said().await.unwrap(), (600 * 5).to_string());
    assert!(most.load(Ordering::Relaxed) <= 256, "{most:?}");
}

#[tokio::test]
async fn a_plugin_that_holds_all_connections_is_told() {
    let address = server(|mut stream| async move { drop(stream.read_u8().await) }).await.to_string();
    let mut call = Call::new("net-hold", format!("tcp://{address}"), &[&address]);
    call.bytes = 257;
    call.limits.idle = std::time::Duration::from_secs(1);
    let error = call.run(&Arc::default()).await.unwrap_err();
    assert!(error.kind() == Kind::Invalid && error.chain().contains("256 connections"), "{}", error.chain());
}
