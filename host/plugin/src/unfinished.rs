//! What a plugin must see to its end: a program that it started, content that it began to read. Whether a dump is whole is
//! told at the end alone, and a plugin that stops before and succeeds would make a snapshot that only looks complete.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// What one call let go of too early: the first of it.
#[derive(Clone, Default)]
pub(crate) struct Unfinished(Arc<OnceLock<String>>);

impl Unfinished {
    /// The first of it. The last word only when all that the plugin held is gone.
    pub(crate) fn first(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// Notes what was let go of.
    pub(crate) fn note(&self, what: String) {
        let _ = self.0.set(what);
    }

    /// What must be seen to its end as soon as it began, unless the plugin says that it wants no more: then `dismissed` is
    /// set. `what` completes "without having seen … to its end".
    pub(crate) fn whole(&self, what: impl Into<String>, dismissed: Arc<AtomicBool>) -> End {
        End { what: what.into(), noted_in: self.clone(), is_whole: true, is_open: false, dismissed }
    }

    /// What may be left in the middle, but not in an error that nobody looked at.
    pub(crate) fn part(&self, what: impl Into<String>) -> End {
        End { what: what.into(), noted_in: self.clone(), is_whole: false, is_open: false, dismissed: Arc::default() }
    }
}

/// The end of one thing. Dropped when it matters and was not told, it is noted.
pub(crate) struct End {
    what: String,
    noted_in: Unfinished,
    is_whole: bool,
    is_open: bool,
    dismissed: Arc<AtomicBool>,
}

impl End {
    /// Something of it is known to the plugin, and its end is not.
    pub(crate) fn begun(&mut self) {
        self.is_open |= self.is_whole;
    }

    /// It ended in an error, which the plugin was not told yet.
    pub(crate) fn failed(&mut self) {
        self.is_open = true;
    }

    /// Its end, good or bad, was told, or is for somebody else to tell.
    pub(crate) fn told(&mut self) {
        self.is_open = false;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.is_open && !self.dismissed.load(Ordering::Relaxed) {
            self.noted_in.note(std::mem::take(&mut self.what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_go_of_before_its_end_is_noted() {
        let unfinished = Unfinished::default();
        let no = Arc::<AtomicBool>::default();
        drop(unfinished.whole("never begun", no.clone()));
        let mut seen = unfinished.whole("seen to its end", no.clone());
        seen.begun();
        seen.told();
        drop(seen);
        assert_eq!(unfinished.first(), None);
        for what in ["the first", "the second"] {
            unfinished.whole(what, no.clone()).begun();
        }
        assert_eq!(unfinished.first(), Some("the first"));
    }

    #[test]
    fn what_the_plugin_dismissed_needs_no_end() {
        let unfinished = Unfinished::default();
        unfinished.whole("endless", Arc::new(true.into())).begun();
        assert_eq!(unfinished.first(), None);
    }

    #[test]
    fn a_part_may_be_enough_but_an_error_is_looked_at() {
        let unfinished = Unfinished::default();
        unfinished.part("a file").begun();
        assert_eq!(unfinished.first(), None);
        unfinished.part("a file").failed();
        assert_eq!(unfinished.first(), Some("a file"));
    }
}
