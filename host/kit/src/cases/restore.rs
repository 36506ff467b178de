//! There and back: what was backed up is restored, backed up once more, and compared. Where the plugin restores into a
//! directory, it then reads that directory as if it were its source; where it restores into a service, kit.toml names one to
//! throw away.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use dozo_job::port::{Conflict, EntryKind, Scope};
use dozo_job::{Error, Kind, RestoreReport, Result};
use dozo_plugin::{Access, Directory, Grants, died};
use dozo_repository::{StoredEntry, path};

use crate::compare::{Depth, blocking, equal, read_all};
use crate::config::{Contents, GrantList};
use crate::faults::{Faulty, Plan};
use crate::outcome::{Ended, Outcome, told};
use crate::stage::Taken;
use crate::trial::{Calls, TRAP, Trial};

pub(crate) async fn round_trip(trial: &Trial) -> Outcome {
    let (first, _) = trial.first()?;
    let target = trial.stage.directory("restored")?;
    let source = faulty(trial, &target, Plan::Count)?;
    let report = match trial.stage.restore(first, &source, config(trial)).await {
        Ok(report) => report,
        Err(error) => return Err(not_restored(trial, first, error).await?),
    };
    let _ = trial.restore_calls.set(Calls(source.calls()));
    let depth = look(trial, first, &target).await?;
    Ok(notes(&report, depth))
}

/// The plugin as a restore is permitted: to write into one directory, and what kit.toml grants for restoring.
pub(crate) fn faulty(trial: &Trial, target: &Path, plan: Plan) -> Result<Faulty> {
    let mut grants = match &trial.config.restore {
        Some(restore) => restore.grants.open()?,
        None => Grants::default(),
    };
    grants.directories.insert(0, Directory::open(target, Access::Write(Conflict::Refuse))?);
    Ok(Faulty::new(trial.source_with(grants, trial.config.limits.clone())?, plan))
}

/// The configuration for restoring: none without a target of its own, because the source must not be written to.
pub(crate) fn config(trial: &Trial) -> &str {
    trial.config.restore.as_ref().map_or("", |restore| &restore.config)
}

/// A plugin need not restore; then every content is at least read back.
async fn not_restored(trial: &Trial, first: &Taken, error: Error) -> Result<Ended> {
    let without_target = trial.config.restore.is_none() && matches!(error.kind(), Kind::Invalid | Kind::NotGranted);
    if died(&error.to_string()) {
        return Ok(Ended::failed(format!("the restore died: {}", error.chain()), TRAP));
    }
    if error.kind() != Kind::Unsupported && !without_target {
        let advice = error.hint().unwrap_or("a restore that the plugin offers must work").to_string();
        return Ok(Ended::failed(format!("the restore failed: {}", told(&error)), advice));
    }
    let bytes = read_all(first).await?;
    let why = match without_target {
        true => {
            format!("it restores elsewhere than into a directory: name a target in `[restore]` of kit.toml ({error})")
        }
        false => "it does not restore".into(),
    };
    Ok(Ended::skipped(format!("{why}; all {} entries were read back, {bytes} bytes", first.entries.len())))
}

/// How what was restored was held against what was backed up.
#[derive(Clone, Copy)]
enum Compared {
    /// Not at all.
    Not,
    /// Files in a directory against the snapshot's contents.
    Files,
    /// Another backup of it against the first.
    Again(Depth),
}

/// Holds what was restored against what was backed up; returns how closely that could be done.
async fn look(trial: &Trial, first: &Taken, target: &Path) -> Outcome<Compared> {
    let mirrored = mirrored(&trial.config.grants, target);
    let (grants, config, depth) = match &trial.config.restore {
        Some(restore) => (restore.grants.open()?, &restore.config, Depth::Contents),
        None if !mirrored.read.is_empty() => (mirrored.open_below(target)?, &trial.config.config, Depth::Metadata),
        None if trial.config.contents == Contents::History => return Ok(Compared::Not),
        None => return files(first, target).await.map(|()| Compared::Files),
    };
    let source = trial.source_with(grants, trial.config.limits.clone())?;
    let report = trial.stage.run("restored", &source, (config, Scope::Full)).await?;
    let second = trial.complete(report).await?;
    match trial.differences(first, &second, depth).await?.sentence() {
        None => Ok(Compared::Again(trial.depth(depth))),
        Some(differences) => {
            let advice =
                "a restore must bring back everything that the backup took, or the backup say what it leaves out";
            Err(Ended::failed(format!("what was restored is not what was there: {differences}"), advice))
        }
    }
}

/// The grants with those directories that came back below the target.
fn mirrored(grants: &GrantList, target: &Path) -> GrantList {
    let is_there = |path: &&PathBuf| target.join(path.strip_prefix("/").unwrap_or(path)).is_dir();
    GrantList { read: grants.read.iter().filter(is_there).cloned().collect(), ..grants.clone() }
}

/// Every file of the snapshot must lie in the target with the same bytes.
async fn files(first: &Taken, target: &Path) -> Outcome<()> {
    for stored in first.entries.iter().filter(|stored| stored.entry.kind == EntryKind::File) {
        let shown = path::shown(&stored.entry.path);
        let advice = "restore each entry under its path; or name another target in `[restore]` of kit.toml";
        let Ok(file) = File::open(place(target, stored)?) else {
            return Err(Ended::failed(format!("`{shown}` was not restored into the directory"), advice));
        };
        let content = first.reader.content(stored, 0, &first.data)?;
        if !blocking(move || equal(content, file)).await? {
            return Err(Ended::failed(format!("`{shown}` was restored with other bytes"), advice));
        }
    }
    Ok(())
}

fn place(target: &Path, stored: &StoredEntry) -> Result<PathBuf> {
    let mut place = target.to_path_buf();
    for name in stored.entry.path.split('/') {
        place.push(OsString::from_vec(path::unescape(name)?));
    }
    Ok(place)
}

fn notes(report: &RestoreReport, compared: Compared) -> Vec<String> {
    let compared = match compared {
        Compared::Not | Compared::Again(Depth::Shared) => "kit.toml says that it is a part of a history: not compared",
        Compared::Files => "every file lies in the directory with its bytes",
        Compared::Again(Depth::Names) => "backed up again: paths and kinds are the same; contents vary, says kit.toml",
        Compared::Again(Depth::Contents) => "backed up again: paths, kinds and bytes are the same",
        Compared::Again(Depth::Metadata) => "backed up again: paths, kinds, bytes and metadata are the same",
    };
    let first = format!("{} entries, {} bytes restored; {compared}", report.entries, report.bytes_read);
    std::iter::once(first).chain(report.notes.iter().cloned()).collect()
}
