//! The conformance kit: what every source must hold, whatever language it is written in, tried against the real pipeline and
//! a real repository in a temporary directory. Faults come from wrapped ports: a store that fails at the n-th call, one that
//! is slow, a run that is dropped in the middle.
//!
//! The way in is [`run`]: a loaded plugin, what its author configured ([`KitConfig`]) and where the trial takes place
//! ([`World`]) go in, a [`KitReport`] with one line for each [case](Case) comes out. A case is one promise of the contract; the
//! files in `cases` hold them, `suite` their order. Knows no terminal, no TOML, no clock but the one that is handed in.

mod cases;
mod compare;
mod config;
mod faults;
mod fixture;
pub mod limits;
mod outcome;
mod report;
mod stage;
mod suite;
mod trial;

pub use config::{Contents, GrantList, KitConfig, Previous, Service};
pub use fixture::Fixture;
pub use report::{Case, KitReport, Verdict};
pub use stage::World;
pub use suite::run;
