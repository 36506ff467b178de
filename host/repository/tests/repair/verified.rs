//! What a verification finds, tells and leaves behind.

use std::collections::HashSet;

use dozo_repository::format::record::VerificationRecord;
use dozo_repository::format::snapshot::Named;
use dozo_repository::{Depth, Findings, HostUid, Kind, ObjectId, Sample, Scope, VerifyCounters, verify, verify_scope};
use jiff::Timestamp;

use crate::pair::{Pair, damage, repair_all, scrub};
use crate::stage::world::Works;
use crate::stage::{Stage, files, kind, quick, restore};

async fn structure(stage: &Stage) -> dozo_repository::Findings {
    let view = stage.plain().await.view().await.unwrap();
    verify(&view, Depth::Structure, &VerifyCounters::default()).await.unwrap()
}

/// One job, one snapshot, one pack of each kind.
async fn small() -> Stage {
    let stage = Stage::new().await;
    stage.run(&stage.plain().await, "files", &files(&[(1, 1), (2, 2), (3, 3)])).await.unwrap();
    stage
}

#[tokio::test]
async fn damage_is_recorded_stored_again_and_cleared() {
    for directory in ["packs", "catalog"] {
        for how in ["flip", "truncate", "delete"] {
            let case = format!("{directory} {how}");
            let stage = small().await;
            let repository = stage.plain().await;
            let first = repository.view().await.unwrap().snapshots()[0].0;
            let name = stage.world.names(directory).await.remove(0);
            damage(&stage.world, &name, how).await;
            let findings = scrub(&stage).await;
            assert!(!findings.is_clean() && findings.damaged_count > 0, "{case}: {findings:#?}");
            assert!(findings.problems.iter().all(|p| p.object == name && p.why.hint().is_some()), "{case}");
            assert_eq!(stage.world.names("damage").await.len(), 1, "{case}");
            assert!(record(&findings).harmless.is_empty(), "{case}");
            scrub(&stage).await;
            assert_eq!(stage.world.names("damage").await.len(), 1, "{case}: told once");
            assert!(!structure(&stage).await.is_clean(), "{case}: it stays known without reading");

            let left = repair_all(&stage, &[], None).await;
            assert!(left.lost.iter().any(|problem| problem.object == name), "{case}: {left:#?}");
            stage.run(&repository, "files", &files(&[(1, 1), (2, 2), (3, 3)])).await.unwrap();
            let view = repository.view().await.unwrap();
            let found = restore(&view, first, &stage.keys().await).await.unwrap();
            assert!(found == files(&[(1, 1), (2, 2), (3, 3)]), "{case}: the old snapshot restores from the new place");
            let findings = scrub(&stage).await;
            assert!(findings.is_clean(), "{case}: {findings:#?}");
            assert_eq!(findings.superseded.len(), 1, "{case}: {findings:#?}");
            // From then on everybody knows that it is no loss, though nobody has cleared it up.
            let harmless = record(&findings).harmless.into_iter().collect();
            let view = repository.view().await.unwrap();
            assert_eq!(view.damaged_packs_but(&harmless), 0, "{case}");
            assert_eq!(view.damaged_packs_but(&HashSet::new()), 1, "{case}");

            let left = repair_all(&stage, &[], None).await;
            assert!(left.lost.is_empty() && left.notes.is_empty(), "{case}: {left:#?}");
            assert!(stage.world.names("damage").await.is_empty(), "{case}");
            assert!(!stage.world.names(directory).await.contains(&name), "{case}");
            let findings = scrub(&stage).await;
            assert!(findings.is_clean() && findings.superseded.is_empty(), "{case}: {findings:#?}");
            stage.check().await;
        }
    }
}

fn record(findings: &Findings) -> VerificationRecord {
    let host = Named { uid: HostUid([1; 8]), name: "host".to_string() };
    findings.record(host, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH)
}

/// Segments that touch damage are walked for each snapshot, and are no more entries for that.
#[tokio::test]
async fn damage_makes_no_more_entries() {
    let stage = small().await;
    let repository = stage.plain().await;
    for _ in 0..2 {
        stage.run(&repository, "files", &files(&[(1, 1), (2, 2), (3, 3)])).await.unwrap();
    }
    let whole = structure(&stage).await;
    damage(&stage.world, &stage.world.names("packs").await.remove(0), "flip").await;
    let damaged = scrub(&stage).await;
    assert!(whole.snapshots == 3 && damaged.damaged_count > whole.entries, "{damaged:#?}");
    assert_eq!(damaged.entries, whole.entries);
}

/// Each sample goes on behind the last one, as its record says.
#[tokio::test]
async fn samples_go_round() {
    let stage = small().await;
    let repository = stage.plain().await;
    for n in 4..7 {
        stage.run(&repository, "files", &files(&[(n, u64::from(n))])).await.unwrap();
    }
    let (view, keys) = (repository.view().await.unwrap(), stage.keys().await);
    let mut behind = ObjectId([9; 32]);
    let mut read = HashSet::new();
    let mut packs = 0;
    for _ in 0..8 {
        let depth = Depth::Data(Sample::Percent(1, behind), &keys);
        let findings = verify(&view, depth, &VerifyCounters::default()).await.unwrap();
        assert!(findings.is_clean() && findings.packs_read == 1, "{findings:#?}");
        packs = findings.packs;
        behind = record(&findings).read_to.unwrap();
        read.insert(behind);
    }
    assert_eq!((packs, read.len()), (8, 8));
}

#[tokio::test]
async fn a_pack_that_came_back_is_believed_again() {
    let stage = small().await;
    let name = stage.world.names("packs").await.remove(0);
    let bytes = stage.world.bytes(&name).await;
    damage(&stage.world, &name, "flip").await;
    scrub(&stage).await;
    stage.world.tamper(&name, Some(bytes)).await;
    repair_all(&stage, &[], None).await;
    assert!(stage.world.names("damage").await.is_empty());
    stage.check().await;
}

/// While a run is at work that may count on it, what is wrong stays where it is.
#[tokio::test]
async fn nothing_is_removed_under_a_run() {
    let stage = small().await;
    let repository = stage.plain().await;
    let name = stage.world.names("packs").await.remove(0);
    damage(&stage.world, &name, "flip").await;
    scrub(&stage).await;
    stage.run(&repository, "files", &files(&[(1, 1), (2, 2), (3, 3)])).await.unwrap();
    let run = repository.lease(stage.request(dozo_repository::Purpose::Run, Some("other"))).await.unwrap();
    let left = repair_all(&stage, &[], None).await;
    assert!(left.notes.len() == 1 && stage.world.names("packs").await.contains(&name), "{left:#?}");
    run.release().await.unwrap();
    repair_all(&stage, &[], None).await;
    assert!(!stage.world.names("packs").await.contains(&name));
}

/// restic#3326: a check of one snapshot alone.
#[tokio::test]
async fn one_snapshot_is_verified_alone() {
    let pair = Pair::unmirrored().await;
    let (stage, keys) = (&pair.main, pair.main.keys().await);
    let view = stage.plain().await.view().await.unwrap();
    let ids = |job: &str| -> Vec<_> {
        view.snapshots().iter().filter(|(_, s)| s.job.name == job).map(|(id, _)| *id).collect()
    };
    let all = verify(&view, Depth::Data(Sample::All, &keys), &VerifyCounters::default()).await.unwrap();
    let counters = VerifyCounters::default();
    let depth = Depth::Data(Sample::All, &keys);
    let some = verify_scope(&view, depth, Scope::Snapshots(&ids("other")), &counters).await.unwrap();
    assert!(some.is_clean() && some.packs_read < all.packs_read && some.bytes_read < all.bytes_read, "{some:#?}");
    assert_eq!(some.whole, ids("other"));

    // The pack of the first run of the other job.
    let name = stage.world.names("packs").await;
    let of_other = async |name: &String| {
        let whole = stage.world.bytes(name).await;
        damage(&stage.world, name, "flip").await;
        let found = verify_scope(&view, depth, Scope::Snapshots(&ids("other")), &VerifyCounters::default()).await;
        let clean = found.unwrap().is_clean();
        stage.world.tamper(name, Some(whole)).await;
        !clean
    };
    let mut touched = 0;
    for name in &name {
        touched += u32::from(of_other(name).await);
    }
    assert_eq!(touched, 1, "one data pack is its own");
    let unknown = [dozo_repository::ObjectId::of(b"no")];
    let none = verify_scope(&view, depth, Scope::Snapshots(&unknown), &VerifyCounters::default()).await;
    assert_eq!(kind(none), Kind::Invalid);
}

#[tokio::test]
async fn a_record_names_what_was_read_whole() {
    let stage = small().await;
    let repository = stage.plain().await;
    let view = repository.view().await.unwrap();
    let (keys, host) = (stage.keys().await, Named { uid: HostUid([1; 8]), name: "host".to_string() });
    let time = stage.time();
    for (depth, names) in [
        (Depth::Structure, 0),
        (Depth::Scrub(Sample::All), 0),
        (Depth::Data(Sample::Percent(99, ObjectId([1; 32])), &keys), 0),
        (Depth::Data(Sample::All, &keys), 1),
    ] {
        let findings = verify(&view, depth, &VerifyCounters::default()).await.unwrap();
        let record = findings.record(host.clone(), time, time);
        assert!(record.clean && record.snapshots.len() == names, "{record:?}");
        repository.put_verification(&record).await.unwrap();
    }
    let records = repository.records::<VerificationRecord>(Timestamp::MIN).await.unwrap();
    assert_eq!((records.parsed.len(), records.problems.len()), (4, 0));
}

/// Keys, records and leases are looked at, too.
#[tokio::test]
async fn every_kind_of_document_is_looked_at() {
    for directory in ["keys", "records", "leases", "index", "snapshots"] {
        let pair = Pair::unmirrored().await;
        let stage = &pair.main;
        pair.copy(dozo_repository::MirrorStart::Create, std::sync::Arc::new(Works)).await.unwrap();
        stage.world.advance(8 * crate::stage::DAY);
        stage.prune(&stage.plain().await, 1, quick()).await.unwrap();
        assert!(structure(stage).await.is_clean());
        let names = stage.world.names(directory).await;
        damage(&stage.world, names.last().unwrap(), if directory == "keys" { "delete" } else { "truncate" }).await;
        let findings = structure(stage).await;
        assert!(!findings.problems.is_empty(), "{directory}");
        assert!(findings.problems.iter().all(|p| p.object.starts_with(directory) && p.why.hint().is_some()));
    }
}
