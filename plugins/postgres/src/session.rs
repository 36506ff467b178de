//! What the sessions of a run are set to, whatever the role, the database or the server has: nothing ends them while they wait for
//! each other, for the store or for the server, and the line between is kept alive.

use dozo_sdk::Result;

use crate::failure::Failure;
use crate::server::Walsender;
use crate::wire::Wire;

/// Limits that end a session or what it does; 0 is none. The first version that has each.
const LIMITS: [(&str, u32); 5] = [
    ("idle_session_timeout", 14),
    ("statement_timeout", 14),
    ("lock_timeout", 14),
    ("idle_in_transaction_session_timeout", 14),
    ("transaction_timeout", 17),
];

/// A session that waits sends a packet each minute, so that no firewall forgets it; one whose peer is gone ends within some minutes.
/// While the store is slow, what the server has sent is not taken for as long as that lasts: the system's own limit counts,
/// which takes an answer to a probe for a sign of life. And warnings come whatever the role wants to hear.
const OTHERS: [(&str, &str); 5] = [
    ("tcp_keepalives_idle", "60"),
    ("tcp_keepalives_interval", "15"),
    ("tcp_keepalives_count", "8"),
    ("tcp_user_timeout", "0"),
    ("client_min_messages", "notice"),
];

/// How long a walsender waits for a word from us before it takes us for gone: a store that is slow makes the run wait, and what
/// waits says nothing.
const PATIENCE: (&str, &str) = ("wal_sender_timeout", "30min");

/// Limits that a server of a version has.
fn limits(major: u32) -> impl Iterator<Item = &'static str> {
    LIMITS.iter().filter(move |(_, since)| major >= *since).map(|(name, _)| *name)
}

/// What a walsender's session begins with.
pub(crate) fn of_a_walsender(major: u32) -> impl Iterator<Item = (&'static str, &'static str)> {
    limits(major).map(|name| (name, "0")).chain(OTHERS).chain([PATIENCE])
}

/// Before the first question: on a standby no transaction can be serializable, whatever the role has for a default.
pub(crate) fn begin(wire: &mut Wire) -> Result<(), Failure> {
    wire.query("SET default_transaction_isolation = 'read committed'").map(|_| ())
}

/// Sets up a session for questions.
pub(crate) fn set_up(wire: &mut Wire, major: u32) -> Result<(), Failure> {
    let settings = limits(major).map(|name| (name, "0")).chain(OTHERS);
    let sql: String = settings.map(|(name, value)| format!("SET {name} = '{value}'; ")).collect();
    wire.query(&sql).map(|_| ())
}

/// Limits that would hold for a session of the role, had it not been set up, as people write them.
pub(crate) fn switched_off(wire: &mut Wire, major: u32) -> Result<Vec<String>, Failure> {
    let names: Vec<String> = limits(major).map(|name| format!("'{name}'")).collect();
    let rows = wire.query(&format!(
        "SELECT name || ' = ' || reset_val || coalesce(' ' || unit, '') FROM pg_settings \
         WHERE name IN ({}) AND reset_val <> '0' ORDER BY name",
        names.join(", ")
    ))?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// Limits that hold for a walsender all the same.
pub(crate) fn left_on(walsender: &mut Walsender, major: u32) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut left = Vec::new();
    for name in limits(major) {
        let value = walsender.wire.one(&format!("SHOW {name}"))?.into_iter().next().flatten().unwrap_or_default();
        if value != "0" {
            left.push((name, value));
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_only_what_its_version_knows() {
        let named = |major: u32| of_a_walsender(major).any(|(name, _)| name == "transaction_timeout");
        assert_eq!([14, 16, 17, 18].map(named), [false, false, true, true]);
        assert!(of_a_walsender(14).any(|setting| setting == ("idle_session_timeout", "0")));
        assert!(of_a_walsender(14).any(|setting| setting == PATIENCE));
    }
}
