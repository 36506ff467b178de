//! A run: whether a base backup is due, the WAL since the last run, and what is taken over from it.

use std::collections::HashSet;
use std::time::Duration;

use dozo_sdk::prelude::*;

use crate::base::{self, Request};
use crate::chain::{BASES, Base, Chain, Failed, Known, Wal, shown};
use crate::config::Settings;
use crate::failure::Failure;
use crate::lsn::{Lsn, Segment, history_name};
use crate::probe;
use crate::server::{Micros, Server, System, Walsender};
use crate::slot::{self, Ensured};
use crate::timeline::History;
use crate::wal::{self, Legs};

/// A base backup that falls due within this part of its period is taken now: runs are not on time to the second.
const DUE_EARLY: i64 = 20;
/// A base backup that failed is tried again so many times in its period, and whenever the operator says `--full`.
const RETRIES: i64 = 7;
/// Why it failed is kept in an attribute, which has its bounds.
const WHY_CHARS: usize = 1_000;
/// How often, and how long apart, to look whether WAL has reached the server's disk, or a standby.
const FLUSH_LOOKS: u32 = 1200;
const FLUSH_PAUSE: Duration = Duration::from_millis(50);
/// The server writes commits out within so many rounds of its WAL writer (PostgreSQL, "Asynchronous Commit"); what is not on the
/// disk after them is no commit.
const WRITER_ROUNDS: u32 = 3;

pub(crate) async fn backup(settings: &Settings, backup: &Backup) -> Result<(), Failure> {
    let mut server = Server::connect(settings)?;
    let mut walsender = Walsender::connect(settings, server.major)?;
    let system = walsender.identify()?;
    backup.identify(&format!("postgres/{}", system.identifier))?;
    let history = walsender.history(system.timeline)?;
    let ensured = slot::ensure(&mut server, &settings.slot)?;
    let previous = continued(backup, &server, &system, &history, (settings, ensured))?;
    let system = system.identifier;
    let failed = previous.as_ref().and_then(|chain| chain.failed.clone());
    let mut run = Run { settings, backup, server, walsender, system, history, previous, failed };
    let base = run.base_if_due().await?;
    let chain = run.wal(base).await?;
    run.keep(&chain)?;
    backup.set_attribute("server", &format!("PostgreSQL {}", run.server.version));
    chain.tell(backup)?;
    run.walsender.wire.close();
    run.server.wire.close();
    Ok(())
}

/// The chain of the previous snapshot, if this server's WAL goes on where it ends. Why not is told.
fn continued(
    backup: &Backup,
    server: &Server,
    system: &System,
    history: &History,
    (settings, ensured): (&Settings, Ensured),
) -> Result<Option<Chain>> {
    let Some(chain) = Chain::previous(backup) else { return Ok(None) };
    let slot = &settings.slot;
    match ensured {
        Ensured::Found => {}
        Ensured::Made if chain.slot == *slot => {
            backup.note(&format!("the replication slot `{slot}` was not there any more: it was made anew"));
        }
        Ensured::Made => {}
        Ensured::MadeAnew => backup.note(&format!(
            "the server had given up the replication slot `{slot}` (its setting max_slot_wal_keep_size): it was made anew"
        )),
    }
    match why_not(&chain, server, system, history) {
        None => {
            if chain.timeline() != system.timeline {
                let (old, new) = (chain.timeline(), system.timeline);
                backup.note(&format!("the server went from timeline {old} to {new}: it was promoted, or recovered"));
            }
            Ok(Some(chain))
        }
        Some(why) => {
            note_gap(backup, &why);
            Ok(None)
        }
    }
}

fn note_gap(backup: &Backup, why: &str) {
    backup.note(&format!("{why}: a new base backup is taken; earlier snapshots recover what they hold"));
}

/// Why the WAL of the server does not follow on a chain.
fn why_not(chain: &Chain, server: &Server, system: &System, history: &History) -> Option<String> {
    let (timeline, through) = (chain.timeline(), chain.wal.through);
    if chain.segment_bytes != server.segment_bytes || chain.major != server.major {
        return Some("the server has another version or another length of segments than before".into());
    }
    if !history.goes_on_from(&chain.wal.history) {
        return Some(format!("the server's timeline {} is another one than before", system.timeline));
    }
    match history.left_at(timeline) {
        Err(_) => Some(format!("the server's timeline {} did not come out of timeline {timeline}", system.timeline)),
        Ok(Some(left)) if left < through => Some(format!(
            "the server left timeline {timeline} at {left}, before {through}, where the last backup ended: what came after \
             is in earlier snapshots alone"
        )),
        Ok(None) if system.flushed < through => Some(format!(
            "the server is at {}, before {through}, where the last backup ended: it was put back",
            system.flushed
        )),
        Ok(_) => None,
    }
}

struct Run<'a> {
    settings: &'a Settings,
    backup: &'a Backup,
    server: Server,
    walsender: Walsender,
    /// The cluster's identifier.
    system: String,
    history: History,
    /// What the server's WAL goes on from.
    previous: Option<Chain>,
    /// The base backup that is due and could not be taken.
    failed: Option<Failed>,
}

impl Run<'_> {
    /// Takes a base backup if there is none to go on from, if the newest is too old, or if the operator wants one. One that cannot
    /// be taken does not keep the WAL from being taken: the server would keep more and more of it.
    async fn base_if_due(&mut self) -> Result<Option<Base>, Failure> {
        let now = self.server.now()?;
        let newest = self.previous.as_ref().and_then(|chain| chain.bases.last());
        let old = newest.filter(|base| self.is_old(base, now)).map(|base| shown(base.began));
        let due = newest.is_none() || old.is_some() || self.has_new_tablespace()?;
        let is_wanted = self.backup.scope == Scope::Full;
        if !is_wanted && (!due || self.failed_lately(now)) {
            return Ok(None);
        }
        match self.base().await {
            Ok(base) => {
                if let Some(began) = old {
                    self.backup.note(&format!("a base backup was taken, because the newest was of {began}"));
                }
                self.failed = None;
                Ok(Some(base))
            }
            Err(failure) if self.previous.is_some() => self.go_on_without(failure, now).map(|()| None),
            Err(failure) => Err(failure),
        }
    }

    /// Whether a base backup was tried and failed so short a time ago that it is not tried again: what fails in the middle has been
    /// read until there.
    fn failed_lately(&self, now: Micros) -> bool {
        let Some(failed) = &self.failed else { return false };
        let pause = i64::try_from(self.settings.full_every.as_micros()).unwrap_or(i64::MAX) / RETRIES;
        now.saturating_sub(failed.at) < pause
    }

    /// Keeps in mind that a base backup failed, and goes on from the last one, by sessions of which the state is known.
    fn go_on_without(&mut self, failure: Failure, at: Micros) -> Result<(), Failure> {
        let sessions = Server::connect(self.settings)
            .and_then(|server| Walsender::connect(self.settings, server.major).map(|walsender| (server, walsender)));
        // A server that cannot be reached explains the failure.
        let Ok((server, walsender)) = sessions else { return Err(failure) };
        (self.server, self.walsender) = (server, walsender);
        let why = Error::from(failure)
            .message()
            .replace("; hint: ", "; ")
            .replace('\n', " ")
            .chars()
            .take(WHY_CHARS)
            .collect();
        self.failed = Some(Failed { at, why });
        Ok(())
    }

    /// Whether there is a tablespace that the newest base backup does not have. Until one has it, recovery makes it anew where
    /// the original is, and a copy on the same machine would write into that.
    fn has_new_tablespace(&mut self) -> Result<bool, Failure> {
        let Some(base) = self.previous.as_ref().and_then(|chain| chain.bases.last()) else { return Ok(false) };
        let known: Vec<u32> = base.tablespaces.iter().map(|tablespace| tablespace.oid).collect();
        let rows = "SELECT oid, spcname FROM pg_tablespace WHERE starts_with(pg_tablespace_location(oid), '/')";
        let rows = self.server.wire.query(rows)?;
        let oid = |row: &[Option<String>]| row.first().cloned().flatten().and_then(|oid| oid.parse::<u32>().ok());
        let new = rows.iter().find(|row| oid(row).is_some_and(|oid| !known.contains(&oid)));
        if let Some(row) = new {
            let name = row.get(1).cloned().flatten().unwrap_or_default();
            self.backup.note(&format!("the tablespace `{name}` is new: a new base backup is taken, which has it"));
        }
        Ok(new.is_some())
    }

    fn is_old(&self, base: &Base, now: Micros) -> bool {
        let period = i64::try_from(self.settings.full_every.as_micros()).unwrap_or(i64::MAX);
        now.saturating_sub(base.began) >= period - period / DUE_EARLY
    }

    async fn base(&mut self) -> Result<Base, Failure> {
        let Settings { max_rate, checkpoint, tolerate, .. } = self.settings;
        let bases = || self.previous.iter().flat_map(|chain| &chain.bases);
        let request = Request {
            backup: self.backup,
            system: &self.system,
            taken: bases().map(|base| base.id.clone()).collect(),
            max_rate: *max_rate,
            checkpoint: *checkpoint,
            tolerate,
            has_whole: bases().any(|base| !base.lacks_data),
        };
        base::take(&request, &mut self.server, &mut self.walsender).await
    }

    /// Receives the WAL up to now; the chain that the snapshot will hold.
    async fn wal(&mut self, base: Option<Base>) -> Result<Chain, Failure> {
        self.probe()?;
        self.backup.phase("WAL");
        if let Some(mut chain) = self.previous.clone() {
            let from = Segment { timeline: chain.timeline(), start: chain.resume() };
            chain.bases.extend(base.clone());
            chain.bases.drain(..chain.bases.len().saturating_sub(BASES));
            let known = chain.wal.tail.clone();
            match self.receive(chain, from, known) {
                Err(Failure::Gap(why)) => note_gap(self.backup, &why),
                other => return other,
            }
            (self.previous, self.failed) = (None, None);
            self.walsender = Walsender::connect(self.settings, self.server.major)?;
        }
        let base = match base {
            Some(base) => base,
            None => self.base().await?,
        };
        let from = Segment { timeline: base.timeline, start: base.start.segment_start(self.server.segment_bytes) };
        let chain = Chain {
            major: self.server.major,
            segment_bytes: self.server.segment_bytes,
            slot: self.settings.slot.clone(),
            wal: Wal {
                history: self.history.clone(),
                through: base.start,
                whole: base.start,
                until: 0,
                last_commit: None,
                tail: vec![],
            },
            bases: vec![base],
            restore_points: vec![],
            made: vec![],
            least: vec![],
            failed: None,
        };
        self.receive(chain, from, Vec::new())
    }

    /// Asks what the operator wants to know. A question that has become wrong does not end backups; the server's end does.
    fn probe(&mut self) -> Result<(), Failure> {
        for probe in &self.backup.probes {
            match probe::ask(&mut self.server, &probe.question) {
                Ok(answer) => self.backup.answer(probe, &answer)?,
                Err(failure @ Failure::Server(_)) if !failure.is_end() => {
                    self.backup.unanswered(probe, &probe::explain(failure, self.settings))?;
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Receives from a segment on, and lengthens the chain by it.
    fn receive(&mut self, mut chain: Chain, from: Segment, known: Vec<Known>) -> Result<Chain, Failure> {
        let consistent = chain.bases.last().map_or(Lsn(0), |base| base.end);
        let (to, until) = self.reached(consistent)?;
        let legs = Legs {
            segment_bytes: chain.segment_bytes,
            slot: &self.settings.slot,
            from,
            known,
            history: &self.history,
            to,
            time: base::timestamp(until),
        };
        let received = wal::receive(self.backup, &mut self.walsender, &legs)?;
        chain.slot.clone_from(&self.settings.slot);
        chain.wal = Wal {
            history: self.history.clone(),
            through: received.through,
            whole: received.whole.max(chain.wal.whole),
            until: until.max(chain.wal.until),
            last_commit: received.last_commit.max(chain.wal.last_commit),
            tail: received.tail,
        };
        chain.remember(received.finds);
        chain.failed.clone_from(&self.failed);
        self.put_history()?;
        let oldest = chain.bases.first().map_or(Lsn(0), |base| base.start).segment_start(chain.segment_bytes);
        let mut names: HashSet<String> = received.stored.into_iter().collect();
        if self.previous.is_some() {
            let history = history_name(self.history.timeline);
            let anew = |name: &str| name == history || names.contains(name);
            let kept = wal::keep(self.backup, chain.segment_bytes, oldest, &anew)?;
            names.extend(kept);
        }
        wal::whole((&self.history, chain.segment_bytes), (oldest, chain.wal.through), &names)?;
        Ok(chain)
    }

    /// How far the server's WAL is safe on its disk, and until when all that was committed is in there: what has been written
    /// by a moment is waited for. Not before `consistent`.
    fn reached(&mut self, consistent: Lsn) -> Result<(Lsn, Micros), Failure> {
        let (until, written) = self.server.written()?;
        let patience = self.server.writer_delay()? * (WRITER_ROUNDS + 1);
        for look in 0..FLUSH_LOOKS {
            let system = self.walsender.identify()?;
            if system.timeline != self.history.timeline {
                let why = "the server was promoted while the backup was taken; hint: the next run goes on from there";
                return Err(Error::Unavailable(why.into()).into());
            }
            if system.flushed >= consistent && (system.flushed >= written || FLUSH_PAUSE * look >= patience) {
                return Ok((system.flushed, until));
            }
            std::thread::sleep(FLUSH_PAUSE);
        }
        Err(Error::Unavailable(format!("the server's WAL did not reach its disk up to {consistent} within a minute"))
            .into())
    }

    /// The history of the timeline, which recovery needs to follow it.
    fn put_history(&self) -> Result<()> {
        let History { timeline, file, .. } = &self.history;
        if file.is_empty() {
            return Ok(());
        }
        let entry = self.backup.file(wal::path(&history_name(*timeline))).size(file.len() as u64);
        entry.modified(base::timestamp(0)).version(timeline.to_string()).write(file.as_bytes()).map(|_| ())
    }

    /// Takes over the base backups that were not taken now.
    fn keep(&self, chain: &Chain) -> Result<()> {
        let known = self.previous.iter().flat_map(|previous| &previous.bases);
        for base in known.filter(|known| chain.bases.contains(known)) {
            self.backup.keep_under(&format!("{}/{}", base::DIRECTORY, base.id), base.entries)?;
        }
        for base in &chain.bases {
            base::omit_damaged(self.backup, &base.damaged)?;
        }
        if let Some(failed) = &chain.failed {
            let from = chain.bases.last().map(|base| shown(base.began)).unwrap_or_default();
            let why = format!(
                "the base backup of {} failed, and WAL is taken on from that of {from}: {}",
                shown(failed.at),
                failed.why
            );
            self.backup.omit(base::DIRECTORY, &Error::Corrupt(why))?;
        }
        dozo_sdk::log::debug(format!("recovers until {}, {}", shown(chain.wal.until), chain.wal.through));
        Ok(())
    }
}
