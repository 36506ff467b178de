//! TLS: the right server is believed, every other one is not, and a password is bound to the connection on which it is proved.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::job::{Home, Job, says};
use super::server::{Pg, READY_MAX, run};

/// Authorities and certificates of the test's own.
struct Papers(tempfile::TempDir);

/// A certificate to be issued.
struct Paper<'a> {
    name: &'a str,
    authority: &'a str,
    names: &'a str,
    /// Curve and hash function.
    with: (&'a str, &'a str),
}

impl Papers {
    /// `right`, `wrong-name` and `sha384` by one authority, `wrong-authority` by another.
    fn issue() -> Self {
        let papers = Papers(tempfile::tempdir().unwrap());
        papers.authority("ours");
        papers.authority("theirs");
        let here = "IP:127.0.0.1,DNS:localhost";
        let (usual, other) = (("prime256v1", "sha256"), ("secp384r1", "sha384"));
        papers.certificate(&Paper { name: "right", authority: "ours", names: here, with: usual });
        papers.certificate(&Paper { name: "middle", authority: "ours", names: here, with: usual });
        papers.certificate(&Paper { name: "sha384", authority: "ours", names: here, with: other });
        papers.certificate(&Paper { name: "wrong-name", authority: "ours", names: "DNS:db.example.net", with: usual });
        papers.certificate(&Paper { name: "wrong-authority", authority: "theirs", names: here, with: usual });
        papers
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        run(Command::new("openssl").args(arguments.split(' ')).current_dir(self.0.path()));
    }

    fn authority(&self, name: &str) {
        let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
        self.openssl(&format!("{new} -subj /CN={name} -keyout {name}.key -out {name}.pem"));
    }

    fn certificate(&self, paper: &Paper<'_>) {
        let Paper { name, authority, names, with: (curve, hash) } = paper;
        std::fs::write(self.file("names"), format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\n")).unwrap();
        let new = format!("req -newkey ec -pkeyopt ec_paramgen_curve:{curve} -nodes -subj /CN=server");
        self.openssl(&format!("{new} -keyout {name}.key -out {name}.request"));
        let by = format!("-CA {authority}.pem -CAkey {authority}.key -CAcreateserial");
        self.openssl(&format!("x509 -req -in {name}.request {by} -days 2 -{hash} -extfile names -out {name}.pem"));
    }
}

/// A server that wants TLS of the role.
fn server(papers: &Papers) -> Option<Pg> {
    let plan = Pg::plan(17).conf("ssl = on").hba("hostssl all,replication dozo 127.0.0.1/32 scram-sha-256");
    plan.file("server.crt", &papers.file("right.pem")).file("server.key", &papers.file("right.key")).start()
}

/// Another certificate from now on.
fn show(pg: &Pg, papers: &Papers, name: &str) {
    for (to, ending) in [("server.crt", "pem"), ("server.key", "key")] {
        pg.write(to, &std::fs::read_to_string(papers.file(&format!("{name}.{ending}"))).unwrap());
    }
    pg.reload();
}

fn job(port: u16, authority: &Path) -> Job {
    let grant = format!("network = [{{ to = \"127.0.0.1:{port}\", ca = {:?} }}]", authority.display().to_string());
    Job { grant, ..Job::at(port).query("sslmode=verify-full") }
}

#[test]
fn the_right_server_is_believed_and_no_other() {
    let papers = Papers::issue();
    let Some(pg) = server(&papers) else { return };
    let authority = papers.file("ours.pem");
    let home = Home::with(&job(pg.port(), &authority));
    for name in ["right", "sha384"] {
        show(&pg, &papers, name);
        says(&home.dozo(&["check", "db"]).expect(0).out, &["TLS, SCRAM with channel binding"]);
        home.run();
        says(&pg.log(), &["SSL enabled"]);
    }
    show(&pg, &papers, "wrong-name");
    says(&home.refused(&[]), &["certificate", "name"]);
    show(&pg, &papers, "wrong-authority");
    says(&home.refused(&[]), &["certificate", "UnknownIssuer"]);
    // As the guide has it made: nobody vouches for it but itself.
    let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=server";
    let extensions = "-addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    papers.openssl(&format!("{new} {extensions} -keyout own.key -out own.pem"));
    show(&pg, &papers, "own");
    says(&home.refused(&[]), &["certificate", "UnknownIssuer"]);
    home.set(&job(pg.port(), &papers.file("own.pem")));
    home.run();
    show(&pg, &papers, "right");
    says(&home.refused(&[]), &["certificate", "UnknownIssuer"]);
    // The system's authorities do not know it.
    home.set(&Job::at(pg.port()).query("sslmode=verify-full"));
    says(&home.refused(&[]), &["certificate", "ca"]);
    // Who is on this machine goes without TLS unless told, and this server wants it.
    home.set(&Job::at(pg.port()));
    says(&home.refused(&[]), &["pg_hba.conf", "no encryption"]);

    home.set(&job(pg.port(), &authority));
    home.run();
    pg.equals(&home.copy(&pg, "db", "back", &[]));
    // Nobody who says that there is no TLS has dozo go without.
    pg.configure("ssl = off");
    pg.let_in("host all,replication dozo 127.0.0.1/32 scram-sha-256");
    says(&home.refused(&[]), &["TLS", "sslmode"]);
}

/// Somebody between dozo and the server, with a certificate that is believed.
struct Middle {
    child: Child,
    port: u16,
}

impl Middle {
    fn start(pg: &Pg, papers: &Papers, act: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/middle.py");
        let mut python = Command::new("python3");
        python
            .arg(script)
            .args([&pg.port().to_string(), act])
            .arg(papers.file("middle.pem"))
            .arg(papers.file("middle.key"));
        let told = papers.file(&format!("port-{act}"));
        let child = python.arg(&told).stdin(Stdio::null()).spawn().unwrap();
        let mut middle = Middle { child, port: 0 };
        let begun = Instant::now();
        while middle.port == 0 {
            assert!(
                begun.elapsed() < READY_MAX && middle.child.try_wait().unwrap().is_none(),
                "nobody is in the middle"
            );
            std::thread::sleep(Duration::from_millis(20));
            middle.port = std::fs::read_to_string(&told).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
        }
        middle
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate that is believed is not enough: the password is proved for the connection to the server itself.
#[test]
fn whoever_sits_in_between_with_a_good_certificate_is_found_out() {
    let papers = Papers::issue();
    let Some(pg) = server(&papers) else { return };
    let authority = papers.file("ours.pem");
    for (act, words) in [("pass", &["channel binding"][..]), ("strip", &["channel binding"][..])] {
        let middle = Middle::start(&pg, &papers, act);
        let home = Home::with(&job(middle.port, &authority));
        says(&home.refused(&[]), words);
    }
    // That it would have worked: where the server binds nothing, nobody is found out.
    pg.let_in("hostssl all,replication dozo 127.0.0.1/32 trust");
    let middle = Middle::start(&pg, &papers, "pass-again");
    Home::with(&job(middle.port, &authority)).run();
}
