//! Telling people: what of a run or of other work is told (`event`), with what to type (`next`), who hears of it, and how often it is tried (`tell`).

mod event;
mod next;
mod tell;

pub use event::{event_of_no_run, event_of_run, event_of_test, event_of_upkeep};
pub use tell::{Listener, Told, tell};
