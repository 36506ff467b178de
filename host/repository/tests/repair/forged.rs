//! What an attacker with the store, or with a host's key, can put there: it is found, and it is not believed.

use std::io::Write;
use std::sync::Arc;

use dozo_repository::format::pack::{FrameEntry, append_trailer};
use dozo_repository::{ChunkId, HostUid, ObjectId, OwnerKey, Repository, Secret};

use crate::pair::{Pair, damage, help, repair, repair_all, scrub, store};
use crate::stage::world::{Works, World};
use crate::stage::{Stage, files};

fn field(host_key: &str, name: &str) -> String {
    let key: serde_json::Value = serde_json::from_str(host_key).unwrap();
    key[name].as_str().unwrap().to_string()
}

fn sealed_to(recipient: &str, plaintext: &[u8]) -> Vec<u8> {
    let recipient: age::x25519::Recipient = recipient.parse().unwrap();
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient)).unwrap();
    let mut writer = encryptor.wrap_output(Vec::new()).unwrap();
    writer.write_all(plaintext).unwrap();
    writer.finish().unwrap()
}

/// A pack whose trailer says that it holds a chunk that it does not.
#[tokio::test]
async fn a_trailer_that_lies_is_not_believed() {
    let pair = Pair::unmirrored().await;
    let stage = &pair.main;
    let recipient = field(&stage.host_key, "data_recipient");
    let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
    compressor.include_checksum(true).unwrap();
    let mut plaintext = compressor.compress(b"other content").unwrap();
    let frames = [FrameEntry { bytes: plaintext.len() as u32, chunks: vec![(ChunkId([1; 32]), 13)] }];
    append_trailer(&mut plaintext, &frames).unwrap();
    let forged = sealed_to(&recipient, &plaintext);
    let id = ObjectId::of(&forged).to_string();
    let name = format!("packs/{}/{id}", &id[..2]);
    stage.world.plant(&name, &forged).await;
    for index in stage.world.names("index").await {
        damage(&stage.world, &index, "delete").await;
    }
    let (_, done) = repair(stage, Arc::new(Works), help(&[], Some(stage)).await, &[]).await.unwrap();
    let failed: Vec<_> = done.failed.iter().map(|problem| (problem.object.as_str(), problem.why.chain())).collect();
    assert!(failed.len() == 1 && failed[0].0 == name && failed[0].1.contains("is not what its id says"), "{failed:?}");
    stage.check().await;
}

/// Every object in the place of every other of its kind; of another repository; under another name.
#[tokio::test]
async fn swapped_and_foreign_objects_are_found() {
    let base = Pair::unmirrored().await;
    let other = Stage::new_with([9; 32]).await;
    other.run(&other.plain().await, "files", &files(&[(1, 1)])).await.unwrap();
    for directory in ["packs", "catalog", "index", "snapshots"] {
        let names = base.main.world.names(directory).await;
        let foreign = other.world.names(directory).await.remove(0);
        let foreign = other.world.bytes(&foreign).await;
        let second = base.main.world.bytes(&names[1]).await;
        for (how, bytes) in [("swapped", second), ("foreign", foreign)] {
            let pair = base.fork();
            pair.main.world.tamper(&names[0], Some(bytes)).await;
            let findings = scrub(&pair.main).await;
            assert!(findings.problems.iter().any(|p| p.object == names[0]), "{directory} {how}: {findings:#?}");
        }
    }
}

/// An old document under a new name, and one that another repository's host wrote.
#[tokio::test]
async fn a_document_under_another_name_is_refused() {
    let pair = Pair::unmirrored().await;
    let stage = &pair.main;
    let mut expected = Vec::new();
    for directory in ["snapshots", "index"] {
        let old = stage.world.names(directory).await.remove(0);
        let (bytes, id) = (stage.world.bytes(&old).await, old[old.len() - 64..].to_string());
        // The right digest, in a name that says another time or another kind.
        let replayed = match old.rsplit_once('/').unwrap() {
            (head, _) if directory == "snapshots" => format!("{head}/20260101T000000Z-{id}"),
            _ => format!("damage/{id}"),
        };
        stage.world.plant(&replayed, &bytes).await;
        expected.push(replayed);
    }
    let findings = scrub(stage).await;
    for name in &expected {
        assert!(findings.problems.iter().any(|p| p.object == *name), "{name}: {findings:#?}");
    }
    assert_eq!(findings.snapshots, 3, "nothing new is shown");
    // Mirrors are not asked for what is as it was put; it is given up by name.
    let left = repair_all(stage, &[], None).await;
    assert_eq!(left.lost.len(), 2, "{left:#?}");
    repair(stage, Arc::new(Works), help(&[], None).await, &expected).await.unwrap();
    stage.check().await;
}

/// A host's key opens what describes content, and no content.
#[tokio::test]
async fn a_hosts_key_opens_no_content() {
    let pair = Pair::unmirrored().await;
    let identity: age::x25519::Identity = field(&pair.main.host_key, "catalog_identity").parse().unwrap();
    for (directory, opens) in [("packs", false), ("catalog", true), ("index", true), ("keys", false)] {
        for name in pair.main.world.names(directory).await {
            let opened = age::decrypt(&identity, &pair.main.world.bytes(&name).await);
            assert_eq!(opened.is_ok(), opens, "{name}");
        }
    }
}

/// Another repository in the place of this one.
#[tokio::test]
async fn another_repository_in_its_place_is_refused() {
    let pair = Pair::unmirrored().await;
    let world = World::new();
    let secret = Secret::new([9; 32]);
    let (owner, _) = OwnerKey::generate(secret.repository());
    let to = store(&world, Arc::new(Works));
    Repository::create(&to, secret, HostUid([1; 8]), &[owner]).await.unwrap();
    let key = dozo_repository::HostKey::parse(pair.main.host_key.as_bytes()).unwrap();
    assert!(Repository::open(to, key).await.is_err());
}
