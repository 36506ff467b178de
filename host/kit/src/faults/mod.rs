//! A source between the pipeline and the plugin, whose ports fail, wait or hang as planned.

mod intake;
mod line;
mod stored;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use dozo_job::port::{
    BackupRequest, Finished, Intake, Moment, PluginStamp, RestoreRequest, ScratchServer, Source, Stored,
};
use dozo_job::{Error, Result};
use dozo_plugin::WasmSource;
use tokio::sync::Notify;

use intake::FaultyIntake;
pub(crate) use line::{Line, LinePlan};
use stored::FaultyStored;

/// What happens to the calls that a plugin makes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Plan {
    /// Nothing: they are counted.
    Count,
    /// This call fails, the first being 1, and every one that follows: the store is gone.
    FailFrom(u64),
    /// Each takes so much longer.
    Delay(Duration),
    /// This one never returns.
    HangAt(u64),
}

/// Carries out a plan; shared by a port and the writers and contents that it hands out.
pub(crate) struct Control {
    plan: Plan,
    calls: AtomicU64,
    hangs: Notify,
}

impl Control {
    fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Control { plan, calls: AtomicU64::new(0), hangs: Notify::new() })
    }

    /// A call that may wait.
    async fn step(&self, what: &str) -> Result<()> {
        let call = self.count(what)?;
        match self.plan {
            Plan::Delay(time) => tokio::time::sleep(time).await,
            Plan::HangAt(at) if call >= at => {
                self.hangs.notify_one();
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        Ok(())
    }

    /// A call that cannot wait.
    fn count(&self, what: &str) -> Result<u64> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        match self.plan {
            Plan::FailFrom(first) if call >= first => {
                Err(Error::unavailable(format!("the kit interrupts here: call {call}, {what}")))
            }
            _ => Ok(call),
        }
    }
}

/// A plugin behind a plan.
pub(crate) struct Faulty {
    plugin: WasmSource,
    control: Arc<Control>,
    said: Mutex<Option<Result<()>>>,
    intake: Mutex<Option<Weak<FaultyIntake>>>,
}

impl Faulty {
    pub(crate) fn new(plugin: WasmSource, plan: Plan) -> Self {
        Faulty { plugin, control: Control::new(plan), said: Mutex::default(), intake: Mutex::default() }
    }

    /// How many calls of the plugin came that can fail.
    pub(crate) fn calls(&self) -> u64 {
        self.control.calls.load(Ordering::Relaxed)
    }

    /// What the plugin said at the end of its backup or restore, before the host held it to its word.
    pub(crate) fn said(&self) -> Option<Result<()>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a call hangs.
    pub(crate) async fn hangs(&self) {
        self.control.hangs.notified().await;
    }

    /// Whether anything of the plugin's backup is still alive.
    pub(crate) fn is_alive(&self) -> bool {
        let intake = self.intake.lock().unwrap_or_else(PoisonError::into_inner);
        intake.as_ref().is_some_and(|intake| intake.strong_count() > 0)
    }

    fn note(&self, said: Result<()>) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
    }
}

#[async_trait]
impl Source for Faulty {
    fn stamp(&self) -> &PluginStamp {
        self.plugin.stamp()
    }

    async fn backup(&self, request: BackupRequest, intake: Arc<dyn Intake>) -> Result<Finished> {
        let intake = Arc::new(FaultyIntake { inner: intake, control: self.control.clone() });
        *self.intake.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::downgrade(&intake));
        let result = self.plugin.backup(request, intake).await;
        self.note(result.as_ref().map(|_| ()).map_err(Clone::clone));
        result
    }

    async fn committed(&self, config: &str, attributes: Vec<(String, String)>) -> Result<()> {
        self.plugin.committed(config, attributes).await
    }

    async fn abandoned(&self, config: &str) -> Result<()> {
        self.plugin.abandoned(config).await
    }

    async fn restore(&self, request: RestoreRequest, stored: Arc<dyn Stored>) -> (Finished, Result<()>) {
        let stored = Arc::new(FaultyStored { inner: stored, control: self.control.clone() });
        let (finished, result) = self.plugin.restore(request, stored).await;
        self.note(result.clone());
        (finished, result)
    }

    async fn check(&self, config: &str) -> Result<Vec<(String, String)>> {
        self.plugin.check(config).await
    }

    async fn covers(&self, attributes: Vec<(String, String)>, at: Moment) -> Result<Option<String>> {
        self.plugin.covers(attributes, at).await
    }

    async fn scratch(&self, config: &str, directory: &str) -> Result<Option<ScratchServer>> {
        self.plugin.scratch(config, directory).await
    }

    async fn probe(&self, config: &str, question: &str) -> Result<String> {
        self.plugin.probe(config, question).await
    }
}

/// The calls at which to interrupt, of so many: close together at the beginning, ever farther apart, and the last.
pub(crate) fn points(calls: u64) -> Vec<u64> {
    let (mut points, mut next) = (Vec::new(), (1, 2));
    while next.0 < calls && points.len() + 1 < crate::limits::POINTS_MAX {
        points.push(next.0);
        next = (next.1, next.0 + next.1);
    }
    points.extend((calls > 0).then_some(calls));
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_call_are_points() {
        assert_eq!(points(0), [0u64; 0]);
        assert_eq!(points(1), [1]);
        assert_eq!(points(9), [1, 2, 3, 5, 8, 9]);
        let many = points(1 << 40);
        assert_eq!((many.len(), many.last()), (crate::limits::POINTS_MAX, Some(&(1 << 40))));
    }
}
