//! Who may be connected to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dozo_job::{Error, Kind};
use tokio::io::AsyncWriteExt;

use super::{Answers, impatient, network, server, session, session_within};
use crate::network::{Connection, Resolve, Session};

const NEAR: [u8; 4] = [127, 0, 0, 1];

fn at(ip: [u8; 4], port: u16) -> SocketAddr {
    (Ipv4Addr::from(ip), port).into()
}

async fn hello(mut stream: tokio::net::TcpStream) {
    let _ = stream.write_all(b"hello").await;
}

async fn refused(session: &Session, target: &str) -> Error {
    match Connection::connect(session.clone(), target).await {
        Ok(_) => panic!("connected to {target}"),
        Err(error) => error,
    }
}

async fn reached(session: &Session, target: &str) {
    let connection = Connection::connect(session.clone(), target).await.unwrap();
    assert_eq!(connection.read(100).await.unwrap(), "hello");
}

#[tokio::test]
async fn what_is_not_granted_is_not_even_resolved() {
    let resolver = Answers::new(&[("evil.example", &[&[at(NEAR, 1)]])]);
    let session = session(network(&["db.example:5432"]).with_resolver(resolver.clone()));
    for target in ["tcp://evil.example:5432", "tcp://db.example:5433", "tcp://127.0.0.1:5432", "unix:///run/x"] {
        let error = refused(&session, target).await;
        assert_eq!(error.kind(), Kind::NotGranted, "{}", error.chain());
        let asked = target.trim_start_matches("tcp://");
        assert!(error.to_string().contains(asked), "{error}");
        assert_eq!(error.hint().unwrap(), format!("grant = {{ network = [\"{asked}\"] }}"));
    }
    assert_eq!(resolver.asked.load(Ordering::Relaxed), 0);
    assert_eq!(refused(&session, "tcp://db.example").await.kind(), Kind::Invalid);
}

#[tokio::test]
async fn ipv6_is_reached_and_judged_like_the_rest() {
    let listener = match tokio::net::TcpListener::bind("[::1]:0").await {
        Ok(listener) => listener,
        Err(error) => return eprintln!("SKIPPED: this machine has no IPv6: {error}"),
    };
    let address = listener.local_addr().unwrap();
    let port = address.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(hello(stream));
        }
    });
    let target = format!("tcp://[::1]:{port}");
    reached(&session(network(&[&format!("[::1]:{port}")])), &target).await;
    // Written otherwise it is the same address; in a name it is this machine, which must be written out.
    reached(&session(network(&[&format!("[0:0::0:1]:{port}")])), &target).await;
    assert_eq!(refused(&session(network(&["[::2]:*"])), &target).await.kind(), Kind::NotGranted);
    let resolver = Answers::new(&[("db.example", &[&[address]])]);
    let grants = |grants: &[&str]| session(network(grants).with_resolver(resolver.clone()));
    let (name, by_name) = (format!("db.example:{port}"), format!("tcp://db.example:{port}"));
    let error = refused(&grants(&[&name]), &by_name).await;
    assert!(error.kind() == Kind::NotGranted && error.to_string().contains("[::1]"), "{error}");
    reached(&grants(&[&name, &format!("[::1]:{port}")]), &by_name).await;
}

#[tokio::test]
async fn of_two_addresses_the_one_that_answers_is_taken() {
    // Nobody listens at the first.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let port = server(hello).await.port();
    let resolver = Answers::new(&[("db.example", &[&[at([127, 0, 0, 2], dead.port()), at(NEAR, port)]])]);
    let grants = [format!("db.example:{port}"), format!("127.0.0.1:{port}"), format!("127.0.0.2:{port}")];
    let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
    reached(&session(network(&grants).with_resolver(resolver)), &format!("tcp://db.example:{port}")).await;
}

#[tokio::test]
async fn a_name_leads_to_what_is_near_only_where_that_is_written_out() {
    let port = server(hello).await.port();
    let resolver = Answers::new(&[("db.example", &[&[at(NEAR, port)]])]);
    let with = |grants: &[&str]| session(network(grants).with_resolver(resolver.clone()));
    let (name, target) = (format!("db.example:{port}"), format!("tcp://db.example:{port}"));
    let error = refused(&with(&[&name]), &target).await;
    assert_eq!(error.kind(), Kind::NotGranted);
    for word in [name.as_str(), &format!("127.0.0.1:{port}"), "this machine"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(error.hint().unwrap(), format!("grant = {{ network = [\"{name}\", \"127.0.0.1:{port}\"] }}"));
    for written in [format!("127.0.0.1:{port}"), "127.0.0.0/8:*".into(), "0.0.0.0/0:*".into()] {
        reached(&with(&[&name, &written]), &target).await;
    }
    // Of another address, another port: no.
    for written in ["127.0.0.1:1", "10.0.0.0/8:*", "localhost:*"] {
        refused(&with(&[&name, written]), &target).await;
    }
}

#[tokio::test]
async fn localhost_is_written_out_by_its_name() {
    let port = server(hello).await.port();
    reached(&session(network(&["localhost:*"])), &format!("tcp://localhost:{port}")).await;
    let error = refused(&session(network(&["localhost:*"])), &format!("tcp://127.0.0.1:{port}")).await;
    assert_eq!(error.kind(), Kind::NotGranted);
    reached(&session(network(&["127.0.0.0/8:*"])), &format!("tcp://127.0.0.1:{port}")).await;
}

#[tokio::test]
async fn credentials_of_the_machine_are_given_out_only_by_their_own_address() {
    let metadata = at([169, 254, 169, 254], 80);
    let resolver = Answers::new(&[("db.example", &[&[metadata]])]);
    let with = |grants: &[&str]| session_within(network(grants).with_resolver(resolver.clone()), impatient());
    for (grants, target) in [
        (&["db.example:80"][..], "tcp://db.example:80"),
        (&["db.example:80", "0.0.0.0/0:*", "169.254.0.0/16:*"], "tcp://db.example:80"),
        (&["0.0.0.0/0:*"], "tcp://169.254.169.254:80"),
        (&["0.0.0.0/0:*"], "tcp://[::ffff:169.254.169.254]:80"),
        (&["0.0.0.0/0:*"], "tcp://0.0.0.0:80"),
    ] {
        let error = refused(&with(grants), target).await;
        assert_eq!(error.kind(), Kind::NotGranted, "{target}: {}", error.chain());
    }
    // Whether somebody is there depends on the machine; it was not refused.
    let asked = Connection::connect(with(&["169.254.169.254:80"]), "tcp://169.254.169.254:80").await;
    assert!(asked.err().is_none_or(|error| error.kind() != Kind::NotGranted));
}

#[tokio::test]
async fn an_answer_is_the_answer_for_the_whole_call() {
    let port = server(hello).await.port();
    let elsewhere = server(|mut stream| async move { drop(stream.write_all(b"wrong").await) }).await;
    let resolver = Answers::new(&[("db.example", &[&[at(NEAR, port)], &[elsewhere]])]);
    let grants = network(&["db.example:*", "127.0.0.0/8:*"]).with_resolver(resolver.clone());
    let call = session(grants.clone());
    for _ in 0..3 {
        reached(&call, &format!("tcp://db.example:{port}")).await;
    }
    assert_eq!(resolver.asked.load(Ordering::Relaxed), 1);
    // Another port of the same name is at the same address; another call asks anew.
    reached(&call, &format!("tcp://db.example:{port}")).await;
    let _ = Connection::connect(session(grants), &format!("tcp://db.example:{}", elsewhere.port())).await.unwrap();
    assert_eq!(resolver.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn each_address_is_judged_by_itself() {
    let port = server(hello).await.port();
    let answer = [at([10, 255, 255, 1], port), at(NEAR, port)];
    let resolver = Answers::new(&[("db.example", &[&answer])]);
    let grants = [&format!("db.example:{port}"), "127.0.0.0/8:*"].map(ToString::to_string);
    let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
    reached(&session(network(&grants).with_resolver(resolver)), &format!("tcp://db.example:{port}")).await;
}

#[tokio::test]
async fn what_is_missing_is_known_before_anything_runs() {
    let (near, public) = (at([10, 0, 0, 5], 0), at([1, 1, 1, 1], 0));
    let resolver =
        Answers::new(&[("near.example", &[&[near]]), ("far.example", &[&[public]]), ("both", &[&[near, public]])]);
    let network = network(&["*.example:443", "both:*", "127.0.0.1:80", "unix:///run/a"]).with_resolver(resolver);
    for (need, missing) in [
        ("far.example:443", None),
        ("far.example:80", Some("far.example:80")),
        ("near.example:443", Some("10.0.0.5:443")),
        ("both:1", None),
        ("*.example:443", None),
        ("*.org:443", Some("*.org:443")),
        ("127.0.0.1:80", None),
        ("127.0.0.1:81", Some("127.0.0.1:81")),
        ("unix:///run/a", None),
        ("unix:///run/b", Some("unix:///run/b")),
    ] {
        assert_eq!(network.missing(need).await.unwrap().as_deref(), missing, "{need}");
        assert_eq!(network.admits(need), missing.is_none_or(|missing| missing.starts_with("10.")), "{need}");
    }
    assert_eq!(network.missing("unknown.example:443").await.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(network.missing("http://far.example").await.unwrap_err().kind(), Kind::Invalid);
    assert!(!crate::Network::default().admits("a:1") && !network.admits("nonsense"));
}

#[tokio::test]
async fn a_trusted_resolver_puts_a_proxy_in_between_even_for_addresses() {
    let proxy = server(hello).await;
    let mut resolver = Answers::new(&[("db.example", &[&[proxy]]), ("203.0.113.7", &[&[proxy]])]);
    Arc::get_mut(&mut resolver).unwrap().trusted = true;
    assert!(resolver.trusted());
    let session = session(network(&["db.example:5432", "203.0.113.7:80"]).with_resolver(resolver));
    reached(&session, "tcp://db.example:5432").await;
    reached(&session, "tcp://203.0.113.7:80").await;
    assert_eq!(refused(&session, "tcp://db.example:80").await.kind(), Kind::NotGranted);
}

#[tokio::test]
async fn sockets_of_the_standard_library_reach_what_was_resolved_and_nothing_else() {
    let answer = at(NEAR, 0);
    let resolver = Answers::new(&[("db.example", &[&[answer]])]);
    let call = session(network(&["db.example:5432", "127.0.0.1:5432"]).with_resolver(resolver.clone()));
    assert!(call.admits_socket(at(NEAR, 5432)), "the address is granted");
    let call = session(network(&["db.example:5432", "127.0.0.0/8:*"]).with_resolver(resolver.clone()));
    assert!(!call.admits_socket(at([10, 0, 0, 1], 5432)));
    let host = crate::network::Host::parse("db.example").unwrap();
    assert_eq!(call.addresses(&host).await.unwrap().first(), Some(&answer));
    let other = crate::network::Host::parse("other.example").unwrap();
    assert_eq!(call.addresses(&other).await.unwrap_err().kind(), Kind::NotGranted);
}
