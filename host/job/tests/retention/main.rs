//! Retention from outside: facts in, fates out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod guards;
mod house;
mod properties;
mod rules;
mod suspicious;
mod year;
mod zones;
