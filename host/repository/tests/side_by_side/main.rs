//! Writers, readers and those who delete, at the same time, on a store that fails: FORMAT.md sections 13 and 14.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod crash;
mod damage;
mod interleaving;
mod leases;
mod model;
mod pruning;
mod stage;
