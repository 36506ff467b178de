//! Gaps in what can be recovered: moments that lie between two snapshots of a source which recovers to any moment, and in
//! neither. Read from attributes that such a source sets, `recovers-from` and `recovers-until`.

use jiff::Timestamp;

/// Moments that no snapshot recovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Gap {
    /// Earlier snapshots recover up to here.
    pub after: Timestamp,
    /// Later ones from here on.
    pub until: Timestamp,
}

/// The gap between what snapshots up to one recover, and what the next does; none if there is none, or if the source does not
/// say from when to when its snapshots recover.
pub fn gap(before: &[(String, String)], next: &[(String, String)]) -> Option<Gap> {
    let (after, until) = (moment(before, "recovers-until")?, moment(next, "recovers-from")?);
    (until > after).then_some(Gap { after, until })
}

/// Until when a snapshot with these attributes recovers.
pub(crate) fn recovers_until(attributes: &[(String, String)]) -> Option<Timestamp> {
    moment(attributes, "recovers-until")
}

/// Whether a snapshot recovers to later moments than another, or says at least when.
pub fn recovers_further(attributes: &[(String, String)], than: &[(String, String)]) -> bool {
    recovers_until(attributes) > recovers_until(than)
}

fn moment(attributes: &[(String, String)], wanted: &str) -> Option<Timestamp> {
    attributes.iter().find(|(name, _)| name == wanted)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recovers(from: &str, until: &str) -> Vec<(String, String)> {
        let time = |clock: &str| format!("2026-12-01T{clock}:00Z");
        vec![("recovers-from".into(), time(from)), ("recovers-until".into(), time(until))]
    }

    #[test]
    fn what_follows_on_has_no_gap() {
        let first = recovers("01:00", "02:00");
        assert_eq!(gap(&first, &recovers("01:00", "03:00")), None, "the same base");
        assert_eq!(gap(&first, &recovers("02:00", "03:00")), None);
        let found = gap(&first, &recovers("02:10", "03:00")).unwrap();
        assert_eq!(found.until.duration_since(found.after).as_mins(), 10);
        assert_eq!(gap(&[], &first), None, "a source that recovers to its snapshots alone");
        assert_eq!(gap(&first, &[("recovers-from".into(), "soon".into())]), None);
    }
}
