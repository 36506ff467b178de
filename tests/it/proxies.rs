//! A proxy that the environment names: the store is reached through it and no other way, and what it is called by says nothing
//! of its password.

use std::io::copy;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::house::{House, Said, said};
use crate::server::{ADMIN, Kind, Server};
use crate::stores::{bucket_house, fill};

/// Hands on what it is asked for to one server, whatever name that is asked for by.
struct Proxy {
    port: u16,
    asked: Arc<AtomicUsize>,
}

impl Proxy {
    fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let counted = asked.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::Relaxed);
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else { continue };
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || carry(client, server));
                std::thread::spawn(move || carry(back.0, back.1));
            }
        });
        Proxy { port, asked }
    }

    /// How many connections came since it was asked the last time.
    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let _ = copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

fn with(house: &House, environment: &[(&str, &str)], arguments: &[&str]) -> Said {
    let mut command = house.command();
    for name in ["HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    said(command.envs(environment.iter().copied()).args(arguments).output().unwrap())
}

#[test]
fn the_store_is_reached_through_the_proxy_of_the_environment() {
    let Some(server) = Server::start(Kind::Rclone) else { return };
    server.make_bucket("backups");
    let house = bucket_house(&server, ADMIN, "");
    // A name that nothing but the proxy knows.
    let text = std::fs::read_to_string(house.path("dozo.toml")).unwrap();
    let named = text.replace(&server.endpoint(), "http://store.invalid:9000");
    assert_ne!(named, text);
    std::fs::write(house.path("dozo.toml"), named).unwrap();
    fill(&house, 2);
    let proxy = Proxy::to(server.endpoint().rsplit(':').next().unwrap().parse().unwrap());
    let (url, secret) = (format!("http://127.0.0.1:{}", proxy.port), "pr0xy-s3cret");

    let through = [("HTTPS_PROXY", url.as_str())];
    with(&house, &through, &["init", "--single-owner"]).expect(0);
    with(&house, &through, &["run"]).expect(0);
    with(&house, &through, &["restore", "files", "--to", "back", "--identity", "owner.key"]).expect(0);
    let back = house.path("back").join(house.path("data").strip_prefix("/").unwrap());
    assert_eq!(std::fs::read(back.join("1")).unwrap(), std::fs::read(house.path("data/1")).unwrap());
    assert!(proxy.asked() > 0);
    let signed_in = url.replace("http://", &format!("http://me:{secret}@"));
    for (name, url) in [("https_proxy", &url), ("ALL_PROXY", &url), ("all_proxy", &url), ("HTTPS_PROXY", &signed_in)] {
        with(&house, &[(name, url.as_str())], &["snapshots"]).expect(0);
        assert!(proxy.asked() > 0, "{name}");
    }
    // What is excepted goes its own way, which here leads nowhere; and so does what names no proxy.
    for environment in [&[("HTTPS_PROXY", url.as_str()), ("NO_PROXY", "store.invalid")][..], &[]] {
        let said = with(&house, environment, &["snapshots"]).expect(1);
        assert!(said.err.contains("store.invalid:9000"), "{}", said.err);
        assert_eq!(proxy.asked(), 0);
    }
    // One that is not there is named, without what it is called by in secret.
    let gone = format!("http://me:{secret}@127.0.0.1:1");
    let said = with(&house, &[("HTTPS_PROXY", gone.as_str())], &["snapshots"]).expect(1);
    assert!(!said.err.contains(secret) && !said.out.contains(secret), "{}", said.err);
}
