//! What WAL a recovery needs, and that it is there.

use std::collections::HashMap;

use dozo_sdk::prelude::*;

use crate::base;
use crate::chain::{Base, Chain, Goal, shown};
use crate::lsn::{Lsn, Segment};
use crate::server::Micros;
use crate::wal::{self, COMMITS, RECORDS_END};

/// What a recovery reads.
pub(super) struct Plan {
    /// The base backup's directory.
    base: String,
    /// Files of WAL, histories among them.
    pub(super) files: Vec<String>,
    pub(super) stop: Stop,
}

/// Where the server is to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Where the WAL ends.
    End,
    Time(Micros),
    /// Before what begins here.
    Before(Lsn),
    Name(String),
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
        let segments = whole(chain, base, &stored)?;
        let (needed, stop) = needed(&segments, chain, goal);
        // Before its end, the files of a base backup do not fit together.
        let consistent = segments.iter().filter(|(segment, _)| segment.start < base.end).count();
        let needed = needed.max(consistent).min(segments.len());
        files.extend(segments[..needed].iter().map(|(segment, _)| segment.name(chain.segment_bytes)));
        Ok(Plan { base: format!("{}/{}", base::DIRECTORY, base.id), files, stop })
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

/// The segments from the base backup to the end of the chain, one after the other.
fn whole(chain: &Chain, base: &Base, stored: &HashMap<Segment, Stored>) -> Result<Vec<(Segment, Stored)>> {
    let (mut segments, mut start) = (Vec::new(), base.start.segment_start(chain.segment_bytes));
    while start < chain.wal.through {
        let segment = chain.wal.history.segment(start, chain.segment_bytes);
        let known = stored.get(&segment).ok_or_else(|| {
            let name = segment.name(chain.segment_bytes);
            Error::Corrupt(format!(
                "the snapshot lacks the WAL segment {name}; hint: earlier and later snapshots may have it"
            ))
        })?;
        segments.push((segment, *known));
        start = Lsn(start.0 + chain.segment_bytes);
    }
    match segments.is_empty() || chain.wal.through < base.end {
        true => Err(Error::Corrupt(format!("the snapshot's WAL ends at {}, before {}", chain.wal.through, base.end))),
        false => Ok(segments),
    }
}

/// How many of the segments a goal takes, and where the server is to stop. The server refuses to end before it has seen that a
/// goal is passed; where the WAL ends before that shows, its end is the goal.
fn needed(segments: &[(Segment, Stored)], chain: &Chain, goal: &Goal) -> (usize, Stop) {
    let through = |passed: &dyn Fn(&Segment, &Stored) -> bool| {
        segments.iter().position(|(segment, stored)| passed(segment, stored)).map(|at| at + 1)
    };
    let to_the_end = (segments.len(), Stop::End);
    match goal {
        Goal::Latest => to_the_end,
        Goal::Time(time) => match through(&|_, stored| stored.last_commit.is_some_and(|last| last > *time)) {
            Some(needed) => (needed, Stop::Time(*time)),
            None => to_the_end,
        },
        Goal::Position(at) if *at >= chain.wal.whole => to_the_end,
        // The record that begins there may end in the next one.
        Goal::Position(at) => match through(&|_, stored| stored.records_end.is_some_and(|end| end > *at)) {
            Some(needed) => (needed + 1, Stop::Before(*at)),
            None => (segments.len(), Stop::Before(*at)),
        },
        Goal::Name(point) => {
            let needed = through(&|segment, _| segment.start.0 + chain.segment_bytes >= point.at.0);
            (needed.unwrap_or(segments.len()), Stop::Name(point.name.clone()))
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
            Stop::Name(name) => format!("the restore point `{name}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{RestorePoint, Wal};
    use crate::timeline::History;

    const MIB: u64 = 1 << 20;

    fn chain(history: History, through: u64) -> Chain {
        let wal = Wal { history, through: Lsn(through), whole: Lsn(through - 10), until: 1000, tail: 0 };
        Chain { major: 17, segment_bytes: MIB, slot: "s".into(), bases: vec![], wal, restore_points: vec![] }
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
            tablespaces: vec![],
            damaged: vec![],
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
        let time = |micros: i64| needed(&segments, &chain, &Goal::Time(micros));
        assert_eq!(time(9), (1, Stop::Time(9)));
        assert_eq!(time(10), (3, Stop::Time(10)));
        assert_eq!(time(39), (4, Stop::Time(39)));
        // Nothing was committed after it: the end is what was there.
        assert_eq!(time(40), (4, Stop::End));
        assert_eq!(needed(&segments, &chain, &Goal::Latest), (4, Stop::End));
    }

    #[test]
    fn a_position_takes_the_wal_until_the_record_behind_it() {
        let chain = chain(History::first(), 4 * MIB);
        let segments = segments(&chain, &[None; 4]);
        let at = |position: u64| needed(&segments, &chain, &Goal::Position(Lsn(position)));
        assert_eq!(at(5), (2, Stop::Before(Lsn(5))));
        assert_eq!(at(MIB - 50).0, 3);
        assert_eq!(at(4 * MIB - 10), (4, Stop::End));
        assert_eq!(at(4 * MIB), (4, Stop::End));
        let point = RestorePoint { name: "p".into(), at: Lsn(MIB + 1), time: 0 };
        assert_eq!(needed(&segments, &chain, &Goal::Name(point)), (2, Stop::Name("p".into())));
    }

    #[test]
    fn a_segment_that_is_missing_is_named() {
        let history = History::parse(2, "1\t0/280000\tpromoted\n").unwrap();
        let chain = chain(history, 4 * MIB);
        let mut stored: HashMap<Segment, Stored> = segments(&chain, &[None; 4]).into_iter().collect();
        let names = |found: Vec<(Segment, Stored)>| found.into_iter().map(|(s, _)| s.name(MIB)).collect::<Vec<_>>();
        let found = names(whole(&chain, &base(MIB + 5, MIB + 9), &stored).unwrap());
        let wanted = ["000000010000000000000001", "000000020000000000000002", "000000020000000000000003"];
        assert_eq!(found, wanted);
        stored.remove(&Segment { timeline: 2, start: Lsn(2 * MIB) });
        let error = whole(&chain, &base(MIB, MIB + 9), &stored).unwrap_err();
        assert!(error.message().contains("000000020000000000000002"), "{}", error.message());
        assert!(whole(&chain, &base(3 * MIB, 5 * MIB), &stored).is_err());
    }
}
