//! What a notifier is told.

use crate::Report;

/// What happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// What kind of thing.
    pub kind: EventKind,
    /// The job's name; empty where it is about the repository as a whole.
    pub job: String,
    /// The host's name.
    pub host: String,
    /// One line for people: host, job, what happened, why or how much.
    pub summary: String,
    /// The report of the run. Empty where there was none, or where this version cannot read it: what happened is told all
    /// the same.
    pub report: Report,
    /// The same as it came: JSON, `dozo/report/1`.
    pub report_json: String,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A run made a complete snapshot.
    Success,
    /// A run made a snapshot that lacks something.
    Partial,
    /// A run made a snapshot that is much smaller than the last good one.
    Suspicious,
    /// A run made none, or could not be begun.
    Failure,
    /// A run made a complete snapshot after one that did not; without a job: other work ended well again.
    Recovered,
    /// A run made a snapshot, and moments between it and the one before cannot be recovered.
    RecoveryGap,
    /// A verification found damage.
    Damage,
    /// A verification could not be done.
    Verify,
    /// A mirror could not be filled, or is not complete.
    Mirror,
    /// A prune failed.
    Prune,
    /// A repair failed, or could not repair everything.
    Repair,
    /// Nothing happened: the operator tries whether telling works.
    Test,
    /// What later versions tell of.
    Other(String),
}

impl EventKind {
    /// The word that configurations use.
    pub fn word(&self) -> &str {
        match self {
            EventKind::Success => "success",
            EventKind::Partial => "partial",
            EventKind::Suspicious => "suspicious",
            EventKind::Failure => "failure",
            EventKind::Recovered => "recovered",
            EventKind::RecoveryGap => "recovery-gap",
            EventKind::Damage => "damage",
            EventKind::Verify => "verify",
            EventKind::Mirror => "mirror",
            EventKind::Prune => "prune",
            EventKind::Repair => "repair",
            EventKind::Test => "test",
            EventKind::Other(word) => word,
        }
    }
}

impl From<&str> for EventKind {
    fn from(word: &str) -> Self {
        match word {
            "success" => EventKind::Success,
            "partial" => EventKind::Partial,
            "suspicious" => EventKind::Suspicious,
            "failure" => EventKind::Failure,
            "recovered" => EventKind::Recovered,
            "recovery-gap" => EventKind::RecoveryGap,
            "damage" => EventKind::Damage,
            "verify" => EventKind::Verify,
            "mirror" => EventKind::Mirror,
            "prune" => EventKind::Prune,
            "repair" => EventKind::Repair,
            "test" => EventKind::Test,
            other => EventKind::Other(other.into()),
        }
    }
}

impl Event {
    /// An event as the host hands it over: for a plugin's own tests, too.
    pub fn new(kind: &str, job: String, host: String, summary: String, report_json: String) -> Self {
        let report = serde_json::from_str(&report_json).unwrap_or_default();
        Event { kind: kind.into(), job, host, summary, report, report_json }
    }

    /// What the operator best types next, on the host, if anything is to be done.
    pub fn next_command(&self) -> Option<String> {
        self.report.next.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, report: &str) -> Event {
        Event::new(kind, "db".into(), "web-1".into(), "web-1: db".into(), report.into())
    }

    #[test]
    fn reports_of_other_versions_are_no_reason_to_be_silent() {
        let later =
            r#"{"schema": "dozo/report/1", "entries": 7, "weather": "fine", "error": {"kind": "odd", "new": 1}}"#;
        let event_of_later = event("snowed-in", later);
        assert_eq!(event_of_later.kind, EventKind::Other("snowed-in".into()));
        assert_eq!(event_of_later.kind.word(), "snowed-in");
        assert_eq!(event_of_later.report.entries, 7);
        assert_eq!(event_of_later.report.error.unwrap().kind, "odd");
        assert_eq!(event("failure", "no JSON").report.entries, 0);
    }

    #[test]
    fn each_kind_has_one_word() {
        for word in ["success", "partial", "failure", "recovered", "test", "recovery-gap", "damage", "verify", "mirror"]
        {
            let kind = EventKind::from(word);
            assert!(!matches!(kind, EventKind::Other(_)) && kind.word() == word);
        }
        for word in ["prune", "repair"] {
            assert!(!matches!(EventKind::from(word), EventKind::Other(_)), "{word}");
        }
    }
}
