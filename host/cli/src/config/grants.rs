//! What a plugin is allowed and may use: from the tables to what the room of plugins takes; and what it needs beyond that,
//! as the lines that the operator has to write.

use std::path::{Path, PathBuf};

use dozo_job::port::{Needs, ProgramNeed};
use dozo_plugin::{Limits, Network, NetworkGrant, ProgramGrant, Programs};
use serde::Serialize;

use super::place::{self, Form};
use super::raw_grant::{GrantTable, NetworkTable, OrText, ProgramTable};
use super::{ConfigError, Loaded, PluginTable};
use crate::proxy;

/// A plugin's own tables and stack take some megabytes.
const MEMORY_BYTES_MIN: u64 = 16 << 20;

/// What the operator allows, ready to be held against what a plugin needs.
pub(crate) struct Granted<'a> {
    table: &'a GrantTable,
    pub(crate) network: Network,
    pub(crate) programs: Programs,
}

/// The keys of `grant`, and what a plugin may need of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NeedKind {
    Read,
    Write,
    Network,
    Programs,
}

/// One thing that a plugin needs with its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Need {
    pub(crate) grant: NeedKind,
    /// As the operator would grant it; of a program the command line.
    pub(crate) what: String,
    /// What a program reads and writes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) read: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) write: Vec<String>,
    pub(crate) granted: bool,
}

impl NeedKind {
    /// The key in `grant`.
    pub(crate) fn key(self) -> &'static str {
        match self {
            NeedKind::Read => "read",
            NeedKind::Write => "write",
            NeedKind::Network => "network",
            NeedKind::Programs => "programs",
        }
    }
}

impl Need {
    /// Something that is not granted, and no program.
    pub(crate) fn missing(grant: NeedKind, what: String) -> Self {
        Need { grant, what, read: Vec::new(), write: Vec::new(), granted: false }
    }

    fn program(need: &ProgramNeed, granted: bool) -> Self {
        let ProgramNeed { run, read, write } = need.clone();
        Need { grant: NeedKind::Programs, what: run, read, write, granted }
    }

    /// As it is written in a list of `grant`.
    fn to_toml(&self) -> toml::Value {
        if self.read.is_empty() && self.write.is_empty() {
            return self.what.clone().into();
        }
        let paths = |paths: &[String]| paths.iter().map(PathBuf::from).collect();
        let table = ProgramTable { run: self.what.clone(), read: paths(&self.read), write: paths(&self.write) };
        OrText(table).to_toml()
    }

    /// What the plugin would do, in words.
    pub(crate) fn doing(&self) -> String {
        let what = &self.what;
        match self.grant {
            NeedKind::Read => format!("reading {what}"),
            NeedKind::Write => format!("writing {what}"),
            NeedKind::Network => format!("connecting to {what}"),
            NeedKind::Programs => {
                let files = self.files();
                let which = if files.is_empty() { "" } else { ", which " };
                format!("running `{what}`{which}{}", files.join(" and "))
            }
        }
    }

    /// What a program does with files, in words.
    pub(crate) fn files(&self) -> Vec<String> {
        let files = [("reads", &self.read), ("writes", &self.write)];
        let files = files.iter().filter(|(_, paths)| !paths.is_empty());
        files.map(|(does, paths)| format!("{does} {}", paths.join(", "))).collect()
    }
}

impl Granted<'_> {
    /// Everything that a plugin needs, and whether it is granted.
    pub(crate) fn needs(&self, needs: &Needs) -> Vec<Need> {
        let kinds =
            [(NeedKind::Read, &needs.read), (NeedKind::Write, &needs.write), (NeedKind::Network, &needs.network)];
        let mut all = Vec::new();
        for (kind, list) in kinds {
            let need = |what: &String| Need { granted: self.admits(kind, what), ..Need::missing(kind, what.clone()) };
            all.extend(list.iter().map(need));
        }
        all.extend(needs.programs.iter().map(|need| Need::program(need, self.programs.admits(need))));
        all
    }

    /// Whether something is granted that is no program.
    fn admits(&self, kind: NeedKind, what: &str) -> bool {
        match kind {
            NeedKind::Read => self.table.read.iter().any(|grant| Path::new(what).starts_with(grant)),
            NeedKind::Network => self.network.admits(what),
            // A restore may write where the operator said it goes to, and a backup nowhere.
            NeedKind::Write | NeedKind::Programs => false,
        }
    }
}

impl Loaded {
    /// Reads targets and command lines, and the certificates that they name.
    pub(crate) fn granted<'a>(&self, table: PluginTable<'a>) -> Result<Granted<'a>, ConfigError> {
        let (network, programs) = self.written(table)?;
        let whole = |key: &'static str| move |e: dozo_job::Error| hinted(self.at_key(table, key, e.chain()), &e);
        Ok(Granted {
            table: table.grant,
            network: Network::new(network).map_err(whole("network"))?,
            programs: Programs::new(programs).map_err(whole("programs"))?.through_this_binary(),
        })
    }

    /// Targets and command lines one by one, each of which can be read.
    pub(crate) fn written(
        &self,
        table: PluginTable<'_>,
    ) -> Result<(Vec<NetworkGrant>, Vec<ProgramGrant>), ConfigError> {
        let mut network = Vec::new();
        for (number, OrText(entry)) in table.grant.network.iter().enumerate() {
            let at = |key: &'static str| self.at(table, "network", number, key);
            let grant = self.network_grant(entry).map_err(|(key, message)| at(key)(message.into()))?;
            // One alone, so that the complaint points at it.
            Network::new(vec![grant.clone()]).map_err(|e| hinted(at("to")(e.chain()), &e))?;
            network.push(grant);
        }
        let mut programs = Vec::new();
        for (number, OrText(entry)) in table.grant.programs.iter().enumerate() {
            let at = |key: &'static str| self.at(table, "programs", number, key);
            let grant = program_grant(entry).map_err(|(key, message)| at(key)(message))?;
            Programs::new(vec![grant.clone()]).map_err(|e| hinted(at("run")(e.chain()), &e))?;
            programs.push(grant);
        }
        Ok((network, programs))
    }

    fn network_grant(&self, entry: &NetworkTable) -> Result<NetworkGrant, (&'static str, &'static str)> {
        let certificate = match (&entry.certificate, &entry.certificate_key) {
            (Some(certificate), Some(key)) => Some((self.path(certificate), self.path(key))),
            (None, None) => None,
            (Some(_), None) => return Err(("certificate", "a certificate is of no use without `certificate_key`")),
            (None, Some(_)) => return Err(("certificate_key", "a key is of no use without `certificate`")),
        };
        let ca = entry.ca.as_ref().map(|ca| self.path(ca));
        let proxy = if entry.proxy { proxy::of_environment() } else { None };
        Ok(NetworkGrant { target: entry.to.clone(), ca, certificate, proxy })
    }

    /// What the plugin may use.
    pub(crate) fn limits(&self, table: PluginTable<'_>) -> Result<Limits, ConfigError> {
        self.limits_or(&Limits::default(), table)
    }

    /// The same with others where the table says nothing.
    pub(crate) fn limits_or(&self, default: &Limits, table: PluginTable<'_>) -> Result<Limits, ConfigError> {
        let (keys, table) = (table.keys, table.limits);
        let fault = |key: &str, message: String| self.fault(&[keys, &["limits", key]].concat(), message);
        let time = |key: &str, set: Option<jiff::SignedDuration>, default: std::time::Duration| match set {
            None => Ok(default),
            Some(time) if time.is_positive() => Ok(time.unsigned_abs()),
            Some(_) => Err(fault(key, "this must be longer than nothing".into())),
        };
        let memory_bytes = table.memory.map_or(default.memory_bytes, |bytes| bytes.as_u64());
        if memory_bytes < MEMORY_BYTES_MIN {
            let message = format!("no plugin can start with {memory_bytes} bytes; it takes at least 16 MiB");
            return Err(fault("memory", message).hinted("such as `\"256MiB\"`"));
        }
        let response_bytes = table.response_bytes.map(|bytes| bytes.as_u64());
        for (key, nothing) in [
            ("handles", table.handles == Some(0)),
            ("host_calls", table.host_calls == Some(0)),
            ("response_bytes", response_bytes == Some(0)),
        ] {
            if nothing {
                return Err(fault(key, "no plugin can do anything with none".into()).hinted("leave the key out"));
            }
        }
        let mut limits = Limits {
            memory_bytes,
            wall: time("wall", table.wall, default.wall)?,
            stall: time("stall", table.stall, default.stall)?,
            handles: table.handles.unwrap_or(default.handles),
            host_calls: table.host_calls.unwrap_or(default.host_calls),
            log_lines: table.log_lines.unwrap_or(default.log_lines),
            ..default.clone()
        };
        limits.response_bytes = response_bytes.or(limits.response_bytes);
        Ok(limits)
    }

    /// What is needed and not granted, all of it, with the lines to write; nothing if nothing is missing.
    pub(crate) fn refuse_missing(&self, table: PluginTable<'_>, needs: &[Need]) -> Result<(), ConfigError> {
        let missing: Vec<&Need> = needs.iter().filter(|need| !need.granted).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let doing: Vec<String> = missing.iter().map(|need| need.doing()).collect();
        let message = format!("the plugin needs more than it is granted: {}", doing.join(", "));
        let hint = match missing.iter().any(|need| need.grant == NeedKind::Write) {
            true => "a job's plugin reads; this version of dozo cannot let it write".to_string(),
            false => self.lines_to_write(table, &missing),
        };
        Err(self.fault(&[table.keys, &["grant"]].concat(), message).hinted(hint))
    }

    /// Directories are granted: a file in their place is told before anything is opened.
    pub(crate) fn refuse_files(&self, table: PluginTable<'_>) -> Result<(), ConfigError> {
        let mut read = table.grant.read.iter().enumerate();
        let Some((number, file)) = read.find(|(_, path)| directory_of(path) != path.as_path()) else { return Ok(()) };
        let number = number.to_string();
        let at = [table.keys, &["grant", "read", &number]].concat();
        let (shown, directory) = (file.display(), toml::Value::from(directory_of(file).display().to_string()));
        Err(self
            .fault(&at, format!("{shown} is not a directory, and directories are granted"))
            .hinted(format!("the one that it is in: {directory}")))
    }

    /// The lines of `grant` that have what is there and what is missing, as they are to be written in this file.
    pub(crate) fn lines_to_write(&self, table: PluginTable<'_>, missing: &[&Need]) -> String {
        let (path, table) = (table.keys, table.grant);
        let read = table.read.iter().map(|path| toml::Value::String(path.display().to_string()));
        let keys: [(NeedKind, Vec<toml::Value>); 3] = [
            (NeedKind::Read, read.collect()),
            (NeedKind::Network, table.network.iter().map(OrText::to_toml).collect()),
            (NeedKind::Programs, table.programs.iter().map(OrText::to_toml).collect()),
        ];
        let form = place::form(&self.text, &[path, &["grant"]].concat());
        let to_toml = |need: &&Need| match need.grant {
            NeedKind::Read => directory_of(Path::new(&need.what)).display().to_string().into(),
            _ => need.to_toml(),
        };
        let mut lines = Vec::new();
        for (kind, mut values) in keys {
            let mut new: Vec<toml::Value> = missing.iter().filter(|need| need.grant == kind).map(to_toml).collect();
            new.dedup();
            // An inline table is written anew as a whole, of another only what changes.
            if !new.is_empty() || matches!(form, Form::Inline | Form::Absent) && !values.is_empty() {
                values.extend(new);
                lines.push(format!("{} = {}", kind.key(), toml::Value::Array(values)));
            }
        }
        let header: Vec<String> = path.iter().map(|key| bare_or_quoted(key)).collect();
        let header = header.join(".");
        match form {
            Form::Inline | Form::Absent => format!("in [{header}]: grant = {{ {} }}", lines.join(", ")),
            Form::Header => format!("in [{header}.grant]: {}", lines.join("\n    ")),
            Form::Dotted => format!("in [{header}]: grant.{}", lines.join("\n    grant.")),
        }
    }

    /// Complaints about a key of one entry of a list in `grant`, or about the entry if it is a string.
    fn at(
        &self,
        table: PluginTable<'_>,
        list: &'static str,
        number: usize,
        key: &'static str,
    ) -> impl Fn(String) -> ConfigError {
        move |message| self.fault(&[table.keys, &["grant", list, &number.to_string(), key]].concat(), message)
    }

    fn at_key(&self, table: PluginTable<'_>, key: &str, message: String) -> ConfigError {
        self.fault(&[table.keys, &["grant", key]].concat(), message)
    }
}

/// What is to be granted for a path: of what is there and is no directory, the directory that it is in.
fn directory_of(path: &Path) -> &Path {
    let is_other = std::fs::metadata(path).is_ok_and(|there| !there.is_dir());
    path.parent().filter(|_| is_other).unwrap_or(path)
}

fn program_grant(entry: &ProgramTable) -> Result<ProgramGrant, (&'static str, String)> {
    for (key, paths) in [("read", &entry.read), ("write", &entry.write)] {
        if let Some(path) = paths.iter().find(|path| !path.is_absolute()) {
            return Err((key, format!("{} is not an absolute path", path.display())));
        }
    }
    Ok(ProgramGrant { command: entry.run.clone(), read: entry.read.clone(), write: entry.write.clone() })
}

/// The hint that came with an error, if there is one.
fn hinted(fault: ConfigError, error: &dozo_job::Error) -> ConfigError {
    fault.hinted(error.hint().unwrap_or_default())
}

fn bare_or_quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if bare { key.to_string() } else { format!("{key:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw;

    const JOB: [&str; 2] = ["job", "db"];

    /// A configuration whose job ends with this text.
    fn loaded(grant: &str) -> Loaded {
        let text =
            format!("[repository]\nurl = \"memory://\"\nkey = \"k\"\n[job.db]\nplugin = \"postgres\"\n{grant}\n");
        let file = std::path::PathBuf::from("/etc/dozo/dozo.toml");
        let config = raw::parse(&file, &text).unwrap_or_else(|e| panic!("{e}"));
        Loaded { file, text, config }
    }

    fn needs() -> Needs {
        Needs {
            network: vec!["db:5432".into(), "db-2:5432".into()],
            read: vec!["/srv/a/b".into(), "/srv/c".into()],
            write: vec![],
            exclusive: vec![],
            programs: vec![
                ProgramNeed { run: "/usr/bin/env --set=\"c\" **".into(), ..ProgramNeed::default() },
                ProgramNeed { run: "/usr/bin/git".into(), read: vec!["/srv/git".into()], write: vec![] },
            ],
        }
    }

    fn refused(grant: &str) -> ConfigError {
        let loaded = loaded(grant);
        let table = loaded.config.job["db"].table(&JOB);
        let needs = loaded.granted(table).unwrap().needs(&needs());
        loaded.refuse_missing(table, &needs).unwrap_err()
    }

    #[test]
    fn everything_that_is_missing_is_named_with_the_line_to_write() {
        let error = refused("");
        assert_eq!(
            error.message(),
            "the plugin needs more than it is granted: reading /srv/a/b, reading /srv/c, connecting to db:5432, \
             connecting to db-2:5432, running `/usr/bin/env --set=\"c\" **`, \
             running `/usr/bin/git`, which reads /srv/git"
        );
        let hint = error.hint().unwrap();
        let expected = "in [job.db]: grant = { read = [\"/srv/a/b\", \"/srv/c\"], network = [\"db:5432\", \"db-2:5432\"], \
                        programs = ['/usr/bin/env --set=\"c\" **', { read = [\"/srv/git\"], run = \"/usr/bin/git\" }] }";
        assert_eq!(hint, expected);
        // What is to be written is what dozo reads, and then nothing is missing.
        let line = hint.strip_prefix("in [job.db]: ").unwrap();
        let loaded = loaded(line);
        let table = loaded.config.job["db"].table(&JOB);
        let needs = loaded.granted(table).unwrap().needs(&needs());
        loaded.refuse_missing(table, &needs).unwrap();
    }

    #[test]
    fn the_line_keeps_what_is_there_in_the_form_that_it_has() {
        let tables = "network = [{ to = \"db:5432\", ca = \"ca.pem\", proxy = true }]";
        let missing = "network = [{ ca = \"ca.pem\", proxy = true, to = \"db:5432\" }, \"db-2:5432\"]";
        let read = "read = [\"/srv/a\", \"/srv/c\"]";
        let run = "programs = ['/usr/bin/env --set=\"c\" **']";
        for (grant, hint) in [
            (
                format!("grant = {{ read = [\"/srv/a\"], {tables} }}"),
                format!("in [job.db]: grant = {{ {read}, {missing}, {run} }}"),
            ),
            (
                format!("[job.db.grant]\nread = [\"/srv\"]\n{tables}"),
                format!("in [job.db.grant]: {missing}\n    {run}"),
            ),
            (
                format!("grant.read = [\"/srv\"]\ngrant.{tables}"),
                format!("in [job.db]: grant.{missing}\n    grant.{run}"),
            ),
        ] {
            // The certificate of the example is not there: what is granted is said here.
            let need = |grant, what: &str| Need::missing(grant, what.into());
            let missing = [
                need(NeedKind::Read, "/srv/c"),
                need(NeedKind::Network, "db-2:5432"),
                need(NeedKind::Programs, "/usr/bin/env --set=\"c\" **"),
            ];
            let missing = if grant.contains("\"/srv\"") { &missing[1..] } else { &missing[..] };
            let loaded = loaded(&grant);
            let error = loaded.refuse_missing(loaded.config.job["db"].table(&JOB), missing).unwrap_err();
            assert_eq!(error.hint().unwrap(), hint);
        }
    }

    #[test]
    fn mistakes_in_grants_are_shown_at_their_place() {
        for (grant, place, message) in [
            ("grant = { network = [{ to = \"db:1\", certificate = \"a\" }] }", "6:51", "without `certificate_key`"),
            (
                "grant = { programs = [\"/usr/bin/env\", { run = \"/usr/bin/env\", read = [\"x\"] }] }",
                "6:",
                "not an absolute",
            ),
        ] {
            let loaded = loaded(grant);
            let error = loaded.granted(loaded.config.job["db"].table(&JOB)).err().unwrap().to_string();
            assert!(error.contains(place) && error.contains(message), "{error}");
        }
    }

    #[test]
    fn what_is_neither_string_nor_table_is_refused_with_what_is_expected() {
        let parse = |grant: &str| {
            let text = format!("[repository]\nurl = \"x\"\nkey = \"k\"\n[job.db]\nplugin = \"p\"\n{grant}\n");
            raw::parse(Path::new("dozo.toml"), &text).err().unwrap().to_string()
        };
        let error = parse("grant = { network = [7] }");
        assert!(error.contains("a target such as") && error.contains("dozo.toml:6:22"), "{error}");
        let error = parse("grant = { programs = [{ run = \"/bin/x\", reads = [] }] }");
        assert!(error.contains("`reads` is not a key") && error.contains("dozo.toml:6:"), "{error}");
    }

    #[test]
    fn limits_are_read_and_nothing_is_no_limit() {
        let limits = |text: &str| {
            let loaded = loaded(text);
            loaded.limits(loaded.config.job["db"].table(&JOB))
        };
        let read = limits(
            "limits = { handles = 5, host_calls = 6, log_lines = 0, response_bytes = \"1MiB\", memory = \"64MiB\" }",
        )
        .unwrap();
        assert_eq!((read.handles, read.host_calls, read.log_lines, read.response_bytes), (5, 6, 0, Some(1 << 20)));
        assert_eq!(read.memory_bytes, 64 << 20);
        let default = limits("").unwrap();
        assert_eq!((default.handles, default.response_bytes), (100_000, None));
        for wrong in ["handles = 0", "host_calls = 0", "response_bytes = \"0B\"", "memory = \"1MiB\"", "wall = \"0s\""]
        {
            let error = limits(&format!("limits = {{ {wrong} }}")).unwrap_err().to_string();
            assert!(error.contains("dozo.toml:6:"), "{wrong}: {error}");
        }
    }
}
