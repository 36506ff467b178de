//! A cluster to be made: how its pages, its WAL, its files are laid out, who is let in, and what the role may do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use super::server::{Pg, run};

/// The role that backs up, and its password.
const ROLE: &str = "dozo";
pub(crate) const PASSWORD: &str = "p%40 ss'wörd";

/// What all servers have: fast and small.
const CONF: &str = "
fsync = off
shared_buffers = 16MB
max_connections = 40
max_wal_senders = 10
track_commit_timestamp = on
timezone = 'Asia/Tokyo'
log_timezone = 'UTC'
log_connections = on
";

/// Who may do what: the administrator everything, and the role with its password.
const HBA: &str = "
local all,replication postgres trust
host all,replication postgres 127.0.0.1/32 trust
";
const HBA_ROLE: &str = "
local all,replication dozo scram-sha-256
host all,replication dozo 127.0.0.1/32 scram-sha-256
";

/// A server to be made.
pub(crate) struct Plan {
    version: u32,
    checksums: bool,
    segment_mib: u32,
    conf: String,
    hba: String,
    rights: &'static str,
    files: Vec<(&'static str, PathBuf)>,
    initdb: Vec<String>,
}

impl Plan {
    /// More lines of postgresql.conf.
    pub(crate) fn conf(mut self, lines: &str) -> Self {
        self.conf = format!("{}{lines}\n", self.conf);
        self
    }

    /// Lines of pg_hba.conf instead of those that let the role in with its password.
    pub(crate) fn hba(mut self, lines: &str) -> Self {
        self.hba = format!("{lines}\n");
        self
    }

    /// Pages without checksums.
    pub(crate) fn no_checksums(mut self) -> Self {
        self.checksums = false;
        self
    }

    /// The size of a WAL segment; 16 MiB is what everybody has.
    pub(crate) fn segments(mut self, mib: u32) -> Self {
        self.segment_mib = mib;
        self
    }

    /// What the role is allowed, in SQL, instead of what the guide asks for.
    pub(crate) fn rights(mut self, sql: &'static str) -> Self {
        self.rights = sql;
        self
    }

    /// More arguments of initdb; `{home}` stands for a directory of the server's own.
    pub(crate) fn initdb(mut self, argument: &str) -> Self {
        self.initdb.push(argument.to_string());
        self
    }

    /// A file to lie in the data directory.
    pub(crate) fn file(mut self, name: &'static str, from: &Path) -> Self {
        self.files.push((name, from.to_path_buf()));
        self
    }

    /// Makes the cluster and starts the server; none, loudly, where it cannot be had.
    pub(crate) fn start(self) -> Option<Pg> {
        let mut pg = Pg::empty(self.version)?;
        self.make(&pg);
        pg.write("postgresql.conf", &format!("{CONF}{}", self.conf));
        pg.write("pg_hba.conf", &format!("{HBA}{}", self.hba));
        for (name, from) in &self.files {
            pg.write(name, &fs::read_to_string(from).unwrap());
        }
        pg.start_again();
        pg.psql(&format!(
            "set password_encryption = 'scram-sha-256';
             create role {ROLE} login password '{}';
             {}",
            PASSWORD.replace('\'', "''"),
            self.rights
        ));
        Some(pg)
    }

    /// Makes the cluster: a copy of one that a test made before, because initdb takes seconds; each further one of a test anew, so
    /// that no two of it are the same to a server.
    fn make(&self, pg: &Pg) {
        static COPIED: AtomicBool = AtomicBool::new(false);
        let plain = self.initdb.is_empty() && !COPIED.swap(true, Ordering::Relaxed);
        let program = pg.program("initdb");
        let install = program.ancestors().nth(2).unwrap();
        let name = install.file_name().unwrap().to_string_lossy();
        let checksums = if self.checksums { "checksums" } else { "none" };
        let template = install.with_file_name(format!("{name}.cluster-{}-{checksums}", self.segment_mib));
        if plain && template.exists() {
            copy(&template, pg.data());
            return;
        }
        self.init(pg);
        if plain {
            // Whoever comes first has the name, whole.
            let new = tempfile::tempdir_in(template.parent().unwrap()).unwrap();
            copy(pg.data(), &new.path().join("data"));
            let _ = fs::rename(new.path().join("data"), &template);
        }
    }

    fn init(&self, pg: &Pg) {
        let mut initdb = pg.tool("initdb");
        initdb.arg("-D").arg(pg.data()).args(["-U", "postgres", "-A", "trust", "--locale=C.UTF-8", "-E", "UTF8"]);
        initdb.args(["--no-sync".to_string(), format!("--wal-segsize={}", self.segment_mib)]);
        let home = pg.socket().display().to_string();
        initdb.args(self.initdb.iter().map(|argument| argument.replace("{home}", &home)));
        match (self.checksums, self.version) {
            (true, _) => initdb.arg("--data-checksums"),
            (false, 18..) => initdb.arg("--no-data-checksums"),
            (false, _) => &mut initdb,
        };
        run(&mut initdb);
    }
}

/// A cluster that no server runs on, with owners and modes.
fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").arg(from).arg(to));
}

impl Pg {
    /// A server of a version, to be made with checksums and segments of 1 MiB.
    pub(crate) fn plan(version: u32) -> Plan {
        Plan {
            version,
            checksums: true,
            segment_mib: 1,
            conf: String::new(),
            hba: HBA_ROLE.into(),
            rights: "alter role dozo replication; grant pg_monitor to dozo;",
            files: Vec::new(),
            initdb: Vec::new(),
        }
    }

    /// A server of a version, with nothing out of the ordinary.
    pub(crate) fn start(version: u32) -> Option<Pg> {
        Pg::plan(version).start()
    }

    /// Lets in who is named by these lines of pg_hba.conf alone, and the administrator.
    pub(crate) fn let_in(&self, lines: &str) {
        self.write("pg_hba.conf", &format!("{HBA}{lines}\n"));
        self.reload();
    }
}
