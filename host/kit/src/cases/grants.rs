//! Grants: what a plugin says it needs is what it needs, and without it nothing is backed up.

use std::path::{Path, PathBuf};

use dozo_job::port::{Needs, ProgramNeed};
use dozo_job::{Kind, Result};
use dozo_plugin::{Network, ProgramGrant, Programs, died};

use crate::config::GrantList;
use crate::outcome::{Ended, Outcome, told};
use crate::trial::{TRAP, Trial, in_words};

pub(crate) async fn requires(trial: &Trial) -> Outcome {
    let failed = |what: &str, error: dozo_job::Error| {
        let advice = "`requires` reads the configuration and asks nobody: no grant, no secret, no connection";
        Ended::failed(format!("{what}: {}", told(&error)), if died(&error.to_string()) { TRAP } else { advice })
    };
    let config = &trial.config;
    let needs = trial.plugin.needs(&config.config, config.secrets.clone()).await;
    let needs = needs.map_err(|e| failed("`requires` fails", e))?;
    let pretended = trial.plugin.needs(&config.pretended, config.secrets.clone()).await;
    let pretended = pretended.map_err(|e| failed("without the secrets `requires` fails", e))?;
    if needs != pretended {
        let why = format!("with the secrets it needs {needs:?}, without them {pretended:?}");
        return Err(Ended::failed(why, "what is needed must not depend on a secret: it is shown to everybody"));
    }
    match uncovered(&needs, &config.grants)?.as_slice() {
        [] => Ok(notes(&needs)),
        missing => Err(Ended::failed(
            format!("it needs what was not granted: {}", missing.join(", ")),
            "add it to `[grant]` of kit.toml",
        )),
    }
}

fn notes(needs: &Needs) -> Vec<String> {
    let list = [("read", &needs.read), ("network", &needs.network)];
    let list = list.into_iter().flat_map(|(key, list)| list.iter().map(move |need| format!("needs {key} {need:?}")));
    list.chain(needs.programs.iter().map(|need| format!("needs {}", written(need)))).collect()
}

pub(crate) async fn grants(trial: &Trial) -> Outcome {
    trial.first()?;
    let config = &trial.config;
    let needs = trial.plugin.needs(&config.config, config.secrets.clone()).await?;
    let (mut notes, mut needless) = (Vec::new(), Vec::new());
    for (number, (which, shown)) in config.grants.each().into_iter().enumerate() {
        let less = config.grants.without(which);
        if uncovered(&needs, &less)?.is_empty() {
            if uncovered(&needs, &config.grants.only(which))? == uncovered(&needs, &GrantList::default())? {
                notes.push(format!("is granted and not needed: {shown}"));
                needless.push(which);
            }
            continue;
        }
        let source = trial.source_with(less.open()?, config.limits.clone())?;
        let report = trial.try_run(&format!("without-{number}"), &source).await?;
        let Some(failure) = &report.error else {
            let why = format!("without the grant {shown} the backup went through");
            return Err(Ended::failed(why, "`requires` must name what is used, and nothing else"));
        };
        if died(&failure.message) {
            return Err(Ended::failed(format!("without the grant {shown} it died: {}", in_words(failure)), TRAP));
        }
        // The sockets of a language's own library know no other word.
        if !matches!(failure.kind, Kind::NotGranted | Kind::Denied) {
            let why = format!("without the grant {shown} it fails as something else: {}", in_words(failure));
            return Err(Ended::failed(why, "hand the host's error on as it is: it names the line to add"));
        }
    }
    // The last of a list first, so that the numbers of the others stay theirs.
    let mut named = needless.iter().rev().fold(config.grants.clone(), |grants, which| grants.without(*which));
    let unused = take_unused_files(&mut named, &needs);
    notes.extend(unused.iter().map(|file| format!("is granted and not needed: {file}")));
    if !needless.is_empty() || !unused.is_empty() {
        only_with_what_it_needs(trial, named).await?;
    }
    Ok(notes)
}

/// Takes away what programs are granted of the file system and none is said to use; says what that was.
fn take_unused_files(grants: &mut GrantList, needs: &Needs) -> Vec<String> {
    let writes = || needs.programs.iter().flat_map(|need| &need.write);
    let reads = || needs.programs.iter().flat_map(|need| &need.read).chain(writes());
    let mut unused = Vec::new();
    for ProgramGrant { command, read, write } in &mut grants.programs {
        let keeps = |path: &PathBuf, is_used: bool, key, unused: &mut Vec<String>| {
            if !is_used {
                unused.push(format!("{key} {path:?} for {command:?}"));
            }
            is_used
        };
        read.retain(|path| keeps(path, reads().any(|it| Path::new(it).starts_with(path)), "read", &mut unused));
        write.retain(|path| keeps(path, writes().any(|it| Path::new(it).starts_with(path)), "write", &mut unused));
    }
    unused
}

/// What is used must be named, or no operator would know what to grant.
async fn only_with_what_it_needs(trial: &Trial, named: GrantList) -> Result<(), Ended> {
    let source = trial.source_with(named.open()?, trial.config.limits.clone())?;
    let report = trial.try_run("with-what-it-names", &source).await?;
    match &report.error {
        None => Ok(()),
        Some(failure) => Err(Ended::failed(
            format!("with the grants that `requires` names, and no others, it fails: {}", in_words(failure)),
            "`requires` must name all that is used: it is all that operators are told",
        )),
    }
}

/// What a plugin needs and these grants do not cover, as it would be written.
fn uncovered(needs: &Needs, grants: &GrantList) -> Result<Vec<String>> {
    let (network, programs) = (Network::new(grants.network.clone())?, Programs::new(grants.programs.clone())?);
    let readable = |path: &String| grants.read.iter().any(|grant| Path::new(path).starts_with(grant));
    let mut missing = Vec::new();
    missing.extend(needs.read.iter().filter(|path| !readable(path)).map(|path| format!("read {path:?}")));
    let unreached = needs.network.iter().filter(|target| !network.admits(target));
    missing.extend(unreached.map(|target| format!("network {target:?}")));
    let unrun = needs.programs.iter().filter(|need| !programs.admits(need));
    missing.extend(unrun.map(written));
    Ok(missing)
}

/// A program as it is granted.
fn written(need: &ProgramNeed) -> String {
    let ProgramNeed { run, read, write } = need;
    match read.is_empty() && write.is_empty() {
        true => format!("programs {run:?}"),
        false => format!("programs {{ run = {run:?}, read = {read:?}, write = {write:?} }}"),
    }
}
