//! A restore: the files of a base backup, the WAL behind it in place, and the settings with which the server recovers to the
//! moment that was asked for. That all of it is there is known before the first byte is written, and what makes the server
//! start, its control file, is written last: a restore that was cut off is not taken for a cluster.

mod plan;
mod resume;
mod settings;
mod target;

use dozo_sdk::prelude::*;
use dozo_sdk::tree::{Directory, NewEntry};
use dozo_sdk::{Posix, ScratchServer};

use crate::base::{self, MANIFEST};
use crate::chain::{Base, Chain, Made};
use crate::config::{Config, Endpoint};
use crate::lsn::history_name;
use crate::wal;
use plan::Plan;
use resume::Kept;
use settings::Recovery;
use target::Target;

/// What the server keeps its state in; without it, it does not start.
const CONTROL: &str = "global/pg_control";
/// Settings that were made with ALTER SYSTEM; those of the recovery go to its end.
const AUTO_CONF: &str = "postgresql.auto.conf";
/// Has the server recover and then be its own; that of a standby would have it follow another one.
const SIGNAL: &str = "recovery.signal";
const STANDBY: &str = "standby.signal";
/// The option that says that tablespaces which the WAL makes may be where the original has them.
const TABLESPACES: &str = "tablespaces";
const IN_PLACE: &str = "in_place";
/// Where PostgreSQL has its WAL.
const PG_WAL: &str = "pg_wal";
/// Files that wait to be created in another order than that of their paths, at most: as many as a plugin may hold contents, and
/// more than that in reserve; and that are created in one call.
const WAITING: usize = 60_000;
const BATCH: usize = 256;
/// What stands in a file of settings at most.
const SETTINGS_BYTES: usize = 1 << 20;

pub(crate) fn restore(restore: &Restore) -> Result<()> {
    if !restore.paths.is_empty() {
        return Err(Error::Invalid("a cluster is restored whole; hint: leave the paths out".into()));
    }
    let attribute = restore.attribute("chain").map(|json| ("chain".to_string(), json));
    let chain = Chain::of(&attribute.into_iter().collect::<Vec<_>>())?;
    let (goal, base) = chain.reach(&restore.at)?;
    let plan = Plan::new(restore, &chain, base, &goal)?;
    let least = chain.least.iter().filter(|least| least.at > base.start && least.at <= plan.end);
    let mut recovery = Recovery::new(restore, &plan, (base.needs, least.map(|least| least.values)))?;
    if base.in_place || made(&chain, base, &plan).any(|made| base::is_in_place(&made.location)) {
        recovery.allow_in_place();
    }
    tablespaces_made(restore, &chain, base, &plan)?;
    let target = Target::new(restore, &base.tablespaces)?;
    restore.narrow(&plan.prefixes())?;
    Restoring { restore, chain: &chain, base, target, posix: None, directories: Vec::new() }.all(&plan, &recovery)
}

/// A tablespace that was made after the base backup is made again by a server that recovers, in the very directory that the
/// original has. On the machine of the original that would be the end of both.
fn tablespaces_made(restore: &Restore, chain: &Chain, base: &Base, plan: &Plan) -> Result<()> {
    // One made in place is made in the copy's own directory.
    let made = made(chain, base, plan).find(|made| !base::is_in_place(&made.location));
    let allowed = restore.options.iter().any(|(name, value)| name == TABLESPACES && value == IN_PLACE);
    match made {
        Some(made) if !allowed => Err(Error::Invalid(format!(
            "the tablespace in {0} was made after the base backup, at {1}: a server that recovers makes it again, in {0} and \
             nowhere else; hint: recover to before {1}, or to after a newer base backup (`dozo run --full` takes one); or, on a \
             machine where {0} is empty and nobody else's, add `--option {TABLESPACES}={IN_PLACE}`",
            made.location, made.at
        ))),
        _ => Ok(()),
    }
}

/// Tablespaces that the WAL makes on the way.
fn made<'a>(chain: &'a Chain, base: &Base, plan: &Plan) -> impl Iterator<Item = &'a Made> {
    let (start, end) = (base.start, plan.end);
    chain.made.iter().filter(move |made| made.at > start && made.at <= end)
}

struct Restoring<'a> {
    restore: &'a Restore,
    chain: &'a Chain,
    base: &'a Base,
    target: Target,
    /// Owner and mode of files, as the server had them.
    posix: Option<Posix>,
    /// Directories whose times are set when they are full.
    directories: Vec<Entry>,
}

impl Restoring<'_> {
    fn all(&mut self, plan: &Plan, recovery: &Recovery) -> Result<()> {
        let root = format!("{}/{}", base::DIRECTORY, self.base.id);
        self.begin(&root)?;
        if self.target.goes_on {
            self.clear(&root, plan)?;
        }
        let mut control = None;
        let mut auto_conf = Vec::new();
        self.files(&format!("{root}/data"), &mut control, &mut auto_conf)?;
        for tablespace in &self.base.tablespaces {
            self.tablespace(&format!("{root}/tablespaces/{}", tablespace.oid), tablespace.oid)?;
        }
        let control = control.ok_or_else(|| Error::Corrupt(format!("the base backup has no {CONTROL}")))?;
        self.wal(plan)?;
        self.write(AUTO_CONF, &recovery.auto_conf(&auto_conf)?)?;
        let manifest = self.restore.read(&format!("{root}/{MANIFEST}"), 0)?;
        self.create(vec![NewEntry { entry: self.file(MANIFEST, None), content: Some(manifest) }])?;
        self.create(vec![control])?;
        let directories = std::mem::take(&mut self.directories);
        directories.iter().rev().try_for_each(|entry| self.target.data.set_metadata(entry))?;
        self.note(plan)
    }

    /// Nothing is recovered yet: what to do now, and what to know before.
    fn note(&self, plan: &Plan) -> Result<()> {
        let (path, until) = (&self.target.path, plan.stop.shown());
        self.restore.note(&format!(
            "PostgreSQL recovers to {until} when it is started: `pg_ctl -D {} start` as the user whom the files belong to, or its \
             service; it is done when `SELECT pg_is_in_recovery()` says `f`",
            quoted(path)
        ));
        for lacking in &self.base.damaged {
            self.restore.note(&format!("the base backup lacks {}: {}", lacking.what, lacking.why));
        }
        if resume::has_lost_and_found(&self.target.data)? {
            self.restore.note(&format!(
                "{path} is the root of a file system: as long as `lost+found` is there and belongs to root, base backups of this \
                 server fail; a directory below it is a better place"
            ));
        }
        Ok(())
    }

    /// From here on this is a restore, whole or cut off: `recovery.signal` says so.
    fn begin(&mut self, root: &str) -> Result<()> {
        let first = self.restore.entries(&format!("{root}/data/PG_VERSION")).next().transpose()?;
        self.posix = first.and_then(|entry| entry.posix);
        self.write(SIGNAL, self.target.words().as_bytes())
    }

    /// Removes what the restored cluster does not have: a restore of another snapshot may have left it.
    fn clear(&self, root: &str, plan: &Plan) -> Result<()> {
        let mut kept = Kept::of(self.restore, &format!("{root}/data"))?;
        let made = [MANIFEST, AUTO_CONF, SIGNAL].map(str::to_string);
        let wal = plan.files.iter().map(|name| format!("{PG_WAL}/{name}"));
        made.into_iter().chain(wal).for_each(|path| kept.add(path));
        kept.clear(&self.target.data)?;
        for tablespace in &self.base.tablespaces {
            let kept = Kept::of(self.restore, &format!("{root}/tablespaces/{}", tablespace.oid))?;
            kept.clear(self.target.tablespace(tablespace.oid)?)?;
        }
        Ok(())
    }

    /// The files of the data directory, but for the control file and the settings, which come later.
    fn files(&mut self, root: &str, control: &mut Option<NewEntry>, auto_conf: &mut Vec<u8>) -> Result<()> {
        let mut waiting = Vec::new();
        for page in self.restore.pages(root) {
            let mut batch = Vec::new();
            for mut entry in page? {
                let path = entry.path.strip_prefix(root).unwrap_or_default().trim_start_matches('/').to_string();
                let stored = std::mem::replace(&mut entry.path, path.clone());
                match (&entry.kind, path.as_str()) {
                    (Kind::Directory, _) => {
                        self.directories.push(entry.clone());
                        if !path.is_empty() {
                            batch.push(NewEntry { entry, content: None });
                        }
                    }
                    (Kind::File, AUTO_CONF | STANDBY | SIGNAL) => {
                        let content = self.restore.read(&stored, 0)?.bytes(SETTINGS_BYTES)?;
                        if path == AUTO_CONF {
                            *auto_conf = content;
                        }
                    }
                    (Kind::File, CONTROL) => {
                        *control = Some(NewEntry { entry, content: Some(self.restore.read(&stored, 0)?) });
                    }
                    (Kind::File, _) => waiting.push(self.opened(&stored, entry)?),
                    _ => batch.push(NewEntry { entry: self.target.link(entry)?, content: None }),
                }
            }
            self.create(batch)?;
            if waiting.len() >= WAITING {
                in_order(&self.target.data, &mut waiting)?;
            }
        }
        in_order(&self.target.data, &mut waiting)
    }

    /// A file with its content, found while its part of the manifest is at hand: looked up later, in another order, each would have
    /// that part read again.
    fn opened(&self, stored: &str, entry: Entry) -> Result<NewEntry> {
        Ok(NewEntry { entry, content: Some(self.restore.read(stored, 0)?) })
    }

    /// The files of a tablespace, where the operator wants them.
    fn tablespace(&self, root: &str, oid: u32) -> Result<()> {
        let directory = self.target.tablespace(oid)?;
        let (mut directories, mut waiting) = (Vec::new(), Vec::new());
        for page in self.restore.pages(root) {
            let mut batch = Vec::new();
            for mut entry in page? {
                let path = entry.path.strip_prefix(root).unwrap_or_default().trim_start_matches('/').to_string();
                let stored = std::mem::replace(&mut entry.path, path);
                if entry.kind == Kind::File {
                    waiting.push(self.opened(&stored, entry)?);
                    continue;
                }
                directories.extend((entry.kind == Kind::Directory).then(|| entry.clone()));
                batch.push(NewEntry { entry, content: None });
            }
            create(directory, batch)?;
            if waiting.len() >= WAITING {
                in_order(directory, &mut waiting)?;
            }
        }
        in_order(directory, &mut waiting)?;
        let root = Entry { kind: Kind::Directory, posix: self.posix_of(0o700), ..self.file("", None) };
        directories.insert(0, root);
        directories.iter().rev().try_for_each(|entry| directory.set_metadata(entry))
    }

    /// WAL goes where the server looks for it, marked as archived, so that a server that archives does not archive it twice.
    fn wal(&self, plan: &Plan) -> Result<()> {
        for names in plan.files.chunks(128) {
            let mut batch = Vec::new();
            for name in names {
                let content = self.restore.read(&wal::path(name), 0)?;
                batch.push(NewEntry { entry: self.file(&format!("{PG_WAL}/{name}"), None), content: Some(content) });
            }
            self.create(batch)?;
        }
        let archived = plan.files.iter().filter(|name| **name != history_name(self.chain.timeline()));
        for name in archived {
            self.write(&format!("{PG_WAL}/archive_status/{name}.done"), b"")?;
        }
        Ok(())
    }

    fn create(&self, batch: Vec<NewEntry>) -> Result<()> {
        create(&self.target.data, batch)
    }

    fn write(&self, path: &str, content: &[u8]) -> Result<()> {
        let file = self.target.data.create_file(&self.file(path, Some(content.len() as u64)))?;
        file.write(content)?;
        dozo_sdk::tree::File::close(file)
    }

    /// A file that the base backup does not have, with owner and mode of those that it has.
    fn file(&self, path: &str, size: Option<u64>) -> Entry {
        let posix = self.posix.clone();
        Entry { path: path.into(), kind: Kind::File, size, modified: None, version: None, posix, attributes: vec![] }
    }

    fn posix_of(&self, mode: u32) -> Option<Posix> {
        self.posix.as_ref().map(|posix| base::like(posix, mode))
    }
}

/// Creates files in the order in which they were stored: a pack that holds several is read once then.
fn in_order(directory: &Directory, waiting: &mut Vec<NewEntry>) -> Result<()> {
    let order = |new: &NewEntry| new.entry.version.as_deref().and_then(|version| version.parse::<u64>().ok());
    waiting.sort_by_key(order);
    let mut waiting = waiting.drain(..).peekable();
    while waiting.peek().is_some() {
        create(directory, waiting.by_ref().take(BATCH).collect())?;
    }
    Ok(())
}

fn create(directory: &Directory, batch: Vec<NewEntry>) -> Result<()> {
    directory.create_all(batch).into_iter().try_for_each(|result| result.map(|_| ()))
}

/// A path as it is typed into a shell.
fn quoted(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.+,:@%".contains(&byte);
    if path.bytes().all(plain) { path.into() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

/// How to start a server on a restored directory: reachable from this machine alone, archiving nothing.
pub(crate) fn scratch(config: &Config, directory: &str) -> Result<ScratchServer> {
    const PORT: u16 = 55_432;
    let place = dozo_sdk::tree::locate(directory)?;
    let path = if place.path.is_empty() { "PG_VERSION".to_string() } else { format!("{}/PG_VERSION", place.path) };
    let version = place.directory.open(&path, None)?.bytes(SETTINGS_BYTES)?;
    let version = String::from_utf8_lossy(&version).trim().to_string();
    let settings = [
        ("listen_addresses", "127.0.0.1".to_string()),
        ("port", PORT.to_string()),
        ("unix_socket_directories", directory.to_string()),
        ("archive_mode", "off".into()),
        ("synchronous_standby_names", String::new()),
        // A copy of a subscriber would take what is the original's.
        ("max_logical_replication_workers", "0".into()),
        ("ssl", "off".into()),
    ];
    let mut arguments = vec!["-D".to_string(), directory.to_string()];
    for (name, value) in settings {
        arguments.extend(["-c".to_string(), format!("{name}={value}")]);
    }
    let bindir = config.bindir.clone();
    let config = config.at(&Endpoint::Tcp { host: "127.0.0.1".into(), port: PORT, tls: false })?;
    let bindir = bindir.unwrap_or_else(|| format!("/usr/lib/postgresql/{version}/bin"));
    Ok(ScratchServer { program: format!("{bindir}/postgres"), arguments, config })
}
