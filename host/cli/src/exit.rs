//! Exit codes: part of the interface.

use std::process::ExitCode;

use dozo_job::Kind;

use crate::config::ConfigError;

/// What the process tells its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Usage or configuration.
    Usage = 2,
    /// Done, but not all: the report says what is missing.
    Partial = 3,
    /// The repository is damaged.
    Damaged = 5,
    /// Somebody else is at work on the same.
    Busy = 6,
    /// Interrupted.
    Interrupted = 130,
}

impl Exit {
    /// Of several, the one that the caller must know most of all.
    pub(crate) fn worst(self, other: Exit) -> Exit {
        let rank = |exit| match exit {
            Exit::Interrupted => 6,
            Exit::Usage => 5,
            Exit::Damaged => 4,
            Exit::Failed => 3,
            Exit::Busy => 2,
            Exit::Partial => 1,
            Exit::Done => 0,
        };
        if rank(other) > rank(self) { other } else { self }
    }

    /// What an error means to the caller.
    pub(crate) fn of(error: &anyhow::Error) -> Exit {
        error.chain().find_map(Exit::of_cause).unwrap_or(Exit::Failed)
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
        if cause.is::<ConfigError>() {
            return Some(Exit::Usage);
        }
        let error = cause.downcast_ref::<dozo_job::Error>()?;
        Some(Exit::of_kind(error.kind()))
    }

    /// What a kind of error means to the caller.
    pub(crate) fn of_kind(kind: Kind) -> Exit {
        match kind {
            Kind::Invalid | Kind::NotGranted => Exit::Usage,
            Kind::Corrupt => Exit::Damaged,
            Kind::Busy => Exit::Busy,
            Kind::Unavailable | Kind::Denied | Kind::Unsupported | Kind::Internal => Exit::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
