//! The cases, in order: what a plugin says of itself, what it does when all is well, what it does when it is not. Of a notifier
//! there is less to try.

use futures::future::LocalBoxFuture;

use dozo_job::Result;
use dozo_plugin::{Plugin, PluginKind};

use crate::cases::{
    after, backup, cancel, configuration, description, grants, interrupt, memory, network, notify, restore, slow,
};
use crate::config::KitConfig;
use crate::fixture;
use crate::limits::CASE_WALL;
use crate::outcome::{Ended, Outcome};
use crate::report::KitReport;
use crate::stage::{Stage, World};
use crate::trial::Trial;

/// One promise of the contract, and how it is tried.
struct Promise {
    /// Who gives it.
    of: &'static [PluginKind],
    name: &'static str,
    holds: &'static str,
    check: for<'a> fn(&'a Trial) -> LocalBoxFuture<'a, Outcome>,
}

const BOTH: &[PluginKind] = &[PluginKind::Source, PluginKind::Notifier];
const SOURCE: &[PluginKind] = &[PluginKind::Source];
const NOTIFIER: &[PluginKind] = &[PluginKind::Notifier];

const PROMISES: [Promise; 19] = [
    Promise {
        of: BOTH,
        name: "description",
        holds: "it says who it is, and documents every key of its configuration",
        check: |trial| Box::pin(description::description(trial)),
    },
    Promise {
        of: BOTH,
        name: "configuration",
        holds: "a wrong configuration is refused as invalid, and never traps",
        check: |trial| Box::pin(configuration::configuration(trial)),
    },
    Promise {
        of: BOTH,
        name: "requires",
        holds: "it says what it needs, without a grant and without a secret",
        check: |trial| Box::pin(grants::requires(trial)),
    },
    Promise {
        of: BOTH,
        name: "check",
        holds: "it finds what it needs reachable and rightly configured",
        check: |trial| Box::pin(backup::check(trial)),
    },
    Promise {
        of: NOTIFIER,
        name: "notify",
        holds: "it tells what became of a run",
        check: |trial| Box::pin(notify::notify(trial)),
    },
    Promise {
        of: SOURCE,
        name: "backup",
        holds: "a backup is complete and has an entry",
        check: |trial| Box::pin(backup::backup(trial)),
    },
    Promise {
        of: SOURCE,
        name: "grants",
        holds: "without a grant that it needs it fails as not granted",
        check: |trial| Box::pin(grants::grants(trial)),
    },
    Promise {
        of: SOURCE,
        name: "full-again",
        holds: "the same source gives the same entries",
        check: |trial| Box::pin(backup::full_again(trial)),
    },
    Promise {
        of: SOURCE,
        name: "incremental",
        holds: "an incremental snapshot equals a full one",
        check: |trial| Box::pin(backup::incremental(trial)),
    },
    Promise {
        of: SOURCE,
        name: "previous",
        holds: "what has not changed is not read again",
        check: |trial| Box::pin(backup::previous(trial)),
    },
    Promise {
        of: SOURCE,
        name: "restore",
        holds: "what is restored, into a directory and to a service, is what was there",
        check: |trial| Box::pin(restore::round_trip(trial)),
    },
    Promise {
        of: SOURCE,
        name: "interrupted-backup",
        holds: "a backup that is interrupted anywhere fails, leaves no snapshot, and the next is complete",
        check: |trial| Box::pin(interrupt::backup(trial)),
    },
    Promise {
        of: SOURCE,
        name: "interrupted-restore",
        holds: "a restore that is interrupted anywhere fails",
        check: |trial| Box::pin(interrupt::restore(trial)),
    },
    Promise {
        of: SOURCE,
        name: "slow-store",
        holds: "a store that is slow changes nothing but the time",
        check: |trial| Box::pin(slow::slow(trial)),
    },
    Promise {
        of: SOURCE,
        name: "bad-line",
        holds: "a connection that is refused, cut or stalls is an error that can be tried again, never an end",
        check: |trial| Box::pin(network::network(trial)),
    },
    Promise {
        of: SOURCE,
        name: "cancelled",
        holds: "a run that is dropped in the middle is gone at once, and can be cleaned up after",
        check: |trial| Box::pin(cancel::cancel(trial)),
    },
    Promise {
        of: SOURCE,
        name: "memory",
        holds: "it stays below its memory limit",
        check: |trial| Box::pin(memory::memory(trial)),
    },
    Promise {
        of: SOURCE,
        name: "afterwards",
        holds: "`committed` and `abandoned` can be called again, and no question traps",
        check: |trial| Box::pin(after::after(trial)),
    },
    // The last: what earlier cases compare with is not there any more.
    Promise {
        of: SOURCE,
        name: "changed",
        holds: "an incremental snapshot has what changed since the one before",
        check: |trial| Box::pin(backup::changed(trial)),
    },
];

/// Tries every case on a plugin. A case that cannot be tried is told as skipped, never as passed.
///
/// # Errors
/// If the kit's own repository cannot be set up, or a command around the trial fails.
pub async fn run(plugin: &Plugin, config: &KitConfig, world: World) -> Result<KitReport> {
    let fixture = &config.fixture;
    fixture::run(fixture, &fixture.before).await.map_err(|e| e.context("`before` in kit.toml"))?;
    let report = try_all(plugin, config, world).await;
    fixture::run(fixture, &fixture.after).await.map_err(|e| e.context("`after` in kit.toml"))?;
    report
}

async fn try_all(plugin: &Plugin, config: &KitConfig, world: World) -> Result<KitReport> {
    let stage = Stage::set(world).await?;
    let trial = Trial::new(plugin.clone(), config.clone(), stage);
    let mut report = KitReport::new(plugin.stamp().clone());
    for promise in PROMISES.iter().filter(|promise| promise.of.contains(&plugin.kind())) {
        let outcome = match tokio::time::timeout(CASE_WALL, (promise.check)(&trial)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Ended::failed(
                format!("it was not done after {} minutes", CASE_WALL.as_secs() / 60),
                "try the plugin with a smaller source",
            )),
        };
        report.add((promise.name, promise.holds), outcome);
    }
    Ok(report)
}
