//! The cases, one file for each kind of promise.

pub(crate) mod after;
pub(crate) mod backup;
pub(crate) mod cancel;
pub(crate) mod configuration;
pub(crate) mod description;
pub(crate) mod grants;
pub(crate) mod interrupt;
pub(crate) mod memory;
pub(crate) mod network;
pub(crate) mod notify;
pub(crate) mod restore;
mod schema;
pub(crate) mod slow;
