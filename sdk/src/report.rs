//! The report of a run, as far as people need it. Fields that this version does not know are ignored, those that are missing
//! are empty.

use std::time::Duration;

use serde::Deserialize;

/// What became of a run: `dozo/report/1`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Which source; none if the run could not be begun.
    pub plugin: Option<PluginStamp>,
    /// `complete`, `partial` or `failed`.
    pub outcome: String,
    /// When it began, as RFC 3339 has it, in UTC.
    pub started: String,
    /// When it ended.
    pub ended: String,
    /// The snapshot's id, if there is one.
    pub snapshot: Option<String>,
    /// Entries in the snapshot.
    pub entries: u64,
    /// Of these, taken from the previous snapshot unread.
    pub entries_kept: u64,
    /// Bytes of content in the snapshot.
    pub bytes: u64,
    /// Bytes that the source gave.
    pub bytes_read: u64,
    /// Of these, bytes that the repository did not have.
    pub bytes_new: u64,
    /// Bytes that went into the store.
    pub bytes_stored: u64,
    /// What could not be read: the first 100, path and why.
    pub omitted: Vec<(String, String)>,
    /// How many in all.
    pub omitted_count: u64,
    /// Answers to the job's probes.
    pub answers: Vec<(String, String)>,
    /// Why the snapshot is suspicious: it is much smaller than the last good one. Empty if it is not.
    pub suspicious: Vec<String>,
    /// What the operator should know though nothing failed.
    pub notes: Vec<String>,
    /// What the operator best types next, on the host, if anything is to be done.
    pub next: Option<String>,
    /// Why it failed.
    pub error: Option<Failure>,
}

/// Which plugin.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PluginStamp {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Why a run failed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// `unavailable`, `invalid`, `denied`, `not granted`, `busy`, `corrupt`, `unsupported` or `internal`.
    pub kind: String,
    /// The sentence.
    pub message: String,
    /// Its causes, outermost first.
    pub causes: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Report {
    /// How long the run took; none if a time is missing.
    pub fn took(&self) -> Option<Duration> {
        let (began, ended) = (since_epoch(&self.started)?, since_epoch(&self.ended)?);
        Some(ended.saturating_sub(began))
    }
}

/// A time of a report, after 1970: `2026-11-23T02:00:00.5Z` (RFC 3339, UTC).
fn since_epoch(time: &str) -> Option<Duration> {
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = clock.splitn(3, ':');
    let (hours, minutes) = (clock.next()?.parse::<u64>().ok()?, clock.next()?.parse::<u64>().ok()?);
    let seconds = clock.next()?.parse::<f64>().ok().filter(|seconds| (0.0..61.0).contains(seconds))?;
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // The year begins in March, so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(Duration::from_secs(days * 86_400 + hours * 3_600 + minutes * 60) + Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(since_epoch("1970-01-01T00:00:00Z"), Some(Duration::ZERO));
        assert_eq!(since_epoch("2000-02-29T12:00:00Z"), Some(Duration::from_secs(951_825_600)));
        assert_eq!(since_epoch("2026-11-23T02:00:00.5Z"), Some(Duration::from_millis(1_795_399_200_500)));
        for wrong in ["", "2026-11-23", "2026-13-01T00:00:00Z", "2026-11-23T02:00:00", "2026-11-23T02:00:99Z"] {
            assert_eq!(since_epoch(wrong), None, "{wrong}");
        }
        let report = Report {
            started: "2026-12-31T23:59:30Z".into(),
            ended: "2027-01-01T00:00:31.25Z".into(),
            ..Report::default()
        };
        assert_eq!(report.took(), Some(Duration::from_millis(61_250)));
        assert_eq!(Report::default().took(), None);
    }
}
