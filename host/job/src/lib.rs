//! The use cases: [`run`] a job, [`restore`] a snapshot, [`notify`] people of what happened. Owns the ports that a source implements ([`Source`]) and that
//! a source is given ([`Intake`], [`Stored`]). Knows the repository; knows no wasmtime, no TOML, no terminal, no clock
//! but the one that is handed in.

mod adopted;
mod commands;
mod content;
mod gap;
mod guard;
pub mod health;
mod intake;
mod left_out;
pub mod limits;
mod local;
mod needed;
pub mod notify;
pub mod port;
mod progress;
mod report;
mod restore;
pub mod retention;
mod rollback;
mod room;
mod run;
mod selection;
mod shown;
mod stored;
pub mod tidy;
pub mod words;

pub use commands::Commands;
pub use gap::{Gap, gap, recovers_further};
pub use guard::Size;
pub use left_out::LeftOut;
pub use local::local;
pub use port::{Content, EntryWriter, Intake, Notifier, Source, Stored};
pub use progress::Progress;
pub use report::{Failure, Report, RestoreReport};
pub use restore::{RestoreJob, Restored, restore};
pub use rollback::{LookBack, Lost, Memory, Seen, look_back, newest};
pub use room::Room;
pub use run::{Clock, House, Job, run};
pub use selection::Selection;
pub use shown::shown;
pub use stored::packs_to_restore;

pub use dozo_repository::{Error, Kind, Result};
