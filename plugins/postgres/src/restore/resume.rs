//! A restore that was cut off goes on. It is known by the words in its `recovery.signal`, a file whose content a server ignores: they
//! are written first, into directories that are empty, and name them. So all that is there was restored, and may be replaced or
//! removed. Nothing else is ever restored over.

use std::collections::{BTreeSet, HashSet};

use dozo_sdk::Conflict;
use dozo_sdk::prelude::*;
use dozo_sdk::tree::{Directory, Found};

use super::{CONTROL, SIGNAL, STANDBY};

/// The first line of the words; then one for each tablespace: its number, and the directory as it was named, escaped.
const WORDS: &str = "a restore of dozo";
const WORDS_BYTES: usize = 1 << 20;
/// What some file systems have in their roots.
const LOST_AND_FOUND: &str = "lost+found";
/// Entries of a directory that are looked at in one call.
const PAGE: u32 = 1_024;

/// The directories that a restore found empty, but for that of the data: tablespaces by number.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Begun(BTreeSet<(u32, String)>);

impl Begun {
    pub(super) fn new<'a>(tablespaces: impl Iterator<Item = (u32, &'a str)>) -> Self {
        Begun(tablespaces.map(|(oid, path)| (oid, dozo_sdk::escape(path.as_bytes()))).collect())
    }

    pub(super) fn words(&self) -> String {
        let lines = self.0.iter().map(|(oid, path)| format!("{oid} {path}\n"));
        format!("{WORDS}\n{}", lines.collect::<String>())
    }

    /// None if these are no words of a restore.
    fn parse(words: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(words).ok()?.lines();
        lines.next().filter(|first| *first == WORDS)?;
        let tablespace = |line: &str| {
            let (oid, path) = line.split_once(' ')?;
            Some((oid.parse().ok()?, path.to_string()))
        };
        lines.map(tablespace).collect::<Option<_>>().map(Begun)
    }

    fn has(&self, oid: u32, path: &str) -> bool {
        self.0.contains(&(oid, dozo_sdk::escape(path.as_bytes())))
    }
}

/// Looks at a data directory before anything is changed; tells what a restore that was cut off had begun in it.
///
/// # Errors
/// [`Error::Invalid`] if something else is there, or the operator did not say that the restore is to go on.
pub(super) fn look(restore: &Restore, path: &str, data: &Directory) -> Result<Option<Begun>> {
    if is_empty(data)? {
        return Ok(None);
    }
    let begun = match data.get(SIGNAL)? {
        Some(found) if found.entry.kind == Kind::File => {
            Begun::parse(&data.open(SIGNAL, None)?.bytes(WORDS_BYTES).unwrap_or_default())
        }
        _ => None,
    };
    let (what, hint) = match (data.get(CONTROL)?.is_some(), begun, restore.conflict) {
        (false, Some(begun), Conflict::Replace) => return Ok(Some(begun)),
        (false, Some(_), _) => ("holds what a restore left that was cut off", "`--conflict replace` goes on with it"),
        (true, _, _) => ("holds a cluster", "name another one, or stop that server and move its directory away"),
        (false, None, _) => ("is not empty", "name another one"),
    };
    Err(Error::Invalid(format!("{path} {what}, and a cluster is restored into an empty directory; hint: {hint}")))
}

/// Whether nothing is in a directory that anybody put there: the root of a file system may have its own `lost+found`.
fn is_empty(directory: &Directory) -> Result<bool> {
    let children = directory.children("", None, 2)?;
    Ok(match children.as_slice() {
        [] => true,
        // Where it may not be looked into, nobody but its file system has put anything there.
        [only] if is_lost_and_found(only) => match directory.children(LOST_AND_FOUND, None, 1) {
            Ok(inside) => inside.is_empty(),
            Err(error) => matches!(error, Error::Denied(_)),
        },
        _ => false,
    })
}

fn is_lost_and_found(found: &Found) -> bool {
    found.entry.path == LOST_AND_FOUND && found.entry.kind == Kind::Directory
}

/// Whether the root of a file system is here, with what that has of its own.
pub(super) fn has_lost_and_found(directory: &Directory) -> Result<bool> {
    Ok(directory.get(LOST_AND_FOUND)?.is_some_and(|found| is_lost_and_found(&found)))
}

/// The same for the directory of a tablespace.
///
/// # Errors
/// [`Error::Invalid`] if something is there that the restore which goes on had not begun.
pub(super) fn look_at_tablespace((oid, path): (u32, &str), directory: &Directory, begun: Option<&Begun>) -> Result<()> {
    if begun.is_some_and(|begun| begun.has(oid, path)) || is_empty(directory)? {
        return Ok(());
    }
    let why = "and a tablespace is restored into an empty directory";
    Err(Error::Invalid(format!("{path} is not empty, {why}; hint: name another one")))
}

/// What a directory is to have: what is not among it is removed.
#[derive(Default)]
pub(super) struct Kept {
    directories: HashSet<String>,
    others: HashSet<String>,
}

impl Kept {
    /// All that a snapshot has below `root` and that is restored.
    pub(super) fn of(restore: &Restore, root: &str) -> Result<Self> {
        let mut kept = Kept::default();
        for entry in restore.entries(root) {
            let entry = entry?;
            let path = entry.path.strip_prefix(root).unwrap_or_default().trim_start_matches('/');
            let of_its_kind = if entry.kind == Kind::Directory { &mut kept.directories } else { &mut kept.others };
            of_its_kind.insert(path.to_string());
        }
        kept.others.remove(STANDBY);
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
                Kind::Directory if is_lost_and_found(found) => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_and_others_are_none() {
        let begun = Begun::new([(16_384, "/a b/\n%c"), (16_385, "/d")].into_iter());
        assert_eq!(Begun::parse(begun.words().as_bytes()), Some(begun));
        assert_eq!(Begun::parse(Begun::default().words().as_bytes()), Some(Begun::default()));
        for other in
            ["", "restore_command = ''\n", "a restore of dozo\n16384\n", "a restore of dozo\nx /a\n", "\u{feff}"]
        {
            assert_eq!(Begun::parse(other.as_bytes()), None, "{other}");
        }
        assert_eq!(Begun::parse(&[0xff]), None);
    }
}
