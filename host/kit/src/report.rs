//! What came out of a trial. The JSON form is part of the interface: fields are added, never changed.

use dozo_job::Error;
use dozo_job::port::PluginStamp;
use serde::Serialize;

use crate::outcome::{Ended, Outcome};

/// What became of all cases.
#[derive(Clone, Debug, Serialize)]
pub struct KitReport {
    /// `dozo/kit/1`.
    pub schema: &'static str,
    /// Which plugin, to the byte; none if it could not be loaded.
    pub plugin: Option<PluginStamp>,
    /// How many cases hold.
    pub passed: usize,
    /// How many do not.
    pub failed: usize,
    /// How many could not be tried.
    pub skipped: usize,
    /// Each case, in order.
    pub cases: Vec<Case>,
}

/// One promise of the contract, and whether it was kept.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What is held, in a sentence.
    pub holds: &'static str,
    /// Whether it does.
    pub verdict: Verdict,
    /// Why it failed, or was skipped.
    pub why: Option<String>,
    /// What the author can do about it.
    pub advice: Option<String>,
    /// What the author should know though nothing failed.
    pub notes: Vec<String>,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// It could not be tried.
    Skipped,
}

impl KitReport {
    /// The schema of this version.
    pub const SCHEMA: &str = "dozo/kit/1";

    pub(crate) fn new(plugin: PluginStamp) -> Self {
        KitReport { schema: Self::SCHEMA, plugin: Some(plugin), passed: 0, failed: 0, skipped: 0, cases: Vec::new() }
    }

    /// The report of a component that could not be loaded: the first case already does not hold.
    pub fn unloadable(error: &Error) -> Self {
        let mut report =
            KitReport { schema: Self::SCHEMA, plugin: None, passed: 0, failed: 0, skipped: 0, cases: Vec::new() };
        let advice = error.hint().unwrap_or("`describe` must answer at once, with a name and a version");
        report.add(("load", "it is a component that says who it is"), Err(Ended::failed(error.chain(), advice)));
        report
    }

    pub(crate) fn add(&mut self, (name, holds): (&'static str, &'static str), outcome: Outcome) {
        let (verdict, why, advice, notes) = match outcome {
            Ok(notes) => (Verdict::Passed, None, None, notes),
            Err(Ended::Failed { why, advice }) => (Verdict::Failed, Some(why), Some(advice), Vec::new()),
            Err(Ended::Skipped { why }) => (Verdict::Skipped, Some(why), None, Vec::new()),
        };
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed => self.failed += 1,
            Verdict::Skipped => self.skipped += 1,
        }
        self.cases.push(Case { name, holds, verdict, why, advice, notes });
    }

    /// Whether every case that could be tried holds.
    pub fn is_good(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}
