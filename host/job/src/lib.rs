//! The use cases: [`run`] a job, [`restore`] a snapshot, [`notify`] people of what happened. Owns the ports that a source implements ([`Source`]) and that
//! a source is given ([`Intake`], [`Stored`]). Knows the repository; knows no wasmtime, no TOML, no terminal, no clock
//! but the one that is handed in.

mod content;
<<<<<<< HEAD
mod guard;
=======
mod gap;
pub mod health;
>>>>>>> cf4c60f (Nothing is silent: status judges, people hear of all work, plans need nothing but to read, dead leases are passed over)
mod intake;
pub mod limits;
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
mod stored;
pub mod tidy;
pub mod words;

<<<<<<< HEAD
pub use guard::Size;
=======
pub use gap::{Gap, gap, recovers_further};
>>>>>>> cf4c60f (Nothing is silent: status judges, people hear of all work, plans need nothing but to read, dead leases are passed over)
pub use port::{Content, EntryWriter, Intake, Notifier, Source, Stored};
pub use progress::Progress;
pub use report::{Failure, Report, RestoreReport};
pub use restore::{RestoreJob, Restored, restore};
pub use rollback::{LookBack, Lost, Memory, Seen, look_back, newest};
pub use room::Room;
pub use run::{Clock, House, Job, run};
pub use selection::Selection;
pub use stored::packs_to_restore;

pub use dozo_repository::{Error, Kind, Result};
