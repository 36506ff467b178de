//! What a snapshot should look like: each is compared with the last good one of its job before it is put. A disk that was
//! not mounted, a directory that somebody emptied, a database that was restored empty: such a run reads all that there is,
//! and nothing fails.

use std::fmt::Display;

use dozo_repository::format::manifest::Totals;
use dozo_repository::format::snapshot::{Guard, Snapshot};
use dozo_repository::{Error, ObjectId, Result, path};
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::limits::{
    GUARD_BYTES, GUARD_ENTRIES, GUARD_NOTHING_BYTES, GUARD_NOTHING_ENTRIES, GUARD_NOTHING_PERCENT, GUARD_REASONS,
};
use crate::words;

/// The attribute in which a source says by what its snapshots are to be compared.
pub(crate) const MEASURE: &str = "dozo.measure";

/// What a source says of the size of what it backed up. Without it, the entries and bytes of the snapshot are compared.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Measure {
    /// What stands for the snapshot's own count, where that says little: a log that is kept beside a database grows and
    /// shrinks. If one of the two is given, the other is not compared.
    pub(crate) entries: Option<u64>,
    /// The same for its bytes.
    pub(crate) bytes: Option<u64>,
    /// Places that are looked at each for itself.
    pub(crate) parts: Vec<Part>,
    /// What comes next must be built on this snapshot even if it is suspicious: the source has forgotten what is in it.
    pub(crate) continues: bool,
}

/// A place that is looked at for itself: a configured path, or where a file system is mounted below one.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Part {
    /// The path of its entry.
    pub(crate) name: String,
    /// What it lies on, as one word that stays as long as that is the same.
    #[serde(default)]
    pub(crate) on: String,
    /// Entries in it.
    pub(crate) entries: u64,
}

impl Measure {
    /// What stands in the attributes of a snapshot. One that cannot be understood says nothing.
    pub(crate) fn of(attributes: &[(String, String)]) -> Self {
        let found = attributes.iter().find(|(name, _)| name == MEASURE);
        found.and_then(|(_, json)| serde_json::from_str(json).ok()).unwrap_or_default()
    }

    /// Whether it can be understood: what a plugin means to be compared is not passed over without a word.
    pub(crate) fn check(json: &str) -> Result<()> {
        let wrong = |e| Error::invalid(format!("the attribute `{MEASURE}` is not what it is to be")).caused_by(e);
        serde_json::from_str::<Measure>(json).map(|_| ()).map_err(wrong)
    }

    fn size(&self, totals: Totals) -> Size {
        match (self.entries, self.bytes) {
            (None, None) => Size { entries: Some(totals.entries), bytes: Some(totals.bytes) },
            (entries, bytes) => Size { entries, bytes },
        }
    }
}

/// By what snapshots are compared: entries and bytes, as far as they say something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Entries.
    pub entries: Option<u64>,
    /// Bytes of content.
    pub bytes: Option<u64>,
}

impl Size {
    /// That of a snapshot.
    pub fn of(snapshot: &Snapshot) -> Self {
        Measure::of(&snapshot.attributes).size(snapshot.manifest.totals)
    }

    /// Whether it is so much smaller than another, in entries or in bytes.
    pub(crate) fn is_much_below(self, before: Size, limit: u8) -> bool {
        let is_drop = |then: Option<u64>, now: Option<u64>, floor: &Floor| {
            then.zip(now).is_some_and(|(then, now)| floor.is_drop(then, now, limit))
        };
        is_drop(before.entries, self.entries, &ENTRIES) || is_drop(before.bytes, self.bytes, &BYTES)
    }
}

/// How a snapshot compares with the last good one. `limit` is the drop in percent from which on it is suspicious; none
/// turns the comparison off.
pub(crate) fn compare(
    before: Option<(ObjectId, &Snapshot)>,
    (totals, attributes): (Totals, &[(String, String)]),
    limit: Option<u8>,
    zone: &TimeZone,
) -> Guard {
    let suspicious = match (before, limit) {
        (Some((id, before)), Some(limit)) => {
            let good = format!("the last good snapshot ({} of {})", id.short(), words::time(before.started, zone));
            let (parts, now) = (Measure::of(&before.attributes).parts, Measure::of(attributes));
            let (had, has) = (Size::of(before), now.size(totals));
            let entries = |n| words::counted(n, "entry", "entries");
            let much = [
                smaller((had.entries, has.entries), (&ENTRIES, limit), &good, entries),
                smaller((had.bytes, has.bytes), (&BYTES, limit), &good, words::bytes),
            ];
            let parts = parts.iter().filter_map(|part| emptier(part, &now, limit));
            much.into_iter().flatten().chain(parts).take(GUARD_REASONS).collect()
        }
        _ => Vec::new(),
    };
    Guard { limit, against: before.map(|(id, _)| id), suspicious }
}

/// That there is less of all than there was, if it is so much less.
fn smaller(
    (then, now): (Option<u64>, Option<u64>),
    (floor, limit): (&Floor, u8),
    good: &str,
    shown: fn(u64) -> String,
) -> Option<String> {
    let (then, now) = then.zip(now)?;
    floor.is_drop(then, now, limit).then(|| format!("{}, where {good} has {}", shown(now), shown(then)))
}

/// That a place is empty, or has much less than it had: another disk may be mounted there. A place of which nothing is said any
/// more is one that nobody asks for any more.
fn emptier(then: &Part, now: &Measure, limit: u8) -> Option<String> {
    let now = now.parts.iter().find(|part| part.name == then.name)?;
    let moved = then.on != now.on;
    let had = words::counted(then.entries, "entry", "entries");
    let place = Place { name: &then.name, moved };
    // On another file system, a few entries less are a reason, too.
    let floor = if moved { &Floor::even(1) } else { &Floor::even(GUARD_ENTRIES) };
    match now.entries {
        _ if then.entries == 0 => None,
        0 if moved || then.entries >= GUARD_ENTRIES => Some(format!("{place} is empty, and had {had}")),
        entries if floor.is_drop(then.entries, entries, limit) => {
            let has = words::counted(entries, "entry", "entries");
            Some(format!("{place} has {has}, and had {had}"))
        }
        _ => None,
    }
}

struct Place<'a> {
    name: &'a str,
    moved: bool,
}

impl Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "/{}", path::shown(self.name))?;
        if self.moved { f.write_str(", which is another file system than before,") } else { Ok(()) }
    }
}

/// What comes and goes, and is no drop.
struct Floor {
    /// Less than this, as long as something is left.
    most: u64,
    /// Less than this, even if nothing is left.
    nothing: u64,
}

const ENTRIES: Floor = Floor { most: GUARD_ENTRIES, nothing: GUARD_NOTHING_ENTRIES };
const BYTES: Floor = Floor { most: GUARD_BYTES, nothing: GUARD_NOTHING_BYTES };

impl Floor {
    /// The same whether something is left or not: a place may be empty for once, such as a spool.
    const fn even(most: u64) -> Self {
        Floor { most, nothing: most }
    }

    /// Whether something fell by more than comes and goes, and by more than so many percent.
    fn is_drop(&self, then: u64, now: u64, limit: u8) -> bool {
        let fell = then.saturating_sub(now);
        let is_gone = u128::from(now) * 100 < u128::from(then) * u128::from(GUARD_NOTHING_PERCENT);
        let floor = if is_gone { self.nothing } else { self.most };
        fell >= floor && u128::from(fell) * 100 > u128::from(then) * u128::from(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_suspicious(then: (u64, u64), now: (u64, u64), limit: u8) -> bool {
        let size = |(entries, bytes)| Size { entries: Some(entries), bytes: Some(bytes) };
        size(now).is_much_below(size(then), limit)
    }

    #[test]
    fn a_drop_is_beyond_the_limit_and_beyond_what_comes_and_goes() {
        const MIB: u64 = 1 << 20;
        for (then, now, limit, expected) in [
            ((2_003, 0), (3, 0), 50, true),
            ((2_000, 0), (1_000, 0), 50, false),
            ((2_000, 0), (999, 0), 50, true),
            ((2_000, 0), (999, 0), 60, false),
            ((2_000, 0), (1_979, 0), 1, true),
            // So few are no reason.
            ((20, 0), (1, 0), 50, false),
            ((18, 0), (3, 0), 50, false),
            ((4, 0), (0, 0), 50, false),
            // What is gone is one, however little it was.
            ((19, 0), (0, 0), 50, true),
            ((5, 0), (0, 0), 50, true),
            // Bytes, with as many entries as before.
            ((5, 100 * MIB), (5, 49 * MIB), 50, true),
            ((5, 4 * MIB), (5, MIB), 50, false),
            ((500, 3 * MIB), (500, 0), 50, true),
            ((5, 60 << 10), (5, 0), 50, false),
            ((5, 5 * MIB), (5, 1), 50, true),
            // More of the one makes up for nothing of the other, and growth is none.
            ((100, 100 * MIB), (9_999, 1), 50, true),
            ((100, 100 * MIB), (200, 200 * MIB), 1, false),
            ((u64::MAX, u64::MAX), (0, 0), 99, true),
        ] {
            assert_eq!(is_suspicious(then, now, limit), expected, "{then:?} {now:?} {limit}");
        }
    }

    fn measure(parts: &[(&str, &str, u64)]) -> Measure {
        let parts =
            parts.iter().map(|(name, on, entries)| Part { name: (*name).into(), on: (*on).into(), entries: *entries });
        Measure { parts: parts.collect(), ..Measure::default() }
    }

    #[test]
    fn a_place_that_is_empty_or_elsewhere_is_named() {
        let said = |then: (&str, u64), now: (&str, u64)| {
            let then = measure(&[("srv/up", then.0, then.1)]);
            emptier(&then.parts[0], &measure(&[("srv/up", now.0, now.1)]), 50)
        };
        let moved = "/srv/up, which is another file system than before,";
        assert_eq!(said(("mounted", 2_000), ("", 0)), Some(format!("{moved} is empty, and had 2,000 entries")));
        assert_eq!(said(("mounted", 1), ("", 0)), Some(format!("{moved} is empty, and had 1 entry")));
        assert_eq!(said(("a", 15), ("b", 1)), Some(format!("{moved} has 1 entry, and had 15 entries")));
        // Another disk that happens to be mounted there.
        assert_eq!(said(("a", 400), ("a", 1)), Some("/srv/up has 1 entry, and had 400 entries".into()));
        assert_eq!(said(("a", 20), ("a", 0)), Some("/srv/up is empty, and had 20 entries".into()));
        // A disk that was replaced, a spool that is empty for once, a place in which there never was anything.
        for (then, now) in [
            (("a", 15), ("b", 15)),
            (("a", 19), ("a", 0)),
            (("a", 0), ("b", 0)),
            (("a", 2_000), ("a", 1_001)),
            (("a", 30), ("a", 12)),
        ] {
            assert_eq!(said(then, now), None, "{then:?} {now:?}");
        }
        let nobody_asks = emptier(&measure(&[("srv/up", "a", 90)]).parts[0], &measure(&[("home", "a", 3)]), 50);
        assert_eq!(nobody_asks, None);
    }

    #[test]
    fn a_measure_stands_for_what_is_counted() {
        let of = |json: &str| Measure::of(&[(MEASURE.to_string(), json.to_string())]);
        let totals = Totals { entries: 7, bytes: 8 };
        let size = |entries, bytes| Size { entries, bytes };
        assert_eq!(of("{}").size(totals), size(Some(7), Some(8)));
        assert_eq!(of(r#"{"entries": 1}"#).size(totals), size(Some(1), None));
        assert_eq!(of(r#"{"entries": 1, "bytes": 2, "weather": "fine"}"#).size(totals), size(Some(1), Some(2)));
        assert_eq!(of("what?").size(totals), size(Some(7), Some(8)));
        assert!(Measure::check("what?").is_err() && Measure::check(r#"{"continues": true}"#).is_ok());
    }
}
