//! How far it is: a line that changes on a terminal, now and then a plain line elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dozo_job::Progress;
use dozo_repository::{MirrorCounters, ThawCounters, VerifyCounters};
use indicatif::{ProgressBar, ProgressStyle};

use super::words;

/// On a terminal.
const REFRESH: Duration = Duration::from_millis(200);
/// Elsewhere: in a log, a line a minute is plenty.
const PLAIN: Duration = Duration::from_secs(60);

/// Shows what `tell` says until it is dropped.
pub(crate) struct Shown {
    bar: ProgressBar,
    task: tokio::task::JoinHandle<()>,
}

impl Shown {
    /// Begins; needs a tokio runtime around it.
    pub(crate) fn begin(what: String, tell: impl Fn() -> String + Send + 'static) -> Self {
        let (terminal, quiet) = (std::io::stderr().is_terminal(), super::out::is_quiet());
        let bar = if terminal && !quiet { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{spinner} {prefix}: {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_prefix(dozo_job::shown(&what).into_owned());
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(if terminal { REFRESH } else { PLAIN }).await;
                if terminal {
                    shown.set_message(dozo_job::shown(&tell()).into_owned());
                    shown.tick();
                } else if !quiet {
                    super::note(format!("{what}: {}", tell()));
                }
            }
        });
        Shown { bar, task }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}

/// A run's progress in words.
pub(crate) fn of_run(progress: &Arc<Progress>) -> impl Fn() -> String + Send + 'static {
    let progress = progress.clone();
    move || {
        let Some(counters) = progress.counters.get() else { return "opening the repository".into() };
        let load = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        let entries = words::count(load(&counters.entries));
        let (read, stored) = (words::bytes(load(&counters.bytes_read)), words::bytes(load(&counters.bytes_stored)));
        let source = match progress.source() {
            (_, None) => String::new(),
            (done, Some(total)) => format!(", {} of {}", words::count(done), words::count(total)),
        };
        let phase = Some(progress.phase()).filter(|phase| !phase.is_empty());
        let phase = phase.map(|phase| format!("{phase}: ")).unwrap_or_default();
        format!("{phase}{entries} entries, {read} read, {stored} stored{source}")
    }
}

/// A restore's progress in words.
pub(crate) fn of_restore(progress: &Arc<Progress>) -> impl Fn() -> String + Send + 'static {
    let progress = progress.clone();
    move || {
        let load = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        let (done, total) = (load(&progress.bytes_restored), load(&progress.bytes_total));
        format!(
            "{} files, {} of {}",
            words::count(load(&progress.entries_restored)),
            words::bytes(done),
            words::bytes(total)
        )
    }
}

/// A verification's progress in words.
pub(crate) fn of_verification(counters: &Arc<VerifyCounters>) -> impl Fn() -> String + Send + 'static {
    let counters = counters.clone();
    move || {
        let load = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        let (packs, bytes) = (words::count(load(&counters.packs)), words::bytes(load(&counters.bytes)));
        format!("{packs} packs read ({bytes}), {} entries checked", words::count(load(&counters.entries)))
    }
}

/// A thaw's progress in words.
pub(crate) fn of_thaw(counters: &Arc<ThawCounters>) -> impl Fn() -> String + Send + 'static {
    let counters = counters.clone();
    move || {
        let load = |n: &std::sync::atomic::AtomicU64| words::count(n.load(Ordering::Relaxed));
        let (packs, asked, there) = (load(&counters.packs), load(&counters.asked), load(&counters.there));
        format!("{asked} of {packs} packs asked for, {there} there")
    }
}

/// A mirroring's progress in words.
pub(crate) fn of_mirroring(counters: &Arc<MirrorCounters>) -> impl Fn() -> String + Send + 'static {
    let counters = counters.clone();
    move || {
        let load = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        format!("{} objects ({}) copied", words::count(load(&counters.copied)), words::bytes(load(&counters.bytes)))
    }
}
