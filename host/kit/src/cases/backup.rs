//! Backups when all is well: whole, the same every time, and no more work than needed.

use std::collections::BTreeSet;

use dozo_job::port::Scope;
use dozo_plugin::died;

use crate::compare::{Depth, compare};
use crate::config::{Contents, Previous};
use crate::faults::Plan;
use crate::fixture;
use crate::limits::WORTH_KEEPING_BYTES;
use crate::outcome::{Ended, Outcome, told};
use crate::trial::{Calls, TRAP, Trial};

pub(crate) async fn check(trial: &Trial) -> Outcome {
    match trial.check(&trial.config.config).await {
        Ok(facts) => Ok(facts.into_iter().map(|(name, fact)| format!("{name}: {fact}")).collect()),
        Err(error) if died(&error.to_string()) => Err(Ended::failed(error.chain(), TRAP)),
        Err(error) => Err(Ended::failed(
            format!("`check` says: {}", told(&error)),
            error.hint().unwrap_or("try the plugin with a source that is there, and that it may read"),
        )),
    }
}

pub(crate) async fn backup(trial: &Trial) -> Outcome {
    let source = trial.faulty(Plan::Count)?;
    let taken = trial.run("first", &source).await?;
    let (entries, bytes) = (taken.entries.len(), taken.report.bytes);
    let named = taken.reader.snapshot().source.is_some();
    let _ = trial.first.set((taken, Calls(source.calls())));
    let mut notes = vec![format!("{entries} entries, {bytes} bytes")];
    if !named {
        notes.push("it does not say what its source is (`identify`): there will be no previous snapshot".into());
    }
    Ok(notes)
}

pub(crate) async fn full_again(trial: &Trial) -> Outcome {
    let (first, _) = trial.first()?;
    let second = trial.run("second", &trial.source()?).await?;
    let names = compare(first, &second, trial.depth(Depth::Names), &BTreeSet::new()).await?;
    if let Some(differences) = names.sentence() {
        let advice = "name entries by what they are in the source, not by when or in which order they were read";
        return Err(Ended::failed(format!("two backups have different entries: {differences}"), advice));
    }
    match trial.config.contents {
        Contents::Same => {}
        Contents::Vary => return Ok(vec!["kit.toml says that contents vary: their bytes are not compared".into()]),
        Contents::History => return Ok(vec![HISTORY.into()]),
    }
    let contents = compare(first, &second, Depth::Contents, &BTreeSet::new()).await?;
    let note = contents.sentence();
    let _ = trial.moving.set(contents.paths);
    Ok(note
        .map(|differences| format!("contents differ, so the source changes by itself: {differences}"))
        .into_iter()
        .collect())
}

pub(crate) async fn incremental(trial: &Trial) -> Outcome {
    trial.first()?;
    let mut reports = Vec::new();
    for what in ["an incremental backup without a previous one", "an incremental backup"] {
        let scope = (trial.config.config.as_str(), Scope::Incremental);
        let report = trial.stage.run("incremental", &trial.source()?, scope).await?;
        let taken = trial.complete(report).await?;
        trial.is_like_first(&taken, what).await?;
        reports.push(taken.report);
    }
    if let [first, second] = reports.as_slice() {
        let _ = trial.again.set((first.clone(), second.clone()));
    }
    Ok(Vec::new())
}

pub(crate) async fn previous(trial: &Trial) -> Outcome {
    let Some((first, second)) = trial.again.get() else {
        return Err(Ended::skipped("there are no two incremental backups to compare"));
    };
    let note = format!(
        "{} bytes read at first, {} the second time; {} of {} entries kept",
        first.bytes_read, second.bytes_read, second.entries_kept, second.entries
    );
    if second.bytes_read < first.bytes_read || first.bytes_read < WORTH_KEEPING_BYTES {
        return Ok(vec![note]);
    }
    if trial.config.previous == Previous::Unused {
        return Err(Ended::skipped(format!("kit.toml says that it reads everything every time: {note}")));
    }
    let advice = match second.previous {
        None => "`identify` with the same words every time: without it there is no previous snapshot",
        Some(_) => {
            "look at `previous(path)` and `keep` what has not changed; where the source cannot tell, `previous = \
             \"unused\"` in kit.toml"
        }
    };
    Err(Ended::failed(format!("it reads everything again: {note}"), advice))
}

/// What is told where there is less to compare.
const HISTORY: &str = "kit.toml says that each backup is a part of a history: only what both have is compared";

/// An incremental run that sees nothing new is right as long as nothing changes. So the source is changed.
pub(crate) async fn changed(trial: &Trial) -> Outcome {
    let (first, _) = trial.first()?;
    let fixture = &trial.config.fixture;
    if fixture.change.is_empty() {
        return Err(Ended::skipped("kit.toml has no `change` in `[fixture]`: nothing changes the source"));
    }
    let incremental = (trial.config.config.as_str(), Scope::Incremental);
    let base = trial.stage.run("changed", &trial.source()?, incremental).await?;
    trial.complete(base).await?;
    if let Err(error) = fixture::run(fixture, &fixture.change).await {
        return Err(Ended::failed(format!("the source could not be changed: {}", told(&error)), "look at `change`"));
    }
    let full = trial.run("changed-full", &trial.source()?).await?;
    if trial.config.contents == Contents::History {
        let report = trial.stage.run("changed", &trial.source()?, incremental).await?;
        trial.complete(report).await?;
        return Ok(vec![HISTORY.into()]);
    }
    let what_changed = trial.differences(first, &full, Depth::Contents).await?;
    let Some(what_changed) = what_changed.sentence() else {
        let advice = "let `change` in kit.toml change a content and add an entry, in what the plugin reads";
        return Err(Ended::failed("after `change` a full backup is as before", advice));
    };
    let report = trial.stage.run("changed", &trial.source()?, incremental).await?;
    let taken = trial.complete(report).await?;
    match trial.differences(&full, &taken, Depth::Contents).await?.sentence() {
        None => Ok(vec![format!("seen: {what_changed}")]),
        Some(missed) => Err(Ended::failed(
            format!("an incremental backup after a change is not as a full one: {missed}"),
            "`keep` only what is certainly unchanged: compare all that the source tells of it with `previous`",
        )),
    }
}
