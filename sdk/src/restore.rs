//! A finished snapshot, for restoring.

use std::collections::VecDeque;

use crate::bindings::dozo::plugin::stored;
use crate::escape::file_path;
use crate::tree::{self, NewEntry};
use crate::{Conflict, Content, Entry, Error, Kind, Moment, Result};

/// Entries in one page.
const PAGE: u32 = 512;

/// What [`Source::restore`](crate::Source::restore) reads from: the entries that the operator chose.
pub struct Restore {
    /// What the operator chose; the entries are chosen already.
    pub paths: Vec<String>,
    /// To which point to recover.
    pub at: Moment,
    /// What to do with what is there.
    pub conflict: Conflict,
    /// The source's own options.
    pub options: Vec<(String, String)>,
}

impl Restore {
    /// An attribute of the snapshot.
    pub fn attribute(&self, name: &str) -> Option<String> {
        stored::attributes().into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// What of the chosen entries this restore needs: those at and under these paths. From then on there are no others, and
    /// no others have to be read; what was read before counts no more. Once, before anything is written.
    ///
    /// # Errors
    /// [`Error::Invalid`] if nothing is chosen at and under one of them, or something was written already.
    pub fn narrow(&self, prefixes: &[String]) -> Result<()> {
        stored::narrow(prefixes)
    }

    /// The chosen entries at and under a prefix, in order, page by page.
    pub fn pages(&self, prefix: &str) -> Pages {
        Pages { prefix: prefix.into(), after: None, over: false }
    }

    /// The same, one by one.
    pub fn entries(&self, prefix: &str) -> impl Iterator<Item = Result<Entry>> {
        let (mut pages, mut ready) = (self.pages(prefix), VecDeque::new());
        std::iter::from_fn(move || {
            if ready.is_empty() {
                match pages.next()? {
                    Ok(page) => ready = page.into(),
                    Err(error) => return Some(Err(error)),
                }
            }
            ready.pop_front().map(Ok)
        })
    }

    /// The content of a chosen entry, from `offset` on.
    pub fn read(&self, path: &str, offset: u64) -> Result<Content> {
        stored::read(path, offset)
    }

    /// What the operator should know or do now; it stands in the report.
    pub fn note(&self, text: &str) {
        stored::note(text);
    }

    /// Puts every chosen entry into the directory that the operator named, each under its path. The contents do not enter
    /// the plugin. All that a source of files, dumps or objects needs for restoring into a directory.
    ///
    /// A name that no file can have (with a `/`, `.`, `..`) becomes a file of the name that `dozo ls` shows, `orders%2F2026`.
    ///
    /// # Errors
    /// The first thing that could not be restored; what could be is there, and the host names the rest.
    pub fn to_directory(&self) -> Result<()> {
        let (_, target) = tree::granted().into_iter().next().ok_or_else(|| {
            Error::NotGranted("there is no directory to restore into: `dozo restore … --to DIR` grants one".into())
        })?;
        let (mut failed, mut directories) = (None, Vec::new());
        for page in self.pages("") {
            let mut batch = Vec::new();
            for mut entry in page? {
                let content = match entry.kind {
                    Kind::File | Kind::Hardlink(_) => Some(self.read(&entry.path, 0)?),
                    _ => None,
                };
                entry.path = file_path(&entry.path);
                if let Kind::Hardlink(path) = &mut entry.kind {
                    *path = file_path(path);
                }
                directories.extend((entry.kind == Kind::Directory).then(|| entry.clone()));
                batch.push(NewEntry { entry, content });
            }
            let results = target.create_all(batch);
            failed = failed.or(results.into_iter().find_map(Result::err));
        }
        // What is created in a directory changes its time, so that comes last, from the innermost outwards.
        for directory in directories.iter().rev() {
            failed = failed.or(target.set_metadata(directory).err());
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Pages of entries, never empty.
pub struct Pages {
    prefix: String,
    after: Option<String>,
    over: bool,
}

impl Iterator for Pages {
    type Item = Result<Vec<Entry>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        match stored::entries(&self.prefix, self.after.as_deref(), PAGE) {
            Ok(page) => {
                self.after = page.last().map(|entry| entry.path.clone());
                self.over = page.is_empty();
                (!self.over).then_some(Ok(page))
            }
            Err(error) => {
                self.over = true;
                Some(Err(error))
            }
        }
    }
}
