//! A repair that stops at any call: nothing that was whole is lost, and the next one ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::pair::{Crash, Pair, damage, help, repair, repair_all, scrub};
use crate::stage::world::{Fate, Works};
use crate::stage::{HOUR, files};

/// A rotten data pack that a mirror has, a rotten catalog pack that nobody needs any more, and indexes that are gone.
async fn hurt() -> Pair {
    let pair = Pair::unmirrored().await;
    let stage = &pair.main;
    let old = stage.world.names("catalog").await;
    for name in &old {
        damage(&stage.world, name, "flip").await;
    }
    scrub(stage).await;
    let repository = stage.plain().await;
    for (job, now) in
        [("files", &[(1, 1), (2, 2), (3, 3)][..]), ("files", &[(1, 1), (2, 20), (4, 4)]), ("other", &[(7, 7)])]
    {
        stage.run(&repository, job, &files(now)).await.unwrap();
    }
    pair.copy(dozo_repository::MirrorStart::Create, Arc::new(Works)).await.unwrap();
    let name = stage.world.names("packs").await.remove(0);
    damage(&stage.world, &name, "flip").await;
    scrub(stage).await;
    pair
}

#[tokio::test]
async fn a_repair_may_stop_at_any_call() {
    let base = hurt().await;
    let whole = base.fork();
    repair_all(&whole.main, &[&whole.mirror], None).await;
    whole.main.check_promised().await;
    for at in 0.. {
        for last in [Fate::Fails, Fate::AnswerLost] {
            let pair = base.fork();
            let crash = Arc::new(Crash { calls: AtomicU64::new(0), at, last });
            let done = repair(&pair.main, crash.clone(), help(&[&pair.mirror], None).await, &[]).await;
            if crash.calls.load(Ordering::Relaxed) <= at {
                done.unwrap();
                assert!(at > 60, "{at} calls");
                return;
            }
            // The lease of the one that stopped ends by itself.
            pair.main.world.advance(HOUR);
            let left = repair_all(&pair.main, &[&pair.mirror], None).await;
            assert!(left.lost.is_empty(), "call {at} {last:?}: {left:#?}");
            assert!(pair.main.world.names("damage").await.is_empty(), "call {at} {last:?}");
            pair.main.check().await;
        }
    }
}

#[tokio::test]
async fn an_index_made_again_may_stop_at_any_call() {
    let base = Pair::unmirrored().await;
    for name in base.main.world.names("index").await {
        damage(&base.main.world, &name, "truncate").await;
    }
    for at in 0.. {
        let pair = base.fork();
        let crash = Arc::new(Crash { calls: AtomicU64::new(0), at, last: Fate::AnswerLost });
        let done = repair(&pair.main, crash.clone(), help(&[], Some(&pair.main)).await, &[]).await;
        if crash.calls.load(Ordering::Relaxed) <= at {
            done.unwrap();
            assert!(at > 40, "{at} calls");
            return;
        }
        pair.main.world.advance(HOUR);
        let left = repair_all(&pair.main, &[], Some(&pair.main)).await;
        assert!(left.lost.is_empty(), "call {at}: {left:#?}");
        pair.main.check().await;
    }
}
