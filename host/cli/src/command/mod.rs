//! One file for each command: resolve, call one use case, print.

pub(crate) mod accept;
mod around;
pub(crate) mod cat;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod hold;
pub(crate) mod init;
pub(crate) mod join;
pub(crate) mod key;
pub(crate) mod ls;
pub(crate) mod mirror;
pub(crate) mod notify;
pub(crate) mod plugin;
pub(crate) mod prune;
pub(crate) mod repair;
pub(crate) mod restore;
pub(crate) mod run;
pub(crate) mod snapshots;
pub(crate) mod sources;
pub(crate) mod status;
pub(crate) mod verify;
