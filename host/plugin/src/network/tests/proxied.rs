//! Through a real proxy, which is asked with `CONNECT` and carries what comes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use dozo_job::Kind;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use super::http::{answer, get};
use super::secure::Authority;
use super::{Answers, read_all, server, session};
use crate::network::{Connection, Http, Network, NetworkGrant, Proxy, tls};

const GREETING: &[u8] = b"hello\n";
/// Of `me` and `hunter2`.
const LOGIN: &str = "proxy-authorization: Basic bWU6aHVudGVyMg==\r\n";

/// What a proxy does.
#[derive(Clone, Copy)]
enum Does {
    Carry,
    /// The same, with the server's greeting in one piece with its own word.
    CarryGreeting,
    WantLogin,
    Say(u16),
}

/// What one was asked, head by head.
type Asked = Arc<Mutex<Vec<String>>>;

/// A proxy that leads every name to one server.
async fn proxy(to: SocketAddr, does: Does) -> (SocketAddr, Asked) {
    let asked = Asked::default();
    let kept = asked.clone();
    let address = server(move |stream| serve(stream, to, does, kept.clone())).await;
    (address, asked)
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, to: SocketAddr, does: Does, asked: Asked) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let is_known = head.contains(LOGIN);
    asked.lock().unwrap().push(head);
    let refusal = match does {
        Does::Say(status) => Some(status),
        Does::WantLogin if !is_known => Some(407),
        _ => None,
    };
    if let Some(status) = refusal {
        stream.write_all(format!("HTTP/1.1 {status} no\r\ncontent-length: 2\r\n\r\nno").as_bytes()).await.unwrap();
        return;
    }
    let (mut to, mut said) =
        (TcpStream::connect(to).await.unwrap(), b"HTTP/1.1 200 there you are\r\nvia: me\r\n\r\n".to_vec());
    if matches!(does, Does::CarryGreeting) {
        let mut greeting = [0; GREETING.len()];
        to.read_exact(&mut greeting).await.unwrap();
        said.extend(greeting);
    }
    stream.write_all(&said).await.unwrap();
    let _ = copy_bidirectional(&mut stream, &mut to).await;
}

fn at(proxy: SocketAddr) -> Proxy {
    Proxy { url: format!("http://{proxy}"), except: String::new() }
}

/// Grants of targets through a proxy; the resolver knows no address.
fn network(targets: &[&str], proxy: &Proxy) -> Network {
    let grant =
        |to: &&str| NetworkGrant { target: (*to).into(), proxy: Some(proxy.clone()), ..NetworkGrant::default() };
    Network::new(targets.iter().map(grant).collect()).unwrap().with_resolver(Answers::new(&[]))
}

async fn greet_and_echo(mut stream: TcpStream) {
    stream.write_all(GREETING).await.unwrap();
    let (mut read, mut write) = stream.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
}

async fn nobody(_: TcpStream) {
    panic!("somebody was connected to");
}

#[tokio::test]
async fn requests_and_connections_go_through_it_by_name() {
    let web = server(|mut stream| async move {
        answer(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    });
    let (address, asked) = proxy(web.await, Does::Carry).await;
    let http = Http::new(session(network(&["api.example:80"], &at(address))));
    let response = http.send(get("http://api.example/a/../b".into())).await.unwrap();
    assert_eq!(read_all(response.body).await.unwrap(), b"ok");
    assert_eq!(asked.lock().unwrap().pop().unwrap(), "CONNECT api.example:80 HTTP/1.1\r\nhost: api.example:80\r\n\r\n");

    let echo = server(greet_and_echo).await;
    for does in [Does::Carry, Does::CarryGreeting] {
        let (address, asked) = proxy(echo, does).await;
        let session = session(network(&["db.example:5432"], &at(address)));
        let connection = Connection::connect(session, "tcp://db.example:5432").await.unwrap();
        let mut all = connection.read(6).await.unwrap().to_vec();
        connection.write(Bytes::from_static(b"and back")).await.unwrap();
        while all.len() < 14 {
            all.extend(connection.read(100).await.unwrap());
        }
        assert_eq!(all, b"hello\nand back");
        assert!(asked.lock().unwrap().pop().unwrap().starts_with("CONNECT db.example:5432 HTTP/1.1\r\n"));
    }
}

#[tokio::test]
async fn tls_is_spoken_with_the_server_and_not_with_the_proxy() {
    let authority = Authority::new();
    let (acceptor, _) = authority.acceptor("api.example", None);
    let web = server(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            answer(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecure").await;
        }
    });
    let (address, asked) = proxy(web.await, Does::WantLogin).await;
    let login = Proxy { url: format!("http://me:hunter2@{address}"), except: String::new() };
    let grant = NetworkGrant { proxy: Some(login), ..authority.granting("api.example:443") };
    let network = Network::new(vec![grant]).unwrap().with_resolver(Answers::new(&[]));
    let response = Http::new(session(network)).send(get("https://api.example/".into())).await.unwrap();
    assert_eq!(read_all(response.body).await.unwrap(), b"secure");
    let asked = asked.lock().unwrap().pop().unwrap();
    assert!(asked.starts_with("CONNECT api.example:443 ") && asked.contains(LOGIN), "{asked}");
}

#[tokio::test]
async fn with_a_proxy_of_https_tls_is_spoken_as_well() {
    let (authority, asked, to) = (Authority::new(), Asked::default(), server(greet_and_echo).await);
    let (acceptor, _) = authority.acceptor("localhost", None);
    let kept = asked.clone();
    let address = server(move |stream| {
        let (acceptor, kept) = (acceptor.clone(), kept.clone());
        async move { serve(acceptor.accept(stream).await.unwrap(), to, Does::CarryGreeting, kept).await }
    });
    let url = format!("https://localhost:{}", address.await.port());
    let network = network(&["db.example:5432"], &Proxy { url, except: String::new() });
    // In the place of the system's authorities, which sign nothing for a test.
    network.system.set(tls::configured(&authority.granting("any:1")).unwrap().unwrap()).unwrap();
    let connection = Connection::connect(session(network), "tcp://db.example:5432").await.unwrap();
    assert_eq!(connection.read(100).await.unwrap(), GREETING);
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_proxy_refuses_is_told_with_what_to_do() {
    let nobody = server(nobody).await;
    for (does, kind, words, hint) in [
        (Does::WantLogin, Kind::Denied, "407", "login"),
        (Does::Say(403), Kind::Denied, "403", "443"),
        (Does::Say(503), Kind::Unavailable, "503", ""),
        (Does::Say(400), Kind::Invalid, "400", ""),
    ] {
        let (address, _) = proxy(nobody, does).await;
        let session = session(network(&["api.example:80"], &at(address)));
        let error = Http::new(session).send(get("http://api.example/".into())).await.err().unwrap();
        let through = format!("through the proxy {address}");
        assert!(
            error.kind() == kind && error.chain().contains(words) && error.chain().contains(&through),
            "{}",
            error.chain()
        );
        assert!(error.hint().unwrap_or_default().contains(hint), "{:?}", error.hint());
    }
    // One that does not speak HTTP, and one that is not there.
    let mute = server(|mut stream| async move { stream.write_all(b"SSH-2.0-x\r\n").await.unwrap() }).await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [mute, gone] {
        let session = session(network(&["api.example:80"], &at(address)));
        let error = Connection::connect(session, "tcp://api.example:80").await.err().unwrap();
        assert!(error.kind() == Kind::Unavailable && error.chain().contains(&address.to_string()), "{}", error.chain());
    }
}

#[tokio::test]
async fn it_is_asked_for_nothing_that_is_not_granted_so() {
    let (address, asked) = proxy(server(nobody).await, Does::Say(500)).await;
    let refused = async |targets: &[&str], to: &str| {
        let session = session(network(targets, &at(address)));
        Connection::connect(session, to).await.err().unwrap().kind()
    };
    assert_eq!(refused(&["api.example:443"], "tcp://api.example:80").await, Kind::NotGranted);
    // An address is judged as ever, so a metadata service is not reached through a proxy either.
    assert_eq!(refused(&["0.0.0.0/0:*"], "tcp://100.100.100.200:80").await, Kind::NotGranted);
    assert_eq!(refused(&["0.0.0.0/0:*"], "tcp://169.254.169.254:80").await, Kind::NotGranted);
    assert!(asked.lock().unwrap().is_empty());
    // Of two grants, that which says more of the target says how it is reached.
    let direct = NetworkGrant { target: "db.example:5432".into(), ..NetworkGrant::default() };
    let proxied = NetworkGrant { target: "*.example:*".into(), proxy: Some(at(address)), ..NetworkGrant::default() };
    let network = Network::new(vec![direct, proxied]).unwrap().with_resolver(Answers::new(&[]));
    let error = Connection::connect(session(network.clone()), "tcp://db.example:5432").await.err().unwrap();
    assert!(error.chain().contains("nobody knows db.example"), "{}", error.chain());
    assert!(asked.lock().unwrap().is_empty());
    Connection::connect(session(network), "tcp://x.example:5432").await.err().unwrap();
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_reached_without_it_is_connected_to() {
    let near = server(greet_and_echo).await;
    let (address, asked) = proxy(near, Does::Say(500)).await;
    let resolver = Answers::new(&[("db.internal.example", &[&[near]]), ("localhost", &[&[near]])]);
    let proxy = Proxy { except: "internal.example".into(), ..at(address) };
    let targets = ["*.example:*", "localhost:*", "127.0.0.1:*"];
    let session = session(network(&targets, &proxy).with_resolver(resolver));
    for host in ["db.internal.example", "localhost", "127.0.0.1"] {
        let connection = Connection::connect(session.clone(), &format!("tcp://{host}:{}", near.port())).await.unwrap();
        assert_eq!(connection.read(100).await.unwrap(), GREETING);
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_it_leads_to_is_not_looked_up_before_a_run() {
    let proxied = network(&["*.example:443", "0.0.0.0/0:*"], &at(([127, 0, 0, 1], 1).into()));
    assert_eq!(proxied.missing("api.example:443").await.unwrap(), None);
    assert_eq!(proxied.missing("api.example:80").await.unwrap().as_deref(), Some("api.example:80"));
    assert_eq!(proxied.missing("100.100.100.200:80").await.unwrap().as_deref(), Some("100.100.100.200:80"));
}
