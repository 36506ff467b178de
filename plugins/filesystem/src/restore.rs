//! Puts entries back below the granted target: files in batches, directories' own metadata once all below them is there.

use dozo_sdk::prelude::*;
use dozo_sdk::tree::{self, Directory, NewEntry};

use crate::links::NAME_OF;

pub(crate) fn restore(restore: &Restore) -> Result<()> {
    let (_, target) = tree::granted().into_iter().next().ok_or_else(|| {
        Error::NotGranted("there is no directory to restore into: `dozo restore … --to DIR` grants one".into())
    })?;
    let mut walk = Walk { target, open: vec![], failures: Failures::default() };
    for page in restore.pages("") {
        walk.page(restore, page?)?;
    }
    walk.leave("");
    walk.failures.verdict()
}

/// What an entry is another name of, where that has no content to share.
fn name_of(entry: &Entry) -> Option<&String> {
    entry.attributes.iter().find(|(name, _)| name == NAME_OF).map(|(_, path)| path)
}

/// The entry as it is created first.
fn as_name(entry: &Entry) -> Entry {
    match name_of(entry) {
        Some(path) => Entry { kind: Kind::Hardlink(path.clone()), ..entry.clone() },
        None => entry.clone(),
    }
}

/// Failures that are named; a full disk fails every entry that comes behind.
const NAMED: u64 = 20;

struct Walk {
    target: Directory,
    /// Directories whose metadata waits for what is still to come below them, outermost first.
    open: Vec<Entry>,
    failures: Failures,
}

impl Walk {
    fn page(&mut self, restore: &Restore, page: Vec<Entry>) -> Result<()> {
        let (mut batch, mut entries) = (Vec::with_capacity(page.len()), Vec::with_capacity(page.len()));
        for entry in page {
            let content = match entry.kind {
                Kind::File | Kind::Hardlink(_) => restore.read(&entry.path, 0).map(Some),
                _ => Ok(None),
            };
            match content {
                Ok(content) => {
                    batch.push(NewEntry { entry: as_name(&entry), content });
                    entries.push(entry);
                }
                Err(error) => self.failures.unread(error),
            }
        }
        let mut results = self.target.create_all(batch);
        for (entry, result) in entries.iter().zip(&mut results) {
            // What it is a name of is not there: then it is one of its own.
            if result.is_err() && name_of(entry).is_some() {
                *result = self.target.create(entry, None);
            }
        }
        for (entry, result) in entries.into_iter().zip(results) {
            self.leave(&entry.path);
            match result {
                Ok(_) if entry.kind == Kind::Directory => self.open.push(entry),
                Ok(_) => {}
                Err(error) => self.failures.add(error),
            }
        }
        Ok(())
    }

    /// Sets the metadata of the directories that `next` is not below; the empty path leaves all.
    fn leave(&mut self, next: &str) {
        while let Some(last) = self.open.last() {
            let below = next.strip_prefix(&last.path).is_some_and(|rest| rest.starts_with('/'));
            if below {
                return;
            }
            if let Err(error) = self.target.set_metadata(last) {
                self.failures.add(error);
            }
            self.open.pop();
        }
    }
}

/// What could not be restored: one entry does not keep the others from coming back.
#[derive(Default)]
struct Failures {
    count: u64,
    first: Option<Error>,
}

impl Failures {
    /// An entry that the host could not create, and names in its report.
    fn add(&mut self, error: Error) {
        self.count += 1;
        self.first.get_or_insert(error);
    }

    /// An entry whose content is not to be had.
    fn unread(&mut self, error: Error) {
        if self.count < NAMED {
            dozo_sdk::log::error(error.message());
        }
        self.add(error);
    }

    fn verdict(self) -> Result<()> {
        match (self.first, self.count) {
            (None, _) => Ok(()),
            (Some(only), 1) => Err(only),
            (Some(first), count) => Err(first.context(&format!("{count} entries could not be restored, the first"))),
        }
    }
}
