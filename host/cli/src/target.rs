//! Where a restore goes: a directory that was typed, or a target of the job that the configuration names.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dozo_job::port::{Conflict, Entry, RestoreTarget};
use dozo_job::{Error, LeftOut};
use dozo_plugin::{Access, Directory, Grants, Limits, MadeDirectories, Permit, Planner, Plugin, Reached};

use crate::config::{Loaded, TargetTable};
use crate::context::Context;
use crate::prepare::Prepared;

/// How a restore goes into directories.
#[derive(Clone)]
pub(crate) struct Manner {
    /// What is to become of what is there.
    pub(crate) conflict: Conflict,
    /// Whether owners are taken by their numbers, whatever the names are here.
    pub(crate) by_number: bool,
    /// If what is not in the snapshot is deleted from restored directories: what it cannot tell of.
    pub(crate) delete: Option<Arc<LeftOut>>,
    /// Whether the target takes the whole content of one directory of the snapshot, and so is a restored directory itself.
    pub(crate) is_restored: bool,
    /// Who is shown what would be done; then nothing is written.
    pub(crate) planner: Option<Planner>,
    /// The directory of the snapshot whose content goes straight into the first: where that is made for it, it becomes the same.
    pub(crate) stands_for: Option<Entry>,
}

impl Manner {
    fn of(&self, mut directory: Directory) -> Directory {
        if self.by_number {
            directory = directory.by_number();
        }
        if let Some(left_out) = &self.delete {
            directory = directory.deleting(left_out.clone(), self.is_restored);
        }
        match &self.planner {
            Some(planner) => directory.planning(planner.clone()),
            None => directory,
        }
    }
}

/// Where a restore goes.
pub(crate) enum Target<'a> {
    /// This grants writing there, and nothing else: to the directory, and to those that the plugin knows by name.
    Directory { job: String, path: &'a Path, maps: &'a [(String, String)] },
    /// What its table grants, and nothing else.
    Named { job: String, name: &'a str, table: &'a TargetTable },
}

impl<'a> Target<'a> {
    /// The target that the operator means. A name that the job has is that one; `./NAME` is the directory.
    ///
    /// # Errors
    /// [`Invalid`](dozo_job::Kind::Invalid) if there are directories for names beside a target that is none, or two for one.
    pub(crate) fn of(loaded: &'a Loaded, job: &str, to: &'a Path, maps: &'a [(String, String)]) -> Result<Self, Error> {
        let named = to.to_str().and_then(|name| loaded.config.job.get(job)?.target.get_key_value(name));
        match named {
            Some((name, table)) if maps.is_empty() => Ok(Target::Named { job: job.into(), name, table }),
            Some((name, _)) => Err(Error::invalid(format!("`--map` goes with a directory, and `{name}` is a target"))
                .hinted(format!("`--to ./{name}` is the directory"))),
            None => {
                let mut names = HashSet::new();
                match maps.iter().find(|(name, _)| !names.insert(name)) {
                    Some((name, _)) => Err(Error::invalid(format!("`--map` says twice where `{name}` goes"))),
                    None => Ok(Target::Directory { job: job.into(), path: to, maps }),
                }
            }
        }
    }

    /// The same, as the plugin gets it: a target's configuration is that of its table.
    pub(crate) fn for_plugin(&self, config: String) -> RestoreTarget {
        match self {
            Target::Directory { .. } => RestoreTarget::Directory,
            Target::Named { .. } => RestoreTarget::Service(config),
        }
    }

    /// What the plugin gets there, and what it is permitted.
    pub(crate) async fn prepare(
        &self,
        context: &Context,
        plugin: &Plugin,
        manner: &Manner,
    ) -> anyhow::Result<(Prepared, MadeDirectories)> {
        match self {
            Target::Directory { job, path, maps } => {
                let maps = maps.iter().map(|(_, directory)| Path::new(directory));
                let mut made = MadeDirectories::default();
                let directories = open_directories([*path].into_iter().chain(maps), manner, &mut made)?;
                Ok((into_directories(context, job, directories)?, made))
            }
            Target::Named { job, name, table } => {
                let keys = ["job", job, "target", name];
                let prepared = context.prepare(table.table(&keys, context.loaded.job(job)?), plugin).await?;
                Ok((prepared, MadeDirectories::default()))
            }
        }
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Directory { path, .. } => write!(f, "{}", path.display()),
            Target::Named { name, .. } => write!(f, "the target `{name}`"),
        }
    }
}

/// Makes and opens the directories that were typed, in order.
fn open_directories<'a>(
    paths: impl Iterator<Item = &'a Path>,
    manner: &Manner,
    made: &mut MadeDirectories,
) -> anyhow::Result<Vec<Directory>> {
    let conflict = manner.conflict;
    let (mut directories, mut seen) = (Vec::new(), Vec::<PathBuf>::new());
    for (number, path) in paths.enumerate() {
        let stands_for = manner.stands_for.as_ref().filter(|_| number == 0);
        // What is only planned is not made.
        let reached = match manner.planner {
            Some(_) => Directory::reach(path, conflict, None)?,
            None => Directory::reach(path, conflict, Some(made.until_set(stands_for.is_some())))?,
        };
        let Some(Reached { directory, whole, was_made }) = reached else {
            directories.push(manner.of(nowhere(path, conflict)?));
            continue;
        };
        check_empty(path, &directory, conflict)?;
        let shown = path.display();
        let inside = |other: &PathBuf| whole.starts_with(other) || other.starts_with(&whole);
        if seen.iter().any(inside) {
            return Err(Error::invalid(format!("{shown} is to take two things, or lies in what takes another"))
                .hinted("name another directory")
                .into());
        }
        seen.push(whole);
        let mut directory = manner.of(directory);
        // What was there is the operator's.
        if let Some(entry) = stands_for.filter(|_| was_made) {
            directory = directory.standing_for(entry.clone());
        }
        directory.claim()?;
        directories.push(directory);
    }
    Ok(directories)
}

/// An empty directory that is nowhere, in the place of one that a restore would make.
fn nowhere(path: &Path, conflict: Conflict) -> anyhow::Result<Directory> {
    let empty = tempfile::tempdir().map_err(|e| Error::io("make a temporary directory", e))?;
    let shown = std::path::absolute(path).map_err(|e| Error::io(format!("look at {}", path.display()), e))?;
    Ok(Directory::open_as(empty.path(), &shown, Access::Write(conflict))?)
}

/// Into directories there is nothing of the job's but its limits: no configuration, no secret, no other grant. A plugin that could
/// reach its source would restore over it; and when a server is lost, its configuration and the vault with its password may be, too.
fn into_directories(context: &Context, job: &str, directories: Vec<Directory>) -> anyhow::Result<Prepared> {
    let limits = match context.loaded.config.job.get(job) {
        Some(table) => context.loaded.limits(table.table(&["job", job]))?,
        None => Limits::default(),
    };
    let grants = Grants { directories, ..Grants::default() };
    let permit = Permit { job: job.to_string(), grants, limits, ..Permit::default() };
    Ok(Prepared { config: String::new(), permit })
}

/// A directory that holds something is refused unless the operator said what to do with it.
fn check_empty(to: &Path, directory: &Directory, conflict: Conflict) -> anyhow::Result<()> {
    if conflict != Conflict::Refuse || !directory.holds_something()? {
        return Ok(());
    }
    // What would be refused next is not offered.
    let hint = match directory.has(CLUSTER) {
        true => {
            "it is the data directory of a PostgreSQL cluster, which no restore of a cluster is put over: name another, or move \
             it away; only a restore that was cut off goes on here, with `--conflict replace`"
        }
        false => {
            "name an empty directory; or, for files, `--conflict skip` leaves what is there, `--conflict replace` puts the restored \
             in its place; what is there and not in the snapshot stays with both. A server's data directory is never restored \
             over: stop the server and move it away first"
        }
    };
    Err(Error::invalid(format!("{} is not empty", to.display())).hinted(hint).into())
}

/// Lies in every data directory of PostgreSQL.
const CLUSTER: &str = "PG_VERSION";
