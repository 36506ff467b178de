//! How many entries lie in each configured path, and in each file system that is mounted below one: what the host compares
//! with the last good snapshot. A disk that is not mounted leaves a directory in which there is nothing, or something else.

use std::collections::HashSet;

use dozo_sdk::{Measure, Part};

/// Configured paths and mounted file systems that are counted each for itself; others count for what they lie in.
const PARTS: usize = 200;
/// What the content of a directory lies on where a file system is mounted. Which one is not told: numbers of devices change
/// with each boot.
const MOUNTED: &str = "mounted";

#[derive(Default)]
pub(crate) struct Parts {
    parts: Vec<Counted>,
    /// Where a file system was mounted when the previous snapshot was made.
    before: HashSet<String>,
}

struct Counted {
    name: String,
    on: String,
    entries: u64,
    /// The part in which it lies, which comes before it.
    within: Option<usize>,
}

impl Parts {
    pub(crate) fn new(previous: Option<Measure>) -> Self {
        let parts = previous.unwrap_or_default().parts.into_iter();
        let before = parts.filter(|part| part.on == MOUNTED).map(|part| part.name).collect();
        Parts { parts: Vec::new(), before }
    }

    /// Begins a configured path, which lies on a file system of this name; returns its number.
    pub(crate) fn root(&mut self, name: &str, on: String) -> usize {
        self.add(name, on, None)
    }

    /// The part to which the content of a directory belongs, which lies in this part itself.
    pub(crate) fn below(&mut self, within: usize, name: &str, is_mounted: bool) -> usize {
        if self.parts.len() >= PARTS || !(is_mounted || self.before.contains(name)) {
            return within;
        }
        let on = if is_mounted { MOUNTED } else { "" };
        self.add(name, on.to_string(), Some(within))
    }

    pub(crate) fn count(&mut self, part: usize) {
        self.parts[part].entries += 1;
    }

    /// What was counted; what lies in a part that lies in another is in both.
    pub(crate) fn measure(mut self) -> Measure {
        self.add_what_is_gone();
        for number in (0..self.parts.len()).rev() {
            let Counted { entries, within, .. } = self.parts[number];
            if let Some(within) = within {
                self.parts[within].entries += entries;
            }
        }
        let parts = self.parts.into_iter().map(|Counted { name, on, entries, .. }| Part { name, on, entries });
        Measure { parts: parts.collect(), ..Measure::default() }
    }

    fn add(&mut self, name: &str, on: String, within: Option<usize>) -> usize {
        self.before.remove(name);
        self.parts.push(Counted { name: name.to_string(), on, entries: 0, within });
        self.parts.len() - 1
    }

    /// Where a file system was mounted below a configured path, and there is not even a directory any more.
    fn add_what_is_gone(&mut self) {
        let roots: Vec<String> =
            self.parts.iter().filter(|part| part.within.is_none()).map(|part| format!("{}/", part.name)).collect();
        let is_asked_for = |name: &&String| roots.iter().any(|root| root == "/" || name.starts_with(root));
        let gone: Vec<String> = self.before.iter().filter(is_asked_for).cloned().collect();
        for name in gone {
            self.add(&name, String::new(), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(parts: Parts) -> Vec<(String, String, u64)> {
        let mut parts: Vec<_> =
            parts.measure().parts.into_iter().map(|part| (part.name, part.on, part.entries)).collect();
        parts.sort();
        parts
    }

    fn part(name: &str, on: &str, entries: u64) -> (String, String, u64) {
        (name.into(), on.into(), entries)
    }

    #[test]
    fn what_is_mounted_counts_for_itself_and_for_what_it_lies_in() {
        let mut parts = Parts::new(None);
        let root = parts.root("srv", "8:1".into());
        let same = parts.below(root, "srv/dir", false);
        let disk = parts.below(root, "srv/disk", true);
        assert_eq!(same, root);
        [root, root, disk, disk, disk].into_iter().for_each(|number| parts.count(number));
        assert_eq!(measured(parts), [part("srv", "8:1", 5), part("srv/disk", "mounted", 3)]);
    }

    #[test]
    fn what_was_mounted_is_counted_whatever_became_of_it() {
        let mut first = Parts::new(None);
        let root = first.root("srv", "x".into());
        for name in ["srv/gone", "srv/plain", "srv/there"] {
            let number = first.below(root, name, true);
            first.count(number);
        }
        let mut second = Parts::new(Some(first.measure()));
        let root = second.root("srv", "x".into());
        let plain = second.below(root, "srv/plain", false);
        second.count(plain);
        let there = second.below(root, "srv/there", true);
        second.count(there);
        let expected =
            [part("srv", "x", 2), part("srv/gone", "", 0), part("srv/plain", "", 1), part("srv/there", "mounted", 1)];
        assert_eq!(measured(second), expected);
    }

    #[test]
    fn what_lies_in_no_configured_path_any_more_is_not_missed() {
        let mut first = Parts::new(None);
        let root = first.root("srv", "x".into());
        first.below(root, "srv/disk", true);
        let mut second = Parts::new(Some(first.measure()));
        second.root("home", "x".into());
        assert_eq!(measured(second), [part("home", "x", 0)]);
    }
}
