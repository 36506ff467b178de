//! Damage: found, recorded, stored again, healed from a mirror or from the packs themselves, and given up.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[path = "../pair/mod.rs"]
mod pair;
#[path = "../stage/mod.rs"]
mod stage;

mod forged;
mod healed;
mod stopped;
mod verified;
