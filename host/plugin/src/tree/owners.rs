//! Users and groups: their names for an entry, and what an entry's names are on this machine. Asked once for each: who answers may
//! be a server.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use dozo_job::port::Posix;
use nix::errno::Errno;
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

type Answers<K, V> = Mutex<HashMap<K, Answer<V>>>;

/// Whom there is, or that nobody could be asked: that is not the answer that there is nobody.
type Answer<V> = Result<Option<V>, Unasked>;

/// What keeps the names of this machine failed: a file that may not be read, a server that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unasked;

/// Who an entry's file belongs to on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Here {
    pub(super) user: u32,
    pub(super) group: u32,
    /// One of the names has another number here.
    pub(super) is_renumbered: bool,
    /// Nobody could be asked for a name, so that the number was taken.
    pub(super) is_unasked: bool,
}

impl Owners {
    pub(super) fn user(&self, number: u32) -> Answer<String> {
        asked(&self.users, number, |number| Ok(User::from_uid(Uid::from_raw(*number))?.map(|user| user.name)))
    }

    pub(super) fn group(&self, number: u32) -> Answer<String> {
        asked(&self.groups, number, |number| Ok(Group::from_gid(Gid::from_raw(*number))?.map(|group| group.name)))
    }

    /// By name where this machine has the name, else by number, as `tar` and `rsync` do: `postgres` may have another number on
    /// the machine that takes a server's place. Root is a number; nobody becomes root by name.
    pub(super) fn here(&self, posix: &Posix) -> Here {
        if self.are_numbers {
            return Here { user: posix.uid, group: posix.gid, is_renumbered: false, is_unasked: false };
        }
        let user = numbered(&self.user_numbers, (posix.user.as_ref(), posix.uid), |name| {
            Ok(User::from_name(name)?.map(|user| user.uid.as_raw()))
        });
        let group = numbered(&self.group_numbers, (posix.group.as_ref(), posix.gid), |name| {
            Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
        });
        let is_unasked = user.is_err() || group.is_err();
        let (user, group) = (user.unwrap_or(posix.uid), group.unwrap_or(posix.gid));
        Here { user, group, is_renumbered: (user, group) != (posix.uid, posix.gid), is_unasked }
    }
}

/// The number that an owner's name has here; the owner's own where it has none.
fn numbered(
    answers: &Answers<String, u32>,
    (name, number): (Option<&String>, u32),
    ask: impl Fn(&String) -> Result<Option<u32>, Errno>,
) -> Result<u32, Unasked> {
    let Some(name) = name.filter(|_| number != 0) else { return Ok(number) };
    let here = asked(answers, name.clone(), ask)?;
    Ok(here.filter(|here| *here != 0).unwrap_or(number))
}

fn asked<K: Hash + Eq, V: Clone>(
    answers: &Answers<K, V>,
    key: K,
    ask: impl Fn(&K) -> Result<Option<V>, Errno>,
) -> Answer<V> {
    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(answer) = answers.get(&key) {
        return answer.clone();
    }
    let answer = match ask(&key) {
        // Some say so that there is nobody, or have no list at all (getpwnam(3)).
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        answer => answer.map_err(|_| Unasked),
    };
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
