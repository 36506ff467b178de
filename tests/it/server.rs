//! Real object stores to test against, on this machine alone: SeaweedFS, which honours what S3 promises, and rclone's S3
//! server, which ignores much of it. Whoever starts one can kill it, as a crash would, and start it again.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::house::guests;
use crate::ports::free_port;

/// Who may do everything.
pub(crate) const ADMIN: (&str, &str) = ("AKADMIN", "adminsecret123");
/// Who may not delete, once [`Server::forbid_deleting`] was called.
pub(crate) const BACKUP: (&str, &str) = ("AKBACKUP", "backupsecret123");
/// Who may read and list.
pub(crate) const READER: (&str, &str) = ("AKREADER", "readersecret123");

/// Slow machines with cold caches.
const READY_MAX: Duration = Duration::from_secs(60);

/// Which store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Seaweed,
    Rclone,
    /// With a certificate that an unknown authority issued.
    RcloneTls,
}

/// A server that ends with the test.
pub(crate) struct Server {
    kind: Kind,
    program: PathBuf,
    dir: tempfile::TempDir,
    ports: [u16; 4],
    child: Child,
}

impl Server {
    /// Starts one, or says loudly that it cannot be had.
    pub(crate) fn start(kind: Kind) -> Option<Self> {
        let program = program(if kind == Kind::Seaweed { "seaweedfs" } else { "rclone" })?;
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        std::fs::write(dir.path().join("s3.json"), identities()).unwrap();
        if kind == Kind::RcloneTls {
            certificate(dir.path());
        }
        let ports = [free_port(), free_port(), free_port(), free_port()];
        let child = spawn(kind, &program, dir.path(), ports);
        let mut server = Server { kind, program, dir, ports, child };
        server.wait();
        Some(server)
    }

    /// Its address.
    pub(crate) fn endpoint(&self) -> String {
        let scheme = if self.kind == Kind::RcloneTls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.ports[0])
    }

    /// The file of the authority that issued its certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, with what it had.
    pub(crate) fn again(&mut self) {
        self.child = spawn(self.kind, &self.program, self.dir.path(), self.ports);
        self.wait();
    }

    /// Makes a bucket.
    pub(crate) fn make_bucket(&self, name: &str) {
        if self.kind == Kind::Seaweed {
            self.ask(&format!("/{name}"), "", "", &[]);
        } else {
            std::fs::create_dir(self.dir.path().join("data").join(name)).unwrap();
        }
    }

    /// From now on nobody but the administrator deletes in the bucket: the policy that the guide shows.
    pub(crate) fn forbid_deleting(&self, bucket: &str) {
        let policy = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Deny",
                // This server takes other forms of the name too, and then denies nothing.
                "Principal": { "AWS": "arn:aws:iam::000000000000:user/backup" },
                "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
                "Resource": [format!("arn:aws:s3:::{bucket}/*")],
            }],
        });
        self.ask(&format!("/{bucket}"), "policy=", &policy.to_string(), &[]);
    }

    /// Makes a bucket whose objects are locked for a day.
    pub(crate) fn make_locked_bucket(&self, name: &str) {
        self.ask(&format!("/{name}"), "", "", &["x-amz-bucket-object-lock-enabled=true"]);
        let rule = "<DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention>";
        let rule = format!("<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>{rule}</Rule>");
        let lock = format!("<ObjectLockConfiguration>{rule}</ObjectLockConfiguration>");
        self.ask(&format!("/{name}"), "object-lock=", &lock, &[]);
    }

    /// A PUT in the administrator's name.
    fn ask(&self, path: &str, query: &str, body: &str, headers: &[&str]) {
        let file = self.dir.path().join("body");
        std::fs::write(&file, body).unwrap();
        let mut python = Command::new("python3");
        python.arg(tools().join("s3.py")).args([&self.endpoint(), "PUT", path, query]).args(headers);
        python.env("KEY", ADMIN.0).env("SECRET", ADMIN.1).stdin(std::fs::File::open(file).unwrap());
        let output = python.output().unwrap();
        assert!(output.status.success(), "PUT {path}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn wait(&mut self) {
        let begun = Instant::now();
        while !self.is_ready() {
            assert!(self.child.try_wait().unwrap().is_none(), "the server ended:\n{}", self.log());
            assert!(begun.elapsed() < READY_MAX, "the server is not ready:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn is_ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.ports[0])) else { return false };
        if self.kind != Kind::Seaweed {
            return true;
        }
        // It listens before all its parts are there.
        let mut answer = String::new();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let asked = stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n");
        asked.and_then(|()| stream.read_to_string(&mut answer)).is_ok() && answer.contains(" 200 ")
    }

    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        text.lines().rev().take(10).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools")
}

/// The server's binary; none, loudly, where it cannot be had.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let mut bash = Command::new("bash");
    bash.arg(tools().join("servers.sh")).arg(guests().with_file_name("servers")).arg(name);
    let output = bash.output().unwrap();
    if output.status.success() {
        return Some(String::from_utf8(output.stdout).unwrap().trim().into());
    }
    eprintln!("SKIPPED: the server {name} cannot be had: {}", String::from_utf8_lossy(&output.stderr).trim());
    None
}

fn spawn(kind: Kind, program: &Path, dir: &Path, ports: [u16; 4]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("log")).unwrap();
    let mut command = Command::new(program);
    command.current_dir(dir).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).env("HOME", dir);
    let address = format!("127.0.0.1:{}", ports[0]);
    match kind {
        Kind::Seaweed => {
            command.args([
                "-logtostderr=true",
                "server",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-dir=data",
                "-filer",
                "-s3",
            ]);
            command.args([format!("-s3.port={}", ports[0]), format!("-master.port={}", ports[1])]);
            command.args([format!("-volume.port={}", ports[2]), format!("-filer.port={}", ports[3])]);
            command.args([
                "-s3.config=s3.json",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                "-master.volumeSizeLimitMB=64",
            ]);
            command.args(["-volume.max=0", "-volume.preStopSeconds=0"]);
        }
        Kind::Rclone | Kind::RcloneTls => {
            let keys = format!("{},{}", ADMIN.0, ADMIN.1);
            command.args(["serve", "s3", "--addr", &address, "--auth-key", &keys, "--config", "none.conf", "data"]);
        }
    }
    if kind == Kind::RcloneTls {
        command.args(["--cert", "cert.pem", "--key", "key.pem"]);
    }
    command.spawn().unwrap()
}

fn identities() -> String {
    let who = |name: &str, (access, secret): (&str, &str), actions: &[&str]| {
        serde_json::json!({
            "name": name, "actions": actions, "credentials": [{ "accessKey": access, "secretKey": secret }],
        })
    };
    let identities = serde_json::json!({ "identities": [
        who("admin", ADMIN, &["Admin", "Read", "Write", "List", "Tagging"]),
        who("backup", BACKUP, &["Read", "Write", "List"]),
        who("reader", READER, &["Read", "List"]),
    ]});
    identities.to_string()
}

/// An authority of the test's own, and a certificate for this machine that it issued.
fn certificate(dir: &Path) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::write(dir.join("names"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    let new = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("{new} -x509 -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"));
    openssl(&format!("{new} -subj /CN=store -keyout key.pem -out request.pem"));
    openssl("x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem");
}
