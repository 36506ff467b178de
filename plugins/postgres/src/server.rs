//! What a server says of itself.

use std::time::{Duration, Instant};

use dozo_sdk::{Error, Result};

use crate::chain::{Least, Needs};
use crate::config::Settings;
use crate::connect::{Protection, Purpose, Session, connect};
use crate::failure::Failure;
use crate::lsn::Lsn;
use crate::session;
use crate::timeline::History;
use crate::wire::{Rows, Wire};

/// Major versions whose WAL and protocol are known.
pub(crate) const MAJORS: std::ops::RangeInclusive<u32> = 14..=18;

/// Microseconds since 1970, by the server's clock.
pub(crate) type Micros = i64;

/// A server, with a session for questions and facts that stay.
pub(crate) struct Server {
    pub(crate) wire: Wire,
    pub(crate) protection: Protection,
    /// `17.11`, as people say it.
    pub(crate) version: String,
    pub(crate) major: u32,
    /// It follows another one.
    pub(crate) standby: bool,
    pub(crate) segment_bytes: u64,
    pub(crate) block_bytes: u32,
    pub(crate) checksums: bool,
    /// Whom it runs as, in all likelihood: the first role of a cluster has the name of the user who made it.
    pub(crate) system_user: Option<String>,
    /// When a word was said so that one was said.
    spoke: Instant,
}

/// How long it may be that nothing is said, where something could be: less than proxies wait, as a rule.
const QUIET: Duration = Duration::from_secs(30);

impl Server {
    pub(crate) fn connect(settings: &Settings) -> Result<Self, Failure> {
        let Session { mut wire, protection, .. } = connect(settings, Purpose::Questions)?;
        session::begin(&mut wire)?;
        let row = wire.one(
            "SELECT current_setting('server_version_num'), current_setting('server_version'), pg_is_in_recovery(), \
             (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'), current_setting('block_size'), \
             current_setting('data_checksums'), (SELECT rolname FROM pg_roles WHERE oid = 10)",
        )?;
        let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let number = |at: usize| {
            let odd = |_| Error::Unsupported(format!("the server tells `{}` where a number belongs", text(at)));
            text(at).parse::<u64>().map_err(odd)
        };
        let major = u32::try_from(number(0)? / 10_000).unwrap_or(u32::MAX);
        let version = text(1).split(' ').next().unwrap_or_default().to_string();
        if !MAJORS.contains(&major) {
            let known = format!("{} to {}", MAJORS.start(), MAJORS.end());
            return Err(Error::Unsupported(format!("the server is PostgreSQL {version}: {known} are known")).into());
        }
        session::set_up(&mut wire, major)?;
        Ok(Server {
            protection,
            version,
            major,
            standby: text(2) == "t",
            segment_bytes: number(3)?,
            block_bytes: u32::try_from(number(4)?).unwrap_or(u32::MAX),
            checksums: text(5) == "on",
            system_user: row.get(6).cloned().flatten(),
            spoke: Instant::now(),
            wire,
        })
    }

    /// What time it is there, and how far WAL has been written at that time: all that was committed until then lies before.
    /// A standby knows only what has come to it, and until when what it has replayed was committed.
    pub(crate) fn written(&mut self) -> Result<(Micros, Lsn), Failure> {
        let (time, position) = match self.standby {
            false => ("clock_timestamp()", "pg_current_wal_insert_lsn()"),
            // It may have replayed none since it was started.
            true => ("coalesce(pg_last_xact_replay_timestamp(), 'epoch')", "pg_last_wal_replay_lsn()"),
        };
        // In this order: what is committed between the two is more than was asked for.
        let time = self.time(time)?;
        let row = self.wire.one(&format!("SELECT {position}"))?;
        let text = row.into_iter().next().flatten().unwrap_or_default();
        let odd = |_| Error::Unsupported(format!("the server tells `{text}` for a position"));
        let position: Lsn = text.parse().map_err(odd)?;
        Ok((time, position.before_page_header(self.segment_bytes)))
    }

    /// Says a word if none was said for a while, so that whatever counts the time in which nothing is said begins again.
    pub(crate) fn keep_alive(&mut self) -> Result<(), Failure> {
        if self.spoke.elapsed() < QUIET {
            return Ok(());
        }
        self.spoke = Instant::now();
        self.wire.query("SELECT 1").map(|_| ())
    }

    /// What a copy must have at least to recover from here on, and which of it a copy has by itself: it is the default, or in a
    /// file of the data directory. What the command line or a file elsewhere says, no copy reads.
    pub(crate) fn needs(&mut self) -> Result<Needs, Failure> {
        let names = Least::SETTINGS.map(|name| format!("'{name}'")).join(", ");
        let rows = self.wire.query(&format!(
            "SELECT name, setting, source = 'default' OR (source = 'configuration file' AND starts_with(sourcefile, \
             (SELECT setting FROM pg_settings WHERE name = 'data_directory') || '/')) FROM pg_settings WHERE name IN ({names})"
        ))?;
        let mut needs = Needs { values: [0; 5], come_along: [false; 5] };
        for (at, name) in Least::SETTINGS.iter().enumerate() {
            let row = rows.iter().find(|row| row.first().and_then(Option::as_deref) == Some(name));
            let text = |column: usize| row.and_then(|row| row.get(column)?.as_deref()).unwrap_or_default();
            let odd = |_| Error::Unsupported(format!("the server tells `{}` for `{name}`", text(1)));
            needs.values[at] = text(1).parse().map_err(odd)?;
            needs.come_along[at] = text(2) == "t";
        }
        Ok(needs)
    }

    /// How long the server's WAL writer rests between two rounds.
    pub(crate) fn writer_delay(&mut self) -> Result<Duration, Failure> {
        let rows = self.wire.query("SELECT setting FROM pg_settings WHERE name = 'wal_writer_delay'")?;
        let milliseconds = column(&rows, 0).and_then(|text| text.parse().ok());
        milliseconds
            .map(Duration::from_millis)
            .ok_or_else(|| Error::Unsupported("the server does not tell its wal_writer_delay".into()).into())
    }

    /// What time it is there.
    pub(crate) fn now(&mut self) -> Result<Micros, Failure> {
        self.time("clock_timestamp()")
    }

    fn time(&mut self, expression: &str) -> Result<Micros, Failure> {
        let row = self.wire.one(&format!("SELECT (extract(epoch FROM {expression}) * 1000000)::bigint"))?;
        let text = row.into_iter().next().flatten().unwrap_or_default();
        text.parse().map_err(|_| Error::Unsupported(format!("the server tells `{text}` for the time")).into())
    }
}

/// A session with a walsender.
pub(crate) struct Walsender {
    pub(crate) wire: Wire,
    /// The process of the server.
    pub(crate) process: i32,
}

/// What a walsender says of the cluster (`IDENTIFY_SYSTEM`).
#[derive(Clone, Debug)]
pub(crate) struct System {
    /// Tells clusters apart; copies of one have the same.
    pub(crate) identifier: String,
    pub(crate) timeline: u32,
    /// How far its WAL is safe on its disk.
    pub(crate) flushed: Lsn,
}

impl Walsender {
    /// To a server of this major version.
    pub(crate) fn connect(settings: &Settings, major: u32) -> Result<Self, Failure> {
        let Session { wire, process, .. } = connect(settings, Purpose::Replication(major))?;
        Ok(Walsender { wire, process })
    }

    pub(crate) fn identify(&mut self) -> Result<System, Failure> {
        let row = self.wire.one("IDENTIFY_SYSTEM")?;
        let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let odd = |what: &str| Error::Corrupt(format!("the server tells `{what}` of its system"));
        Ok(System {
            identifier: text(0),
            timeline: text(1).parse().map_err(|_| odd(&text(1)))?,
            flushed: text(2).parse().map_err(|_| odd(&text(2)))?,
        })
    }

    /// How a timeline came to be. The first one has no history.
    pub(crate) fn history(&mut self, timeline: u32) -> Result<History, Failure> {
        if timeline == 1 {
            return Ok(History::first());
        }
        let row = self.wire.one(&format!("TIMELINE_HISTORY {timeline}"))?;
        let content = row.into_iter().nth(1).flatten().unwrap_or_default();
        Ok(History::parse(timeline, &content)?)
    }
}

/// The text in a column of the first row.
pub(crate) fn column(rows: &Rows, at: usize) -> Option<&str> {
    rows.first()?.get(at)?.as_deref()
}
