//! What writes that were killed left in a directory: `NAME#NUMBER`, in which the library writes an object before it gives it its
//! name. No listing shows them, so nobody would ever remove them. Networked stores have none.

use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::{Store, sync};
use crate::error::{Error, Result};
use crate::format::name::SIGN;
use crate::pipeline::blocking;

/// Directories of a store lie so deep at most: `snapshots/HOST/JOB`, and one to spare.
const DEPTH_MAX: usize = 5;

/// A file that a killed write left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Leftover {
    /// Below the store's directory.
    pub(crate) name: String,
    /// Its length.
    pub(crate) bytes: u64,
    /// When it was last written to.
    pub(crate) modified: Timestamp,
}

impl Store {
    /// What killed writes left, in order of name.
    pub(crate) async fn leftovers(&self) -> Result<Vec<Leftover>> {
        let Some(root) = self.directory.clone() else { return Ok(Vec::new()) };
        let url = self.to_string();
        blocking(move || {
            let mut found = Vec::new();
            look(&root, "", DEPTH_MAX, &mut found)
                .map_err(|e| Error::io(format!("look for what was left behind in {url}"), e))?;
            found.sort();
            Ok(found)
        })
        .await
    }

    /// Removes them.
    pub(crate) async fn remove_leftovers(&self, names: Vec<String>) -> Result<()> {
        let Some(root) = self.directory.clone() else { return Ok(()) };
        blocking(move || {
            for name in names.iter().filter(|name| is_leftover(name)) {
                let path = root.join(name);
                match fs::remove_file(&path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => {
                        return Err(Error::io(format!("delete {}", path.display()), e));
                    }
                    _ => {}
                }
                path.parent().map_or(Ok(()), sync)?;
            }
            Ok(())
        })
        .await
    }
}

fn look(directory: &Path, prefix: &str, depth: usize, found: &mut Vec<Leftover>) -> io::Result<()> {
    for item in fs::read_dir(directory)? {
        let item = item?;
        // The library's names and ours are plain.
        let Ok(name) = item.file_name().into_string() else { continue };
        let name = format!("{prefix}{name}");
        let kind = item.file_type()?;
        if kind.is_dir() && depth > 1 {
            look(&item.path(), &format!("{name}/"), depth - 1, found)?;
        } else if kind.is_file() && is_leftover(&name) {
            let metadata = match item.metadata() {
                // It got its name, or was cleaned up.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            let modified = Timestamp::try_from(metadata.modified()?).unwrap_or(Timestamp::MAX);
            found.push(Leftover { name, bytes: metadata.len(), modified });
        }
    }
    Ok(())
}

/// Whether a name is one that the library writes under: digits after the only `#`, in a directory of ours.
fn is_leftover(name: &str) -> bool {
    let Some((object, number)) = name.split_once('#') else { return false };
    let ours = [
        "packs/",
        "catalog/",
        "index/",
        "snapshots/",
        "records/",
        "leases/",
        "tombstones/",
        "damage/",
        "keys/",
        "probe/",
    ];
    let number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    number && (object == SIGN || ours.iter().any(|directory| object.starts_with(directory)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_the_library_left_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::local(dir.path()).unwrap();
        let put = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "half").unwrap();
        };
        for name in
            ["packs/12/34#1", "leases/ab/000000-cd#17", "mine/a#1", "packs/12/a#b", "packs/12/a#1#2", "packs/ab"]
        {
            put(name);
        }
        let names = |found: Vec<Leftover>| found.into_iter().map(|left| left.name).collect::<Vec<_>>();
        let found = names(store.leftovers().await.unwrap());
        assert_eq!(found, ["leases/ab/000000-cd#17", "packs/12/34#1"]);
        store.remove_leftovers([&found[..], &["packs/ab".into(), "mine/a#1".into()]].concat()).await.unwrap();
        assert_eq!(names(store.leftovers().await.unwrap()), [""; 0]);
        assert!(dir.path().join("packs/ab").exists() && dir.path().join("mine/a#1").exists());
        assert_eq!(Store::memory().leftovers().await.unwrap(), []);
    }
}
