//! Which programs a plugin may start, and how one is run.

use std::path::PathBuf;
use std::sync::Arc;

use dozo_job::Result;

/// A program that the operator wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramGrant {
    /// A command line: absolute path, then arguments, in shell quoting. In an argument `*` is any text; `**` at the end is any
    /// more arguments.
    pub command: String,
    /// Files and directories that it may read, beside the system's own (programs, libraries, zones, resolver, certificates).
    pub read: Vec<PathBuf>,
    /// Files and directories that it may write.
    pub write: Vec<PathBuf>,
}

/// The programs that one plugin may start in one job. Default: none.
#[derive(Clone, Default)]
pub struct Programs(Option<Arc<Vec<ProgramGrant>>>);

impl Programs {
    /// Reads the command lines.
    ///
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid), with the command line, if one is not quoted right or its path is not absolute.
    pub fn new(grants: Vec<ProgramGrant>) -> Result<Self> {
        Ok(Programs(Some(Arc::new(grants))))
    }

    /// Whether a command line that a plugin says it needs is granted: each of its arguments by one that is as wide.
    pub fn admits(&self, need: &str) -> bool {
        self.0.as_ref().is_some_and(|grants| grants.iter().any(|grant| grant.command == need))
    }
}
