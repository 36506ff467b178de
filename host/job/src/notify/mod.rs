//! Telling people: what of a run is told (`event`), who hears of it, and how often it is tried (`tell`).

mod event;
mod tell;

pub use event::{event_of_no_run, event_of_run, event_of_test};
pub use tell::{Listener, Told, tell};
