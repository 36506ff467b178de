//! Owners of every kind, added and removed; epochs; hosts. What the store says is believed only as far as it is proven, and a
//! crash at any moment leaves nothing that cannot be read.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on should stop")]

#[path = "owners/crash.rs"]
mod crash;
#[path = "owners/hosts.rs"]
mod hosts;
#[path = "owners/house.rs"]
mod house;
#[path = "owners/kinds.rs"]
mod kinds;
#[path = "owners/trust.rs"]
mod trust;
