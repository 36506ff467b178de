//! How far a run or a restore is, for whoever shows it. Written by many threads, read now and then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use dozo_repository::Counters;

/// Shared between a use case and the terminal.
#[derive(Debug, Default)]
pub struct Progress {
    /// What a run has moved, once it has begun.
    pub counters: OnceLock<Arc<Counters>>,
    /// Bytes of content restored.
    pub bytes_restored: AtomicU64,
    /// Entries whose content was read for a restore.
    pub entries_restored: AtomicU64,
    /// Bytes that there are to restore; 0 while it is not known.
    pub bytes_total: AtomicU64,
    done: AtomicU64,
    total: AtomicU64,
    phase: Mutex<String>,
}

impl Progress {
    /// A restore of so many bytes begins, perhaps anew.
    pub(crate) fn begin(&self, bytes: u64) {
        self.bytes_total.store(bytes, Ordering::Relaxed);
        self.bytes_restored.store(0, Ordering::Relaxed);
        self.entries_restored.store(0, Ordering::Relaxed);
    }

    /// The source's own measure.
    pub(crate) fn set(&self, done: u64, total: Option<u64>) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total.unwrap_or(0), Ordering::Relaxed);
    }

    /// What the source is doing.
    pub(crate) fn begin_phase(&self, words: String) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = words;
    }

    /// What the source says that it is doing; empty if it says nothing.
    pub fn phase(&self) -> String {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the source said last: done, and the total if it knows it.
    pub fn source(&self) -> (u64, Option<u64>) {
        let total = self.total.load(Ordering::Relaxed);
        (self.done.load(Ordering::Relaxed), (total > 0).then_some(total))
    }
}
