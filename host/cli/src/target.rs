//! Where a restore goes: a directory that was typed, or a target of the job that the configuration names.

use std::fmt;
use std::path::Path;

use dozo_job::Error;
use dozo_job::port::Conflict;
use dozo_plugin::{Access, Directory, Grants, Limits, Permit, Plugin};

use crate::config::{Loaded, Secrecy, TargetTable};
use crate::context::Context;
use crate::prepare::Prepared;

/// Where a restore goes.
pub(crate) enum Target<'a> {
    /// This grants writing there, and nothing else.
    Directory { job: &'a str, path: &'a Path },
    /// What its table grants, and nothing else.
    Named { job: &'a str, name: &'a str, table: &'a TargetTable },
}

impl<'a> Target<'a> {
    /// The target that the operator means. A name that the job has is that one; `./NAME` is the directory.
    pub(crate) fn of(loaded: &'a Loaded, job: &'a str, to: &'a Path) -> Self {
        let named = to.to_str().and_then(|name| loaded.config.job.get(job)?.target.get_key_value(name));
        match named {
            Some((name, table)) => Target::Named { job, name, table },
            None => Target::Directory { job, path: to },
        }
    }

    /// What the plugin gets there, and what it is permitted.
    pub(crate) async fn prepare(
        &self,
        context: &Context,
        plugin: &Plugin,
        conflict: Conflict,
    ) -> anyhow::Result<Prepared> {
        match self {
            Target::Directory { job, path } => into_directory(context, job, path, plugin, conflict),
            Target::Named { job, name, table } => {
                let keys = ["job", job, "target", name];
                context.prepare(table.table(&keys, context.loaded.job(job)?), plugin).await
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

/// On another machine there is no configuration of the job, and none is needed.
fn into_directory(
    context: &Context,
    job: &str,
    path: &Path,
    plugin: &Plugin,
    conflict: Conflict,
) -> anyhow::Result<Prepared> {
    make_directory(path, conflict)?;
    let grants = Grants { directories: vec![Directory::open(path, Access::Write(conflict))?], ..Grants::default() };
    let mut permit = Permit { job: job.to_string(), grants, limits: Limits::default(), ..Permit::default() };
    let mut config = String::new();
    if let Some(table) = context.loaded.config.job.get(job) {
        let keys = ["job", job];
        let table = table.table(&keys);
        let resolved = context.loaded.resolve(table, &plugin.description().config_schema, Secrecy::Fetch)?;
        permit.limits = context.loaded.limits(table)?;
        (config, permit.secrets) = (resolved.json, resolved.secrets);
    }
    Ok(Prepared { config, permit })
}

/// Makes the directory; one that holds something is refused unless the operator said what to do with it.
fn make_directory(to: &Path, conflict: Conflict) -> anyhow::Result<()> {
    let shown = to.display();
    std::fs::create_dir_all(to).map_err(|e| Error::io(format!("make the directory {shown}"), e))?;
    let mut inside = std::fs::read_dir(to).map_err(|e| Error::io(format!("look into {shown}"), e))?;
    if conflict == Conflict::Refuse && inside.next().is_some() {
        return Err(Error::invalid(format!("{shown} is not empty"))
            .hinted("`--conflict skip` leaves what is there, `--conflict replace` puts the restored in its place")
            .into());
    }
    Ok(())
}
