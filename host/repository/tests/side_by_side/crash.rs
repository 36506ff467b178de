//! Stopped at any call of the store, and with calls that fail at random: what was committed stays whole, what comes next works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use dozo_repository::Result;

use crate::stage::world::{Call, Fate, Script};
use crate::stage::{DAY, HOUR, Stage, files, quick};

/// Every call from a certain one on fails. That one itself may have done its work.
struct Crash {
    calls: AtomicU64,
    at: u64,
    last: Fate,
    changes: AtomicBool,
}

#[async_trait]
impl Script for Crash {
    async fn fate(&self, call: Call, _: &str) -> Fate {
        match self.calls.fetch_add(1, Ordering::Relaxed) {
            number if number < self.at => Fate::Works,
            number if number == self.at => {
                self.changes.store(matches!(call, Call::Put | Call::Delete), Ordering::Relaxed);
                self.last
            }
            _ => Fate::Fails,
        }
    }
}

/// Does something over and over, and each time the machine stops one call later: before the call is done and, if it
/// changes something, after. Returns after how many calls all is done.
async fn stop_everywhere(base: &Stage, act: impl AsyncFn(&Stage, Arc<dyn Script>) -> Result<()>) -> u64 {
    for at in 0.. {
        for last in [Fate::Fails, Fate::AnswerLost] {
            let stage = base.fork();
            let crash = Crash { calls: AtomicU64::new(0), at, last, changes: AtomicBool::new(false) };
            let crash = Arc::new(crash);
            let acted = act(&stage, crash.clone()).await;
            if crash.calls.load(Ordering::Relaxed) <= at {
                acted.unwrap();
                return at;
            }
            stage.check().await;
            // The machine is up again, and nobody remembers anything.
            stage.world.advance(HOUR);
            let repository = stage.plain().await;
            stage.run(&repository, "files", &files(&[(1, 1), (2, 20), (9, 9)])).await.unwrap();
            stage.settle(2).await;
            stage.check().await;
            assert!(stage.promised() >= 2, "call {at} {last:?}");
            if !crash.changes.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    unreachable!("there are so many numbers")
}

/// Four snapshots of one job and one of another, with files that stay, change and go.
async fn grown() -> Stage {
    let stage = Stage::new().await;
    let repository = stage.plain().await;
    for now in
        [[(1, 1), (2, 2), (3, 3)], [(1, 1), (2, 20), (3, 3)], [(1, 1), (2, 20), (4, 4)], [(1, 1), (2, 20), (5, 5)]]
    {
        stage.run(&repository, "files", &files(&now)).await.unwrap();
        stage.world.advance(DAY);
    }
    stage.run(&repository, "other", &files(&[(1, 1), (7, 7)])).await.unwrap();
    stage.world.advance(8 * DAY);
    stage.check().await;
    stage
}

#[tokio::test]
async fn a_run_may_stop_at_any_call() {
    let base = grown().await;
    let calls = stop_everywhere(&base, async |stage, script| {
        let repository = stage.open(script).await;
        stage.run(&repository, "files", &files(&[(1, 1), (2, 21), (5, 5)])).await.map(drop)
    });
    assert!(calls.await > 20);
}

#[tokio::test]
async fn a_prune_may_stop_at_any_call() {
    let base = grown().await;
    let calls = stop_everywhere(&base, async |stage, script| {
        let repository = stage.open(script).await;
        // The first condemns, the second deletes, and the third removes what the second left.
        for _ in 0..3 {
            stage.prune(&repository, 1, quick()).await?;
            stage.world.advance(2 * DAY);
        }
        Ok(())
    });
    assert!(calls.await > 60);
}

#[tokio::test]
async fn a_compaction_may_stop_at_any_call() {
    let base = grown().await;
    let repository = base.plain().await;
    base.prune(&repository, 1, quick()).await.unwrap();
    let calls = stop_everywhere(&base, async |stage, script| {
        let repository = stage.open(script).await;
        let done = stage.compact(&repository, quick()).await?;
        assert!(done.packs >= 1 && done.packs_new >= 1, "there is something to compact: {done:?}");
        stage.world.advance(2 * DAY);
        stage.prune(&repository, 1, quick()).await.map(drop)
    });
    assert!(calls.await > 40);
}

/// Fails a few calls in a hundred, in every way.
struct Unreliable {
    state: AtomicU64,
    percent: u64,
}

#[async_trait]
impl Script for Unreliable {
    async fn fate(&self, call: Call, _: &str) -> Fate {
        let step = |s: u64| Some(s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        let draw = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).unwrap() >> 33;
        match (draw % 100 < self.percent, call, draw / 100 % 2) {
            (false, ..) => Fate::Works,
            (_, Call::Get, 0) => Fate::Truncates,
            (_, Call::Put | Call::Delete | Call::List, 0) => Fate::AnswerLost,
            _ => Fate::Fails,
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_now_and_then_costs_runs_and_never_snapshots() {
    let base = grown().await;
    let (mut succeeded, mut failed) = (0, 0);
    for seed in 0..12 {
        let stage = base.fork();
        let script = Arc::new(Unreliable { state: AtomicU64::new(seed), percent: 1 + seed % 4 });
        let repository = stage.open(script).await;
        for round in 0..6 {
            let now = files(&[(1, 1), (2, 100 * seed + round), (5, 5)]);
            match stage.run(&repository, "files", &now).await {
                Ok(_) => succeeded += 1,
                Err(_) => failed += 1,
            }
            let _ = stage.prune(&repository, 2, quick()).await;
            stage.world.advance(2 * DAY);
        }
        stage.check().await;
        stage.settle(2).await;
        stage.check().await;
    }
    assert!(succeeded > 10 && failed > 10, "{succeeded} runs succeeded, {failed} failed");
}
