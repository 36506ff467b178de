//! What is there already: a restore that was cut off goes on, and a cluster that is stopped gives way to what it was before. What
//! the snapshot does not have is removed. Nothing else is ever restored over.

use std::collections::HashSet;

use dozo_sdk::Conflict;
use dozo_sdk::prelude::*;
use dozo_sdk::tree::{Directory, Found};

use super::CONTROL;
use crate::base::MANIFEST;

/// A server is at work here, or was when its machine stopped.
const AT_WORK: &str = "postmaster.pid";
/// The control file begins with what tells clusters apart (`ControlFileData.system_identifier`), and is never longer.
const IDENTIFIER_BYTES: usize = 8;
const CONTROL_BYTES: usize = 8 << 10;
/// Entries of a directory that are looked at in one call.
const PAGE: u32 = 1_024;

/// Looks at a data directory before anything is changed; tells whether something is there. `control` is the control file that is
/// restored.
///
/// # Errors
/// [`Error::Invalid`] if what is there must not be touched, or the operator did not say that it may be.
pub(super) fn look(restore: &Restore, (path, data): (&str, &Directory), control: &str) -> Result<bool> {
    if data.children("", None, 1)?.is_empty() {
        return Ok(false);
    }
    let is_there = |name: &str| data.get(name).map(|found| found.is_some());
    let (what, hint) = match (is_there(CONTROL)?, is_there(MANIFEST)?, restore.conflict) {
        (true, _, Conflict::Replace) => return stopped(restore, (path, data), control).map(|()| true),
        (false, true, Conflict::Replace) => return Ok(true),
        (true, _, _) => (
            "holds a cluster",
            "stop that server and move its directory away; or have the restore take its place: `--conflict replace` keeps what is \
             the same, and removes what the snapshot does not have",
        ),
        (false, true, _) => ("holds what a restore left that was cut off", "`--conflict replace` goes on with it"),
        (false, false, _) => ("holds something that is no cluster", "name a directory that is empty"),
    };
    Err(Error::Invalid(format!("{path} {what}; hint: {hint}")))
}

/// The same cluster, and no server at work on it.
fn stopped(restore: &Restore, (path, data): (&str, &Directory), control: &str) -> Result<()> {
    if data.get(AT_WORK)?.is_some() {
        return Err(Error::Invalid(format!(
            "a server is at work in {path}, or was not stopped in order ({AT_WORK} is there); hint: stop it, and remove that \
             file if no server is left"
        )));
    }
    let identifier = |content: Content| {
        let bytes = content.bytes(CONTROL_BYTES)?;
        let identifier = bytes.first_chunk::<IDENTIFIER_BYTES>().copied();
        identifier.ok_or_else(|| Error::Corrupt(format!("a {CONTROL} of {} bytes", bytes.len())))
    };
    let (there, stored) = (identifier(data.open(CONTROL, None)?)?, identifier(restore.read(control, 0)?)?);
    if there != stored {
        let [there, stored] = [there, stored].map(u64::from_ne_bytes);
        return Err(Error::Invalid(format!(
            "{path} holds another cluster (system identifier {there}; the snapshot is of {stored}); hint: name another directory"
        )));
    }
    Ok(())
}

/// Looks at the directory of a tablespace. Only together with a data directory that gives way, its files do.
///
/// # Errors
/// [`Error::Invalid`] if something else is there.
pub(super) fn look_at_tablespace((path, directory): (&str, &Directory), gives_way: bool) -> Result<()> {
    let there = directory.children("", None, PAGE)?;
    let of_servers = |found: &Found| found.entry.path.starts_with("PG_") && found.entry.kind == Kind::Directory;
    if there.is_empty() || gives_way && there.iter().all(of_servers) {
        return Ok(());
    }
    let why = "and a tablespace is restored into an empty directory, or over what the same cluster has there";
    Err(Error::Invalid(format!("{path} is not empty, {why}; hint: name another one")))
}

/// What a directory is to have: what is not among it is removed.
#[derive(Default)]
pub(super) struct Kept {
    directories: HashSet<String>,
    others: HashSet<String>,
}

impl Kept {
    /// All that a snapshot has below `root`.
    pub(super) fn of(restore: &Restore, root: &str) -> Result<Self> {
        let mut kept = Kept::default();
        for entry in restore.entries(root) {
            let entry = entry?;
            let path = entry.path.strip_prefix(root).unwrap_or_default().trim_start_matches('/');
            let of_its_kind = if entry.kind == Kind::Directory { &mut kept.directories } else { &mut kept.others };
            of_its_kind.insert(path.to_string());
        }
        Ok(kept)
    }

    /// A file that the snapshot has elsewhere, or that the restore makes.
    pub(super) fn add(&mut self, path: String) {
        self.others.insert(path);
    }

    /// Removes the rest.
    pub(super) fn clear(&self, directory: &Directory) -> Result<()> {
        self.clear_below(directory, "")
    }

    fn clear_below(&self, directory: &Directory, at: &str) -> Result<()> {
        each(directory, at, &mut |found| {
            let (path, kind) = (&found.entry.path, &found.entry.kind);
            match kind {
                Kind::Directory if self.directories.contains(path) => self.clear_below(directory, path),
                Kind::Directory => remove_all(directory, path),
                _ if self.others.contains(path) => Ok(()),
                _ => directory.remove(path),
            }
        })
    }
}

fn remove_all(directory: &Directory, at: &str) -> Result<()> {
    each(directory, at, &mut |found| match found.entry.kind {
        Kind::Directory => remove_all(directory, &found.entry.path),
        _ => directory.remove(&found.entry.path),
    })?;
    directory.remove(at)
}

/// Everything directly under a path.
fn each(directory: &Directory, at: &str, act: &mut dyn FnMut(&Found) -> Result<()>) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = directory.children(at, after.as_deref(), PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.entry.path.rsplit('/').next().map(str::to_string);
        page.iter().try_for_each(&mut *act)?;
    }
}
