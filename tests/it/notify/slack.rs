//! A server that answers as Slack does, or as it was told to, and keeps what was posted. On this machine alone.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// Where the webhook is: the part of its URL that is a secret.
pub(crate) const PATH: &str = "/services/T000/B000/s3cr3twebh00k";

/// What the server answers.
#[derive(Clone)]
pub(crate) struct Answer {
    status: u16,
    body: String,
    retry_after: Option<u64>,
}

impl Answer {
    pub(crate) fn status(status: u16, body: &str) -> Self {
        Answer { status, body: body.into(), retry_after: None }
    }

    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

/// What was posted.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) json: Value,
}

/// The server; it ends with the test's process.
pub(crate) struct Slack {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<VecDeque<Answer>>,
    posted: Mutex<Vec<Posted>>,
    stopped: AtomicBool,
}

impl Slack {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let slack = Slack { address: listener.local_addr().unwrap(), shared: Arc::default() };
        let shared = slack.shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let shared = shared.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        slack
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// The URL that is a secret.
    pub(crate) fn webhook(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// The next answers; after them, and without them, all is `ok`.
    pub(crate) fn answer(&self, answers: &[Answer]) {
        self.shared.answers.lock().unwrap().extend(answers.iter().cloned());
    }

    /// What was posted so far.
    pub(crate) fn messages(&self) -> Vec<Posted> {
        self.shared.posted.lock().unwrap().clone()
    }

    /// Nobody listens any more.
    pub(crate) fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Whoever waits for a connection looks only when one comes.
        drop(TcpStream::connect(self.address));
        while TcpStream::connect(self.address).is_ok() {
            std::thread::yield_now();
        }
    }
}

/// One request for each connection.
fn serve(stream: TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_string();
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => authorization = Some(value.to_string()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let json = serde_json::from_slice(&body).unwrap();
    shared.posted.lock().unwrap().push(Posted { path, authorization, json });
    let answer = shared.answers.lock().unwrap().pop_front().unwrap_or(Answer::status(200, "ok"));
    let pause = answer.retry_after.map_or(String::new(), |seconds| format!("Retry-After: {seconds}\r\n"));
    let (status, length) = (answer.status, answer.body.len());
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n{pause}\r\n");
    let _ = reader.into_inner().write_all((head + &answer.body).as_bytes());
}
