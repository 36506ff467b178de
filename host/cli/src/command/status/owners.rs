//! Whether the backups can be read at all: owners' keys that were tried, and when.

use dozo_job::health::Finding;
use dozo_repository::OwnerRow;
use jiff::{SignedDuration, Timestamp};

use crate::ui::words;

/// Drills are quarterly at the least; a key that was not tried for longer may be lost.
const TRIED_WITHIN: SignedDuration = SignedDuration::from_hours(100 * 24);

/// The owner whose key was tried last, or none.
pub(super) fn last_tried(owners: &[OwnerRow]) -> Option<Timestamp> {
    owners.iter().filter_map(|owner| owner.tested).max()
}

/// What the operator must do before the backups can be trusted, if there is anything.
pub(super) fn alert(owners: &[OwnerRow], now: Timestamp) -> Option<Finding> {
    let last = last_tried(owners);
    let message = match last.map(|last| now.duration_since(last)) {
        None => "no owner's key was ever tried, so it is not known whether backups can be read".to_string(),
        Some(ago) if ago > TRIED_WITHIN => format!("no owner's key was tried for {}", words::age(ago)),
        Some(_) => return None,
    };
    Some(Finding {
        job: None,
        host: None,
        kind: "owner-key",
        message,
        advice: "try one: `dozo key test --identity FILE`".into(),
        damage: false,
        at: last,
        zone: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(tested: Option<i64>) -> OwnerRow {
        let tested = tested.map(|day| Timestamp::from_second(day * 86_400).unwrap());
        OwnerRow { name: "0".repeat(16), recipient: None, epochs: vec![1], since: None, tested }
    }

    #[test]
    fn four_hundred_green_runs_to_a_lost_key_are_worth_nothing() {
        let now = Timestamp::from_second(400 * 86_400).unwrap();
        assert!(alert(&[owner(None)], now).unwrap().message.contains("ever tried"));
        assert!(alert(&[owner(Some(299)), owner(None)], now).unwrap().message.contains("was tried for"));
        assert!(alert(&[owner(Some(10)), owner(Some(301))], now).is_none(), "one that works is enough");
    }
}
