//! The store against servers that cut off, hang, refuse and tell too much: what no real server does when it is asked to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::error::Kind;

/// A request as the server got it: its head in lower case, and its body.
struct Got {
    head: String,
    body: Vec<u8>,
}

/// A server that answers each connection with what `answer` says, and a store over it.
fn server(answer: impl Fn(usize, &Got) -> String + Send + 'static) -> (Store, Receiver<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sent, got) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let request = read(&stream);
            let text = answer(number, &request);
            // Told before it is answered, so that whoever has the answer finds it told. Nobody may want to know.
            let _ = sent.send(request);
            let _ = stream.write_all(text.as_bytes());
        }
    });
    (Store::open(&config(endpoint)).unwrap(), got)
}

fn config(endpoint: String) -> StoreConfig {
    let place = S3Place {
        bucket: Bucket { name: "b".into(), prefix: "p".into(), pack_class: Some("GLACIER_IR".into()) },
        endpoint: Some(endpoint),
        region: None,
        addressing: Addressing::Path,
        encryption: Some(S3Encryption::Aes256),
        credentials: S3Credentials::Keys {
            access_key: "AKIDEXAMPLE".to_string().into(),
            secret_key: "sEcReTsEcReT".to_string().into(),
            session_token: None,
        },
    };
    StoreConfig {
        url: "s3://b/p".into(),
        place: StorePlace::S3(Box::new(place)),
        network: Network { transport: Transport::HttpToo, ..Network::default() },
        traffic: Traffic::default(),
    }
}

fn read(stream: &TcpStream) -> Got {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while reader.read_line(&mut head).unwrap() > 2 {}
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    Got { head, body }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

/// The headers of an object.
const OBJECT: &str = "etag: \"e\"\r\nlast-modified: Mon, 23 Nov 2026 02:00:09 GMT\r\n";

fn refusal(status: &str, code: &str, more: &str) -> String {
    answer(status, "", &format!("<Error><Code>{code}</Code><Message>AKIDEXAMPLE asked.</Message>{more}</Error>"))
}

#[tokio::test]
async fn a_body_shorter_than_its_length_is_an_error() {
    // wal-g#2208: it was an error of decryption, far from where it happened.
    let (store, _got) = server(|_, _| answer("200 OK", OBJECT, "0123456789").replace("0123456789", "0123"));
    let error = store.get("packs/x", 100).await.unwrap_err();
    assert!(error.chain().starts_with("read packs/x from s3://b/p: "), "{}", error.chain());
}

#[tokio::test]
async fn a_body_that_was_cut_off_is_read_on() {
    let (store, got) = server(|number, _| match number {
        0 => answer("200 OK", OBJECT, "0123456789").replace("0123456789", "0123"),
        _ => answer("206 Partial Content", &format!("{OBJECT}content-range: bytes 4-9/10\r\n"), "456789"),
    });
    assert_eq!(&store.get("packs/x", 100).await.unwrap()[..], b"0123456789");
    assert!(got.iter().take(2).last().unwrap().head.contains("range: bytes=4-9"));
}

#[tokio::test]
async fn a_store_that_gives_no_parts_is_read_whole() {
    let whole = || answer("200 OK", OBJECT, "0123456789");
    let (store, got) = server(move |_, _| whole());
    for (range, wanted) in [(2..5, "234"), (0..10, "0123456789")] {
        assert_eq!(&store.get_range("packs/x", range, 100).await.unwrap().unwrap()[..], wanted.as_bytes());
    }
    assert!(store.reads_whole());
    let ranges: Vec<bool> = got.try_iter().map(|got| got.head.contains("range: bytes=")).collect();
    assert_eq!(ranges, [true, false, false], "it is found out once");
    assert_eq!(store.get_range("packs/x", 8..11, 100).await.unwrap_err().kind(), Kind::Corrupt, "too short");

    // A refusal, or a part that is not all that was asked for, does not mean that.
    let (store, _got) = server(|_, _| refusal("403 Forbidden", "AccessDenied", ""));
    assert_eq!(store.get_range("packs/x", 2..5, 100).await.unwrap_err().kind(), Kind::Denied);
    assert!(!store.reads_whole());
    let part = |_, _: &Got| answer("206 Partial Content", &format!("{OBJECT}content-range: bytes 2-3/4\r\n"), "23");
    let (store, _got) = server(part);
    assert!(store.get_range("packs/x", 2..5, 100).await.is_err());
    assert!(!store.reads_whole());
}

#[tokio::test]
async fn puts_are_create_only_with_a_checksum_and_only_data_packs_lie_cold() {
    let (store, got) = server(|_, _| answer("200 OK", "etag: \"e\"\r\n", ""));
    for name in ["packs/12/x", "catalog/12/x", "snapshots/x"] {
        store.put(name, &Sealed::sign(b"hello".to_vec())).await.unwrap();
        let Got { head, body } = got.recv().unwrap();
        assert!(head.starts_with(&format!("put /b/p/{name} ")), "{head}");
        assert_eq!(body, b"hello");
        assert!(head.contains("if-none-match: *"), "{head}");
        // The SHA-256 of `hello`.
        assert!(head.contains("x-amz-checksum-sha256: lpjnul+wow4m6dsqxbninhswhlwfp0jecwqzypolmcq="), "{head}");
        assert!(head.contains("x-amz-server-side-encryption: aes256"), "{head}");
        assert_eq!(head.contains("x-amz-storage-class: glacier_ir"), name.starts_with("packs/"), "{head}");
    }
}

#[tokio::test]
async fn what_a_server_sends_back_of_a_request_is_not_told() {
    let more = "<StringToSign>AWS4-HMAC-SHA256 X-Amz-Signature=beef</StringToSign>";
    for (status, code) in [("403 Forbidden", "SignatureDoesNotMatch"), ("404 Not Found", "NoSuchKey")] {
        let (store, _got) = server(move |_, _| refusal(status, code, more));
        let error = store.get("packs/x", 100).await.unwrap_err();
        let shown = format!("{} {error:?} {:?}", error.chain(), config(String::new()));
        for secret in ["AKIDEXAMPLE", "sEcReTsEcReT", "X-Amz-Signature", "StringToSign", "beef"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        assert!(shown.contains(code), "{shown}");
    }
}

#[tokio::test]
async fn a_listing_that_fails_part_way_is_no_short_listing() {
    // restic#4612: a listing that failed looked like an empty one, and prune deleted what was in use.
    let page = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>\
                <Contents><Key>p/index/x</Key><LastModified>2026-11-23T02:00:09Z</LastModified><ETag>e</ETag>\
                <Size>1</Size></Contents></ListBucketResult>";
    let (store, got) = server(move |number, _| match number {
        0 => answer("200 OK", "", page),
        _ => refusal("403 Forbidden", "AccessDenied", ""),
    });
    assert_eq!(store.list("index").await.unwrap_err().kind(), Kind::Denied);
    assert!(got.try_iter().last().unwrap().head.contains("continuation-token=t"));

    let (store, _got) = server(|_, _| refusal("404 Not Found", "NoSuchBucket", ""));
    assert_eq!(store.list("index").await.unwrap_err().kind(), Kind::Invalid);

    // What answers is no store at all.
    let (store, _got) = server(|_, _| answer("200 OK", "", "<html>Welcome</html>"));
    assert_eq!(store.list("index").await.unwrap_err().kind(), Kind::Invalid);

    // A page that breaks off is asked for again.
    let whole = "<ListBucketResult></ListBucketResult>";
    let (store, _got) = server(move |number, _| match number {
        0 => answer("200 OK", "", whole).replace("</ListBucketResult>", ""),
        _ => answer("200 OK", "", whole),
    });
    assert_eq!(store.list("index").await.unwrap(), []);
}

#[tokio::test]
async fn cold_packs_are_told_from_damaged_ones() {
    let (store, _got) = server(|_, _| refusal("403 Forbidden", "InvalidObjectState", ""));
    let error = store.get("packs/x", 100).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.hint().unwrap().contains("cold storage"));
}

/// A server with one object that lies as its headers say.
fn lying(readable: bool, headers: &'static str) -> (Store, Receiver<Got>) {
    server(move |_, got| match got.head.split(' ').next() {
        Some("post") => answer("202 Accepted", "", ""),
        Some("get") if !readable => refusal("403 Forbidden", "InvalidObjectState", ""),
        Some("get") => answer("206 Partial Content", &format!("{OBJECT}{headers}content-range: bytes 0-0/9\r\n"), "0"),
        _ => answer("200 OK", &format!("{OBJECT}{headers}"), ""),
    })
}

#[tokio::test]
async fn how_an_object_lies_is_found_out_by_reading_a_byte() {
    let cold = Warmth::Cold(Class::Archive);
    for (readable, headers, wanted) in [
        (true, "", Warmth::Warm),
        (false, "x-amz-storage-class: DEEP_ARCHIVE\r\n", cold),
        // A store that does not tell of its classes.
        (false, "", cold),
        (false, "x-amz-storage-class: INTELLIGENT_TIERING\r\n", Warmth::Cold(Class::Tiered)),
        (false, "x-amz-restore: ongoing-request=\"true\"\r\n", Warmth::OnItsWay),
        (true, "x-amz-storage-class: GLACIER_IR\r\n", Warmth::Warm),
        (true, RESTORED, Warmth::Warm),
        (true, EXPIRING, Warmth::Expires),
    ] {
        assert_eq!(lying(readable, headers).0.warmth("packs/x").await.unwrap(), wanted, "{headers}");
    }
    // rclone answers with the whole object: from then on only what it says of it is asked.
    for (said, wanted) in [("", Warmth::Warm), ("x-amz-storage-class: GLACIER\r\n", cold)] {
        let (store, got) = server(move |_, _| answer("200 OK", &format!("{OBJECT}{said}"), ""));
        for _ in 0..2 {
            assert_eq!(store.warmth("packs/x").await.unwrap(), wanted, "{said}");
        }
        let methods: Vec<String> = got.try_iter().map(|got| got.head[..4].to_string()).collect();
        assert_eq!(methods, ["get ", "head", "head"]);
    }
    let (store, _got) = server(|_, _| refusal("403 Forbidden", "AccessDenied", ""));
    assert_eq!(store.warmth("packs/x").await.unwrap_err().kind(), Kind::Denied, "no is not cold");
}

const RESTORED: &str = "date: Mon, 23 Nov 2026 02:00:09 GMT\r\n\
                        x-amz-restore: ongoing-request=\"false\", expiry-date=\"Sun, 29 Nov 2026 00:00:00 GMT\"\r\n";
const EXPIRING: &str = "date: Mon, 23 Nov 2026 02:00:09 GMT\r\n\
                        x-amz-restore: ongoing-request=\"false\", expiry-date=\"Tue, 24 Nov 2026 00:00:00 GMT\"\r\n";

#[tokio::test]
async fn a_thaw_is_asked_for_as_the_reference_says() {
    let (store, got) = lying(false, "");
    let order = |class| ThawOrder { days: 7, tier: ThawTier::Bulk, class };
    store.ask_for("packs/12/x", &order(Class::Archive)).await.unwrap();
    let Got { head, body } = got.recv().unwrap();
    assert!(head.starts_with("post /b/p/packs/12/x?restore http/1.1"), "{head}");
    assert!(head.contains("authorization: aws4-hmac-sha256 credential=akidexample/"), "{head}");
    assert!(!head.contains("x-amz-signature="), "the address that was taken for it is not sent: {head}");
    assert_eq!(
        String::from_utf8(body).unwrap(),
        "<RestoreRequest xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Days>7</Days><GlacierJobParameters>\
         <Tier>Bulk</Tier></GlacierJobParameters></RestoreRequest>"
    );
    store.ask_for("packs/12/x", &order(Class::Tiered)).await.unwrap();
    assert!(!String::from_utf8(got.recv().unwrap().body).unwrap().contains("Days"), "it comes back itself");

    let (store, got) = server(|_, _| refusal("409 Conflict", "RestoreAlreadyInProgress", ""));
    store.ask_for("packs/12/x", &order(Class::Archive)).await.unwrap();
    assert_eq!(got.try_iter().count(), 1);
    for (status, code, kind) in [
        ("403 Forbidden", "AccessDenied", Kind::Denied),
        ("409 Conflict", "OperationInProgress", Kind::Unavailable),
        ("503 Service Unavailable", "GlacierExpeditedRetrievalNotAvailable", Kind::Unavailable),
    ] {
        let (store, got) = server(move |_, _| refusal(status, code, ""));
        let error = store.ask_for("packs/12/x", &order(Class::Archive)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{}", error.chain());
        assert!(error.chain().contains(code) && !error.chain().contains("AKIDEXAMPLE"), "{}", error.chain());
        assert_eq!(got.try_iter().count(), 1, "{code} is final");
    }
    let error = Store::memory().ask_for("packs/12/x", &order(Class::Archive)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
}

#[tokio::test]
async fn a_busy_store_is_asked_again_and_a_refusal_is_final() {
    let (store, got) = server(|number, _| match number {
        0 => refusal("503 Service Unavailable", "SlowDown", ""),
        1 => String::new(),
        _ => answer("200 OK", "etag: \"e\"\r\n", ""),
    });
    store.put("index/x", &Sealed::sign(b"hello".to_vec())).await.unwrap();
    assert_eq!(got.iter().take(3).filter(|got| got.head.starts_with("put ")).count(), 3);

    let (store, got) = server(|_, _| refusal("403 Forbidden", "AccessDenied", ""));
    let error = store.put("index/x", &Sealed::sign(b"hello".to_vec())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert_eq!(got.try_iter().count(), 1);
}

#[tokio::test]
async fn a_store_without_create_only_puts_is_looked_at_first() {
    let (store, got) = server(|_, got| match got.head.split(' ').next() {
        Some("put") if got.head.contains("if-none-match") => refusal("501 Not Implemented", "NotImplemented", ""),
        Some("put") => answer("200 OK", "etag: \"e\"\r\n", ""),
        _ if got.head.contains("/there ") => answer("200 OK", OBJECT, "").replace("length: 0", "length: 5"),
        _ => answer("404 Not Found", "", ""),
    });
    store.put("index/new", &Sealed::sign(b"hello".to_vec())).await.unwrap();
    store.put("index/there", &Sealed::sign(b"hello".to_vec())).await.unwrap();
    let said: Vec<String> = got.try_iter().map(|got| got.head.split(" http").next().unwrap().to_string()).collect();
    let wanted = [
        "put /b/p/index/new",
        "head /b/p/index/new",
        "put /b/p/index/new",
        "head /b/p/index/there",
        "head /b/p/index/there",
    ];
    assert_eq!(said, wanted);
}

#[tokio::test]
async fn an_address_where_nobody_answers_is_given_up_soon() {
    // The port was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = Store::open(&config(format!("http://{port}"))).unwrap();
    let begun = std::time::Instant::now();
    let error = store.reach().await.unwrap_err();
    assert!(begun.elapsed().as_secs() < 10);
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.chain().contains("refused"), "{}", error.chain());
    assert!(error.hint().unwrap().contains("address"), "{:?}", error.hint());
}
