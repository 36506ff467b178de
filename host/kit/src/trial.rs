//! One plugin on trial: what the cases share, and how they run it.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use dozo_job::port::{Notifier, Scope, Source};
use dozo_job::{Failure, Report, Result};
use dozo_plugin::{Grants, Limits, Permit, Plugin, PluginKind, WasmNotifier, WasmSource, died};
use dozo_repository::format::record::Outcome as RunOutcome;
use tokio::sync::OnceCell;

use crate::compare::{Depth, Differences, compare};
use crate::config::{Contents, KitConfig};
use crate::faults::{Faulty, Plan};
use crate::outcome::{Ended, Outcome};
use crate::stage::{Stage, Taken};

/// A plugin, what it is tried with, and what earlier cases found out.
pub(crate) struct Trial {
    pub(crate) plugin: Plugin,
    pub(crate) config: KitConfig,
    pub(crate) stage: Stage,
    /// The first complete backup, with which others are compared.
    pub(crate) first: OnceCell<(Taken, Calls)>,
    /// Paths whose content is another every time: the source changes by itself.
    pub(crate) moving: OnceLock<BTreeSet<String>>,
    /// An incremental run and the next one.
    pub(crate) again: OnceCell<(Report, Report)>,
    /// How many calls a restore into a directory makes, if it could restore there.
    pub(crate) directory_calls: OnceLock<Calls>,
    /// The same of a restore to a service.
    pub(crate) service_calls: OnceLock<Calls>,
}

/// How many calls came that can fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls(pub(crate) u64);

impl Trial {
    pub(crate) fn new(plugin: Plugin, config: KitConfig, stage: Stage) -> Self {
        Trial {
            plugin,
            config,
            stage,
            first: OnceCell::new(),
            moving: OnceLock::new(),
            again: OnceCell::new(),
            directory_calls: OnceLock::new(),
            service_calls: OnceLock::new(),
        }
    }

    /// The plugin with all that it is granted.
    pub(crate) fn source(&self) -> Result<WasmSource> {
        self.source_with(self.config.grants.open()?, self.config.limits.clone())
    }

    /// The plugin with these grants and limits.
    pub(crate) fn source_with(&self, grants: Grants, limits: Limits) -> Result<WasmSource> {
        self.plugin.source(self.permit(grants, limits))
    }

    /// The plugin as a notifier, with all that it is granted.
    pub(crate) fn notifier(&self) -> Result<WasmNotifier> {
        self.plugin.notifier(self.permit(self.config.grants.open()?, self.config.limits.clone()))
    }

    fn permit(&self, grants: Grants, limits: Limits) -> Permit {
        Permit { job: "kit".into(), grants, limits, secrets: self.config.secrets.clone() }
    }

    /// Asks the plugin's own `check` about a configuration.
    pub(crate) async fn check(&self, config: &str) -> Result<Vec<(String, String)>> {
        match self.plugin.kind() {
            PluginKind::Source => self.source()?.check(config).await,
            PluginKind::Notifier => self.notifier()?.check(config).await,
        }
    }

    /// The plugin with all that it is granted, behind a plan.
    pub(crate) fn faulty(&self, plan: Plan) -> Result<Faulty> {
        Ok(Faulty::new(self.source()?, plan))
    }

    /// A full run with the plugin's own configuration, whatever comes of it.
    pub(crate) async fn try_run(&self, job: &str, source: &dyn Source) -> Result<Report> {
        self.stage.run(job, source, (&self.config.config, Scope::Full)).await
    }

    /// The same, which must make a complete snapshot.
    pub(crate) async fn run(&self, job: &str, source: &dyn Source) -> Outcome<Taken> {
        let report = self.try_run(job, source).await?;
        self.complete(report).await
    }

    /// The snapshot of a run that must have made a complete one.
    pub(crate) async fn complete(&self, report: Report) -> Outcome<Taken> {
        match (&report.error, report.outcome) {
            (Some(failure), _) => {
                Err(Ended::failed(format!("the backup failed: {}", in_words(failure)), advice(failure)))
            }
            (None, RunOutcome::Partial) => {
                let (path, why) = report.omitted.first().cloned().unwrap_or_default();
                let count = report.omitted_count;
                let why = format!("{count} entries could not be read, the first is `{path}`: {why}");
                Err(Ended::failed(why, "try the plugin with a source that it can read whole"))
            }
            (None, _) => Ok(self.stage.take(report).await?),
        }
    }

    /// The first complete backup; without one there is nothing to compare with.
    pub(crate) fn first(&self) -> Outcome<&(Taken, Calls)> {
        self.first.get().ok_or_else(|| Ended::skipped("there is no complete backup to begin with"))
    }

    /// How two snapshots differ, as closely as this source allows to say, but for what changes by itself.
    pub(crate) async fn differences(&self, one: &Taken, other: &Taken, depth: Depth) -> Result<Differences> {
        let moving = self.moving.get().cloned().unwrap_or_default();
        compare(one, other, self.depth(depth), &moving).await
    }

    /// How closely snapshots of this source can be compared, and at most so closely.
    pub(crate) fn depth(&self, most: Depth) -> Depth {
        match self.config.contents {
            Contents::Same => most,
            Contents::Vary => most.min(Depth::Names),
            Contents::History => most.min(Depth::Shared),
        }
    }

    /// A snapshot must be as the first one, but for what changes by itself.
    pub(crate) async fn is_like_first(&self, taken: &Taken, what: &str) -> Outcome<()> {
        let (first, _) = self.first()?;
        match self.differences(first, taken, Depth::Contents).await?.sentence() {
            None => Ok(()),
            Some(differences) => Err(Ended::failed(
                format!("{what} is not as the first backup: {differences}"),
                "every snapshot must hold all of the source, whatever happened before",
            )),
        }
    }
}

/// A failure in one line, with its kind.
pub(crate) fn in_words(failure: &Failure) -> String {
    let causes = failure.causes.iter().map(|cause| format!(": {cause}")).collect::<String>();
    format!("{}{causes} ({})", failure.message, failure.kind.word())
}

/// What an author can do about a failure that should not be.
pub(crate) fn advice(failure: &Failure) -> String {
    match &failure.hint {
        Some(hint) => hint.clone(),
        None if died(&failure.message) => TRAP.into(),
        None => "the message is the plugin's own".into(),
    }
}

/// What an author can do about a trap.
pub(crate) const TRAP: &str =
    "return an error instead of panicking: no `unwrap`, no index out of bounds, no endless wait";
