//! Mirrors: whatever they show restores from them alone, wherever the copying stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::pair::{Crash, Pair, contents, damage, repair_all, scrub, store};
use crate::stage::world::{By, Call, Fate, Works, World};
use crate::stage::{DAY, Stage, files, kind};
use dozo_repository::{
    Kind, LeaseRequest, MirrorCounters, MirrorStart, PruneRules, Pruner, Purpose, Repository, Secret, copies, mirror,
};

const OBJECTS: [&str; 6] = ["dozo.json", "keys", "packs", "catalog", "snapshots", "index"];

#[tokio::test]
async fn a_mirror_holds_the_same_objects_and_restores() {
    let pair = Pair::mirrored().await;
    assert_eq!(contents(&pair.main.world, &OBJECTS).await, contents(&pair.mirror.world, &OBJECTS).await);
    pair.mirror.check().await;
    let (here, there) = (pair.main.plain().await, pair.mirror.plain().await);
    let (here, there) = (here.view().await.unwrap(), there.view().await.unwrap());
    let counted = copies(&[&here, &there]).await.unwrap();
    assert!(counted.len() == 3 && counted.values().all(|n| *n == 2), "{counted:?}");

    let again = pair.copy(MirrorStart::Expect, Arc::new(Works)).await.unwrap();
    assert_eq!((again.copied, again.snapshots), (0, 3), "{again:#?}");
    pair.main.run(&pair.main.plain().await, "other", &files(&[(7, 7), (8, 8)])).await.unwrap();
    let new = pair.copy(MirrorStart::Expect, Arc::new(Works)).await.unwrap();
    // A data pack and a catalog pack, an index for each, the snapshot.
    assert_eq!((new.copied, new.snapshots), (5, 4), "{new:#?}");
    pair.mirror.check().await;
}

#[tokio::test]
async fn a_mirror_that_is_not_mounted_is_not_made() {
    let pair = Pair::unmirrored().await;
    assert_eq!(kind(pair.copy(MirrorStart::Expect, Arc::new(Works)).await), Kind::Invalid);
    assert!(pair.mirror.world.names("").await.is_empty());
}

/// A mirror that is known to be damaged is not complete, and says so until a repair there, or until nothing needs what is.
#[tokio::test]
async fn a_mirror_with_recorded_damage_is_not_whole() {
    let pair = Pair::mirrored().await;
    let name = pair.mirror.world.names("packs").await.remove(0);
    damage(&pair.mirror.world, &name, "flip").await;
    assert!(pair.copy(MirrorStart::Expect, Arc::new(Works)).await.unwrap().is_whole(), "nobody knows yet");
    scrub(&pair.mirror).await;
    let copied = pair.copy(MirrorStart::Expect, Arc::new(Works)).await.unwrap();
    assert!(!copied.is_whole() && copied.damaged_there == 1 && copied.snapshots == 3, "{copied:#?}");
    assert_eq!(copied.problems[0].object, name);
    repair_all(&pair.mirror, &[&pair.main], None).await;
    let copied = pair.copy(MirrorStart::Expect, Arc::new(Works)).await.unwrap();
    assert!(copied.is_whole() && copied.damaged_there == 0, "{copied:#?}");
    pair.mirror.check().await;
}

#[tokio::test]
async fn another_repository_is_no_mirror() {
    let pair = Pair::unmirrored().await;
    let world = World::new();
    let secret = Secret::new([8; 32]);
    let (owner, _) = dozo_repository::OwnerKey::generate(secret.repository());
    let to = store(&world, Arc::new(Works));
    Repository::create(&to, secret, dozo_repository::HostUid([1; 8]), &[owner]).await.unwrap();
    let before = world.names("").await;
    let from = pair.main.plain().await;
    for start in [MirrorStart::Expect, MirrorStart::Create] {
        let request = pair.main.request(Purpose::Mirror, None);
        let mirrored = mirror(&from, &to, start, request, &MirrorCounters::default()).await;
        assert_eq!(kind(mirrored), Kind::Invalid);
    }
    assert_eq!(world.names("").await, before);
}

/// PlakarKorp/plakar#1937, #1365: an interrupted copy showed snapshots whose packs were not there.
#[tokio::test]
async fn a_mirroring_may_stop_at_any_call() {
    let base = Pair::unmirrored().await;
    let mut shown = std::collections::BTreeSet::new();
    for at in 0.. {
        let mut over = false;
        for last in [Fate::Fails, Fate::AnswerLost] {
            let pair = base.fork();
            let crash = Arc::new(Crash { calls: AtomicU64::new(0), at, last });
            let done = pair.copy(MirrorStart::Create, crash.clone()).await;
            over = crash.calls.load(Ordering::Relaxed) <= at;
            if over {
                done.unwrap();
                break;
            }
            let there = pair.mirror.world.names("").await;
            if there.contains(&"dozo.json".to_string()) {
                let findings = pair.mirror.findings().await;
                assert!(findings.is_clean(), "call {at} {last:?}: {findings:#?}");
                pair.mirror.check_shown().await;
                shown.insert(findings.snapshots);
            } else {
                assert!(there.iter().all(|name| !name.starts_with("snapshots/")));
            }
            let again = pair.copy(MirrorStart::Create, Arc::new(Works)).await.unwrap();
            assert!(again.is_whole() && again.snapshots == 3, "call {at} {last:?}: {again:#?}");
            pair.mirror.check().await;
        }
        if over {
            assert!(at > 40, "{at} calls");
            break;
        }
    }
    assert!(shown.contains(&0) && shown.contains(&1) && shown.contains(&3), "{shown:?}");
}

#[tokio::test]
async fn rot_is_not_copied_and_holds_its_snapshots_back() {
    for directory in ["packs", "catalog", "index", "snapshots"] {
        for how in ["flip", "truncate"] {
            let pair = Pair::unmirrored().await;
            let name = pair.main.world.names(directory).await.remove(0);
            damage(&pair.main.world, &name, how).await;
            let report = pair.copy(MirrorStart::Create, Arc::new(Works)).await.unwrap();
            assert!(report.problems.iter().any(|p| p.object == name), "{name} {how}: {report:#?}");
            assert!(!pair.mirror.world.names(directory).await.contains(&name), "{name} {how}");
            assert!(report.snapshots < 3, "{name} {how}: {report:#?}");
            pair.mirror.check_shown().await;
        }
    }
}

#[tokio::test]
async fn a_line_that_breaks_once_is_not_rot() {
    let pair = Pair::unmirrored().await;
    let broken = AtomicU64::new(0);
    let script = By(move |call, name: &str| {
        let first = call == Call::Get && name.starts_with("packs/") && broken.fetch_add(1, Ordering::Relaxed) == 0;
        if first { Fate::Truncates } else { Fate::Works }
    });
    let report = pair.copy(MirrorStart::Create, Arc::new(script)).await.unwrap();
    assert!(report.is_whole(), "{report:#?}");
}

#[tokio::test]
async fn a_prune_at_work_on_either_side_comes_first() {
    let pair = Pair::mirrored().await;
    for stage in [&pair.main, &pair.mirror] {
        let request = LeaseRequest { purpose: Purpose::Prune, ..stage.request(Purpose::Prune, None) };
        let pruner = Pruner::begin(&stage.plain().await, request, PruneRules::default()).await.unwrap();
        assert_eq!(kind(pair.copy(MirrorStart::Expect, Arc::new(Works)).await), Kind::Busy);
        pruner.end().await.unwrap();
    }
    pair.copy(MirrorStart::Expect, Arc::new(Works)).await.unwrap();
}

#[tokio::test]
async fn runs_go_on_beside_a_mirroring() {
    let pair = Pair::mirrored().await;
    let repository = pair.main.plain().await;
    for round in 0..5 {
        let now = files(&[(1, 1), (2, 200 + round), (9, round)]);
        let run = pair.main.run(&repository, "files", &now);
        let (run, report) = tokio::join!(run, pair.copy(MirrorStart::Expect, Arc::new(Works)));
        run.unwrap();
        assert!(report.unwrap().is_whole());
        pair.mirror.check_shown().await;
    }
    assert!(pair.copy(MirrorStart::Expect, Arc::new(Works)).await.unwrap().is_whole());
    pair.mirror.check().await;
}

/// PlakarKorp/plakar#1539: what was pruned is not copied again, and what a mirror kept longer stays.
#[tokio::test]
async fn each_store_prunes_for_itself() {
    let pair = Pair::mirrored().await;
    pair.main.world.advance(8 * DAY);
    pair.main.settle(1).await;
    let report = pair.copy(MirrorStart::Expect, Arc::new(Works)).await.unwrap();
    assert!(report.is_whole() && report.snapshots == 2, "{report:#?}");
    let kept = |stage: &Stage| {
        let world = stage.world.clone();
        async move { world.names("snapshots").await.len() }
    };
    assert_eq!((kept(&pair.main).await, kept(&pair.mirror).await), (2, 3));
    pair.mirror.check_shown().await;
}
