//! Where a cluster is put: its data directory, and a directory for each of its tablespaces.

use dozo_sdk::prelude::*;
use dozo_sdk::tree::{self, Directory};

use super::resume::{Begun, look, look_at_tablespace};
use crate::chain::Tablespace;

/// The directories.
pub(super) struct Target {
    pub(super) data: Directory,
    /// Where it is.
    pub(super) path: String,
    /// A restore that was cut off goes on.
    pub(super) goes_on: bool,
    tablespaces: Vec<(u32, String, Directory)>,
}

impl Target {
    /// # Errors
    /// [`Error::Invalid`] if a tablespace has no place, or something is there already that no restore left: files of two clusters in
    /// one directory are none.
    pub(super) fn new(restore: &Restore, tablespaces: &[Tablespace]) -> Result<Self> {
        let mut granted = tree::granted();
        if granted.is_empty() {
            return Err(Error::NotGranted(
                "there is no directory to restore into: `dozo restore … --to DIR` grants one".into(),
            ));
        }
        let (path, data) = granted.remove(0);
        let begun = look(restore, &path, &data)?;
        let mut placed = Vec::new();
        for tablespace in tablespaces {
            let named = [format!("map:{}", tablespace.name), format!("map:{}", tablespace.oid)];
            let path = restore.options.iter().find(|(name, _)| named.contains(name)).map(|(_, path)| path.clone());
            let found = path.and_then(|path| granted.iter().position(|(granted, _)| *granted == path));
            let (path, directory) = granted.remove(found.ok_or_else(|| missing(tablespaces))?);
            look_at_tablespace((tablespace.oid, &path), &directory, begun.as_ref())?;
            placed.push((tablespace.oid, path, directory));
        }
        Ok(Target { data, path, goes_on: begun.is_some(), tablespaces: placed })
    }

    /// What the restore begins, in words that are found if it is cut off.
    pub(super) fn words(&self) -> String {
        Begun::new(self.tablespaces.iter().map(|(oid, path, _)| (*oid, path.as_str()))).words()
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
