//! There and back: what was backed up is restored, backed up once more, and compared, in each way that the plugin has. Where it
//! restores into a directory, it then reads that directory as if it were its source; where it restores to a service, kit.toml
//! names one to throw away. As in the host, no configuration goes along into a directory, and no directory to a service.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use dozo_job::port::{Conflict, EntryKind, RestoreTarget, Scope};
use dozo_job::{Error, Kind, RestoreReport, Result};
use dozo_plugin::{Access, Directory, Grants, WasmSource, died};
use dozo_repository::{StoredEntry, path};

use crate::compare::{Depth, blocking, equal, read_all};
use crate::config::{Contents, GrantList, Service};
use crate::faults::{Faulty, Plan};
use crate::outcome::{Ended, Outcome, told};
use crate::stage::Taken;
use crate::trial::{Calls, TRAP, Trial};

/// Where a restore goes.
#[derive(Clone, Copy)]
pub(crate) enum Way<'a> {
    /// Into an empty directory.
    Directory(&'a Path),
    /// To the service of kit.toml.
    Service(&'a Service),
}

impl Way<'_> {
    /// The plugin as such a restore is permitted, and what it is told.
    pub(crate) fn prepare(self, trial: &Trial, plan: Plan) -> Result<(Faulty, RestoreTarget)> {
        let (grants, target) = match self {
            Way::Directory(path) => {
                let directories = vec![Directory::open(path, Access::Write(Conflict::Refuse))?];
                (Grants { directories, ..Grants::default() }, RestoreTarget::Directory)
            }
            Way::Service(service) => (service.grants.open()?, RestoreTarget::Service(service.config.clone())),
        };
        Ok((Faulty::new(trial.source_with(grants, trial.config.limits.clone())?, plan), target))
    }
}

/// A plugin has one way, or both: each that it has must work.
pub(crate) async fn round_trip(trial: &Trial) -> Outcome {
    let (first, _) = trial.first()?;
    let (mut notes, mut skipped) = (Vec::new(), Vec::new());
    for outcome in [into_directory(trial, first).await, to_service(trial, first).await] {
        match outcome {
            Ok(said) => notes.extend(said),
            Err(Ended::Skipped { why }) => skipped.push(why),
            Err(failed) => return Err(failed),
        }
    }
    if notes.is_empty() {
        let (bytes, entries) = (read_all(first).await?, first.entries.len());
        let why = skipped.join("; ");
        return Err(Ended::skipped(format!("{why}; all {entries} entries were read back, {bytes} bytes")));
    }
    Ok(notes.into_iter().chain(skipped).collect())
}

async fn into_directory(trial: &Trial, first: &Taken) -> Outcome {
    let directory = trial.stage.directory("restored")?;
    let (source, target) = Way::Directory(&directory).prepare(trial, Plan::Count)?;
    let report = match trial.stage.restore(first, &source, target).await {
        Ok(report) => report,
        Err(error) => return Err(not_restored(&error, "into a directory")),
    };
    let _ = trial.directory_calls.set(Calls(source.calls()));
    let compared = look(trial, first, &directory).await?;
    Ok(notes(&report, "into a directory", compared))
}

async fn to_service(trial: &Trial, first: &Taken) -> Outcome {
    let Some(service) = &trial.config.service else { return Err(without_service(trial, first).await?) };
    let (source, target) = Way::Service(service).prepare(trial, Plan::Count)?;
    let report = match trial.stage.restore(first, &source, target).await {
        Ok(report) => report,
        // A service is named in kit.toml, so the plugin must know what to do with it.
        Err(error) if error.kind() == Kind::Unsupported => {
            let advice = "leave `[restore]` out of kit.toml: a restore into a directory needs none";
            return Err(Ended::failed(format!("it does not restore to a service: {}", told(&error)), advice));
        }
        Err(error) => return Err(not_restored(&error, "to a service")),
    };
    let _ = trial.service_calls.set(Calls(source.calls()));
    let source = trial.source_with(service.grants.open()?, trial.config.limits.clone())?;
    let compared = again(trial, first, (source, &service.config), Depth::Contents).await?;
    Ok(notes(&report, "to a service", compared))
}

/// What a plugin says of a service when there is none to throw away: without a grant it reaches none.
async fn without_service(trial: &Trial, first: &Taken) -> Result<Ended> {
    let source = trial.source_with(Grants::default(), trial.config.limits.clone())?;
    let target = RestoreTarget::Service(trial.config.pretended.clone());
    match trial.stage.restore(first, &source, target).await {
        Err(error) if error.kind() == Kind::Unsupported || died(&error.to_string()) => {
            Ok(not_restored(&error, "to a service"))
        }
        Err(_) => Ok(Ended::skipped("it restores to a service: name one to throw away in `[restore]` of kit.toml")),
        Ok(_) => Ok(Ended::failed(
            "a restore to a service that it cannot reach went through",
            "a plugin that restores into directories alone says `unsupported` of a service",
        )),
    }
}

/// A plugin need not restore, or not so.
fn not_restored(error: &Error, whereto: &str) -> Ended {
    if died(&error.to_string()) {
        return Ended::failed(format!("the restore {whereto} died: {}", error.chain()), TRAP);
    }
    if error.kind() != Kind::Unsupported {
        let unknown = "what cannot be restored so is `unsupported`; a restore that the plugin offers must work";
        let advice = error.hint().unwrap_or(unknown);
        return Ended::failed(format!("the restore {whereto} failed: {}", told(error)), advice);
    }
    Ended::skipped(format!("it does not restore {whereto}"))
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

/// Holds what was restored into a directory against what was backed up; returns how closely that could be done.
async fn look(trial: &Trial, first: &Taken, directory: &Path) -> Outcome<Compared> {
    let mirrored = mirrored(&trial.config.grants, directory);
    if !mirrored.read.is_empty() {
        let source = trial.source_with(mirrored.open_below(directory)?, trial.config.limits.clone())?;
        return again(trial, first, (source, &trial.config.config), Depth::Metadata).await;
    }
    match trial.config.contents {
        Contents::History => Ok(Compared::Not),
        Contents::Same | Contents::Vary => files(first, directory).await.map(|()| Compared::Files),
    }
}

/// Backs up what was restored, and compares.
async fn again(trial: &Trial, first: &Taken, (source, config): (WasmSource, &str), depth: Depth) -> Outcome<Compared> {
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
        let advice =
            "restore each entry under its path; a name that no file can have as `dozo ls` shows it, as the SDK does";
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
        place.push(OsString::from_vec(file_name(name)?));
    }
    Ok(place)
}

/// The name of a file for a name of the source: as it is; or as it is escaped, if no file can have it or it looks like one that
/// is. `to_directory` of the SDK does the same.
fn file_name(escaped: &str) -> Result<Vec<u8>> {
    let name = path::unescape(escaped)?;
    let mut meant = name.clone();
    loop {
        if meant == b"." || meant == b".." || meant.contains(&b'/') || meant.contains(&0) {
            return Ok(escaped.as_bytes().to_vec());
        }
        match std::str::from_utf8(&meant).ok().and_then(|text| path::unescape(text).ok()) {
            Some(inner) if inner != meant && path::escape(&inner).as_bytes() == meant => meant = inner,
            _ => return Ok(name),
        }
    }
}

fn notes(report: &RestoreReport, whereto: &str, compared: Compared) -> Vec<String> {
    let compared = match compared {
        Compared::Not | Compared::Again(Depth::Shared) => "kit.toml says that it is a part of a history: not compared",
        Compared::Files => "every file lies in the directory with its bytes",
        Compared::Again(Depth::Names) => "backed up again: paths and kinds are the same; contents vary, says kit.toml",
        Compared::Again(Depth::Contents) => "backed up again: paths, kinds and bytes are the same",
        Compared::Again(Depth::Metadata) => "backed up again: paths, kinds, bytes and metadata are the same",
    };
    let first = format!("{} entries, {} bytes restored {whereto}; {compared}", report.entries, report.bytes_read);
    std::iter::once(first).chain(report.notes.iter().cloned()).collect()
}
