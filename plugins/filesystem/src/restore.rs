//! Puts entries back below the granted target: files in batches, directories' own metadata once all below them is there.

use dozo_sdk::prelude::*;
use dozo_sdk::tree::{self, Directory, NewEntry};

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
                    batch.push(NewEntry { entry: entry.clone(), content });
                    entries.push(entry);
                }
                Err(error) => self.failures.add(error),
            }
        }
        let results = self.target.create_all(batch);
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
    fn add(&mut self, error: Error) {
        self.count += 1;
        if self.count <= NAMED {
            dozo_sdk::log::error(error.message());
        }
        self.first.get_or_insert(error);
    }

    fn verdict(self) -> Result<()> {
        match (self.first, self.count) {
            (None, _) => Ok(()),
            (Some(only), 1) => Err(only),
            (Some(first), count) => Err(first.context(&format!("{count} entries could not be restored, the first"))),
        }
    }
}
