//! `--dry-run`, and `--delete` as long as nobody said `--yes`: what a restore would do, a line for each entry.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dozo_job::RestoreReport;
use dozo_plugin::{Action, Planner};
use jiff::tz::TimeZone;

use crate::target::Target;
use crate::ui::{self, words};

/// The actions that are shown: their words in a line, and in the summary, in its order.
const SHOWN: [(Action, &str, &str); 5] = [
    (Action::Create, "create", "to create"),
    (Action::Replace, "replace", "to replace"),
    (Action::Metadata, "metadata", "to give other metadata (owner, mode, time or attributes)"),
    (Action::Leave, "leave", "to leave as found"),
    (Action::Delete, "delete", "to delete"),
];

/// How many entries each would happen to.
pub(super) struct Tally {
    shown: [AtomicU64; SHOWN.len()],
    right: AtomicU64,
    /// What the same command takes to do it.
    confirmation: &'static str,
}

impl Tally {
    pub(super) fn new(confirmation: &'static str) -> Self {
        Tally { shown: Default::default(), right: AtomicU64::default(), confirmation }
    }

    /// Who prints what would happen, and counts it. Paths are shown as those in the target.
    pub(super) fn planner(self: &Arc<Self>, json: bool, to: &Path) -> Planner {
        let (tally, to) = (self.clone(), to.display().to_string());
        Arc::new(move |planned| {
            let path = format!("{}/{}", to.trim_end_matches('/'), planned.path);
            match SHOWN.iter().position(|(action, ..)| *action == planned.action) {
                None => drop(tally.right.fetch_add(1, Ordering::Relaxed)),
                Some(at) => {
                    tally.shown[at].fetch_add(1, Ordering::Relaxed);
                    let word = SHOWN[at].1;
                    if json {
                        ui::line(serde_json::json!({ "schema": "dozo/plan/1", "action": word, "path": path }));
                    } else {
                        ui::line(format!("{word:9}{path}"));
                    }
                }
            }
        })
    }

    /// The last lines.
    pub(super) fn print(&self, report: &RestoreReport, to: &Target<'_>, zone: &TimeZone) {
        let counts = SHOWN.iter().zip(&self.shown).map(|((.., what), count)| (what, count.load(Ordering::Relaxed)));
        let counts: Vec<String> = counts
            .filter(|(_, count)| *count > 0)
            .map(|(what, count)| format!("{} {what}", words::count(count)))
            .collect();
        let counts = if counts.is_empty() { "nothing differs, nothing to do".into() } else { counts.join(", ") };
        let (job, id, taken) = (&report.job, report.snapshot.short(), words::time_in(report.taken, zone));
        let right = words::counted(self.right.load(Ordering::Relaxed), "entry is", "entries are");
        ui::line(format!("{job}: snapshot {id} of {taken} into {to}: {counts}; {right} right already"));
    }

    /// That this was all, and what does it, if there is anything to do.
    pub(super) fn print_end(&self) {
        let changes = SHOWN.iter().zip(&self.shown).filter(|((action, ..), _)| *action != Action::Leave);
        match changes.map(|(_, count)| count.load(Ordering::Relaxed)).sum() {
            0u64 => ui::note("nothing was written"),
            _ => ui::note(format!("nothing was written: the same command {} does it", self.confirmation)),
        }
    }
}
