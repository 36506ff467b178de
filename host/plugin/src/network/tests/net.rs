//! Connections in the clear.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dozo_job::{Error, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener};

use super::{impatient, network, read_all, server, session, session_within};
use crate::limits::{CONNECTIONS, Limits};
use crate::network::Connection;

async fn connect(address: std::net::SocketAddr) -> Connection {
    connect_within(address, Limits::default()).await
}

async fn connect_within(address: std::net::SocketAddr, limits: Limits) -> Connection {
    let session = session_within(network(&["127.0.0.1:*"]), limits);
    Connection::connect(session, &format!("tcp://{address}")).await.unwrap()
}

/// All that comes until the end.
async fn rest(connection: &Connection) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    loop {
        match connection.read(1000).await? {
            piece if piece.is_empty() => return Ok(all),
            piece => all.extend_from_slice(&piece),
        }
    }
}

async fn echo(mut stream: TcpStream) {
    let (mut read, mut write) = stream.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_at_once() {
    // More than all buffers together: without full duplex both sides would wait for each other.
    let (connection, length) = (connect(server(echo).await).await, 32 << 20);
    let write = async {
        for n in 0..32u8 {
            connection.write(Bytes::from(vec![n; 1 << 20])).await.unwrap();
        }
    };
    let read = async {
        let (mut total, mut last) = (0, 0);
        while total < length {
            let piece = connection.read(1 << 20).await.unwrap();
            assert!(piece.iter().is_sorted() && piece[0] >= last);
            (total, last) = (total + piece.len(), piece[piece.len() - 1]);
        }
    };
    tokio::join!(write, read);
}

#[tokio::test]
async fn an_end_stays_one() {
    let connection = connect(server(|mut stream| async move { stream.write_all(b"bye").await.unwrap() }).await).await;
    assert_eq!(rest(&connection).await.unwrap(), b"bye");
    assert!(connection.read(1).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_was_written_before_a_connection_is_dropped_arrives() {
    let (sender, received) = tokio::sync::oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let address = server(move |mut stream| {
        let sender = sender.lock().unwrap().take().unwrap();
        async move {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            sender.send(all).unwrap();
        }
    });
    let connection = connect(address.await).await;
    connection.write(Bytes::from(vec![7; 3 << 20])).await.unwrap();
    drop(connection);
    assert_eq!(received.await.unwrap().len(), 3 << 20);
}

#[tokio::test]
async fn a_cut_is_no_end() {
    // What was sent and never read makes the system reset the connection.
    let address = server(|mut stream| async move {
        stream.write_all(b"half").await.unwrap();
        stream.readable().await.unwrap();
    });
    let connection = connect(address.await).await;
    connection.write(Bytes::from_static(b"unread")).await.unwrap();
    let error = rest(&connection).await.unwrap_err();
    assert!(error.kind() == Kind::Unavailable && error.to_string().contains("was cut"), "{}", error.chain());
    assert!(rest(&connection).await.is_err(), "and it stays one");
}

#[tokio::test]
async fn bytes_that_are_handed_on_are_exactly_those() {
    let connection = connect(server(echo).await).await;
    let bytes: Vec<u8> = (0..2_000_000u32).map(|n| n as u8).collect();
    let (writer, sent) = (connection.clone(), Bytes::from(bytes.clone()));
    let written = tokio::spawn(async move { writer.write(sent).await });
    let head = connection.read(10).await.unwrap();
    let handed = connection.receive(1_500_000).unwrap();
    let error = connection.read(1).await.unwrap_err();
    assert!(error.kind() == Kind::Invalid && error.to_string().contains("handed on"), "{error}");
    assert!(connection.receive(1).is_err());
    let start = head.len();
    assert!(read_all(handed).await.unwrap() == bytes[start..start + 1_500_000]);
    // With the last byte of it the connection can be read on.
    written.await.unwrap().unwrap();
    let mut at = start + 1_500_000;
    while at < bytes.len() {
        let piece = connection.read(1 << 20).await.unwrap();
        assert!(piece == bytes[at..at + piece.len()]);
        at += piece.len();
    }
    assert!(read_all(connection.receive(0).unwrap()).await.unwrap().is_empty());
}

#[tokio::test]
async fn fewer_bytes_than_were_handed_on_are_an_error() {
    let connection = connect(server(|mut stream| async move { stream.write_all(b"12345").await.unwrap() }).await).await;
    let error = read_all(connection.receive(9).unwrap()).await.unwrap_err();
    assert!(error.kind() == Kind::Unavailable && error.to_string().contains("4 bytes too early"), "{error}");
}

#[tokio::test]
async fn bytes_that_were_handed_on_and_never_read_are_not_skipped() {
    let connection = connect(server(echo).await).await;
    connection.write(Bytes::from_static(b"0123456789")).await.unwrap();
    drop(connection.receive(5).unwrap());
    let error = connection.read(1).await.unwrap_err();
    assert!(error.to_string().contains("never read"), "{error}");
}

#[tokio::test]
async fn a_unix_socket_is_one_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move { listener.accept().await.unwrap().0.write_all(b"local").await });
    let target = format!("unix://{}", path.display());
    let connection = Connection::connect(session(network(&[&target])), &target).await.unwrap();
    assert_eq!(rest(&connection).await.unwrap(), b"local");
    assert_eq!(connection.start_tls("localhost").await.unwrap_err().kind(), Kind::Unsupported);
    let missing = format!("unix://{}/missing", dir.path().display());
    let error = Connection::connect(session(network(&[&missing])), &missing).await.err().unwrap();
    assert!(error.kind() == Kind::Unavailable && error.chain().contains(&missing), "{}", error.chain());
}

#[tokio::test]
async fn nobody_there_is_told_with_the_target() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let target = format!("tcp://localhost:{port}");
    let error = Connection::connect(session(network(&["localhost:*"])), &target).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.chain().contains(&format!("connect to localhost:{port}")), "{}", error.chain());
    assert!(error.chain().contains("refused"), "{}", error.chain());
}

#[tokio::test]
async fn every_wait_has_an_end() {
    let begun = Instant::now();
    // Reading from a server that says nothing; it may be waited for again.
    let silent = server(|stream| async move {
        let _held = stream;
        std::future::pending().await
    });
    let silent = silent.await;
    let connection = connect_within(silent, impatient()).await;
    for _ in 0..2 {
        let error = connection.read(1).await.unwrap_err();
        assert!(error.kind() == Kind::Unavailable && error.to_string().contains("nothing came"), "{error}");
    }
    // Handed on, too.
    let error = read_all(connection.receive(1).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("nothing came"), "{error}");
    // Writing to one that takes nothing.
    let connection = connect_within(silent, impatient()).await;
    let error = connection.write(Bytes::from(vec![0; 64 << 20])).await.unwrap_err();
    assert!(error.kind() == Kind::Unavailable && error.to_string().contains("took nothing"), "{error}");
    assert!(connection.write(Bytes::from_static(b"x")).await.is_err(), "and it stays so");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn connecting_has_an_end() {
    // A queue that is full: the system does not answer then.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    let session = session_within(network(&["127.0.0.1:*"]), impatient());
    let begun = Instant::now();
    let error = Connection::connect(session, &format!("tcp://{address}")).await.err().unwrap();
    assert!(error.kind() == Kind::Unavailable && error.to_string().contains("nobody answered"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn connections_are_counted() {
    let address = server(echo).await;
    let (session, target) = (session(network(&["127.0.0.1:*"])), format!("tcp://{address}"));
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.push(Connection::connect(session.clone(), &target).await.unwrap());
    }
    // However many wait, each gets its turn as soon as another is closed.
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let (session, target) = (session.clone(), target.clone());
            tokio::spawn(async move { Connection::connect(session, &target).await.map(drop) })
        })
        .collect();
    drop(open.pop());
    for one in waiting {
        one.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn one_connection_more_than_are_held_is_an_error() {
    let address = server(echo).await;
    let limits = Limits { idle: Duration::from_secs(2), ..Limits::default() };
    let session = session_within(network(&["127.0.0.1:*"]), limits);
    let target = format!("tcp://{address}");
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.push(Connection::connect(session.clone(), &target).await.unwrap());
    }
    let error = Connection::connect(session.clone(), &target).await.err().unwrap();
    assert!(error.kind() == Kind::Invalid && error.chain().contains("256 connections"), "{}", error.chain());
    assert!(error.hint().unwrap().contains("should close"), "{:?}", error.hint());
    drop(open);
    Connection::connect(session, &target).await.unwrap();
}
