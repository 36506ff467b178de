//! The cluster that is backed up: half of it text of this machine, in tables as applications have them, half pgbench's. It is
//! loaded once, and a copy of it is what every turn begins with.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::super::tree;
use super::server::{Programs, Server};
use crate::shell::{output, run, say};

/// What there is text in on every Linux.
const TEXTS: [&str; 3] = ["/usr/include", "/usr/share", "/usr/lib"];
/// A larger one is data more often than text.
const TEXT_BYTES_MAX: u64 = 4 << 20;
/// What the tables make of a byte of text, roughly.
const GROWTH: f64 = 1.27;
/// A branch of pgbench: 100,000 accounts.
const BRANCH_BYTES: u64 = 15_100_000;

/// Who backs up by the network: may replicate, and nothing else.
pub(super) const ROLE: &str = "dozo";
pub(super) const PASSWORD: &str = "of the benchmark";

/// Fast, and of no use after a crash.
const LOADING: [(&str, &str); 9] = [
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("wal_recycle", "off"),
    ("max_wal_size", "256MB"),
    ("maintenance_work_mem", "512MB"),
    ("autovacuum", "off"),
];

/// Nothing of its own accord while something is measured, as far as that can be had.
const SETTINGS: &str = "
wal_level = replica
max_wal_senders = 10
max_replication_slots = 10
autovacuum = off
checkpoint_timeout = 1h
";
const ACCESS: &str = "
local all,replication all trust
host all,replication all 127.0.0.1/32 scram-sha-256
";

const TABLES: &str = "
create unlogged table raw (id int, path text, body text);
create table src_file (id int primary key, path text unique, sha bytea not null, size int, ext text, meta jsonb,
    words text[], body text);
create table src_line (file int references src_file, n int, line text,
    len int generated always as (length(line)) stored) partition by hash (file);
create table src_line_0 partition of src_line for values with (modulus 4, remainder 0);
create table src_line_1 partition of src_line for values with (modulus 4, remainder 1);
create table src_line_2 partition of src_line for values with (modulus 4, remainder 2);
create table src_line_3 partition of src_line for values with (modulus 4, remainder 3);
";
const COPY: &str = "copy raw from stdin";
const FILL: &str = "
insert into src_file select id, path, sha256(convert_to(body, 'UTF8')), length(body), substring(path from '[.][^./]*$'),
    jsonb_build_object('dir', regexp_replace(path, '/[^/]*$', ''), 'lines', length(body) - length(replace(body, chr(10), ''))),
    (array(select distinct word from regexp_split_to_table(left(body, 20000), '[[:space:]]+') word order by 1))[:20], body
    from raw order by id;
insert into src_line (file, n, line) select id, n, line
    from raw, string_to_table(body, chr(10)) with ordinality lines (line, n) where id % 4 = 0 order by id, n;
drop table raw;
create index on src_file using gin (to_tsvector('simple', left(body, 20000)));
create index on src_file using gin (meta);
create index on src_line (file, n);
create materialized view src_ext as select ext, count(*), sum(size) from src_file group by 1;
";
/// Everything in one line of figures: of two clusters with the same, one is the other's copy.
const DIGEST: &str = "select
    (select md5(string_agg(md5(body) || encode(sha, 'hex') || meta || words::text, '' order by id)) from src_file),
    (select md5(string_agg(line, '' order by file, n)) from src_line),
    (select sum(hashtext(aid || ' ' || abalance)::bigint) from pgbench_accounts),
    (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),
    (select sum(bbalance) from pgbench_branches), (select sum(delta) from pgbench_history),
    (select count(*) from pgbench_history)";

/// The cluster of a size, loaded if it is not there.
pub(super) fn make(programs: &Programs, place: &Path, megabytes: u64) -> Result<PathBuf> {
    let data = place.join(format!("cluster-{megabytes}"));
    if !data.exists() {
        say(format!("loading a cluster of {megabytes} MB into {}, for this run and the next", data.display()));
        let new = tree::beside(&data, ".new");
        super::super::remove(&new)?;
        programs.directory(&new)?;
        let initdb =
            ["--data-checksums", "--no-sync", "--locale=C.UTF-8", "-E", "UTF8", "-U", "postgres", "-A", "trust", "-D"];
        output(programs.as_user("initdb", initdb).arg(&new))?;
        let settings = LOADING.map(|(name, value)| (name, value.to_string()));
        let server = Server::start(programs, &new, &settings)?;
        load(programs, &server, megabytes * 1_000_000)?;
        server.stop()?;
        let mut file = OpenOptions::new().append(true).open(new.join("postgresql.conf"))?;
        file.write_all(SETTINGS.as_bytes())?;
        // Written over, not anew: it stays its owner's.
        File::create(new.join("pg_hba.conf"))?.write_all(ACCESS.as_bytes())?;
        fs::rename(&new, &data)?;
    }
    Ok(data)
}

/// What a cluster holds, as a line that can be compared.
pub(super) fn digest(server: &Server) -> Result<String> {
    server.sql(DIGEST)
}

fn load(programs: &Programs, server: &Server, bytes: u64) -> Result<()> {
    server.sql(TABLES)?;
    let mut texts = Texts { left: (bytes as f64 / 2.0 / GROWTH) as u64, count: 0, row: Vec::new() };
    server.feed(COPY, |to| TEXTS.iter().try_for_each(|directory| texts.write(Path::new(directory), to)))?;
    server.sql(FILL)?;
    let size = || -> Result<u64> { Ok(server.sql("select pg_database_size(current_database())")?.parse()?) };
    let of_texts = size()?;
    let branches = (bytes.saturating_sub(of_texts) / BRANCH_BYTES).max(1);
    output(&mut programs.client("pgbench", ["-i", "-q", "-s", &branches.to_string()]))?;
    server.sql(&format!("create role {ROLE} login replication password '{PASSWORD}'"))?;
    server.sql("vacuum (freeze, analyze)")?;
    let (count, megabytes) = (texts.count, |bytes: u64| bytes / 1_000_000);
    say(format!(
        "  {count} texts in {} MB, {branches} branches of pgbench: {} MB",
        megabytes(of_texts),
        megabytes(size()?)
    ));
    Ok(())
}

/// Files of text on their way into a table.
struct Texts {
    /// How many bytes are still to come.
    left: u64,
    count: u64,
    row: Vec<u8>,
}

impl Texts {
    fn write(&mut self, directory: &Path, to: &mut impl Write) -> io::Result<()> {
        // What cannot be listed or read has nothing for us.
        let Ok(listing) = fs::read_dir(directory) else { return Ok(()) };
        let mut items: Vec<fs::DirEntry> = listing.filter_map(Result::ok).collect();
        items.sort_by_key(fs::DirEntry::file_name);
        for item in items {
            let (path, kind) = (item.path(), item.file_type()?);
            if self.left == 0 {
                break;
            } else if kind.is_dir() {
                self.write(&path, to)?;
            } else if let Some(text) = kind.is_file().then(|| text(&path)).flatten() {
                self.count += 1;
                self.left = self.left.saturating_sub(text.len() as u64);
                self.row(&path, &text, to)?;
            }
        }
        Ok(())
    }

    /// A line as COPY reads it.
    fn row(&mut self, path: &Path, text: &str, to: &mut impl Write) -> io::Result<()> {
        self.row.clear();
        self.row.extend_from_slice(self.count.to_string().as_bytes());
        for field in [&path.to_string_lossy(), text] {
            self.row.push(b'\t');
            for byte in field.bytes() {
                match byte {
                    b'\\' => self.row.extend_from_slice(b"\\\\"),
                    b'\n' => self.row.extend_from_slice(b"\\n"),
                    b'\r' => self.row.extend_from_slice(b"\\r"),
                    b'\t' => self.row.extend_from_slice(b"\\t"),
                    byte => self.row.push(byte),
                }
            }
        }
        self.row.push(b'\n');
        to.write_all(&self.row)
    }
}

/// A file that a column of text can hold.
fn text(path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    let fits = !bytes.is_empty() && bytes.len() as u64 <= TEXT_BYTES_MAX && !bytes.contains(&0);
    if fits { String::from_utf8(bytes).ok() } else { None }
}

/// A copy for one turn.
pub(super) fn copy(data: &Path, to: &Path) -> Result<()> {
    run(std::process::Command::new("cp").args(["-a", "--reflink=auto", "--"]).arg(data).arg(to))
        .with_context(|| format!("copy {}", data.display()))
}
