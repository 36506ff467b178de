//! Timelines: each promotion begins a new one, at a position of the one before. A history file says where.

use dozo_sdk::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::lsn::{Lsn, Segment};

/// The timelines that lead to one, oldest first, and the file that says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    /// The timeline whose history this is.
    pub(crate) timeline: u32,
    /// Each timeline before it, and where the next one begins.
    pub(crate) before: Vec<(u32, Lsn)>,
    /// The file as the server has it; empty for the first timeline.
    #[serde(skip)]
    pub(crate) file: String,
}

impl History {
    /// The first timeline has none.
    pub(crate) fn first() -> Self {
        History { timeline: 1, ..History::default() }
    }

    /// Reads a history file: a line for each timeline, with number, position and reason (PostgreSQL, timeline.c).
    pub(crate) fn parse(timeline: u32, file: &str) -> Result<Self> {
        let damaged = |line: &str| Error::Corrupt(format!("the history of timeline {timeline} has the line `{line}`"));
        let mut before: Vec<(u32, Lsn)> = Vec::new();
        for line in file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let number = words.next().and_then(|word| word.parse::<u32>().ok());
            let position = words.next().and_then(|word| word.parse::<Lsn>().ok());
            let (number, position) = number.zip(position).ok_or_else(|| damaged(line))?;
            // A position can lie before an earlier one: a server that recovered to before a promotion says so.
            if before.last().is_some_and(|(earlier, _)| *earlier >= number) || number >= timeline {
                return Err(damaged(line));
            }
            before.push((number, position));
        }
        Ok(History { timeline, before, file: file.into() })
    }

    /// Where a timeline that is part of this history was left; none for the last one.
    ///
    /// # Errors
    /// If it is not part of it.
    pub(crate) fn left_at(&self, timeline: u32) -> Result<Option<Lsn>> {
        if timeline == self.timeline {
            return Ok(None);
        }
        let found = self.before.iter().find(|(number, _)| *number == timeline);
        found.map(|(_, at)| Some(*at)).ok_or_else(|| {
            Error::Corrupt(format!("timeline {} did not come out of timeline {timeline}", self.timeline))
        })
    }

    /// Whether this is the same history, or an older one that went on: timelines of one number can be different ones.
    pub(crate) fn goes_on_from(&self, older: &History) -> bool {
        let through = self.before.get(older.before.len()).map_or(self.timeline, |(timeline, _)| *timeline);
        self.before.starts_with(&older.before) && through == older.timeline
    }

    /// The timeline that follows one of this history.
    pub(crate) fn after(&self, timeline: u32) -> Option<u32> {
        let at = self.before.iter().position(|(number, _)| *number == timeline)?;
        Some(self.before.get(at + 1).map_or(self.timeline, |(number, _)| *number))
    }

    /// The segment that recovery reads for what lies at and behind a segment's start: of the newest timeline that has begun
    /// before its end.
    pub(crate) fn segment(&self, start: Lsn, segment_bytes: u64) -> Segment {
        let end = Lsn(start.0 + segment_bytes);
        let begun = self.before.iter().rposition(|(_, at)| *at < end);
        let timeline = match begun {
            None => self.before.first().map_or(self.timeline, |(first, _)| *first),
            Some(left) => self.before.get(left + 1).map_or(self.timeline, |(number, _)| *number),
        };
        Segment { timeline, start }
    }

    /// The histories that lead to this one, the oldest first, and where each was left; this one last.
    pub(crate) fn steps(&self) -> Vec<(History, Option<Lsn>)> {
        let step = |(at, (timeline, left)): (usize, &(u32, Lsn))| {
            let before = self.before[..at].to_vec();
            (History { timeline: *timeline, before, file: String::new() }, Some(*left))
        };
        self.before.iter().enumerate().map(step).chain([(self.clone(), None)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "1\t0/3000158\tno recovery target specified\n\n3\t0/5000000\tbefore 2026-11-26 10:00:00+00\n";

    #[test]
    fn a_history_says_which_timeline_came_out_of_which() {
        let history = History::parse(4, FILE).unwrap();
        assert_eq!(history.before, [(1, Lsn(0x300_0158)), (3, Lsn(0x500_0000))]);
        assert_eq!(history.left_at(1).unwrap(), Some(Lsn(0x300_0158)));
        assert_eq!(history.left_at(4).unwrap(), None);
        assert!(history.left_at(2).is_err());
        assert_eq!([history.after(1), history.after(3), history.after(4)], [Some(3), Some(4), None]);
    }

    #[test]
    fn a_history_goes_on_from_its_own_past_alone() {
        let history = |timeline: u32, before: &[(u32, u64)]| History {
            timeline,
            before: before.iter().map(|(number, at)| (*number, Lsn(*at))).collect(),
            ..History::default()
        };
        let now = history(4, &[(1, 100), (3, 200)]);
        for past in [history(1, &[]), history(3, &[(1, 100)]), now.clone()] {
            assert!(now.goes_on_from(&past), "{past:?}");
        }
        for other in [history(2, &[(1, 100)]), history(3, &[(1, 101)]), history(4, &[(1, 100)]), history(5, &[])] {
            assert!(!now.goes_on_from(&other), "{other:?}");
        }
    }

    #[test]
    fn a_segment_is_of_the_newest_timeline_in_it() {
        let history = History::parse(4, FILE).unwrap();
        let of = |start: u64| history.segment(Lsn(start), 1 << 20).timeline;
        assert_eq!([of(0x20_0000), of(0x300_0000), of(0x310_0000), of(0x4f0_0000), of(0x500_0000)], [1, 3, 3, 3, 4]);
        assert_eq!(History::first().segment(Lsn(0), 1 << 20).timeline, 1);
    }

    #[test]
    fn a_damaged_history_is_refused() {
        for file in ["x\t0/1\n", "1\n", "2\t0/5\n1\t0/6\n", "4\t0/1\n"] {
            assert!(History::parse(4, file).is_err(), "{file}");
        }
    }
}
