//! What was asked against the bytes that a server saw: the same, or nothing.

use std::sync::{Arc, Mutex};

use dozo_job::Kind;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{network, server, session};
use crate::network::{Body, Http, Request};

/// Requests that are tried: a second's worth.
const REQUESTS: usize = 10_000;

/// What parsers, clients and servers are known to change, and what would end a line, a message or a header.
const ODD: [&str; 40] = [
    "/",
    "//",
    ".",
    "..",
    "/./",
    "/../",
    "%2e",
    "%2E%2e",
    "%2F",
    "%5c",
    "\\",
    "%",
    "%zz",
    "%00",
    "%25",
    "%252e",
    "?",
    "??",
    "&",
    "=",
    ";",
    "+",
    "%20",
    " ",
    "\t",
    "\r",
    "\n",
    "\r\n\r\nGET /x HTTP/1.1\r\nhost: b\r\n\r\n",
    "\0",
    "\u{7f}",
    "ü",
    "%C3%BC",
    "\"",
    "<",
    ">",
    "`",
    "{|}",
    "[^]",
    "@:",
    "#",
];
const NAMES: [&str; 12] = [
    "x",
    "x-amz-meta-a",
    "cookie",
    "accept",
    "X",
    "Content-Type",
    "host",
    "transfer-encoding",
    "connection",
    "x y",
    "",
    "te",
];

type Heads = Arc<Mutex<Vec<Vec<u8>>>>;

/// A server that keeps the head of each request as it came from the socket, and answers that all is well.
async fn recorder() -> (std::net::SocketAddr, Heads) {
    let heads = Heads::default();
    let kept = heads.clone();
    let address = server(move |mut stream| {
        let kept = kept.clone();
        async move {
            let mut head = Vec::new();
            while let Ok(byte) = stream.read_u8().await {
                head.push(byte);
                if head.ends_with(b"\r\n\r\n") {
                    kept.lock().unwrap().push(std::mem::take(&mut head));
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                }
            }
        }
    });
    (address.await, heads)
}

type Headers = Vec<(String, Vec<u8>)>;

fn requests() -> impl Strategy<Value = (String, Headers)> {
    let piece = || {
        prop_oneof![
            2 => proptest::sample::select(&ODD[..23]).prop_map(str::to_string),
            1 => "[a-zA-Z0-9!$'()*,:@_~-]{1,9}",
            1 => proptest::sample::select(&ODD[..]).prop_map(str::to_string),
        ]
    };
    let target = (prop_oneof![8 => Just("/"), 1 => Just("?"), 1 => Just("")], vec(piece(), 0..6));
    let target = target.prop_map(
        |(first, pieces)| if first.is_empty() { String::new() } else { first.to_string() + &pieces.concat() },
    );
    let name = prop_oneof![
        9 => proptest::sample::select(&NAMES[..4]).prop_map(str::to_string),
        1 => proptest::sample::select(&NAMES[..]).prop_map(str::to_string),
    ];
    let value = prop_oneof![
        4 => "[ -~]{0,20}".prop_map(|text| text.trim().as_bytes().to_vec()),
        4 => vec(0x80..=0xffu8, 0..9),
        1 => vec(any::<u8>(), 0..4),
        1 => proptest::sample::select(&ODD[..]).prop_map(|odd| [b"a", odd.as_bytes()].concat()),
    ];
    (target, vec((name, value), 0..4))
}

/// Whether it can arrive as it is, by the rules of the contract and not by those of the code.
fn can_arrive(target: &str, headers: &Headers) -> bool {
    let seen = |c: char| ('!'..='~').contains(&c) && !"\"#<>`".contains(c);
    let name = |name: &str| NAMES[..4].contains(&name);
    let value = |value: &[u8]| {
        let edge = |byte: Option<&u8>| byte.is_some_and(|byte| b" \t".contains(byte));
        let control = |byte: &u8| *byte != b'\t' && (*byte < b' ' || *byte == 0x7f);
        !value.iter().any(control) && !edge(value.first()) && !edge(value.last())
    };
    target.chars().all(seen) && headers.iter().all(|(n, v)| name(n) && value(v))
}

/// The request line, and the headers by name.
fn taken_apart(head: &[u8]) -> (String, Vec<(String, Vec<u8>)>) {
    let head = head.strip_suffix(b"\r\n\r\n").unwrap();
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = String::from_utf8(lines.next().unwrap().to_vec()).unwrap();
    let field = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':').unwrap();
        let value = line[colon + 1..].strip_prefix(b" ").unwrap();
        (String::from_utf8(line[..colon].to_vec()).unwrap(), value.to_vec())
    };
    (first, lines.map(field).collect())
}

/// The headers in the order of their names; those of one name in theirs.
fn sorted(mut headers: Headers) -> Headers {
    headers.sort_by(|one, other| one.0.cmp(&other.0));
    headers
}

#[tokio::test]
async fn what_was_asked_is_what_the_server_saw_or_nothing_is() {
    let (address, heads) = recorder().await;
    let http = Http::new(session(network(&["127.0.0.1:*"])));
    let (mut runner, strategy, mut equal) = (TestRunner::deterministic(), requests(), 0);
    for _ in 0..REQUESTS {
        let (target, headers) = strategy.new_tree(&mut runner).unwrap().current();
        let asked = Request {
            method: "GET".into(),
            url: format!("http://{address}{target}"),
            headers: headers.clone(),
            body: Body::None,
        };
        let answer = http.send(asked).await;
        let seen = std::mem::take(&mut *heads.lock().unwrap());
        if !can_arrive(&target, &headers) {
            let error = answer.err().unwrap_or_else(|| panic!("not refused: {target:?} {headers:?}"));
            assert!(error.kind() == Kind::Invalid && seen.is_empty(), "{target:?} {headers:?}: {}", error.chain());
            continue;
        }
        equal += 1;
        answer.unwrap_or_else(|error| panic!("{target:?} {headers:?}: {}", error.chain()));
        assert_eq!(seen.len(), 1, "{target:?} {headers:?}");
        let (line, fields) = taken_apart(&seen[0]);
        let slash = if target.starts_with('/') { "" } else { "/" };
        assert_eq!(line, format!("GET {slash}{target} HTTP/1.1"));
        let agent = ("user-agent".to_string(), concat!("dozo/", env!("CARGO_PKG_VERSION")).into());
        let ours = [("host".to_string(), address.to_string().into_bytes()), agent];
        assert_eq!(sorted(fields), sorted([headers, ours.to_vec()].concat()), "{target:?}");
    }
    println!("{REQUESTS} requests: {equal} arrived as they were written, {} were refused", REQUESTS - equal);
    assert!((REQUESTS / 4..REQUESTS * 3 / 4).contains(&equal), "{equal} of {REQUESTS} say little of the others");
}

#[tokio::test]
async fn the_server_is_named_as_it_is_signed() {
    let (address, heads) = recorder().await;
    let resolver = super::Answers::new(&[("s3.example", &[&[address]])]);
    let http = Http::new(session(network(&["s3.example:*", "127.0.0.1:*"]).with_resolver(resolver)));
    let port = address.port();
    for server in ["s3.example", "S3.Example", "s3.example.", "127.0.0.1", "[::ffff:127.0.0.1]"] {
        let get = Request {
            method: "GET".into(),
            url: format!("http://{server}:{port}/bucket/..//%7Ekey?uploads"),
            headers: vec![("x-amz-date".into(), b"20260101T000000Z".to_vec())],
            body: Body::None,
        };
        http.send(get).await.unwrap();
        let (line, fields) = taken_apart(&heads.lock().unwrap().pop().unwrap());
        assert_eq!(line, "GET /bucket/..//%7Ekey?uploads HTTP/1.1");
        let hosts: Vec<_> =
            fields.iter().filter(|(name, _)| name == "host").map(|(_, value)| value.as_slice()).collect();
        assert_eq!(hosts, [format!("{server}:{port}").as_bytes()], "one, as it stands in the URL");
    }
}

#[tokio::test]
async fn the_length_that_a_plugin_says_is_the_one_that_is_sent() {
    let (address, heads) = recorder().await;
    let http = Http::new(session(network(&["127.0.0.1:*"])));
    for (method, said, sent) in
        [("GET", None, None), ("GET", Some("0"), Some("0")), ("DELETE", Some("0"), Some("0")), ("PUT", None, Some("0"))]
    {
        let headers = said.map(|said| ("content-length".into(), said.into())).into_iter().collect();
        let asked = Request { method: method.into(), url: format!("http://{address}/"), headers, body: Body::None };
        http.send(asked).await.unwrap();
        let (_, fields) = taken_apart(&heads.lock().unwrap().pop().unwrap());
        let lengths: Vec<_> = fields.iter().filter(|(name, _)| name == "content-length").collect();
        assert_eq!(
            lengths.iter().map(|(_, value)| value.as_slice()).collect::<Vec<_>>(),
            sent.map(str::as_bytes).into_iter().collect::<Vec<_>>(),
            "{method} {said:?}"
        );
        assert!(!fields.iter().any(|(name, _)| name == "transfer-encoding"), "{method}");
    }
}
