//! The names of users and groups. Asked once for each number: who answers may be a server.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use nix::unistd::{Gid, Group, Uid, User};

/// Names by number; none where the number has none.
#[derive(Default)]
pub(super) struct Owners {
    users: Mutex<HashMap<u32, Option<String>>>,
    groups: Mutex<HashMap<u32, Option<String>>>,
}

impl Owners {
    pub(super) fn user(&self, number: u32) -> Option<String> {
        let ask = |number| User::from_uid(Uid::from_raw(number)).ok().flatten().map(|user| user.name);
        known(&self.users, number, ask)
    }

    pub(super) fn group(&self, number: u32) -> Option<String> {
        let ask = |number| Group::from_gid(Gid::from_raw(number)).ok().flatten().map(|group| group.name);
        known(&self.groups, number, ask)
    }
}

fn known(
    names: &Mutex<HashMap<u32, Option<String>>>,
    number: u32,
    ask: impl Fn(u32) -> Option<String>,
) -> Option<String> {
    let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
    names.entry(number).or_insert_with(|| ask(number)).clone()
}
