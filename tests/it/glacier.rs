//! A small S3 server whose objects may lie in cold storage, as Amazon's reference says it: what lies there is refused with
//! `InvalidObjectState` until a RestoreObject request was made and has come to its end. It remembers what it was asked.
//! Stands in for what no server that can be had here does.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::server::ADMIN;

const BUCKET: &str = "/backups/";
/// As headers and as listings write times.
const FORMATS: [&str; 2] = ["+%a, %d %b %Y %H:%M:%S GMT", "+%Y-%m-%dT%H:%M:%S.000Z"];

/// How an object lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lies {
    Warm,
    Cold,
    OnItsWay,
    /// A copy of it can be read.
    Thawed,
}

struct Object {
    bytes: Vec<u8>,
    lies: Lies,
}

/// A request, as far as tests ask about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// The name in the bucket, or the query of a listing.
    pub(crate) name: String,
    pub(crate) status: u16,
    pub(crate) body: String,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    asked: Vec<Asked>,
    /// RestoreObject requests for this many objects end at once; the others wait for [`Glacier::arrive`].
    at_once: bool,
    /// This many RestoreObject requests are answered with 503 first.
    busy: u32,
    /// When the server began, in both formats: every object is as old.
    began: [String; 2],
    /// When copies end.
    expiry: String,
}

/// The server; its threads end with the process.
pub(crate) struct Glacier {
    address: String,
    state: Arc<Mutex<State>>,
}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Glacier {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let began = FORMATS.map(|format| date("now", format));
        let expiry = date("7 days", FORMATS[0]);
        let state = Arc::new(Mutex::new(State { began, expiry, ..State::default() }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = shared.clone();
                std::thread::spawn(move || serve(&stream.unwrap(), &shared));
            }
        });
        Glacier { address, state }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Moves packs of content as a life-cycle rule does, or brings them back.
    pub(crate) fn lay(&self, lies: Lies) {
        let mut state = self.state();
        for (_, object) in state.objects.iter_mut().filter(|(name, _)| name.contains("packs/")) {
            object.lies = lies;
        }
    }

    /// What was asked for is there.
    pub(crate) fn arrive(&self) {
        for object in self.state().objects.values_mut().filter(|object| object.lies == Lies::OnItsWay) {
            object.lies = Lies::Thawed;
        }
    }

    /// From now on what is asked for is there at once.
    pub(crate) fn hurry(&self) {
        self.state().at_once = true;
    }

    /// So many of the next requests to bring something back are refused as a busy server does.
    pub(crate) fn be_busy(&self, times: u32) {
        self.state().busy = times;
    }

    /// How many packs of content there are, and how many of them lie so.
    pub(crate) fn packs(&self, lies: Lies) -> (usize, usize) {
        let state = self.state();
        let packs: Vec<_> = state.objects.iter().filter(|(name, _)| name.contains("packs/")).collect();
        (packs.len(), packs.iter().filter(|(_, object)| object.lies == lies).count())
    }

    /// What was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }
}

/// Reads of packs of content among these, and requests to bring one back.
pub(crate) fn reads_and_thaws(asked: &[Asked]) -> (usize, Vec<&Asked>) {
    let packs = || asked.iter().filter(|asked| asked.name.contains("packs/") && !asked.name.contains("list-type"));
    (packs().filter(|a| a.method == "GET").count(), packs().filter(|a| a.method == "POST").collect())
}

fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let name = request.path.strip_prefix(BUCKET).unwrap_or_default().to_string();
        // Worked out before the others are kept waiting.
        let signed = request.method != "POST" || is_signed(&request);
        let mut state = state.lock().unwrap();
        let answer = if signed { state.answer(&request, &name) } else { refusal(403, "SignatureDoesNotMatch") };
        let (method, body) = (request.method.clone(), String::from_utf8_lossy(&request.body).into_owned());
        let name = if name.is_empty() { request.query.clone() } else { name };
        let body = if method == "POST" { body } else { String::new() };
        state.asked.push(Asked { method, name, status: answer.status, body });
        let now = state.began[0].clone();
        drop(state);
        let head = request.method == "HEAD";
        let mut text = format!("HTTP/1.1 {} X\r\nDate: {now}\r\nContent-Length: ", answer.status);
        text += &answer.body.len().to_string();
        for (name, value) in &answer.headers {
            text += &format!("\r\n{name}: {value}");
        }
        text += "\r\n\r\n";
        let mut out = text.into_bytes();
        out.extend(answer.body.iter().filter(|_| !head));
        let mut stream = stream;
        if stream.write_all(&out).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_string(), words.next()?.to_string());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_string());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path: path.to_string(), query: query.to_string(), headers, body })
}

/// Whether the signature is the right one, by another implementation than the one that made it.
fn is_signed(request: &Request) -> bool {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/signed.py");
    let mut python = Command::new("python3");
    python.arg(script).args([&request.method, &request.path, &request.query]).env("SECRET", ADMIN.1);
    let mut child = python.stdin(Stdio::piped()).spawn().unwrap();
    let lines: String = request.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

impl State {
    fn answer(&mut self, request: &Request, name: &str) -> Answer {
        match (request.method.as_str(), name) {
            ("GET", "") => self.list(&request.query),
            ("PUT", _) => self.put(name, request),
            ("GET" | "HEAD", _) => self.get(name, request),
            ("POST", _) if request.query == "restore" => self.restore(name, &request.body),
            ("DELETE", _) => {
                self.objects.remove(name);
                plain(204)
            }
            _ => refusal(400, "InvalidRequest"),
        }
    }

    fn list(&self, query: &str) -> Answer {
        let prefix = query.split('&').find_map(|part| part.strip_prefix("prefix=")).unwrap_or_default();
        let prefix = prefix.replace("%2F", "/");
        let items = self.objects.iter().filter(|(name, _)| name.starts_with(&prefix)).map(|(name, object)| {
            let bytes = object.bytes.len();
            let time = format!("<LastModified>{}</LastModified>", self.began[1]);
            format!("<Contents><Key>{name}</Key>{time}<ETag>e</ETag><Size>{bytes}</Size></Contents>")
        });
        let body = format!(
            "<ListBucketResult><IsTruncated>false</IsTruncated>{}</ListBucketResult>",
            items.collect::<String>()
        );
        Answer { body: body.into_bytes(), ..plain(200) }
    }

    fn put(&mut self, name: &str, request: &Request) -> Answer {
        if request.headers.contains_key("if-none-match") && self.objects.contains_key(name) {
            return refusal(412, "PreconditionFailed");
        }
        let cold = request.headers.get("x-amz-storage-class").is_some_and(|class| class == "DEEP_ARCHIVE");
        let lies = if cold { Lies::Cold } else { Lies::Warm };
        self.objects.insert(name.to_string(), Object { bytes: request.body.clone(), lies });
        Answer { headers: vec![("ETag".into(), "\"e\"".into())], ..plain(200) }
    }

    fn get(&self, name: &str, request: &Request) -> Answer {
        let Some(object) = self.objects.get(name) else { return refusal(404, "NoSuchKey") };
        if request.method == "GET" && [Lies::Cold, Lies::OnItsWay].contains(&object.lies) {
            return refusal(403, "InvalidObjectState");
        }
        let mut headers =
            vec![("ETag".to_string(), "\"e\"".to_string()), ("Last-Modified".into(), self.began[0].clone())];
        if object.lies != Lies::Warm {
            headers.push(("x-amz-storage-class".into(), "DEEP_ARCHIVE".into()));
        }
        match object.lies {
            Lies::OnItsWay => headers.push(("x-amz-restore".into(), "ongoing-request=\"true\"".into())),
            Lies::Thawed => {
                let until = format!("ongoing-request=\"false\", expiry-date=\"{}\"", self.expiry);
                headers.push(("x-amz-restore".into(), until));
            }
            Lies::Warm | Lies::Cold => {}
        }
        let Some(range) = request.headers.get("range") else {
            return Answer { status: 200, headers, body: object.bytes.clone() };
        };
        let (start, end) = range.trim_start_matches("bytes=").split_once('-').unwrap();
        let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
        let end = end.min(object.bytes.len() - 1);
        headers.push(("Content-Range".into(), format!("bytes {start}-{end}/{}", object.bytes.len())));
        Answer { status: 206, headers, body: object.bytes[start..=end].to_vec() }
    }

    fn restore(&mut self, name: &str, body: &[u8]) -> Answer {
        if self.busy > 0 {
            self.busy -= 1;
            return refusal(503, "SlowDown");
        }
        let text = String::from_utf8_lossy(body);
        let tier = ["Bulk", "Standard"].iter().any(|tier| text.contains(&format!("<Tier>{tier}</Tier>")));
        if !text.contains("<Days>") || !tier {
            return refusal(400, "MalformedXML");
        }
        let at_once = self.at_once;
        let Some(object) = self.objects.get_mut(name) else { return refusal(404, "NoSuchKey") };
        match object.lies {
            Lies::Warm => refusal(403, "InvalidObjectState"),
            Lies::OnItsWay => refusal(409, "RestoreAlreadyInProgress"),
            Lies::Thawed => plain(200),
            Lies::Cold => {
                object.lies = if at_once { Lies::Thawed } else { Lies::OnItsWay };
                plain(202)
            }
        }
    }
}

/// A time in the words that `date` knows.
fn date(when: &str, format: &str) -> String {
    let output = Command::new("date").args(["-u", "-d", when, format]).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

fn plain(status: u16) -> Answer {
    Answer { status, headers: Vec::new(), body: Vec::new() }
}

fn refusal(status: u16, code: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
    Answer { body: body.into_bytes(), ..plain(status) }
}
