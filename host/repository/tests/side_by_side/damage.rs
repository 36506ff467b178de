//! Every way to damage every kind of object: what comes back is right, what does not is named and refused.

use std::sync::Arc;

use dozo_repository::format::damage::DamageDocument;
use dozo_repository::format::name::parse_pack;
use dozo_repository::format::snapshot::Named;
use dozo_repository::{Kind, Purpose};

use crate::stage::world::Works;
use crate::stage::{DAY, HOUR, Stage, files, quick, restore};

/// A repository with every kind of object in it.
async fn full() -> Stage {
    let stage = Stage::new().await;
    let repository = stage.plain().await;
    for now in [[(1, 1), (2, 2)], [(3, 3), (4, 4)], [(3, 3), (5, 5)]] {
        stage.run(&repository, "files", &files(&now)).await.unwrap();
        stage.world.advance(HOUR);
    }
    stage.prune(&repository, 2, quick()).await.unwrap();
    stage
}

async fn damage(stage: &Stage, name: &str, how: &str) {
    let mut bytes = stage.world.bytes(name).await;
    match how {
        "delete" => return stage.world.tamper(name, None).await,
        "truncate" => bytes.truncate(bytes.len() * 2 / 3),
        _ => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
    }
    stage.world.tamper(name, Some(bytes)).await;
}

#[tokio::test]
async fn nothing_wrong_is_ever_returned() {
    let base = full().await;
    let (keys, before) = (base.keys().await, base.plain().await.view().await.unwrap());
    let mut expected = Vec::new();
    for (id, _) in before.snapshots() {
        expected.push((*id, restore(&before, *id, &keys).await.unwrap()));
    }
    let named = ["packs/", "catalog/", "index/", "snapshots/"];
    for name in base.world.names("").await.into_iter().filter(|name| !name.starts_with("keys/") && name != "dozo.json")
    {
        for how in ["delete", "truncate", "flip"] {
            let stage = base.fork();
            damage(&stage, &name, how).await;
            let repository = stage.plain().await;
            let view = repository.view().await.unwrap();
            let mut refused = 0;
            for (id, held) in &expected {
                if !view.snapshots().iter().any(|(known, _)| known == id) {
                    refused += 1;
                    continue;
                }
                match restore(&view, *id, &keys).await {
                    Ok(found) => assert!(found == *held, "{name} {how}: something else came back"),
                    Err(error) => {
                        assert_eq!(error.kind(), Kind::Corrupt, "{name} {how}: {}", error.chain());
                        refused += 1;
                    }
                }
            }
            let seen = !stage.findings().await.is_clean();
            let unseen = how == "delete" && name.starts_with("snapshots/");
            assert!(refused == 0 || seen || unseen, "{name} {how}: refused and not named");
            let serves = named.iter().any(|directory| name.starts_with(directory));
            assert!(refused == 0 || serves, "{name} {how}: nothing that is read depends on it");
            if !serves {
                assert_eq!(seen, how != "delete", "{name} {how}");
            }
            // Whatever is damaged, a run goes on, and what it promises is whole.
            let now = files(&[(3, 3), (5, 5), (8, 8)]);
            if name.starts_with("packs/") && how == "flip" {
                continue;
            }
            stage.world.advance(HOUR);
            match stage.run(&repository, "files", &now).await {
                Ok(id) => {
                    let view = repository.view().await.unwrap();
                    assert!(restore(&view, id, &keys).await.unwrap() == now, "{name} {how}");
                }
                // A catalog pack that was flipped is found when the run reads it.
                Err(error) => assert!(name.starts_with("catalog/") && how == "flip", "{name} {how}: {}", error.chain()),
            }
        }
    }
}

/// Damage heals by itself: once it is known, the next run stores again what the source still has.
#[tokio::test]
async fn damage_that_is_known_is_stored_again() {
    for how in ["delete", "truncate", "flip"] {
        for directory in ["packs", "catalog"] {
            let stage = full().await;
            let repository = stage.plain().await;
            for name in stage.world.names(directory).await {
                damage(&stage, &name, how).await;
            }
            let found = stage.findings().await;
            let bad = found.problems.iter().chain(&found.superseded);
            let packs: Vec<_> = bad.filter_map(|p| parse_pack(&p.object).ok()).collect();
            assert!(!packs.is_empty(), "{directory} {how}");
            let document = DamageDocument {
                schema: DamageDocument::SCHEMA.into(),
                host: Named { uid: repository.host(), name: "host".into() },
                found: stage.time(),
                packs: packs.into_iter().map(|(kind, id)| (kind, id, how.to_string())).collect(),
            };
            repository.put_damage(&document).await.unwrap();
            assert_eq!(repository.damage().await.unwrap()[0].document, document);
            let now = files(&[(3, 3), (5, 5)]);
            let id = stage.run(&repository, "files", &now).await.unwrap();
            let view = repository.view().await.unwrap();
            assert!(restore(&view, id, &stage.keys().await).await.unwrap() == now, "{directory} {how}");
            assert!(view.damage().count() > 0);
            // Once the damaged snapshots are given up, a prune takes what is left of them.
            stage.world.advance(DAY);
            stage.prune(&repository, 1, quick()).await.unwrap();
            stage.settle(1).await;
            stage.check().await;
        }
    }
}

/// Names that are nobody's are neither read nor deleted.
#[tokio::test]
async fn other_names_are_left_alone() {
    let stage = full().await;
    let strange =
        ["packs/README", "catalog/ab/cd", "leases/x/000001-y", "leases/notes.txt", "records/run/x", "tmp/packs"];
    for name in strange {
        stage.world.plant(name, b"not ours").await;
    }
    let repository = stage.open(Arc::new(Works)).await;
    stage.run(&repository, "files", &files(&[(9, 9)])).await.unwrap();
    let lease = repository.lease(stage.request(Purpose::Read, None)).await.unwrap();
    lease.release().await.unwrap();
    stage.settle(1).await;
    let names = stage.world.names("").await;
    assert!(strange.iter().all(|name| names.contains(&(*name).to_string())), "{names:?}");
}
