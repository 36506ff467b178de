//! Where a cluster is put: its data directory, and a directory for each of its tablespaces.

use dozo_sdk::prelude::*;
use dozo_sdk::tree::{self, Directory};

use super::over::{look, look_at_tablespace};
use crate::chain::Tablespace;

/// The directories.
pub(super) struct Target {
    pub(super) data: Directory,
    /// Something is there that gives way.
    pub(super) gives_way: bool,
    tablespaces: Vec<(u32, String, Directory)>,
}

impl Target {
    /// Finds them. `control` is the control file that is restored.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a tablespace has no place, or something is there that must not give way: files of two clusters in one
    /// directory are none.
    pub(super) fn new(restore: &Restore, tablespaces: &[Tablespace], control: &str) -> Result<Self> {
        let mut granted = tree::granted();
        if granted.is_empty() {
            return Err(Error::NotGranted(
                "there is no directory to restore into: `dozo restore … --to DIR` grants one".into(),
            ));
        }
        let (path, data) = granted.remove(0);
        let gives_way = look(restore, (&path, &data), control)?;
        let mut placed = Vec::new();
        for tablespace in tablespaces {
            let named = [format!("map:{}", tablespace.name), format!("map:{}", tablespace.oid)];
            let path = restore.options.iter().find(|(name, _)| named.contains(name)).map(|(_, path)| path.clone());
            let found = path.and_then(|path| granted.iter().position(|(granted, _)| *granted == path));
            let (path, directory) = granted.remove(found.ok_or_else(|| missing(tablespaces))?);
            look_at_tablespace((&path, &directory), gives_way)?;
            placed.push((tablespace.oid, path, directory));
        }
        Ok(Target { data, gives_way, tablespaces: placed })
    }

    /// The directory of a tablespace.
    pub(super) fn tablespace(&self, oid: u32) -> Result<&Directory> {
        let found = self.tablespaces.iter().find(|(known, ..)| *known == oid).map(|(_, _, directory)| directory);
        found.ok_or_else(|| Error::Internal(format!("the tablespace {oid} has no place")))
    }

    /// A symlink of the data directory; one to a tablespace leads to where that is now.
    pub(super) fn link(&self, entry: Entry) -> Result<Entry> {
        let oid = entry.path.strip_prefix("pg_tblspc/").and_then(|oid| oid.parse::<u32>().ok());
        let Some(oid) = oid else { return Ok(entry) };
        let found = self.tablespaces.iter().find(|(known, ..)| *known == oid);
        let (_, path, _) =
            found.ok_or_else(|| Error::Corrupt(format!("there is a link to a tablespace {oid}, and no such")))?;
        let names: Vec<String> = path.split('/').map(|name| dozo_sdk::escape(name.as_bytes())).collect();
        Ok(Entry { kind: Kind::Symlink(names.join("/")), ..entry })
    }
}

fn missing(tablespaces: &[Tablespace]) -> Error {
    // What a shell or the flag itself would take apart is named by its number.
    let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    let name = |space: &Tablespace| if plain(&space.name) { space.name.clone() } else { space.oid.to_string() };
    let flags: Vec<String> = tablespaces.iter().map(|tablespace| format!("--map {}=DIR", name(tablespace))).collect();
    let were: Vec<String> = tablespaces.iter().map(|space| format!("{} in {}", space.name, space.location)).collect();
    let (flags, were) = (flags.join(" "), were.join(", "));
    Error::Invalid(format!(
        "the cluster has tablespaces ({were}), and each needs an empty directory; hint: add `{flags}`"
    ))
}
