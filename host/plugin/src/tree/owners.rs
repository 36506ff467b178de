//! Users and groups: their names for an entry, and what an entry's names are on this machine. Asked once for each: who answers may
//! be a server.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use dozo_job::port::Posix;
use nix::unistd::{Gid, Group, Uid, User};

/// Answers that are remembered of each kind; there are never more users who own files. Names of a snapshot are only data.
const ANSWERS_MAX: usize = 100_000;

/// What was asked for; none where there is no such user or group.
#[derive(Default)]
pub(super) struct Owners {
    /// Names are not asked for: an entry's numbers are meant as they are.
    pub(super) are_numbers: bool,
    users: Answers<u32, String>,
    groups: Answers<u32, String>,
    user_numbers: Answers<String, u32>,
    group_numbers: Answers<String, u32>,
}

type Answers<K, V> = Mutex<HashMap<K, Option<V>>>;

/// Who an entry's file belongs to on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Here {
    pub(super) user: u32,
    pub(super) group: u32,
    /// One of the names has another number here.
    pub(super) is_renumbered: bool,
}

impl Owners {
    pub(super) fn user(&self, number: u32) -> Option<String> {
        asked(&self.users, number, |number| User::from_uid(Uid::from_raw(*number)).ok().flatten().map(|user| user.name))
    }

    pub(super) fn group(&self, number: u32) -> Option<String> {
        let ask = |number: &u32| Group::from_gid(Gid::from_raw(*number)).ok().flatten().map(|group| group.name);
        asked(&self.groups, number, ask)
    }

    /// By name where this machine has the name, else by number, as `tar` and `rsync` do: `postgres` may have another number on
    /// the machine that takes a server's place. Root is a number; nobody becomes root by name.
    pub(super) fn here(&self, posix: &Posix) -> Here {
        if self.are_numbers {
            return Here { user: posix.uid, group: posix.gid, is_renumbered: false };
        }
        let user = posix.user.as_ref().filter(|_| posix.uid != 0).and_then(|name| {
            let ask = |name: &String| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
            asked(&self.user_numbers, name.clone(), ask).filter(|number| *number != 0)
        });
        let group = posix.group.as_ref().filter(|_| posix.gid != 0).and_then(|name| {
            let ask = |name: &String| Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
            asked(&self.group_numbers, name.clone(), ask).filter(|number| *number != 0)
        });
        let (user, group) = (user.unwrap_or(posix.uid), group.unwrap_or(posix.gid));
        Here { user, group, is_renumbered: (user, group) != (posix.uid, posix.gid) }
    }
}

fn asked<K: Hash + Eq, V: Clone>(answers: &Answers<K, V>, key: K, ask: impl Fn(&K) -> Option<V>) -> Option<V> {
    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(answer) = answers.get(&key) {
        return answer.clone();
    }
    let answer = ask(&key);
    if answers.len() < ANSWERS_MAX {
        answers.insert(key, answer.clone());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posix(uid: u32, user: Option<&str>) -> Posix {
        Posix { uid, gid: uid, user: user.map(Into::into), group: user.map(Into::into), ..Posix::default() }
    }

    #[test]
    fn a_name_counts_more_than_a_number() {
        let (owners, daemon) = (Owners::default(), User::from_name("daemon").unwrap().unwrap().uid.as_raw());
        for (uid, name, expected) in [
            (4_321, Some("daemon"), daemon),
            (daemon, Some("daemon"), daemon),
            (4_321, None, 4_321),
            (4_321, Some("nobody-has-this-name"), 4_321),
            // Neither is root made of a name, nor a name of root.
            (4_321, Some("root"), 4_321),
            (0, Some("daemon"), 0),
        ] {
            let here = owners.here(&posix(uid, name));
            assert_eq!((here.user, here.is_renumbered), (expected, expected != uid), "{uid} {name:?}");
        }
        let numbers = Owners { are_numbers: true, ..Owners::default() };
        assert_eq!(numbers.here(&posix(4_321, Some("daemon"))).user, 4_321);
    }
}
