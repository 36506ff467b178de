//! A job whose grant leads its plugin through the proxy of the environment: a real one, on this machine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::house::{House, said};

/// A server that does the same with every connection.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, serve) = (listener.local_addr().unwrap(), Arc::new(serve));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), serve.clone());
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// The head of a request.
fn head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A proxy that leads everybody to one server, and what it was asked.
fn proxy(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = asked.clone();
    let address = server(move |mut stream| {
        kept.lock().unwrap().push(head(&mut stream));
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        let to = TcpStream::connect(to).unwrap();
        let (mut from, mut onwards) = (stream.try_clone().unwrap(), to.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from, &mut onwards));
        let _ = std::io::copy(&mut &to, &mut stream);
    });
    (address, asked)
}

/// A command in an environment that names a proxy.
fn proxied(house: &House, arguments: &[&str], proxy: &str) -> Command {
    let mut command = house.command();
    for other in ["https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"] {
        command.env_remove(other);
    }
    command.args(arguments).env("HTTPS_PROXY", proxy);
    command
}

fn configure(house: &House, grant: &str) {
    let config = "{ act = \"http-get\", to = \"http://api.example/a/../b\" }";
    house.configure_guest("job", "reach", config, &format!("grant = {{ network = [{grant}] }}"));
}

#[test]
fn a_grant_leads_a_plugin_through_the_proxy_of_the_environment() {
    let web = server(|mut stream| {
        let asked = head(&mut stream);
        let length = asked.len();
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{asked}").as_bytes()).unwrap();
    });
    let (address, asked) = proxy(web);
    let house = House::new();
    configure(&house, "{ to = \"api.example:80\", proxy = true }");
    let url = format!("http://me:hunter2@{address}");
    let run = said(proxied(&house, &["run", "-v"], &url).output().unwrap()).expect(0);
    assert!(!run.err.contains("hunter2") && !run.out.contains("hunter2"), "{}", run.err);
    let cat = house.command().args(["cat", "job", "said", "--identity", "owner.key"]).output().unwrap();
    let seen = String::from_utf8(cat.stdout).unwrap();
    assert!(seen.starts_with("GET /a/../b HTTP/1.1\r\n") && seen.contains("\r\nhost: api.example\r\n"), "{seen}");
    assert!(!seen.contains("proxy"), "what is for the proxy is not for the server: {seen}");
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with("CONNECT api.example:80 HTTP/1.1\r\n") && asked[0].contains("Basic "), "{}", asked[0]);
    // Nothing is left to say.
    let check = said(proxied(&house, &["check"], &url).output().unwrap());
    assert!(!check.err.contains("HTTPS_PROXY"), "{}", check.err);
}

#[test]
fn what_is_wrong_with_a_proxy_is_told_without_its_password() {
    let house = House::new();
    configure(&house, "{ to = \"api.example:80\", proxy = true }");
    let run = said(proxied(&house, &["run"], "socks5://me:hunter2@127.0.0.1:1").output().unwrap());
    assert_ne!(run.code, 0);
    assert!(run.err.contains("HTTPS_PROXY") && run.err.contains("SOCKS"), "{}", run.err);
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://me:hunter2@{gone}");
    let other = said(proxied(&house, &["run"], &url).output().unwrap());
    assert_ne!(other.code, 0);
    assert!(other.err.contains(&format!("through the proxy {gone}")), "{}", other.err);
    assert!(!format!("{}{}{}{}", run.err, run.out, other.err, other.out).contains("hunter2"));
}

#[test]
fn a_grant_without_it_is_named_where_the_environment_has_one() {
    let house = House::new();
    configure(&house, "\"api.example:80\"");
    let check = said(proxied(&house, &["check"], "http://127.0.0.1:1").output().unwrap());
    assert!(check.err.contains("HTTPS_PROXY is set") && check.err.contains("proxy = true"), "{}", check.err);
}
