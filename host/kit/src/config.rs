//! What a plugin is tried with: the same things as a job's, as data, because the kit takes some of them away.

use std::path::{Path, PathBuf};

use dozo_job::Result;
use dozo_plugin::{Access, Directory, Grants, Limits, Network, NetworkGrant, ProgramGrant, Programs, Secrets};

use crate::fixture::Fixture;

/// What the author of a plugin gives the kit to try it with.
#[derive(Clone, Default)]
pub struct KitConfig {
    /// The plugin's table as JSON, secrets in place.
    pub config: String,
    /// The same with a word in place of each secret: what a plugin gets before anybody may see them.
    pub pretended: String,
    /// What must not be told.
    pub secrets: Secrets,
    /// What the operator would grant.
    pub grants: GrantList,
    /// What the plugin may use.
    pub limits: Limits,
    /// A service that a snapshot is restored to, beside a directory of the kit's.
    pub service: Option<Service>,
    /// Whether a second run is expected to take over what has not changed.
    pub previous: Previous,
    /// Whether the same source gives the same bytes.
    pub contents: Contents,
    /// What makes the source, and changes it.
    pub fixture: Fixture,
}

/// A throw-away target of restores, such as another database.
#[derive(Clone, Debug)]
pub struct Service {
    /// The plugin's table for it as JSON, secrets in place.
    pub config: String,
    /// What it needs.
    pub grants: GrantList,
}

/// What a second run does with what the first one stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Previous {
    /// Takes over what has not changed.
    #[default]
    Used,
    /// Reads everything: the source cannot tell what has changed.
    Unused,
}

/// What the same source gives when it is read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contents {
    /// The same bytes, but for entries that were seen to differ.
    #[default]
    Same,
    /// Other bytes in any entry: a dump with the time in it, something encrypted.
    Vary,
    /// Other entries too: each backup holds a part of the source's history, such as a base backup and a log. Only what both of two
    /// have is compared, and what was restored not at all: that takes the source's own programs.
    History,
}

/// Grants as they are written.
#[derive(Clone, Debug, Default)]
pub struct GrantList {
    /// Directories to read.
    pub read: Vec<PathBuf>,
    /// Targets of connections.
    pub network: Vec<NetworkGrant>,
    /// Programs.
    pub programs: Vec<ProgramGrant>,
}

/// Which grant of a list: for taking one away.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    Read(usize),
    Network(usize),
    Program(usize),
}

impl GrantList {
    /// Opens the directories, reads the targets and command lines.
    pub(crate) fn open(&self) -> Result<Grants> {
        self.open_below(Path::new("/"))
    }

    /// The same with the directories as they lie below another root: the plugin sees them where they always were, and reads
    /// what was restored.
    pub(crate) fn open_below(&self, root: &Path) -> Result<Grants> {
        let open = |path: &PathBuf| {
            let real = root.join(path.strip_prefix("/").unwrap_or(path));
            Directory::open_as(&real, path, Access::Read)
        };
        Ok(Grants {
            directories: self.read.iter().map(open).collect::<Result<_>>()?,
            network: Network::new(self.network.clone())?,
            programs: Programs::new(self.programs.clone())?.through_this_binary(),
        })
    }

    /// Every grant, with how it is written.
    pub(crate) fn each(&self) -> Vec<(Which, String)> {
        let read = self.read.iter().enumerate().map(|(n, path)| (Which::Read(n), format!("read {path:?}")));
        let network = self.network.iter().enumerate();
        let network = network.map(|(n, grant)| (Which::Network(n), format!("network {:?}", grant.target)));
        let programs = self.programs.iter().enumerate();
        let programs = programs.map(|(n, grant)| (Which::Program(n), format!("programs {:?}", grant.command)));
        read.chain(network).chain(programs).collect()
    }

    /// All but one.
    pub(crate) fn without(&self, which: Which) -> Self {
        let mut less = self.clone();
        match which {
            Which::Read(n) => drop(less.read.remove(n)),
            Which::Network(n) => drop(less.network.remove(n)),
            Which::Program(n) => drop(less.programs.remove(n)),
        }
        less
    }

    /// That one alone.
    pub(crate) fn only(&self, which: Which) -> Self {
        match which {
            Which::Read(n) => GrantList { read: vec![self.read[n].clone()], ..GrantList::default() },
            Which::Network(n) => GrantList { network: vec![self.network[n].clone()], ..GrantList::default() },
            Which::Program(n) => GrantList { programs: vec![self.programs[n].clone()], ..GrantList::default() },
        }
    }
}
