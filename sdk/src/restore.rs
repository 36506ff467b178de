//! A finished snapshot, for restoring.

use std::collections::VecDeque;

use crate::bindings::dozo::plugin::stored;
use crate::{Conflict, Content, Entry, Moment, Result};

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
