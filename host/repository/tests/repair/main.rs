//! Mirrors; and damage: found, recorded, stored again, healed from a mirror or from the packs themselves, and given up.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[path = "../side_by_side/stage/mod.rs"]
mod stage;

mod forged;
mod healed;
mod mirror;
mod pair;
mod stopped;
mod verified;
