//! Damage that is healed: from a mirror, at a mirror, from the packs themselves; and what is given up.

use std::sync::Arc;

use dozo_repository::format::record::PruneRecord;
use dozo_repository::{Kind, MirrorCounters, MirrorStart, Purpose, Repairer, mirror};
use jiff::Timestamp;

use crate::pair::{Pair, contents, damage, help, repair, repair_all, scrub, store};
use crate::stage::world::{By, Call, Fate, Works};
use crate::stage::{DAY, Stage, files, kind, quick};

const HELD: [&str; 4] = ["keys", "packs", "catalog", "snapshots"];

async fn damage_all(stage: &Stage, directory: &str, how: &str) {
    for name in stage.world.names(directory).await {
        if directory == "keys" && how != "delete" {
            // Of a key document, a host sees the header alone.
            stage.world.tamper(&name, Some(b"rot".to_vec())).await;
        } else {
            damage(&stage.world, &name, how).await;
        }
    }
}

/// On either side, from the other, byte for byte.
#[tokio::test]
async fn rot_is_healed_from_the_other_store() {
    let base = Pair::mirrored().await;
    for directory in ["packs", "catalog", "snapshots", "keys", "index"] {
        for how in ["flip", "truncate", "delete"] {
            for at_mirror in [false, true] {
                let case = format!("{directory} {how} at the mirror: {at_mirror}");
                let pair = base.fork();
                let (hurt, other) = if at_mirror { (&pair.mirror, &pair.main) } else { (&pair.main, &pair.mirror) };
                let before = contents(&hurt.world, &HELD).await;
                damage_all(hurt, directory, how).await;
                scrub(hurt).await;
                assert!(!hurt.world.names("damage").await.is_empty() || !["packs"].contains(&directory), "{case}");
                let left = repair_all(hurt, &[other], None).await;
                assert!(left.lost.is_empty(), "{case}: {left:#?}");
                assert!(hurt.world.names("damage").await.is_empty(), "{case}");
                assert!(contents(&hurt.world, &HELD).await == before, "{case}: other bytes than before");
                hurt.check().await;
            }
        }
    }
}

/// A mirror that is wrong as well heals nothing, and breaks nothing.
#[tokio::test]
async fn a_wrong_copy_is_not_taken() {
    let pair = Pair::mirrored().await;
    let name = pair.main.world.names("packs").await.remove(0);
    for stage in [&pair.main, &pair.mirror] {
        damage(&stage.world, &name, "flip").await;
    }
    let wrong = pair.main.world.bytes(&name).await;
    scrub(&pair.main).await;
    let (plan, done) = repair(&pair.main, Arc::new(Works), help(&[&pair.mirror], None).await, &[]).await.unwrap();
    assert!(plan.copies.len() == 1 && done.copied == 0 && done.failed[0].object == name, "{done:#?}");
    assert!(pair.main.world.bytes(&name).await == wrong, "what is there goes only when the right one is at hand");
    assert_eq!(pair.main.world.names("damage").await.len(), 1);
}

#[tokio::test]
async fn lost_indexes_are_made_again_by_an_owner() {
    for how in ["delete", "truncate"] {
        let pair = Pair::unmirrored().await;
        let stage = &pair.main;
        damage_all(stage, "index", how).await;
        assert!(!stage.findings().await.is_clean());
        // A host can read catalogs, and tells what it takes for the rest.
        let left = repair_all(stage, &[], None).await;
        let hints: Vec<_> = left.lost.iter().filter(|p| p.object.starts_with("packs/")).collect();
        assert!(!hints.is_empty() && hints.iter().all(|p| p.why.hint().unwrap().contains("owner key")), "{left:#?}");
        assert!(!stage.findings().await.is_clean());
        let left = repair_all(stage, &[], Some(stage)).await;
        assert!(left.lost.is_empty(), "{how}: {left:#?}");
        stage.check().await;
        // The next run finds all of it, and stores nothing twice.
        let packs = stage.world.names("packs").await;
        stage.run(&stage.plain().await, "other", &files(&[(7, 7)])).await.unwrap();
        assert_eq!(stage.world.names("packs").await, packs);
    }
}

/// What this machine remembers of an index is no index: neither is the broken one deleted for it, nor a snapshot mirrored.
#[tokio::test]
async fn a_remembered_index_stands_in_for_none() {
    let pair = Pair::unmirrored().await;
    let (stage, memory) = (&pair.main, tempfile::tempdir().unwrap());
    let repository = stage.plain().await.remembering_in(memory.path());
    repository.view().await.unwrap();
    damage_all(stage, "index", "flip").await;
    let broken = stage.world.names("index").await;
    let view = repository.view().await.unwrap();
    assert!(view.problems().is_empty() && view.chunks() > 0, "remembered");

    let repairer =
        Repairer::begin(&repository, stage.request(Purpose::Prune, None), help(&[], None).await).await.unwrap();
    let plan = repairer.plan(&[]).await.unwrap();
    repairer.execute(plan).await.unwrap();
    repairer.end().await.unwrap();
    let left = stage.world.names("index").await;
    assert!(broken.iter().all(|name| left.contains(name)), "an owner must read the data packs first");

    let to = store(&pair.mirror.world, Arc::new(Works));
    let request = stage.request(Purpose::Mirror, None);
    let report = mirror(&repository, &to, MirrorStart::Create, request, &MirrorCounters::default()).await.unwrap();
    assert!(report.snapshots == 0 && report.held_back.len() == 3, "{report:#?}");
}

/// Snapshots that somebody deleted come back with all that they need; those that a prune deleted do not.
#[tokio::test]
async fn what_was_lost_comes_back_and_what_was_pruned_does_not() {
    let pair = Pair::mirrored().await;
    let stage = &pair.main;
    stage.world.advance(8 * DAY);
    stage.settle(1).await;
    let pruned = stage.world.names("snapshots").await;
    assert_eq!(pruned.len(), 2);
    assert!(repair_all(stage, &[&pair.mirror], None).await.is_empty());
    assert_eq!(stage.world.names("snapshots").await, pruned);
    for directory in ["snapshots", "packs", "catalog", "index"] {
        damage_all(stage, directory, "delete").await;
    }
    let left = repair_all(stage, &[&pair.mirror], None).await;
    assert!(left.lost.is_empty(), "{left:#?}");
    assert_eq!(stage.world.names("snapshots").await, pruned);
    stage.check().await;
}

#[tokio::test]
async fn what_is_beyond_help_is_given_up_by_name_alone() {
    let pair = Pair::unmirrored().await;
    let stage = &pair.main;
    let names = stage.world.names("snapshots").await;
    let (bad, good) = (&names[0], &names[1]);
    damage(&stage.world, bad, "flip").await;
    stage.world.advance(8 * DAY);
    let repository = stage.plain().await;
    assert_eq!(kind(stage.prune(&repository, 1, quick()).await), Kind::Corrupt);
    let left = repair_all(stage, &[], None).await;
    assert!(left.lost.iter().any(|problem| problem.object == *bad), "{left:#?}");
    assert!(stage.world.names("snapshots").await.contains(bad), "it does not go by itself");
    let give_up = async |name: &str| repair(stage, Arc::new(Works), help(&[], None).await, &[name.to_string()]).await;
    for whole in [good.as_str(), &good[good.len() - 64..], "", "index/"] {
        assert_eq!(kind(give_up(whole).await), Kind::Invalid, "{whole}");
    }
    let (_, done) = give_up(&bad[bad.len() - 64..]).await.unwrap();
    assert_eq!(done.given_up, 1);
    assert_eq!(stage.world.names("snapshots").await.len(), 2);
    let records = repository.records::<PruneRecord>(Timestamp::MIN).await.unwrap();
    let given = records.parsed.iter().flat_map(|record| &record.value.snapshots);
    assert!(given.clone().any(|(id, why)| bad.ends_with(&id.to_string()) && why.starts_with("given up")));
    stage.prune(&repository, 1, quick()).await.unwrap();
    assert!(stage.findings().await.is_clean());
}

/// What needs no right to delete is done without one.
#[tokio::test]
async fn a_missing_pack_comes_back_without_the_right_to_delete() {
    let pair = Pair::mirrored().await;
    let name = pair.main.world.names("packs").await.remove(0);
    damage(&pair.main.world, &name, "delete").await;
    let script = Arc::new(By(|call, _: &str| if call == Call::Delete { Fate::Denied } else { Fate::Works }));
    let (_, done) = repair(&pair.main, script.clone(), help(&[&pair.mirror], None).await, &[]).await.unwrap();
    assert_eq!(done.copied, 1);
    pair.main.check().await;
    damage(&pair.main.world, &name, "flip").await;
    scrub(&pair.main).await;
    assert_eq!(kind(repair(&pair.main, script, help(&[&pair.mirror], None).await, &[]).await), Kind::Denied);
    assert!(pair.main.world.names("packs").await.contains(&name));
}

/// A primary that is gone altogether is a mirror of its mirror.
#[tokio::test]
async fn a_lost_primary_is_made_from_its_mirror() {
    let pair = Pair::mirrored().await;
    let turned =
        Pair { main: pair.main.at(pair.mirror.world.clone()), mirror: pair.main.at(crate::stage::world::World::new()) };
    let report = turned.copy(MirrorStart::Create, Arc::new(Works)).await.unwrap();
    assert!(report.is_whole());
    turned.mirror.check().await;
}
