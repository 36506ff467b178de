//! The programs of one call: how many there are, and that none outlives it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dozo_job::{Error, Result};

use super::child::Child;
use super::confine;
use super::running::Process;
use crate::limits::{LETTING_GO, PROGRAMS};

/// The programs that one call started.
#[derive(Clone, Default)]
pub(crate) struct Children(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    running: Vec<Arc<Process>>,
    /// For the operator; each once.
    notes: BTreeSet<String>,
    /// Programs that are being started.
    starting: usize,
    /// A program that still ran when the call was over, though nobody wanted it to end.
    ended_early: Option<String>,
    /// Whether the call is over: what is started now comes too late.
    over: bool,
}

impl Children {
    /// Starts one more, if there are not too many. Blocks.
    pub(crate) fn start(&self, start: impl FnOnce() -> Result<Child>) -> Result<Child> {
        {
            let mut inner = self.inner();
            inner.running.retain(|process| !process.has_ended());
            if inner.running.len() + inner.starting >= PROGRAMS {
                return Err(Error::invalid(format!("{PROGRAMS} programs of this plugin run already")));
            }
            inner.starting += 1;
        }
        let started = start();
        let mut inner = self.inner();
        inner.starting -= 1;
        let child = started?;
        if inner.over {
            return Err(Error::unavailable("the call that started it is over"));
        }
        inner.running.push(child.running.process());
        if !confine::is_available() {
            inner.notes.insert(
                "programs ran without Landlock, which this kernel does not have or has switched off: they could use every \
                 file that this user can"
                    .into(),
            );
        }
        Ok(child)
    }

    /// Tells all that still run to end; returns them.
    fn kill(&self) -> Vec<Arc<Process>> {
        let mut inner = self.inner();
        inner.over = true;
        let running: Vec<_> = inner.running.drain(..).filter(|process| !process.has_ended()).collect();
        running.iter().for_each(|process| process.end());
        running
    }

    /// Ends all that still run and waits until they are gone; returns what the operator should know. Blocks.
    pub(crate) fn end(&self) -> Vec<String> {
        for process in self.kill() {
            let name = process.name();
            match process.ended_within(LETTING_GO) {
                Some(_) if process.is_dismissed.load(Ordering::Relaxed) => {}
                Some(_) => {
                    self.note(format!("the program `{name}` still ran when the plugin was done, and was ended"));
                    self.inner().ended_early.get_or_insert_with(|| name.to_string());
                }
                None => {
                    process.end_launcher();
                    self.note(format!("the program `{name}` could not be ended: it hangs in the kernel"));
                }
            }
        }
        std::mem::take(&mut self.inner().notes).into_iter().collect()
    }

    /// A program that still ran when the plugin was done: nobody saw how it ended. Known after [`end`](Children::end).
    pub(crate) fn ended_early(&self) -> Option<String> {
        self.inner().ended_early.clone()
    }

    fn note(&self, note: String) {
        self.inner().notes.insert(note);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the programs of a call that nobody waits for any more.
pub(crate) struct EndWithCall(pub(crate) Children);

impl Drop for EndWithCall {
    fn drop(&mut self) {
        self.0.kill();
    }
}
