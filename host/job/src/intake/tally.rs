//! Things that happen to many entries and are told once.

use dozo_repository::path;

/// How often something happened, and to which entry first.
#[derive(Default)]
pub(super) struct Tally {
    count: u64,
    first: String,
}

impl Tally {
    pub(super) fn add(&mut self, path: &str) {
        if self.count == 0 {
            self.first = format!("/{}", path::shown(path));
        }
        self.count += 1;
    }

    /// How often it happened, if at all.
    pub(super) fn count(&self) -> Option<u64> {
        Some(self.count).filter(|count| *count > 0)
    }

    /// A note about it, if it happened at all.
    pub(super) fn note(&self, what: &str) -> Option<String> {
        match self.count {
            0 => None,
            1 => Some(format!("{what}: `{}`", self.first)),
            count => Some(format!("{what}: {count} entries, the first is `{}`", self.first)),
        }
    }
}
