//! `--dry-run`, and `--delete` as long as nobody said `--yes`: what a restore would do, a line for each entry.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dozo_job::RestoreReport;
use dozo_plugin::{Action, Planner};
use jiff::tz::TimeZone;

use crate::target::Target;
use crate::ui::{self, words};

/// The actions that are shown, and their words, in the order of the summary.
const SHOWN: [(Action, &str); 5] = [
    (Action::Create, "create"),
    (Action::Replace, "replace"),
    (Action::Metadata, "metadata"),
    (Action::Leave, "leave"),
    (Action::Delete, "delete"),
];

/// How many entries each would happen to.
#[derive(Default)]
pub(super) struct Tally {
    shown: [AtomicU64; SHOWN.len()],
    right: AtomicU64,
}

impl Tally {
    /// Who prints what would happen, and counts it. Paths are shown as those in the target.
    pub(super) fn planner(self: &Arc<Self>, json: bool, to: &Path) -> Planner {
        let (tally, to) = (self.clone(), to.display().to_string());
        Arc::new(move |planned| {
            let path = format!("{}/{}", to.trim_end_matches('/'), planned.path);
            match SHOWN.iter().position(|(action, _)| *action == planned.action) {
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
        let counts = SHOWN.iter().zip(&self.shown).map(|((_, word), count)| (word, count.load(Ordering::Relaxed)));
        let counts: Vec<String> = counts
            .filter(|(_, count)| *count > 0)
            .map(|(word, count)| format!("{} to {word}", words::count(count)))
            .collect();
        let counts = if counts.is_empty() { "nothing to do".to_string() } else { counts.join(", ") };
        let (job, id, taken) = (&report.job, report.snapshot.short(), words::time_in(report.taken, zone));
        let right = words::counted(self.right.load(Ordering::Relaxed), "entry is", "entries are");
        ui::line(format!("{job}: snapshot {id} of {taken} into {to}: {counts}; {right} right already"));
    }
}
