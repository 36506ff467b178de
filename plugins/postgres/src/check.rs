//! Whether a run would find what it needs, and what mends it if not. Changes nothing.

use dozo_sdk::{Error, Result, words};

use crate::config::{Endpoint, Settings};
use crate::failure::Failure;
use crate::server::{Server, Walsender, column};
use crate::session;
use crate::slot::{self, Slot};

/// What an operator sees.
type Facts = Vec<(String, String)>;

/// Clocks that are kept differ by less.
const SKEW_MICROS: i64 = 2_000_000;
/// Roles by which managed servers are known, and who manages them.
const MANAGED: [(&str, &str); 5] = [
    ("rds_superuser", "Amazon RDS"),
    ("cloudsqlsuperuser", "Google Cloud SQL"),
    ("azure_pg_admin", "Azure Database"),
    ("neon_superuser", "Neon"),
    ("supabase_admin", "Supabase"),
];

/// Looks at everything, and tells all that is wrong at once.
pub(crate) fn check(settings: &Settings) -> Result<Facts, Failure> {
    let mut server = Server::connect(settings)?;
    let mut look = Look { facts: Facts::new(), wrong: Vec::new(), denied: false };
    look.about(settings, &server);
    look.role(settings, &mut server)?;
    look.settings(&mut server)?;
    look.walsender(settings, &mut server)?;
    look.slot(settings, &mut server)?;
    look.clock(&mut server)?;
    look.files(&mut server)?;
    server.wire.close();
    look.told()
}

struct Look {
    facts: Facts,
    /// What keeps a run from succeeding, and what mends it.
    wrong: Vec<String>,
    denied: bool,
}

impl Look {
    fn fact(&mut self, what: &str, fact: impl Into<String>) {
        self.facts.push((what.into(), fact.into()));
    }

    fn wrong(&mut self, what: &str, mend: &str) {
        self.wrong.push(format!("{what}; mend it: {mend}"));
    }

    fn about(&mut self, settings: &Settings, server: &Server) {
        let at = match &settings.place.endpoint {
            Endpoint::Tcp { host, port, .. } => format!("{host}:{port}"),
            Endpoint::Unix { directory, .. } => directory.clone(),
        };
        let standby = if server.standby { ", a standby" } else { "" };
        self.fact("server", format!("PostgreSQL {} at {at}{standby}", server.version));
        let tls = if server.protection.tls { "TLS, " } else { "no TLS, " };
        self.fact("connection", format!("{tls}{}", server.protection.method.words()));
        match server.checksums {
            true => self.fact("checksums", "of data pages: checked in every base backup"),
            false => self
                .fact("checksums", "NONE of data pages: a damaged page would not be noticed (pg_checksums --enable)"),
        }
    }

    fn role(&mut self, settings: &Settings, server: &mut Server) -> Result<(), Failure> {
        let role = &settings.place.role;
        let rows = server.wire.query(
            "SELECT rolreplication OR rolsuper, rolvaliduntil::text FROM pg_roles WHERE rolname = current_user",
        )?;
        if column(&rows, 0) == Some("t") {
            self.fact("role", format!("{role}, may replicate"));
        } else if let Some(who) = managed(server)? {
            self.denied = true;
            self.wrong(
                &format!("the server is managed by {who}, which gives nobody the right to take base backups"),
                "use the provider's own snapshots; dozo's logical mode is for such servers",
            );
        } else {
            self.denied = true;
            self.wrong(&format!("the role `{role}` may not replicate"), &format!("ALTER ROLE \"{role}\" REPLICATION"));
        }
        if let Some(until) = column(&rows, 1).filter(|until| *until != "infinity") {
            self.fact("password", format!("expires at {until}"));
        }
        Ok(())
    }

    fn settings(&mut self, server: &mut Server) -> Result<(), Failure> {
        let row = server.wire.one(
            "SELECT current_setting('wal_level'), current_setting('max_wal_senders'), \
             current_setting('max_replication_slots'), current_setting('max_slot_wal_keep_size'), \
             current_setting('full_page_writes'), current_setting('max_replication_slots')::int - count(*) FROM pg_replication_slots",
        )?;
        let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        self.fact("wal_level", text(0));
        if text(0) == "minimal" {
            self.wrong("wal_level is minimal", "ALTER SYSTEM SET wal_level = replica; then restart the server");
        }
        if text(1) == "0" {
            self.wrong("max_wal_senders is 0", "ALTER SYSTEM SET max_wal_senders = 10; then restart the server");
        }
        if text(2) == "0" {
            let mend = "ALTER SYSTEM SET max_replication_slots = 10; then restart the server";
            self.wrong("max_replication_slots is 0", mend);
        }
        match text(3).as_str() {
            "-1" => self.fact(
                "max_slot_wal_keep_size",
                "-1: if dozo does not run, WAL fills the server's disk; ALTER SYSTEM SET max_slot_wal_keep_size = '20GB'; \
                 SELECT pg_reload_conf()",
            ),
            size => self.fact("max_slot_wal_keep_size", size),
        }
        if text(4) == "off" {
            self.fact(
                "full_page_writes",
                "off: a crash of the server can leave torn pages; the backup itself turns it on",
            );
        }
        Ok(())
    }

    /// By beginning one: that needs a line in pg_hba.conf, a right and a free place.
    fn walsender(&mut self, settings: &Settings, server: &mut Server) -> Result<(), Failure> {
        match Walsender::connect(settings, server.major) {
            Ok(mut walsender) => {
                let system = walsender.identify()?;
                self.fact(
                    "replication",
                    format!("connects; system {}, timeline {}", system.identifier, system.timeline),
                );
                self.sessions(settings, server, &mut walsender)?;
                walsender.wire.close();
                Ok(())
            }
            Err(failure) if failure.is("28000") => {
                self.denied = true;
                let line = hba_line(settings, server)?;
                self.wrong(
                    &format!("no replication connection is let in: {}", first_words(failure)),
                    &format!("add to pg_hba.conf `{line}`; SELECT pg_reload_conf()"),
                );
                Ok(())
            }
            // What the role lacks has been told; what the server lacks, too.
            Err(failure @ Failure::Server(_)) if !self.wrong.is_empty() => {
                self.fact("replication", first_words(failure));
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// What would end the sessions of a run while they wait.
    fn sessions(&mut self, settings: &Settings, server: &mut Server, walsender: &mut Walsender) -> Result<(), Failure> {
        let switched_off = session::switched_off(&mut server.wire, server.major)?;
        if !switched_off.is_empty() {
            self.fact("sessions", format!("{}: off for those of a run", switched_off.join(", ")));
        }
        for (name, value) in session::left_on(walsender, server.major)? {
            let role = &settings.place.role;
            self.wrong(
                &format!("{name} is {value} for a replication connection, and does not let itself be turned off there"),
                &format!("ALTER ROLE \"{role}\" SET {name} = 0"),
            );
        }
        Ok(())
    }

    fn slot(&mut self, settings: &Settings, server: &mut Server) -> Result<(), Failure> {
        let name = &settings.slot;
        match slot::find(server, name)? {
            Some(Slot { keeps_from: Some(_), lag_bytes, user }) => {
                let used = user.map(|user| format!(", in use by process {user}")).unwrap_or_default();
                self.fact("slot", format!("`{name}` keeps {} of WAL{used}", words::bytes(lag_bytes)));
                if lag_bytes > settings.max_slot_lag {
                    self.fact("slot", "that is more than `max_slot_lag`: it is dropped when a run fails");
                }
            }
            Some(_) => {
                self.fact("slot", format!("`{name}` has lost its WAL: the next run makes it anew, and is a full one"))
            }
            None => {
                let none_at_all = self.wrong.iter().any(|wrong| wrong.contains("max_replication_slots"));
                let rows = server.wire.query(
                    "SELECT current_setting('max_replication_slots')::int - count(*) FROM pg_replication_slots",
                )?;
                let free = column(&rows, 0).and_then(|free| free.parse::<i64>().ok());
                if free.is_some_and(|free| free <= 0) && !none_at_all {
                    let mend = "ALTER SYSTEM SET max_replication_slots = …; then restart the server; or drop one that nobody uses: SELECT slot_name FROM pg_replication_slots WHERE NOT active";
                    self.wrong("no replication slot is free", mend);
                } else {
                    self.fact("slot", format!("`{name}` is not there yet: the first run makes it"));
                }
            }
        }
        Ok(())
    }

    fn clock(&mut self, server: &mut Server) -> Result<(), Failure> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let here = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        let ahead = server.now()?.saturating_sub(here);
        let seconds = ahead.abs() / 1_000_000;
        match ahead {
            _ if ahead.abs() <= SKEW_MICROS => self.fact("clock", "the server's and this machine's agree"),
            1.. => {
                self.fact("clock", format!("the server's is {seconds} s ahead: moments to recover to are by its clock"))
            }
            _ => self
                .fact("clock", format!("the server's is {seconds} s behind: moments to recover to are by its clock")),
        }
        Ok(())
    }

    /// How much there is, and whether configuration lies elsewhere.
    fn files(&mut self, server: &mut Server) -> Result<(), Failure> {
        // What the role may not see is left out.
        let sizes = server.wire.query("SELECT sum(pg_database_size(oid))::bigint, count(*) FROM pg_database WHERE has_database_privilege(oid, 'CONNECT')");
        if let Some(bytes) = sizes.ok().as_ref().and_then(|rows| column(rows, 0)).and_then(|text| text.parse().ok()) {
            self.fact("size", words::bytes(bytes));
        }
        let rows = server.wire.query(
            "SELECT string_agg(f.setting, ', ' ORDER BY f.setting) FROM pg_settings f, pg_settings d WHERE d.name = 'data_directory' \
             AND f.name IN ('config_file', 'hba_file', 'ident_file') AND NOT starts_with(f.setting, d.setting || '/')",
        )?;
        let seen = server.wire.query("SELECT 1 FROM pg_settings WHERE name = 'data_directory'")?;
        if seen.is_empty() {
            self.fact(
                "configuration",
                "cannot be seen; GRANT pg_read_all_settings TO the role, to learn whether it lies elsewhere",
            );
        }
        self.fact(
            "base backup",
            "that the server can read every file of its data directory shows only when one is taken (`dozo run --full`)",
        );
        if let Some(files) = column(&rows, 0) {
            self.fact(
                "configuration",
                format!("outside of the data directory, and not in this backup: {files}; give it a filesystem job"),
            );
        }
        Ok(())
    }

    fn told(self) -> Result<Facts, Failure> {
        if self.wrong.is_empty() {
            return Ok(self.facts);
        }
        let all = match self.wrong.as_slice() {
            [one] => one.clone(),
            many => {
                many.iter().fold(format!("{} things are wrong:", many.len()), |all, one| format!("{all}\n  - {one}"))
            }
        };
        Err(if self.denied { Error::Denied(all) } else { Error::Invalid(all) }.into())
    }
}

/// The line of pg_hba.conf that lets this machine in, as the server sees it.
fn hba_line(settings: &Settings, server: &mut Server) -> Result<String, Failure> {
    let rows = server.wire.query("SELECT host(inet_client_addr()), family(inet_client_addr())")?;
    let role = &settings.place.role;
    let plain = role.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let role = if plain { role.clone() } else { format!("\"{}\"", role.replace('"', "\"\"")) };
    Ok(match (column(&rows, 0), column(&rows, 1)) {
        (Some(address), family) => {
            let kind = if server.protection.tls { "hostssl" } else { "host" };
            let bits = if family == Some("6") { 128 } else { 32 };
            format!("{kind} replication {role} {address}/{bits} scram-sha-256")
        }
        (None, _) => format!("local replication {role} scram-sha-256"),
    })
}

fn managed(server: &mut Server) -> Result<Option<&'static str>, Failure> {
    for (role, who) in MANAGED {
        if !server.wire.query(&format!("SELECT 1 FROM pg_roles WHERE rolname = '{role}'"))?.is_empty() {
            return Ok(Some(who));
        }
    }
    Ok(None)
}

/// What the server says, without the advice.
fn first_words(failure: Failure) -> String {
    let error = Error::from(failure);
    error.message().split("; hint: ").next().unwrap_or_default().to_string()
}
