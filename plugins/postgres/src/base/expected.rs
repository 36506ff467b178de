//! What must be in a base backup. A server sends files and directories; symbolic links and other special files it leaves out,
//! and a backup that lacks a whole database looks as good as any. So what the catalog names is looked for.

use std::collections::BTreeMap;

use dozo_sdk::Result;

use super::notices::Notices;
use crate::chain::Damaged;
use crate::failure::Failure;
use crate::server::Server;

/// The tablespace `pg_default`.
const DEFAULT: &str = "1663";
/// A database whose removal was cut off (PostgreSQL, `DATCONNLIMIT_INVALID_DB`) may have no files any more.
const INVALID: &str = "-2";
/// The file that each database has in its directory.
const VERSION: &str = "PG_VERSION";
/// Directories without which no server starts, or knows what was committed.
const CORE: [&str; 7] = ["base", "global", "pg_commit_ts", "pg_logical", "pg_multixact", "pg_twophase", "pg_xact"];
/// What no server needs: its own log.
const LOGS: [&str; 2] = ["log", "pg_log"];
/// How sockets are called, which may lie in a data directory and are nobody's data.
const SOCKET: &str = ".s.PGSQL.";

/// What is still to come, by its path in the data directory; of a path in a tablespace, without the directory of the version.
#[derive(Debug, Default)]
pub(super) struct Expected(BTreeMap<String, What>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Database(String),
    Tablespace(String),
    /// A file that a setting names.
    File(String),
}

impl What {
    fn words(&self) -> String {
        match self {
            What::Database(name) => format!("the database `{name}`"),
            What::Tablespace(name) => format!("the tablespace `{name}`"),
            What::File(setting) => format!("the file of `{setting}`"),
        }
    }
}

impl Expected {
    /// What the server's catalog names now.
    pub(super) fn read(server: &mut Server) -> Result<Self, Failure> {
        let mut expected = BTreeMap::new();
        let text = |row: &[Option<String>], at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let databases = "SELECT oid, datname, dattablespace FROM pg_database WHERE datconnlimit <> ";
        for row in server.wire.query(&format!("{databases}{INVALID}"))? {
            let (oid, tablespace) = (text(&row, 0), text(&row, 2));
            let path =
                if tablespace == DEFAULT { format!("base/{oid}") } else { format!("pg_tblspc/{tablespace}/{oid}") };
            expected.insert(path, What::Database(text(&row, 1)));
        }
        // One made in place is a directory like others, and of some versions has no archive.
        let tablespaces = "SELECT oid, spcname FROM pg_tablespace WHERE starts_with(pg_tablespace_location(oid), '/')";
        for row in server.wire.query(tablespaces)? {
            expected.insert(format!("pg_tblspc/{}", text(&row, 0)), What::Tablespace(text(&row, 1)));
        }
        // Of a role that may not see where they lie, nothing is expected.
        let files = "SELECT f.name, substr(f.setting, length(d.setting) + 2) FROM pg_settings f, pg_settings d \
                     WHERE d.name = 'data_directory' AND f.name IN ('config_file', 'hba_file') \
                     AND starts_with(f.setting, d.setting || '/')";
        for row in server.wire.query(files)? {
            expected.insert(text(&row, 1), What::File(text(&row, 0)));
        }
        Ok(Expected(expected))
    }

    /// A file has come.
    pub(super) fn came(&mut self, path: &[u8]) {
        let Ok(path) = std::str::from_utf8(path) else { return };
        match path.strip_suffix(VERSION).and_then(|directory| directory.strip_suffix('/')) {
            Some(directory) => self.0.remove(&without_version(directory)),
            None => self.0.remove(path),
        };
    }

    /// The archive of a tablespace has come.
    pub(super) fn archive(&mut self, oid: u32) {
        self.0.remove(&format!("pg_tblspc/{oid}"));
    }

    /// What did not come, though it was there before and is there after, and what the server says that it left out. Paths are those
    /// of entries below `root`.
    pub(super) fn lacking(
        mut self,
        server: &mut Server,
        root: &str,
        (notices, tablespaces): (&Notices, &[(u32, String)]),
        tolerate: &[String],
    ) -> Result<Lacking, Failure> {
        let after = Expected::read(server)?;
        let before = |path: &str, what: &What| after.0.get(path) == Some(what);
        self.0.retain(|path, what| before(path, what));
        let mut lacking = Lacking::default();
        for said in &notices.left_out {
            let path = in_data_directory(said, tablespaces);
            let short = without_version(&path);
            // What lies below it is missing with it.
            let is_below =
                |other: &str| other == short || other.strip_prefix(&short).is_some_and(|rest| rest.starts_with('/'));
            let named: Vec<String> =
                self.0.iter().filter(|(other, _)| is_below(other)).map(|(_, what)| what.words()).collect();
            self.0.retain(|other, _| !is_below(other));
            let named = if named.is_empty() { String::new() } else { format!(", which holds {}", named.join(", ")) };
            let why = format!("the server left it out: it is a symbolic link or another special file{named}");
            lacking.add(root, &path, why, tolerate);
        }
        for (path, what) in self.0 {
            lacking.add(root, &path, format!("{} did not come, and the server has it", what.words()), tolerate);
        }
        if notices.more() > 0 {
            let why = format!("the server left out {} more special files", notices.more());
            lacking.data = true;
            lacking.missing.push(Damaged { what: format!("{root}/data"), why });
        }
        Ok(lacking)
    }
}

/// What a base backup lacks.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    /// Tables or databases are missing.
    pub(super) data: bool,
    /// What no server starts without.
    core: Vec<String>,
    pub(super) missing: Vec<Damaged>,
    pub(super) tolerated: Vec<Damaged>,
}

impl Lacking {
    fn add(&mut self, root: &str, path: &str, why: String, tolerate: &[String]) {
        let mut names = path.split('/');
        let (first, second) = (names.next().unwrap_or_default(), names.next());
        if path.rsplit('/').next().is_some_and(|name| name.starts_with(SOCKET)) {
            return;
        }
        let escaped: Vec<String> = path.split('/').map(|name| dozo_sdk::escape(name.as_bytes())).collect();
        let what = format!("{root}/data/{}", escaped.join("/"));
        let is_data = (first == "base" && second.is_some()) || first == "pg_tblspc";
        if !is_data && CORE.contains(&first) {
            self.core.push(format!("`{path}`: {why}"));
        } else if is_data {
            self.data = true;
            self.missing.push(Damaged { what, why: format!("{why}; {MEND_DATA}") });
        } else if LOGS.contains(&path) || tolerate.iter().any(|tolerated| tolerated == path) {
            self.tolerated.push(Damaged { what, why });
        } else {
            let mend =
                format!("{MEND_FILE}; or say `tolerate = [{path:?}]` in the job's config, and then `dozo run --full`");
            self.missing.push(Damaged { what, why: format!("{why}; {mend}") });
        }
    }

    /// Why a base backup that lacks this is of no use.
    pub(super) fn refuses(&self, has_whole: bool) -> Option<String> {
        let data = self.missing.first().filter(|_| self.data && has_whole);
        match (self.core.first(), data) {
            (Some(core), _) => Some(format!("no server starts without {core}; hint: {MEND_CORE}")),
            (None, Some(data)) => Some(format!("{}: {}", data.what, data.why)),
            (None, None) => None,
        }
    }
}

const MEND_CORE: &str = "put the directory itself in the place of the link, with the server stopped";
const MEND_DATA: &str = "what lies on another disk is a tablespace's to hold (CREATE TABLESPACE … LOCATION …; ALTER DATABASE … \
                         SET TABLESPACE …); put the files themselves where the link is, with the server stopped, and then \
                         `dozo run --full`";
const MEND_FILE: &str =
    "put the file itself there, or have the setting name where it lies, and give that a filesystem job";

/// A path of a tablespace as one of the data directory.
fn in_data_directory(said: &str, tablespaces: &[(u32, String)]) -> String {
    let found = tablespaces.iter().find_map(|(oid, location)| {
        let inside = said.strip_prefix(location.as_str())?.strip_prefix('/')?;
        Some(format!("pg_tblspc/{oid}/{inside}"))
    });
    found.unwrap_or_else(|| said.into())
}

/// A path without the directory of the server's version that each tablespace has.
fn without_version(path: &str) -> String {
    let names: Vec<&str> = path.split('/').collect();
    match names.as_slice() {
        ["pg_tblspc", oid, version, rest @ ..] if version.starts_with("PG_") => {
            [&["pg_tblspc", oid], rest].concat().join("/")
        }
        _ => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_has_come_with_the_file_that_each_has() {
        let database = |path: &str| (path.to_string(), What::Database("d".into()));
        let file = ("postgresql.conf".to_string(), What::File("config_file".into()));
        let all = [database("base/5"), database("base/16384"), database("pg_tblspc/7/16385"), file];
        let mut expected = Expected(all.into_iter().collect());
        for path in [
            "base/5/PG_VERSION",
            "base/5/1259",
            "base/16384/1259",
            "PG_VERSION",
            "pg_tblspc/7/PG_17_1/16385/PG_VERSION",
        ] {
            expected.came(path.as_bytes());
        }
        expected.came(b"postgresql.conf\xff");
        assert_eq!(expected.0.into_keys().collect::<Vec<_>>(), ["base/16384", "postgresql.conf"]);
    }

    #[test]
    fn what_is_missing_is_told_apart_by_what_it_costs() {
        let mut lacking = Lacking::default();
        for path in ["base/5/1259", "conf.d/a b.conf", "pg_hba.conf", "log", ".s.PGSQL.5432", "run/.s.PGSQL.5432.lock"]
        {
            lacking.add("bases/x", path, "why".into(), &["pg_hba.conf".into()]);
        }
        let named = |list: &[Damaged]| list.iter().map(|one| one.what.clone()).collect::<Vec<_>>();
        assert_eq!(named(&lacking.missing), ["bases/x/data/base/5/1259", "bases/x/data/conf.d/a b.conf"]);
        assert_eq!(named(&lacking.tolerated), ["bases/x/data/pg_hba.conf", "bases/x/data/log"]);
        assert!(lacking.data && lacking.refuses(false).is_none() && lacking.refuses(true).is_some());
        for core in ["global", "pg_xact", "base", "pg_multixact/members"] {
            let mut lacking = Lacking::default();
            lacking.add("bases/x", core, "why".into(), &[core.into()]);
            assert!(lacking.refuses(false).is_some_and(|why| why.contains(core)), "{core}");
        }
    }

    #[test]
    fn paths_of_tablespaces_are_found() {
        let spaces = [(7, "/srv/a".to_string()), (8, "/srv/ab".to_string())];
        assert_eq!(in_data_directory("/srv/ab/PG_17_1/5/1", &spaces), "pg_tblspc/8/PG_17_1/5/1");
        assert_eq!(in_data_directory("base/5", &spaces), "base/5");
        assert_eq!(without_version("pg_tblspc/8/PG_17_1/5"), "pg_tblspc/8/5");
        assert_eq!(without_version("base/5"), "base/5");
    }
}
