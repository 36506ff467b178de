//! What a snapshot holds: base backups, and the WAL from the oldest of them on without a gap. It stands in the snapshot's
//! attributes, because the host that backs up can read these and no content.

use dozo_sdk::{Backup, Error, Measure, Moment, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::lsn::Lsn;
use crate::server::Micros;
use crate::timeline::History;

/// The attribute in which a chain stands.
const ATTRIBUTE: &str = "chain";
/// A snapshot holds the newest base backup and the one before it: the seconds in which a base backup is taken, and those
/// before it, can be recovered only from the one before.
pub(crate) const BASES: usize = 2;
/// Restore points that are known by name; older ones can be recovered to by time or position.
const RESTORE_POINTS: usize = 200;

/// Base backups, oldest first, and the WAL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chain {
    pub(crate) major: u32,
    pub(crate) segment_bytes: u64,
    pub(crate) slot: String,
    pub(crate) bases: Vec<Base>,
    pub(crate) wal: Wal,
    #[serde(default)]
    pub(crate) restore_points: Vec<RestorePoint>,
    /// Tablespaces that the WAL makes: whoever recovers makes them again, where the original has them.
    #[serde(default)]
    pub(crate) made: Vec<Made>,
    /// Settings that changed.
    #[serde(default)]
    pub(crate) least: Vec<Least>,
    /// The base backup that was due and could not be taken, and why.
    #[serde(default)]
    pub(crate) failed: Option<Failed>,
}

/// A tablespace that is made by the WAL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) oid: u32,
    pub(crate) location: String,
    pub(crate) at: Lsn,
}

/// A base backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Base {
    /// Its directory below `bases`: the segment and the place in it where it begins, as the server names its history.
    pub(crate) id: String,
    pub(crate) timeline: u32,
    /// Where recovery begins.
    pub(crate) start: Lsn,
    /// Where the files fit together: recovery cannot stop before.
    pub(crate) end: Lsn,
    /// When it was begun, and when it was at its end, by the server's clock.
    pub(crate) began: Micros,
    pub(crate) ended: Micros,
    /// Entries at and below its directory.
    pub(crate) entries: u64,
    /// Bytes of its files.
    #[serde(default)]
    pub(crate) bytes: u64,
    #[serde(default)]
    pub(crate) tablespaces: Vec<Tablespace>,
    /// Pages that were damaged at the server already, and what the server left out.
    #[serde(default)]
    pub(crate) damaged: Vec<Damaged>,
    /// Some of what it left out is data.
    #[serde(default)]
    pub(crate) lacks_data: bool,
    /// What a copy must have to recover from it.
    #[serde(default)]
    pub(crate) needs: Option<Needs>,
    /// There are tablespaces in the data directory itself.
    #[serde(default)]
    pub(crate) in_place: bool,
}

/// Settings that a server must have at least to recover from a base backup, in the order of [`Least::SETTINGS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Needs {
    pub(crate) values: [u32; 5],
    /// Which of them a copy has by itself, unless they were raised later.
    pub(crate) come_along: [bool; 5],
}

/// A base backup that could not be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failed {
    /// When it was tried, by the server's clock.
    pub(crate) at: Micros,
    pub(crate) why: String,
}

/// A tablespace beside the data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tablespace {
    pub(crate) oid: u32,
    pub(crate) name: String,
    pub(crate) location: String,
}

/// A page that fails its checksum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Damaged {
    /// The entry that has it, and which block it is.
    pub(crate) what: String,
    pub(crate) why: String,
}

/// The WAL of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wal {
    /// The timelines that it runs through.
    pub(crate) history: History,
    /// How far it goes.
    pub(crate) through: Lsn,
    /// Where its last whole record ends.
    pub(crate) whole: Lsn,
    /// All that was committed until then is in it, by the server's clock.
    pub(crate) until: Micros,
    /// When the last transaction in it ended.
    pub(crate) last_commit: Option<Micros>,
    /// Its last segments, from that on in which the last transaction ended: what comes next must follow on these bytes. A server
    /// that was put back to a snapshot of its disk goes on in the same place, on the same timeline, with other WAL; and what
    /// bears no time can be the same in both.
    pub(crate) tail: Vec<Known>,
}

/// The bytes of a segment that are backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) start: Lsn,
    /// How far it goes.
    pub(crate) through: Lsn,
    /// CRC-32C of these bytes.
    pub(crate) crc: u32,
}

/// Settings that a server must have at least to recover beyond a position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Least {
    pub(crate) at: Lsn,
    /// In the order of [`SETTINGS`](Least::SETTINGS).
    pub(crate) values: [u32; 5],
}

impl Least {
    /// Their names.
    pub(crate) const SETTINGS: [&str; 5] = [
        "max_connections",
        "max_worker_processes",
        "max_wal_senders",
        "max_prepared_transactions",
        "max_locks_per_transaction",
    ];
}

/// What was found in WAL that a chain remembers.
#[derive(Debug, Default)]
pub(crate) struct Finds {
    pub(crate) restore_points: Vec<RestorePoint>,
    pub(crate) made: Vec<Made>,
    pub(crate) least: Vec<Least>,
}

/// A place to which somebody gave a name (`pg_create_restore_point`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RestorePoint {
    pub(crate) name: String,
    pub(crate) at: Lsn,
    pub(crate) time: Micros,
}

/// To which point to recover, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    Latest,
    Time(Micros),
    Position(Lsn),
    Name(RestorePoint),
}

impl Chain {
    /// The chain of the previous snapshot.
    pub(crate) fn previous(backup: &Backup) -> Option<Self> {
        serde_json::from_str(&backup.previous_attribute(ATTRIBUTE)?).ok()
    }

    /// The chain of a snapshot with these attributes.
    pub(crate) fn of(attributes: &[(String, String)]) -> Result<Self> {
        let found = attributes.iter().find(|(name, _)| name == ATTRIBUTE).map(|(_, json)| json);
        let json = found.ok_or_else(|| Error::Corrupt("the snapshot does not say what it holds".into()))?;
        serde_json::from_str(json).map_err(|e| Error::Corrupt(format!("what the snapshot says that it holds: {e}")))
    }

    /// Tells the snapshot what it holds.
    pub(crate) fn tell(&self, backup: &Backup) -> Result<()> {
        let json = serde_json::to_string(self).map_err(|e| Error::Internal(e.to_string()))?;
        backup.set_attribute(ATTRIBUTE, &json);
        // How large the cluster is: how many base backups and how much WAL lie beside each other says nothing of that. And
        // the server has given up what this snapshot holds.
        let size = self.bases.last().map(|base| (base.entries, base.bytes));
        let (entries, bytes) = size.unzip();
        backup.measure(&Measure { entries, bytes, continues: true, ..Measure::default() })?;
        // For people.
        if let Some(base) = self.bases.first() {
            backup.set_attribute("recovers-from", &shown(base.ended));
        }
        backup.set_attribute("recovers-until", &shown(self.wal.until));
        backup.set_attribute("position", &self.wal.through.to_string());
        Ok(())
    }

    /// The timeline that it ends on.
    pub(crate) fn timeline(&self) -> u32 {
        self.wal.history.timeline
    }

    /// Where its tail begins: that is received once more, so from here on the server must still have its WAL.
    pub(crate) fn resume(&self) -> Lsn {
        self.wal.tail.first().map_or(self.wal.through, |known| known.start).segment_start(self.segment_bytes)
    }

    /// Takes in what was found in the WAL, and forgets what cannot be reached any more.
    pub(crate) fn remember(&mut self, found: Finds) {
        let Finds { restore_points: found, made, least } = found;
        let start = self.bases.first().map_or(Lsn(0), |base| base.start);
        self.made.retain(|known| !made.iter().any(|new| new.at == known.at));
        self.made.extend(made);
        self.made.retain(|made| made.at > start);
        self.least.retain(|known| !least.iter().any(|new| new.at == known.at));
        self.least.extend(least);
        self.least.retain(|least| least.at > start);
        self.restore_points.retain(|known| !found.iter().any(|new| new.at == known.at));
        self.restore_points.extend(found);
        let reachable = self.bases.first().map_or(Lsn(0), |base| base.end);
        self.restore_points.retain(|point| point.at >= reachable);
        let superfluous = self.restore_points.len().saturating_sub(RESTORE_POINTS);
        self.restore_points.drain(..superfluous);
    }

    /// What a moment means here, and the base backup to recover it from.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it lies outside; it says what lies inside.
    pub(crate) fn reach(&self, moment: &Moment) -> Result<(Goal, &Base)> {
        let goal = self.goal(moment)?;
        let newest = |within: &dyn Fn(&Base) -> bool| self.bases.iter().rev().find(|base| within(base));
        let base = match &goal {
            Goal::Latest => newest(&|_| true),
            Goal::Time(time) if *time <= self.wal.until => newest(&|base| base.ended <= *time),
            Goal::Position(at) if *at <= self.wal.through => newest(&|base| base.end <= *at),
            Goal::Name(point) => newest(&|base| base.end <= point.at),
            _ => None,
        };
        let later = match &goal {
            Goal::Time(time) => *time > self.wal.until,
            Goal::Position(at) => *at > self.wal.through,
            _ => false,
        };
        let why = if later { "that is later than it goes: if the server is up, run the job first; " } else { "" };
        base.map(|base| (goal.clone(), base)).ok_or_else(|| Error::Invalid(format!("{why}{}", self.window())))
    }

    fn goal(&self, moment: &Moment) -> Result<Goal> {
        Ok(match moment {
            Moment::Latest => Goal::Latest,
            Moment::Time(text) => {
                let time =
                    text.parse::<Timestamp>().map_err(|e| Error::Invalid(format!("`{text}` is no time: {e}")))?;
                Goal::Time(time.as_microsecond())
            }
            Moment::Position(text) => Goal::Position(text.parse().map_err(Error::Invalid)?),
            Moment::Name(name) => {
                // Of several with one name the newest is what people mean; the server is told its position, not its name.
                let point = self.restore_points.iter().rev().find(|point| point.name == *name);
                Goal::Name(point.cloned().ok_or_else(|| {
                    let what = format!("it has no restore point `{name}`, and that is no time (2026-11-26 22:01)");
                    Error::Invalid(format!("{what}; {}", self.window()))
                })?)
            }
        })
    }

    /// What can be recovered, in words.
    fn window(&self) -> String {
        let Some(base) = self.bases.first() else { return "it has no base backup".into() };
        let (from, until) = (shown(base.ended), shown(self.wal.until));
        let mut window = format!("it recovers to {from} … {until}, {} … {}", base.end, self.wal.through);
        let names: Vec<&str> = self.restore_points.iter().rev().take(5).map(|point| point.name.as_str()).collect();
        if !names.is_empty() {
            window.push_str(&format!(", and to `{}`", names.join("`, `")));
        }
        window
    }
}

/// A time as people and the server read it.
pub(crate) fn shown(time: Micros) -> String {
    Timestamp::from_microsecond(time).map_or_else(|_| format!("{time} µs"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(id: &str, start: u64, ended: Micros) -> Base {
        Base {
            id: id.into(),
            timeline: 1,
            start: Lsn(start),
            end: Lsn(start + 100),
            began: ended - 5,
            ended,
            entries: 1,
            bytes: 1,
            tablespaces: vec![],
            damaged: vec![],
            lacks_data: false,
            needs: None,
            in_place: false,
        }
    }

    fn chain() -> Chain {
        let wal = Wal {
            history: History::first(),
            through: Lsn(5000),
            whole: Lsn(4990),
            until: 500,
            last_commit: None,
            tail: vec![],
        };
        let mut chain = Chain {
            major: 17,
            segment_bytes: 1000,
            slot: "dozo".into(),
            bases: vec![base("old", 1000, 100), base("new", 3000, 300)],
            wal,
            restore_points: vec![],
            made: vec![],
            least: vec![],
            failed: None,
        };
        let point = |name: &str, at: u64| RestorePoint { name: name.into(), at: Lsn(at), time: 0 };
        let made = |at: u64| Made { oid: 7, location: "/x".into(), at: Lsn(at) };
        let restore_points = vec![point("early", 10), point("a", 2000), point("b", 4000)];
        chain.remember(Finds { restore_points, made: vec![made(10), made(2000)], least: vec![] });
        chain
    }

    #[test]
    fn a_chain_is_read_as_it_was_written() {
        let json = serde_json::to_string(&chain()).unwrap();
        assert_eq!(Chain::of(&[("chain".into(), json)]).unwrap(), chain());
        assert!(Chain::of(&[]).is_err() && Chain::of(&[("chain".into(), "{}".into())]).is_err());
    }

    #[test]
    fn a_moment_is_reached_from_the_newest_base_before_it() {
        let chain = chain();
        let reached = |moment: Moment| chain.reach(&moment).map(|(_, base)| base.id.clone());
        let time = |micros: i64| Moment::Time(shown(micros));
        assert_eq!(reached(Moment::Latest).unwrap(), "new");
        for (micros, id) in [(100, "old"), (299, "old"), (300, "new"), (500, "new")] {
            assert_eq!(reached(time(micros)).unwrap(), id, "{micros}");
        }
        for (at, id) in [(1100, "old"), (3099, "old"), (3100, "new"), (5000, "new")] {
            assert_eq!(reached(Moment::Position(Lsn(at).to_string())).unwrap(), id, "{at}");
        }
        assert_eq!(reached(Moment::Name("a".into())).unwrap(), "old");
        assert_eq!(reached(Moment::Name("b".into())).unwrap(), "new");
    }

    #[test]
    fn what_lies_outside_is_told_with_what_lies_inside() {
        let position = |at: u64| Moment::Position(Lsn(at).to_string());
        for moment in [Moment::Time(shown(99)), Moment::Time(shown(501)), position(1099), position(5001)] {
            let error = chain().reach(&moment).unwrap_err();
            assert!(error.message().contains("it recovers to 1970-01-01T00:00:00.0001Z"), "{}", error.message());
        }
        for moment in [Moment::Name("early".into()), Moment::Time("soon".into()), Moment::Position("x".into())] {
            assert!(chain().reach(&moment).is_err());
        }
    }

    #[test]
    fn restore_points_are_remembered_once_and_not_for_ever() {
        let mut chain = chain();
        let points = chain.restore_points.clone();
        let made = chain.made.clone();
        chain.remember(Finds { restore_points: points.clone(), made: made.clone(), least: vec![] });
        assert_eq!((&chain.restore_points, &chain.made), (&points, &made));
        assert_eq!(made.len(), 1, "what came before the base backup is in it");
        let many = (0..500).map(|at| RestorePoint { name: format!("p{at}"), at: Lsn(4001 + at), time: 0 });
        chain.remember(Finds { restore_points: many.collect(), ..Finds::default() });
        assert_eq!(chain.restore_points.len(), RESTORE_POINTS);
        assert_eq!(chain.restore_points.last().unwrap().name, "p499");
    }
}
