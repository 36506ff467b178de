//! Prune and compact: what goes, what stays, and what stops them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dozo_repository::{Doomed, Kind, PruneRules, Pruner, Purpose, TombstoneState};
use jiff::SignedDuration;

use crate::stage::world::{By, Call, Fate};
use crate::stage::{self, DAY, HOUR, Stage, files, kind, quick, restore};

/// Packs in the store.
async fn packs(stage: &Stage) -> usize {
    stage.world.names("packs").await.len() + stage.world.names("catalog").await.len()
}

/// Three snapshots of which the oldest has files of its own.
async fn three() -> Stage {
    let stage = Stage::new().await;
    let repository = stage.plain().await;
    for now in [[(1, 1), (2, 2)], [(3, 3), (4, 4)], [(3, 3), (5, 5)]] {
        stage.run(&repository, "files", &files(&now)).await.unwrap();
        stage.world.advance(HOUR);
    }
    stage
}

#[tokio::test]
async fn a_prune_condemns_then_deletes_then_forgets() {
    let stage = three().await;
    let repository = stage.plain().await;
    let before = packs(&stage).await;
    let rules = PruneRules::default();
    // Seven days have not passed: snapshots go, packs stay.
    let done = stage.prune(&repository, 2, rules).await.unwrap();
    assert_eq!((done.snapshots, done.condemned, done.packs), (1, 0, 0));
    stage.world.advance(7 * DAY);
    let done = stage.prune(&repository, 2, rules).await.unwrap();
    assert_eq!((done.snapshots, done.condemned, done.packs), (0, 2, 0));
    stage.world.advance(DAY / 2);
    let done = stage.prune(&repository, 2, rules).await.unwrap();
    assert_eq!((done.condemned, done.packs), (0, 0), "the grace time is a day");
    stage.world.advance(DAY / 2);
    let done = stage.prune(&repository, 2, rules).await.unwrap();
    assert_eq!(done.packs, 2);
    assert_eq!(packs(&stage).await, before - 2);
    assert!(stage.world.names("tombstones").await.is_empty());
    assert_eq!(stage.world.names("records/prune").await.len(), 3);
    stage.check().await;
    // Leases that ended are not kept for ever.
    stage.world.advance(9 * DAY);
    stage.prune(&repository, 2, rules).await.unwrap();
    let left = stage.world.names("leases").await;
    let first = left[0].split('/').nth(1).unwrap();
    assert!(left.iter().all(|name| name.contains(first)), "that of the last prune alone: {left:?}");
}

/// A run that had begun when its chunks were condemned, and uses them (duplicacy#323).
#[tokio::test]
async fn a_pack_that_a_run_took_for_granted_is_spared() {
    let stage = three().await;
    let repository = stage.plain().await;
    let lease = repository.lease(stage.request(Purpose::Run, Some("other"))).await.unwrap();
    let view = repository.view_to_write(&lease).await.unwrap();
    // The oldest snapshot goes, and its packs are condemned, while this run counts on its files.
    stage.prune(&repository, 1, quick()).await.unwrap();
    assert!(!stage.world.names("tombstones").await.is_empty());
    let old = files(&[(1, 1), (2, 2)]);
    let writer = stage.write(&view, "other", &old).await.unwrap();
    stage.world.advance(HOUR / 4);
    lease.renew().await.unwrap();
    stage.world.advance(HOUR / 4);
    lease.renew().await.unwrap();
    stage.world.advance(HOUR / 4);
    lease.renew().await.unwrap();
    stage.world.advance(HOUR / 3);
    let pruner = Pruner::begin(&repository, stage.request(Purpose::Prune, None), quick()).await.unwrap();
    let plan = pruner.plan(&[]).await.unwrap();
    let waits =
        |t: &dozo_repository::PlannedTombstone| matches!(&t.state, TombstoneState::Leases(who) if *who == [lease.id()]);
    assert!(plan.tombstones.iter().all(waits), "{plan:#?}");
    pruner.execute(plan).await.unwrap();
    pruner.end().await.unwrap();
    stage.commit(&view, writer, "other", &old).await.unwrap();
    lease.release().await.unwrap();
    stage.check().await;
    let done = stage.prune(&repository, 1, quick()).await.unwrap();
    assert!(done.packs > 0, "what only the other snapshots needed goes");
    stage.check().await;
    stage.settle(1).await;
    stage.check().await;
}

/// What a tombstone condemns is read by whoever knows it, too: of a snapshot whose run did not know it. Neither that this snapshot
/// is deleted meanwhile nor that its chunks are stored again takes the packs from the reader.
#[tokio::test]
async fn a_reader_who_knows_a_tombstone_reads_what_it_condemns() {
    let stage = three().await;
    let repository = stage.plain().await;
    let run = repository.lease(stage.request(Purpose::Run, Some("other"))).await.unwrap();
    let view = repository.view_to_write(&run).await.unwrap();
    let old = files(&[(1, 1), (2, 2)]);
    let writer = stage.write(&view, "other", &old).await.unwrap();
    stage.prune(&repository, 1, quick()).await.unwrap();
    let snapshot = stage.commit(&view, writer, "other", &old).await.unwrap();
    run.release().await.unwrap();

    let keys = stage.unlocked();
    for again in [files(&[(9, 9)]), old.clone()] {
        let stage = stage.fork();
        let repository = stage.plain().await;
        let reading = repository.read_lease(stage.request(Purpose::Read, None)).await;
        let view = reading.view().await.unwrap();
        stage.run(&repository, "other", &again).await.unwrap();
        for _ in 0..4 {
            stage.prune(&repository, 1, quick()).await.unwrap();
            stage.world.advance(2 * HOUR);
            assert_eq!(restore(&view, snapshot, keys).await.unwrap(), old);
        }
        assert_eq!(repository.view().await.unwrap().snapshots().len(), 2, "the snapshot itself is gone");
        reading.release().await.unwrap();
        stage.settle(1).await;
        assert!(restore(&view, snapshot, keys).await.is_err(), "once the reader is done, its packs go");
        stage.check().await;
    }
}

/// As long as a snapshot is there, its packs are, even if it goes in the same prune.
#[tokio::test]
async fn a_pack_outlives_its_last_snapshot() {
    let stage = three().await;
    let repository = stage.plain().await;
    let lease = repository.lease(stage.request(Purpose::Run, Some("other"))).await.unwrap();
    let view = repository.view_to_write(&lease).await.unwrap();
    let old = files(&[(1, 1), (2, 2)]);
    let writer = stage.write(&view, "other", &old).await.unwrap();
    stage.prune(&repository, 1, quick()).await.unwrap();
    let id = stage.commit(&view, writer, "other", &old).await.unwrap();
    lease.release().await.unwrap();
    stage.run(&repository, "other", &files(&[(9, 9)])).await.unwrap();
    stage.world.advance(2 * HOUR);
    let pruner = Pruner::begin(&repository, stage.request(Purpose::Prune, None), quick()).await.unwrap();
    let plan = pruner.plan(&[Doomed { snapshot: id, why: "a test".into() }]).await.unwrap();
    let spares = |t: &dozo_repository::PlannedTombstone| matches!(t.state, TombstoneState::Ready { spared: 1.., .. });
    assert!(plan.snapshots.len() == 1 && plan.tombstones.iter().any(spares), "{plan:#?}");
    pruner.end().await.unwrap();
}

/// A plan takes no lease to delete, so it can be had beside a prune that is at work. It is the same plan, and whoever only looked
/// can do nothing of it.
#[tokio::test]
async fn a_look_plans_the_same_and_changes_nothing() {
    let stage = three().await;
    let repository = stage.plain().await;
    let doomed = stage.oldest(&repository.view().await.unwrap(), 1);
    let pruner = Pruner::begin(&repository, stage.request(Purpose::Prune, None), quick()).await.unwrap();
    let planned = pruner.plan(&doomed).await.unwrap();
    let look = Pruner::look(&repository, stage.request(Purpose::Read, None), quick()).await;
    assert_eq!(look.note(), None);
    let plan = look.plan(&doomed).await.unwrap();
    let snapshots = |plan: &dozo_repository::PrunePlan| plan.snapshots.iter().map(|going| going.id).collect::<Vec<_>>();
    assert!(!plan.snapshots.is_empty() && snapshots(&plan) == snapshots(&planned), "{plan:#?}");
    assert_eq!(plan.condemn, planned.condemn);
    let before = stage.world.names("").await;
    assert!(look.execute(plan).await.is_err());
    assert_eq!(stage.world.names("").await, before);
    look.end().await.unwrap();
    pruner.end().await.unwrap();
}

/// Lists of extents lead to chunks, too.
#[tokio::test]
async fn the_chunks_of_a_large_file_are_reached() {
    let stage = Stage::new().await;
    let repository = stage.plain().await;
    let large = stage::Files::from([("table".to_string(), stage::noise(17 << 20, 1)), ("a".into(), vec![1])]);
    stage.run(&repository, "files", &large).await.unwrap();
    stage.settle(1).await;
    stage.check().await;
}

/// A run is a success once its snapshot shows in listings, for those who delete look there.
#[tokio::test]
async fn a_success_is_listed() {
    let stage = three().await;
    let repository = stage.plain().await;
    let lease = repository.lease(stage.request(Purpose::Run, Some("other"))).await.unwrap();
    let view = repository.view_to_write(&lease).await.unwrap();
    let now = files(&[(1, 1)]);
    let writer = stage.write(&view, "other", &now).await.unwrap();
    stage.world.late.store(9, Ordering::Relaxed);
    stage.commit(&view, writer, "other", &now).await.unwrap();
    stage.world.tick.store(0, Ordering::Relaxed);
    assert_eq!(repository.view().await.unwrap().snapshots().len(), 4);
}

/// A run that began after its chunks were condemned stores them again.
#[tokio::test]
async fn a_condemned_pack_does_not_count_for_a_new_run() {
    let stage = three().await;
    let repository = stage.plain().await;
    stage.prune(&repository, 1, quick()).await.unwrap();
    stage.world.advance(2 * HOUR);
    let before = packs(&stage).await;
    let lease = repository.lease(stage.request(Purpose::Run, Some("other"))).await.unwrap();
    let view = repository.view_to_write(&lease).await.unwrap();
    let old = files(&[(1, 1), (2, 2)]);
    let writer = stage.write(&view, "other", &old).await.unwrap();
    // The prune needs not wait: the run has read the tombstone.
    let done = stage.prune(&repository, 1, quick()).await.unwrap();
    assert!(done.packs > 0);
    stage.commit(&view, writer, "other", &old).await.unwrap();
    lease.release().await.unwrap();
    assert!(packs(&stage).await > before - done.packs as usize, "the chunks were stored again");
    stage.check().await;
}

/// A reader's snapshot stays readable though it is deleted meanwhile.
#[tokio::test]
async fn a_restore_goes_on_while_its_snapshot_is_deleted() {
    let stage = three().await;
    let repository = stage.plain().await;
    let (keys, lease) = (stage.keys().await, repository.read_lease(stage.request(Purpose::Read, None)).await);
    let view = lease.view().await.unwrap();
    let oldest = view.snapshots()[0].0;
    for _ in 0..3 {
        stage.prune(&repository, 1, quick()).await.unwrap();
        stage.world.advance(HOUR);
    }
    assert_eq!(repository.view().await.unwrap().snapshots().len(), 1);
    assert_eq!(restore(&view, oldest, &keys).await.unwrap(), files(&[(1, 1), (2, 2)]));
    lease.release().await.unwrap();
    stage.settle(1).await;
    assert!(restore(&view, oldest, &keys).await.is_err(), "once the reader is done, it goes");
}

#[tokio::test]
async fn the_second_prune_is_busy() {
    let stage = three().await;
    let repository = stage.plain().await;
    let pruner = Pruner::begin(&repository, stage.request(Purpose::Prune, None), quick()).await.unwrap();
    assert_eq!(kind(stage.prune(&repository, 1, quick()).await), Kind::Busy);
    let plan = pruner.plan(&[]).await.unwrap();
    pruner.end().await.unwrap();
    let other = Pruner::begin(&repository, stage.request(Purpose::Prune, None), quick()).await.unwrap();
    assert_eq!(kind(other.execute(plan).await), Kind::Internal, "a plan is worth nothing without its lease");
}

/// A prune that slept between plan and execution deletes nothing (kopia#1949).
#[tokio::test]
async fn a_prune_that_slept_deletes_nothing() {
    let stage = three().await;
    let repository = stage.plain().await;
    let doomed = stage.oldest(&repository.view().await.unwrap(), 1);
    let pruner = Pruner::begin(&repository, stage.request(Purpose::Prune, None), quick()).await.unwrap();
    let plan = pruner.plan(&doomed).await.unwrap();
    stage.world.advance(HOUR);
    assert_eq!(kind(pruner.execute(plan).await), Kind::Unavailable);
    assert_eq!(repository.view().await.unwrap().snapshots().len(), 3);
}

#[tokio::test]
async fn a_host_that_may_not_delete_changes_nothing() {
    let stage = three().await;
    let script = By(|call, _: &str| if call == Call::Delete { Fate::Denied } else { Fate::Works });
    let repository = stage.open(Arc::new(script)).await;
    let doomed = stage.oldest(&repository.view().await.unwrap(), 1);
    let pruner = Pruner::begin(&repository, stage.request(Purpose::Prune, None), quick()).await.unwrap();
    let plan = pruner.plan(&doomed).await.unwrap();
    assert_eq!(plan.snapshots.len(), 2, "planning needs no such right");
    let error = pruner.execute(plan).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.hint().unwrap().contains("role = \"maintain\""));
    assert!(stage.world.names("tombstones").await.is_empty() && stage.world.names("records/prune").await.is_empty());
    assert_eq!(stage.world.names("snapshots").await.len(), 3);
}

/// A listing that shows nothing, or not all, or is refused (restic#4612, minio/mc#4047): nothing is deleted.
#[tokio::test]
async fn a_listing_that_is_empty_or_breaks_stops_everything() {
    let stage = three().await;
    stage.prune(&stage.plain().await, 2, quick()).await.unwrap();
    stage.world.advance(DAY);
    let before = stage.world.names("").await;
    for fate in [Fate::Empty, Fate::Fails, Fate::AnswerLost, Fate::Denied] {
        for directory in ["snapshots", "index", "packs", "catalog"] {
            let script = move |call, name: &str| {
                if call == Call::List && name == directory { fate } else { Fate::Works }
            };
            let repository = stage.open(Arc::new(By(script))).await;
            let all = |view: &dozo_repository::View| {
                view.snapshots()
                    .iter()
                    .map(|(id, _)| Doomed { snapshot: *id, why: "a test".into() })
                    .collect::<Vec<_>>()
            };
            let doomed = all(&stage.plain().await.view().await.unwrap());
            assert!(stage.prune_these(&repository, &doomed, quick()).await.is_err(), "{directory} {fate:?}");
            assert!(stage.compact(&repository, quick()).await.is_err(), "{directory} {fate:?}");
        }
    }
    let after = stage.world.names("").await;
    assert!(before.iter().all(|name| after.contains(name)), "nothing was deleted");
    // A listing of leases that shows nothing: the tombstones look as if nobody were at work. Those who are have named them,
    // or spared themselves; a listing that breaks stops.
    let script = |call, name: &str| if call == Call::List && name == "leases" { Fate::Fails } else { Fate::Works };
    assert!(stage.prune(&stage.open(Arc::new(By(script))).await, 2, quick()).await.is_err());
    stage.check().await;
}

/// Whatever cannot be read stops a prune before it deletes anything.
#[tokio::test]
async fn damage_stops_a_prune_until_it_is_known() {
    for directory in ["snapshots", "index", "packs", "catalog"] {
        for how in ["delete", "flip"] {
            if (directory, how) == ("snapshots", "delete") || (directory, how) == ("packs", "flip") {
                // The one is not to be seen, the other not without reading content; neither makes a prune delete more.
                continue;
            }
            let stage = three().await;
            let name = stage.world.names(directory).await.remove(0);
            let mut bytes = stage.world.bytes(&name).await;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            stage.world.tamper(&name, (how == "flip").then_some(bytes)).await;
            let repository = stage.plain().await;
            let before = stage.world.names("packs").await;
            assert_eq!(kind(stage.prune(&repository, 3, quick()).await), Kind::Corrupt, "{directory} {how}");
            assert_eq!(stage.world.names("packs").await, before);
        }
    }
}

#[tokio::test]
async fn the_newest_snapshot_of_a_job_stays_whatever_retention_says() {
    let stage = three().await;
    let repository = stage.plain().await;
    let view = repository.view().await.unwrap();
    let all: Vec<Doomed> =
        view.snapshots().iter().map(|(id, _)| Doomed { snapshot: *id, why: "all must go".into() }).collect();
    let pruner = Pruner::begin(&repository, stage.request(Purpose::Prune, None), quick()).await.unwrap();
    let plan = pruner.plan(&all).await.unwrap();
    assert_eq!(plan.snapshots.len(), 2);
    assert_eq!(plan.kept.iter().map(|kept| kept.id).collect::<Vec<_>>(), [view.snapshots()[2].0]);
    pruner.execute(plan).await.unwrap();
    assert_eq!(repository.view().await.unwrap().snapshots().len(), 1);
}

/// A snapshot that somebody builds on stays until he is done.
#[tokio::test]
async fn what_a_lease_keeps_stays() {
    let stage = three().await;
    let repository = stage.plain().await;
    let view = repository.view().await.unwrap();
    let lease = repository.lease(stage.request(Purpose::Run, Some("other"))).await.unwrap();
    lease.keep(vec![view.snapshots()[0].0]);
    lease.renew().await.unwrap();
    let done = stage.prune(&repository, 1, quick()).await.unwrap();
    assert_eq!(done.snapshots, 1);
    lease.release().await.unwrap();
    assert_eq!(stage.prune(&repository, 1, quick()).await.unwrap().snapshots, 1);
}

#[tokio::test]
async fn a_compaction_wins_dead_bytes_back() {
    let stage = Stage::new().await;
    let repository = stage.plain().await;
    let many: Vec<(u32, u64)> = (0..40).map(|n| (n, u64::from(n))).collect();
    stage.run(&repository, "files", &files(&many)).await.unwrap();
    stage.run(&repository, "files", &files(&many[..10])).await.unwrap();
    stage.prune(&repository, 1, quick()).await.unwrap();
    let pruner = Pruner::begin(&repository, stage.request(Purpose::Prune, None), quick()).await.unwrap();
    let plan = pruner.plan(&[]).await.unwrap();
    let (bytes, dead) = (plan.data.bytes, plan.data.dead_bytes);
    assert!(dead * 10 > bytes * 6 && dead * 10 < bytes * 9, "three of four files are gone: {:?}", plan.data);
    pruner.end().await.unwrap();
    let young = PruneRules { pack_age_min: SignedDuration::from_hours(1), ..quick() };
    assert_eq!(stage.compact(&repository, young).await.unwrap().packs, 0, "its run may still go on");
    stage.world.advance(HOUR);
    let done = stage.compact(&repository, young).await.unwrap();
    assert_eq!((done.packs, done.packs_new), (1, 1), "{done:?}");
    assert!(done.bytes_new * 2 < done.bytes);
    stage.check().await;
    stage.settle(1).await;
    stage.check().await;
    let held = stage.world.names("packs").await;
    assert_eq!(held.len(), 1);
    assert_eq!(stage.world.bytes(&held[0]).await.len() as u64, done.bytes_new);
}

/// A store that shows new objects late in its listings, but shows them to whoever asks by name.
#[tokio::test]
async fn listings_that_come_late_cost_time_and_nothing_else() {
    let stage = three().await;
    stage.world.late.store(3, Ordering::Relaxed);
    let repository = stage.plain().await;
    for round in 0..4 {
        stage.run(&repository, "files", &files(&[(1, 1), (2, 100 + round)])).await.unwrap();
        stage.prune(&repository, 2, quick()).await.unwrap();
        stage.world.advance(2 * HOUR);
        stage.check().await;
    }
    stage.settle(1).await;
    stage.check().await;
}
