//! What WAL a recovery needs, and that it is there.

use std::collections::HashMap;

use dozo_sdk::prelude::*;

use crate::base;
use crate::chain::{Base, Chain, Goal, RestorePoint, shown};
use crate::lsn::{Lsn, Segment};
use crate::server::Micros;
use crate::timeline::History;
use crate::wal::{self, COMMITS, RECORDS_END};

/// What a recovery reads.
pub(super) struct Plan {
    /// The base backup's directory.
    base: String,
    /// Files of WAL, histories among them.
    pub(super) files: Vec<String>,
    pub(super) stop: Stop,
    /// The timeline on which it stops.
    pub(super) timeline: u32,
    /// Where the last segment ends that is needed.
    pub(super) end: Lsn,
}

/// Where the server is to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Where the WAL ends.
    End,
    Time(Micros),
    /// Before what begins here.
    Before(Lsn),
}

/// What is known of a segment that is stored.
#[derive(Clone, Copy, Debug, Default)]
struct Stored {
    last_commit: Option<Micros>,
    records_end: Option<Lsn>,
}

impl Plan {
    /// Looks for everything.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a segment is missing between the base backup and the goal.
    pub(super) fn new(restore: &Restore, chain: &Chain, base: &Base, goal: &Goal) -> Result<Self> {
        let (mut stored, mut files) = (HashMap::new(), Vec::new());
        for entry in restore.entries(wal::DIRECTORY) {
            let entry = entry?;
            let name = entry.path.rsplit('/').next().unwrap_or_default().to_string();
            match Segment::parse(&name, chain.segment_bytes) {
                Some(segment) => drop(stored.insert(segment, known(&entry))),
                None if name.ends_with(".history") => files.push(name),
                None => {}
            }
        }
        let mut found = None;
        for (history, left) in chain.wal.history.steps() {
            let through = left.unwrap_or(chain.wal.through);
            if left.is_some_and(|left| left < base.end) || found.is_some() {
                continue;
            }
            let segments = match (whole((&history, chain.segment_bytes), base, through, &stored), left) {
                (Ok(segments), _) => segments,
                // Of a timeline that was left there need not be all.
                (Err(_), Some(_)) => continue,
                (Err(error), None) => return Err(error),
            };
            let wanted = needed(&segments, chain, goal, left);
            found = wanted.map(|(needed, stop)| (history.timeline, segments, needed, stop));
        }
        let nothing = || Error::Internal("a goal lies in the WAL, and on none of its timelines".into());
        let (timeline, segments, needed, stop) = found.ok_or_else(nothing)?;
        // Before its end, the files of a base backup do not fit together.
        let consistent = segments.iter().filter(|(segment, _)| segment.start < base.end).count();
        let needed = needed.max(consistent).min(segments.len());
        files.extend(segments[..needed].iter().map(|(segment, _)| segment.name(chain.segment_bytes)));
        let end = segments[..needed].last().map_or(base.end, |(last, _)| Lsn(last.start.0 + chain.segment_bytes));
        Ok(Plan { timeline, end, base: format!("{}/{}", base::DIRECTORY, base.id), files, stop })
    }

    /// The entries that are needed.
    pub(super) fn prefixes(&self) -> Vec<String> {
        let files = self.files.iter().map(|name| wal::path(name));
        std::iter::once(self.base.clone()).chain(files).collect()
    }
}

fn known(entry: &Entry) -> Stored {
    let attribute =
        |name: &str| entry.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    Stored {
        last_commit: attribute(COMMITS).and_then(|span| span.split_once("..")?.1.parse().ok()),
        records_end: attribute(RECORDS_END).and_then(|end| end.parse().ok()),
    }
}

/// The segments of a history from the base backup to a position, one after the other.
fn whole(
    (history, segment_bytes): (&History, u64),
    base: &Base,
    through: Lsn,
    stored: &HashMap<Segment, Stored>,
) -> Result<Vec<(Segment, Stored)>> {
    let (mut segments, mut start) = (Vec::new(), base.start.segment_start(segment_bytes));
    while start < through {
        let segment = history.segment(start, segment_bytes);
        let known = stored.get(&segment).ok_or_else(|| {
            let name = segment.name(segment_bytes);
            Error::Corrupt(format!(
                "the snapshot lacks the WAL segment {name}; hint: earlier and later snapshots may have it"
            ))
        })?;
        segments.push((segment, *known));
        start = Lsn(start.0 + segment_bytes);
    }
    match segments.is_empty() || through < base.end {
        true => Err(Error::Corrupt(format!("the snapshot's WAL ends at {through}, before {}", base.end))),
        false => Ok(segments),
    }
}

/// How many of a history's segments a goal takes, and where the server is to stop; none if the goal lies beyond the place where
/// the history was left. The server refuses to end before it has seen that a goal is passed; where the WAL ends before that
/// shows, its end is the goal.
fn needed(segments: &[(Segment, Stored)], chain: &Chain, goal: &Goal, left: Option<Lsn>) -> Option<(usize, Stop)> {
    let passed =
        |passed: &dyn Fn(&Stored) -> bool| segments.iter().position(|(_, stored)| passed(stored)).map(|at| at + 1);
    let to_the_end = left.is_none().then_some((segments.len(), Stop::End));
    match goal {
        Goal::Latest => to_the_end,
        Goal::Time(time) => match passed(&|stored| stored.last_commit.is_some_and(|last| last > *time)) {
            Some(needed) => Some((needed, Stop::Time(*time))),
            // Of a record that began in the segment before, the segment that was received again does not tell.
            None if left.is_none() && chain.wal.last_commit.is_some_and(|last| last > *time) => {
                Some((segments.len(), Stop::Time(*time)))
            }
            None => to_the_end,
        },
        Goal::Position(at) | Goal::Name(RestorePoint { at, .. }) => {
            if left.is_some_and(|left| *at >= left) {
                return None;
            }
            if *at >= chain.wal.whole {
                return to_the_end;
            }
            // The record that holds this position, and then one that begins behind it and is whole.
            let beyond = |at: Lsn| passed(&|stored| stored.records_end.is_some_and(|end| end > at));
            let first_end = beyond(*at).and_then(|needed| segments[needed - 1].1.records_end);
            let needed = first_end.and_then(beyond).unwrap_or(segments.len());
            Some((needed, Stop::Before(*at)))
        }
    }
}

impl Stop {
    /// In words.
    pub(super) fn shown(&self) -> String {
        match self {
            Stop::End => "the end of the WAL".into(),
            Stop::Time(time) => shown(*time),
            Stop::Before(at) => at.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Wal;

    const MIB: u64 = 1 << 20;

    fn chain(history: History, through: u64) -> Chain {
        let wal = Wal {
            history,
            through: Lsn(through),
            whole: Lsn(through - 10),
            until: 1000,
            last_commit: None,
            tail: vec![],
        };
        Chain {
            major: 17,
            segment_bytes: MIB,
            slot: "s".into(),
            bases: vec![],
            wal,
            restore_points: vec![],
            made: vec![],
            least: vec![],
            failed: None,
        }
    }

    fn base(start: u64, end: u64) -> Base {
        Base {
            id: "b".into(),
            timeline: 1,
            start: Lsn(start),
            end: Lsn(end),
            began: 0,
            ended: 0,
            entries: 1,
            bytes: 1,
            tablespaces: vec![],
            damaged: vec![],
            lacks_data: false,
            needs: None,
            in_place: false,
        }
    }

    fn segments(chain: &Chain, last_commits: &[Option<i64>]) -> Vec<(Segment, Stored)> {
        let stored = last_commits.iter().enumerate().map(|(number, last_commit)| {
            let start = Lsn(number as u64 * MIB);
            let records_end = Some(Lsn((start.0 + MIB - 100).min(chain.wal.whole.0)));
            (chain.wal.history.segment(start, MIB), Stored { last_commit: *last_commit, records_end })
        });
        stored.collect()
    }

    #[test]
    fn a_time_takes_the_wal_until_a_later_commit() {
        let chain = chain(History::first(), 4 * MIB);
        let segments = segments(&chain, &[Some(10), None, Some(30), Some(40)]);
        let time = |micros: i64| needed(&segments, &chain, &Goal::Time(micros), None).unwrap();
        assert_eq!(time(9), (1, Stop::Time(9)));
        assert_eq!(time(10), (3, Stop::Time(10)));
        assert_eq!(time(39), (4, Stop::Time(39)));
        // Nothing was committed after it: the end is what was there.
        assert_eq!(time(40), (4, Stop::End));
        assert_eq!(needed(&segments, &chain, &Goal::Latest, None), Some((4, Stop::End)));
        // On a timeline that was left, a time that has not passed is for the next one.
        assert_eq!(needed(&segments, &chain, &Goal::Time(40), Some(Lsn(4 * MIB))), None);
    }

    #[test]
    fn a_position_takes_the_wal_until_the_record_behind_it() {
        let chain = chain(History::first(), 4 * MIB);
        let segments = segments(&chain, &[None; 4]);
        let at = |position: u64| needed(&segments, &chain, &Goal::Position(Lsn(position)), None).unwrap();
        assert_eq!(at(5), (2, Stop::Before(Lsn(5))));
        assert_eq!(at(MIB - 50).0, 3);
        assert_eq!(at(4 * MIB - 10), (4, Stop::End));
        assert_eq!(at(4 * MIB), (4, Stop::End));
        let point = RestorePoint { name: "p".into(), at: Lsn(MIB + 1), time: 0 };
        assert_eq!(needed(&segments, &chain, &Goal::Name(point), None), Some((3, Stop::Before(Lsn(MIB + 1)))));
        assert_eq!(needed(&segments, &chain, &Goal::Position(Lsn(5)), Some(Lsn(5))), None);
    }

    #[test]
    fn a_segment_that_is_missing_is_named() {
        let history = History::parse(2, "1\t0/280000\tpromoted\n").unwrap();
        let chain = chain(history, 4 * MIB);
        let mut stored: HashMap<Segment, Stored> = segments(&chain, &[None; 4]).into_iter().collect();
        let names = |found: Vec<(Segment, Stored)>| found.into_iter().map(|(s, _)| s.name(MIB)).collect::<Vec<_>>();
        let of = (&chain.wal.history, MIB);
        let through = chain.wal.through;
        let found = names(whole(of, &base(MIB + 5, MIB + 9), through, &stored).unwrap());
        let wanted = ["000000010000000000000001", "000000020000000000000002", "000000020000000000000003"];
        assert_eq!(found, wanted);
        stored.remove(&Segment { timeline: 2, start: Lsn(2 * MIB) });
        let error = whole(of, &base(MIB, MIB + 9), through, &stored).unwrap_err();
        assert!(error.message().contains("000000020000000000000002"), "{}", error.message());
        assert!(whole(of, &base(3 * MIB, 5 * MIB), through, &stored).is_err());
    }
}
