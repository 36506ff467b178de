//! What hosts are called. Where several have one name, each is told apart by the beginning of its uid, which is typed as a
//! name is; elsewhere a name is enough, and nothing else is shown.

use std::collections::{BTreeMap, BTreeSet};

use dozo_repository::format::snapshot::Named;
use dozo_repository::{HostUid, View};

/// Digits of a uid that are taken for one, at least.
const DIGITS_MIN: usize = 4;

/// The names of the hosts that have snapshots.
pub(crate) struct HostNames {
    /// Those that several hosts have.
    shared: BTreeSet<String>,
}

impl HostNames {
    pub(crate) fn of(view: &View) -> Self {
        HostNames::among(view.snapshots().iter().map(|(_, snapshot)| &snapshot.host))
    }

    /// The same of some hosts.
    pub(crate) fn among<'a>(hosts: impl Iterator<Item = &'a Named<HostUid>>) -> Self {
        let mut uids: BTreeMap<&str, BTreeSet<HostUid>> = BTreeMap::new();
        for host in hosts {
            uids.entry(&host.name).or_default().insert(host.uid);
        }
        let shared = uids.into_iter().filter(|(_, uids)| uids.len() > 1).map(|(name, _)| name.to_string());
        HostNames { shared: shared.collect() }
    }

    /// What is shown.
    pub(crate) fn shown(&self, host: &Named<HostUid>) -> String {
        match self.shared.contains(&host.name) {
            true => format!("{} {}", host.name, host.uid.short()),
            false => host.name.clone(),
        }
    }

    /// What is typed before a job's name.
    pub(crate) fn typed(&self, host: &Named<HostUid>) -> String {
        if self.shared.contains(&host.name) { host.uid.short() } else { host.name.clone() }
    }
}

/// Whether a host can be meant by what was typed: by its name, or by the beginning of its uid.
pub(crate) fn is_meant(typed: &str, host: &Named<HostUid>) -> bool {
    let is_uid = typed.len() >= DIGITS_MIN && typed.bytes().all(|b| b.is_ascii_hexdigit());
    host.name == typed || is_uid && host.uid.to_string().starts_with(&typed.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(first: u8, name: &str) -> Named<HostUid> {
        Named { uid: HostUid([first; 8]), name: name.into() }
    }

    #[test]
    fn only_names_that_several_have_are_told_apart() {
        let hosts = [host(1, "vm"), host(2, "vm"), host(3, "db"), host(3, "db")];
        let names = HostNames::among(hosts.iter());
        assert_eq!(names.shown(&hosts[0]), "vm 01010101");
        assert_eq!(names.typed(&hosts[1]), "02020202");
        assert_eq!((names.shown(&hosts[2]), names.typed(&hosts[2])), ("db".to_string(), "db".to_string()));
    }

    #[test]
    fn a_host_is_meant_by_its_name_or_its_uid() {
        let abcd = host(0xab, "vm");
        for typed in ["vm", "abab", "ABABABAB", "abababababababab"] {
            assert!(is_meant(typed, &abcd), "{typed}");
        }
        for typed in ["aba", "abac", "v", "", "ababababababababab"] {
            assert!(!is_meant(typed, &abcd), "{typed}");
        }
    }
}
