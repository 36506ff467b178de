//! What a configuration needs of the host, as [`Source::needs`](crate::Source::needs) says it.

use crate::{Needs, ProgramNeed};

/// Nothing.
///
/// ```
/// use dozo_sdk::{Needs, ProgramNeed};
///
/// let git = ProgramNeed::new("/usr/bin/git -C /srv/git/site.git bundle create - --all").reads("/srv/git");
/// let needs = Needs { programs: vec![git], ..Needs::default() };
/// assert!(needs.network.is_empty());
/// ```
impl Default for Needs {
    fn default() -> Self {
        Needs { network: vec![], read: vec![], write: vec![], programs: vec![], exclusive: vec![] }
    }
}

impl ProgramNeed {
    /// A command line: the program's absolute path, then its arguments in shell quoting, `*` in them for what varies, and
    /// `**` at the end for any more.
    pub fn new(run: impl Into<String>) -> Self {
        ProgramNeed { run: run.into(), read: vec![], write: vec![] }
    }

    /// And a file or directory, absolute, that it reads, beside those of the system that every program may read.
    #[must_use]
    pub fn reads(mut self, path: impl Into<String>) -> Self {
        self.read.push(path.into());
        self
    }

    /// And one that it writes.
    #[must_use]
    pub fn writes(mut self, path: impl Into<String>) -> Self {
        self.write.push(path.into());
        self
    }
}

impl From<&str> for ProgramNeed {
    fn from(run: &str) -> Self {
        ProgramNeed::new(run)
    }
}

impl From<String> for ProgramNeed {
    fn from(run: String) -> Self {
        ProgramNeed::new(run)
    }
}
