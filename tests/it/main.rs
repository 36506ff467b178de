//! Whole-system tests: the real binary, real components, real files. Run by `cargo xtask test`, which builds what they
//! need first.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on should stop, and say why")]

mod glacier;
mod house;
mod keys;
mod ports;
mod server;

mod agree;
mod check;
mod clock;
mod cold;
mod contract;
mod cost;
mod crash;
mod documents;
mod examples;
mod fidelity;
mod filesystem;
mod forest;
mod guard;
mod hardened;
mod hostile;
mod kit;
mod leases;
mod new_machine;
mod notify;
mod outages;
mod output;
mod plugins;
mod postgres;
mod programs;
mod proxied_plugins;
mod proxies;
mod recover;
mod restoring;
mod rollback;
mod rules;
mod selecting;
mod selection;
mod side_by_side;
mod status;
mod stores;
mod transcripts;
