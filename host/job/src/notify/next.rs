//! What the operator best types next, on the host that an event is of.

use dozo_repository::Kind;

use crate::health::Upkeep;
use crate::port::EventKind;

/// After a run.
pub(super) fn after_run(kind: EventKind, job: &str, error: Option<Kind>) -> Option<String> {
    Some(match kind {
        EventKind::Failure => match error {
            // It looks at the configuration, the grants, the store and the source.
            Some(Kind::Invalid | Kind::NotGranted | Kind::Denied | Kind::Unavailable) => {
                format!("dozo check && dozo run {job}")
            }
            Some(Kind::Corrupt) => "dozo verify --scrub".into(),
            Some(Kind::Busy) => "dozo status".into(),
            _ => format!("dozo run {job} -v"),
        },
        EventKind::Partial => format!("dozo run {job}"),
        // It says what is missing, and what to type if that is right.
        EventKind::Suspicious | EventKind::RecoveryGap => format!("dozo snapshots {job}"),
        _ => return None,
    })
}

/// After other work. What was found is in the event; these say what can be done.
pub(super) fn after_upkeep(kind: EventKind, what: &Upkeep) -> Option<String> {
    Some(match (kind, what) {
        (EventKind::Damage, Upkeep::Verify(place)) => Upkeep::Repair(place.clone()).command(),
        (EventKind::Verify, _) => format!("dozo check && {}", what.command()),
        (EventKind::Damage | EventKind::Mirror | EventKind::Repair, _) => what.command(),
        (EventKind::Prune, _) => "dozo prune".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_type_next_fits_the_error() {
        let of = |kind| after_run(EventKind::Failure, "db", Some(kind)).unwrap();
        assert_eq!(of(Kind::NotGranted), "dozo check && dozo run db");
        assert_eq!(of(Kind::Unavailable), "dozo check && dozo run db");
        assert_eq!(of(Kind::Corrupt), "dozo verify --scrub");
        assert_eq!(of(Kind::Internal), "dozo run db -v");
        assert_eq!(after_run(EventKind::Partial, "db", None).unwrap(), "dozo run db");
        assert_eq!(after_run(EventKind::Suspicious, "db", None).unwrap(), "dozo snapshots db");
        assert_eq!(after_run(EventKind::Recovered, "db", None), None);
    }

    #[test]
    fn what_is_wrong_in_a_mirror_is_repaired_there() {
        let nas = || Some("nas".to_string());
        let of = |kind, what| after_upkeep(kind, &what).unwrap();
        assert_eq!(of(EventKind::Damage, Upkeep::Verify(None)), "dozo repair");
        assert_eq!(of(EventKind::Damage, Upkeep::Verify(nas())), "dozo repair --at nas");
        assert_eq!(of(EventKind::Repair, Upkeep::Repair(nas())), "dozo repair --at nas");
        assert_eq!(of(EventKind::Verify, Upkeep::Verify(nas())), "dozo check && dozo verify --from nas");
        assert_eq!(of(EventKind::Mirror, Upkeep::Mirror("the nas".into())), "dozo mirror 'the nas'");
        assert_eq!(of(EventKind::Prune, Upkeep::Prune), "dozo prune");
        assert_eq!(after_upkeep(EventKind::Recovered, &Upkeep::Prune), None);
    }
}
