//! The replication slot in which the server keeps the WAL that was not backed up yet.

use dozo_sdk::{Error, Result, words};

use crate::config::Settings;
use crate::failure::{Failure, NOT_IN_PREREQUISITE_STATE};
use crate::lsn::Lsn;
use crate::server::{Server, column};

/// A slot as it is at the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// From where on the server keeps WAL; none if it keeps nothing, or has lost it (`max_slot_wal_keep_size`).
    pub(crate) keeps_from: Option<Lsn>,
    /// How much that is.
    pub(crate) lag_bytes: u64,
    /// The process that uses it.
    pub(crate) user: Option<String>,
}

/// Looks for the slot; none if it is not there.
///
/// # Errors
/// If what has this name is no physical slot.
pub(crate) fn find(server: &mut Server, name: &str) -> Result<Option<Slot>, Failure> {
    let now = if server.standby { "pg_last_wal_replay_lsn()" } else { "pg_current_wal_lsn()" };
    let rows = server.wire.query(&format!(
        "SELECT slot_type, restart_lsn, wal_status, active_pid, greatest(0, pg_wal_lsn_diff({now}, restart_lsn))::bigint \
         FROM pg_replication_slots WHERE slot_name = '{name}'"
    ))?;
    if rows.is_empty() {
        return Ok(None);
    }
    if column(&rows, 0) != Some("physical") {
        let why = format!("the replication slot `{name}` is not a physical one: write another name as `slot`");
        return Err(Error::Invalid(why).into());
    }
    let lost = column(&rows, 2) == Some("lost");
    Ok(Some(Slot {
        keeps_from: column(&rows, 1).filter(|_| !lost).and_then(|text| text.parse().ok()),
        lag_bytes: column(&rows, 4).and_then(|text| text.parse().ok()).unwrap_or(0),
        user: column(&rows, 3).map(str::to_string),
    }))
}

/// What had to be done so that there is a slot that keeps WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ensured {
    Found,
    Made,
    /// It was there, and the server had thrown away what it was to keep.
    MadeAnew,
}

/// Makes the slot if it is not there, or keeps nothing.
pub(crate) fn ensure(server: &mut Server, name: &str) -> Result<Ensured, Failure> {
    let found = find(server, name)?;
    if let Some(Slot { user: Some(user), .. }) = &found {
        let why = format!(
            "the replication slot `{name}` is in use by process {user} of the server: by another run, or one that was cut \
             off and is not noticed yet; hint: another job of the same server needs another `slot`"
        );
        return Err(Error::Unavailable(why).into());
    }
    let ensured = match found {
        Some(Slot { keeps_from: Some(_), .. }) => return Ok(Ensured::Found),
        Some(_) => {
            drop_it(server, name)?;
            Ensured::MadeAnew
        }
        None => Ensured::Made,
    };
    server.wire.query(&format!("SELECT pg_create_physical_replication_slot('{name}', true)"))?;
    Ok(ensured)
}

/// Lets the server forget what lies before a position. What it has forgotten already is no error.
pub(crate) fn advance(server: &mut Server, name: &str, to: Lsn) -> Result<(), Failure> {
    match server.wire.query(&format!("SELECT pg_replication_slot_advance('{name}', '{to}')")) {
        Err(failure) if failure.is(NOT_IN_PREREQUISITE_STATE) => match find(server, name)? {
            Some(Slot { keeps_from: Some(from), .. }) if from >= to => Ok(()),
            _ => Err(failure),
        },
        other => other.map(|_| ()),
    }
}

/// Drops the slot if it makes the server keep more than it may, while nobody fetches it.
pub(crate) fn guard(server: &mut Server, settings: &Settings) -> Result<(), Failure> {
    let name = &settings.slot;
    let Some(slot) = find(server, name)? else { return Ok(()) };
    if slot.lag_bytes <= settings.max_slot_lag || slot.user.is_some() {
        return Ok(());
    }
    drop_it(server, name)?;
    dozo_sdk::log::warn(format!(
        "the replication slot `{name}` was dropped: it made the server keep {} of WAL, more than `max_slot_lag`; the next \
         run takes a new base backup",
        words::bytes(slot.lag_bytes)
    ));
    Ok(())
}

fn drop_it(server: &mut Server, name: &str) -> Result<(), Failure> {
    server.wire.query(&format!("SELECT pg_drop_replication_slot('{name}')")).map(|_| ())
}
