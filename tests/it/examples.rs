//! The example plugins, each against a real server: through the conformance kit, and as an operator would use it, there and back.

mod dav;
mod etcd;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::house::House;

/// Slow machines with cold caches.
const READY_MAX: Duration = Duration::from_secs(60);

/// A server that ends with the test.
struct Running {
    child: Child,
    port: u16,
}

impl Running {
    /// Waits until it takes connections.
    fn wait(child: Child, port: u16) -> Self {
        let mut running = Running { child, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(running.child.try_wait().unwrap().is_none(), "the server ended");
            assert!(begun.elapsed() < READY_MAX, "the server is not ready");
            std::thread::sleep(Duration::from_millis(100));
        }
        running
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// As it is granted.
    fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it answers to a POST.
    fn post(&self, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        write!(stream, "POST {path} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_string()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of the examples.
fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins").join(path).canonicalize().unwrap()
}

/// Puts a component through the kit; every case that fails is shown. None may be skipped but those that are named.
#[track_caller]
fn passes(house: &House, component: &Path, kit: &str, skipped: &[&str]) {
    std::fs::write(house.path("kit.toml"), kit).unwrap();
    let component = component.display().to_string();
    let said = house.dozo(&["plugin", "test", &component, "--config", "kit.toml", "--json"]);
    let report = said.json();
    let cases = report["cases"].as_array().unwrap();
    let all = serde_json::to_string_pretty(cases).unwrap();
    let of = |verdict: &str| -> Vec<&str> {
        let cases = cases.iter().filter(|case| case["verdict"] == verdict);
        cases.map(|case| case["name"].as_str().unwrap()).collect()
    };
    assert_eq!((said.code, of("failed")), (0, vec![]), "{all}");
    assert_eq!(of("skipped"), skipped, "{all}");
}
