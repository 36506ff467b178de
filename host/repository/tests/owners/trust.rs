//! What is believed, and what is not.

use std::sync::Arc;

use age::x25519;
use dozo_repository::format::circle::{Began, KeyAction, KeyRecord};
use dozo_repository::{HostKey, HostUid, Kind, OwnerKey, Recipient, Repository};
use serde_json::Value;

use crate::house::{House, Owner, owner, stamp};

/// What a thief of a host's key can read in it.
struct Thief {
    key: Value,
}

impl Thief {
    fn of(house: &House) -> Self {
        Thief { key: serde_json::from_str(&house.key.to_text()).unwrap() }
    }

    fn catalog(&self) -> x25519::Identity {
        self.key["catalog_identity"].as_str().unwrap().parse().unwrap()
    }

    /// A document that passes for one of the repository.
    fn document(&self, kind: &str, place: &str, body: &[u8], to: &dyn age::Recipient) -> Vec<u8> {
        let secret = hex::decode(self.key["secret"].as_str().unwrap()).unwrap();
        let key = blake3::derive_key("dozo 2026-11 document mac", &secret);
        let mut mac = blake3::Hasher::new_keyed(&key);
        for part in [kind, place] {
            mac.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        let mac = mac.update(body).finalize();
        let skippable = [&0x184D_2A5Du32.to_le_bytes()[..], &40u32.to_le_bytes(), b"dozo-mac", mac.as_bytes()].concat();
        let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
        compressor.include_checksum(true).unwrap();
        let plain = [compressor.compress(body).unwrap(), skippable].concat();
        let encryptor = age::Encryptor::with_recipients(std::iter::once(to)).unwrap();
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
        std::io::Write::write_all(&mut writer, &plain).unwrap();
        writer.finish().unwrap();
        sealed
    }

    /// A key document of an epoch for an owner, with a data identity of the thief's own.
    fn key_document(&self, epoch: u32, owner: &Recipient, data: &x25519::Identity) -> (String, Vec<u8>) {
        use age::secrecy::ExposeSecret;
        let body = serde_json::json!({
            "schema": "dozo/key/1", "repository": self.key["repository"], "epoch": epoch, "owner": owner.to_string(),
            "secret": self.key["secret"], "catalog_identity": self.key["catalog_identity"],
            "data_identity": data.to_string().expose_secret(),
        });
        let place = format!("keys/{epoch}-{}", owner.name());
        let to: x25519::Recipient = owner.to_string().parse().unwrap();
        (format!("{place}.age"), self.document("key", &place, body.to_string().as_bytes(), &to))
    }

    /// Puts a record that passes for one of the repository.
    async fn put_record(&self, house: &House, record: &KeyRecord) {
        let place = "records/key/20261123T000000Z-";
        let sealed = self.document("record", place, &record.to_body(), &self.catalog().to_public());
        let id = dozo_repository::ObjectId::of(&sealed);
        house.objects.write(&format!("{place}{id}"), &sealed).await;
    }
}

fn record(action: KeyAction, owner: Option<&Recipient>, epoch: u32) -> KeyRecord {
    let (host, at) = (stamp().host, stamp().at);
    let (schema, owner) = (KeyRecord::SCHEMA.into(), owner.map(ToString::to_string));
    KeyRecord { schema, host, at, action, owner, epochs: vec![epoch], began: None, proof: Some("0".repeat(64)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_is_added_and_removed() {
    let (mut house, second) = (House::new().await, owner());
    house.back_up("old", b"old").await;
    assert_eq!(house.read("old", &second.key).await.unwrap_err().kind(), Kind::Denied);
    let added = house.open().await.add_owner(&house.first.key, &second.recipient, &stamp()).await.unwrap();
    assert_eq!((added.epochs, added.written), (vec![1], 1));
    let again = house.open().await.add_owner(&house.first.key, &second.recipient, &stamp()).await.unwrap();
    assert_eq!(again.written, 0);
    house.back_up("new", b"new").await;
    for job in ["old", "new"] {
        assert_eq!(house.read(job, &second.key).await.unwrap(), job.as_bytes());
    }

    // A copy of what the removed owner had: it opens the past, and nothing that is sealed afterwards.
    let before = house.objects.names("keys").await;
    let repository = house.open().await;
    let changed = repository.remove_owners(&second.key, &[house.first.recipient.name()], &[], &stamp()).await.unwrap();
    assert_eq!(changed.owners, [second.recipient.to_string()]);
    let kept = house.objects.copy().await;
    house.take(&changed);
    assert_eq!(house.key.epoch(), 2);
    house.back_up("after", b"after").await;
    assert_eq!(house.read("after", &second.key).await.unwrap(), b"after");
    assert_eq!(house.read("after", &house.first.key).await.unwrap_err().kind(), Kind::Denied);
    assert!(kept.names("keys").await.len() < before.len() + 1, "the key documents are deleted");

    let error = house.open().await.remove_owners(&second.key, &[second.recipient.to_string()], &[], &stamp()).await;
    assert!(error.err().unwrap().to_string().contains("the last owner"));
    assert_eq!(house.read("after", &second.key).await.unwrap(), b"after");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_owner_who_kept_everything_reads_the_past_alone() {
    let second = owner();
    let mut house = House::with(&[&second.recipient]).await;
    house.back_up("old", b"old").await;
    let kept = house.objects.copy().await;
    house.remove(&second).await;
    house.back_up("after", b"after").await;
    for name in kept.names("keys").await {
        house.objects.write(&name, &kept.bytes(&name).await).await;
    }
    assert_eq!(house.read("old", &second.key).await.unwrap(), b"old");
    assert_eq!(house.read("after", &second.key).await.unwrap_err().kind(), Kind::Denied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_hosts_key_and_the_whole_store_no_content_opens() {
    let second = owner();
    let mut house = House::with(&[&second.recipient]).await;
    house.back_up("old", &[1; 300_000]).await;
    let changed = house.open().await.begin_epoch(&house.first.key, &[], &stamp()).await.unwrap();
    house.take(&changed);
    house.back_up("new", &[2; 300_000]).await;
    let catalog = Thief::of(&house).catalog();
    let mut opened = Vec::new();
    for name in house.names("").await.into_iter().filter(|name| name != "dozo.json") {
        if age::decrypt(&catalog, &house.objects.bytes(&name).await).is_ok() {
            opened.push(name);
        }
    }
    assert!(opened.iter().any(|name| name.starts_with("catalog/")), "the thief's key works");
    let secret = |name: &&String| name.starts_with("packs/") || name.starts_with("keys/");
    assert_eq!(opened.iter().find(secret), None);
    assert!(house.names("packs").await.len() >= 2 && house.names("keys").await.len() == 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swapped_recipient_in_the_store_is_never_used() {
    let (mut house, mallory) = (House::new().await, owner());
    house.back_up("old", b"old").await;
    let thief = Thief::of(&house);
    // A thief of the host's key says that mallory is an owner, and that an epoch of their own began.
    thief.put_record(&house, &record(KeyAction::Added, Some(&mallory.recipient), 1)).await;
    let repository = house.open().await;
    assert_eq!(owners(&repository, &house.first).await, [house.first.recipient.to_string()]);
    let changed = repository.begin_epoch(&house.first.key, &[], &stamp()).await.unwrap();
    house.take(&changed);
    house.back_up("new", b"new").await;
    assert_eq!(house.read("new", &mallory.key).await.unwrap_err().kind(), Kind::Denied);

    let data = x25519::Identity::generate();
    let (name, sealed) = thief.key_document(3, &house.first.recipient, &data);
    house.objects.write(&name, &sealed).await;
    let owners = vec![house.first.recipient.to_string(), mallory.recipient.to_string()];
    let began = Began { after: 2, recipient: data.to_public().to_string(), owners };
    thief.put_record(&house, &KeyRecord { began: Some(began), ..record(KeyAction::Began, None, 3) }).await;
    let epochs = house.open().await.open_epochs(&house.first.key).await.unwrap();
    assert_eq!(epochs.current(), 2, "an epoch that no owner began");
    assert!(!epochs.problems().is_empty());
    let key = house.open().await.current_key(&epochs).unwrap();
    assert!(!key.to_text().contains(&data.to_public().to_string()));
    let error = house.open().await.begin_epoch(&house.first.key, &[], &stamp()).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Corrupt, "{}", error.chain());
}

async fn owners(repository: &Repository, by: &Owner) -> Vec<String> {
    repository.open_epochs(&by.key).await.unwrap().owners().iter().cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_of_the_past_cannot_begin_another_epoch_beside_the_new_one() {
    let second = owner();
    let mut house = House::with(&[&second.recipient]).await;
    let before = house.key.clone();
    // The removed owner makes an epoch after the one that they knew, when the others have one already.
    let rival = Arc::new(house.objects.copy().await);
    house.remove(&second).await;
    let theirs = House { objects: rival, key: before, first: owner() };
    let aside = theirs.open().await;
    aside.begin_epoch(&second.key, &[], &stamp()).await.unwrap();
    aside.begin_epoch(&second.key, &[], &stamp()).await.unwrap();
    let there = house.names("").await;
    for name in theirs.names("").await.into_iter().filter(|name| !there.contains(name)) {
        house.objects.write(&name, &theirs.objects.bytes(&name).await).await;
    }
    let epochs = house.open().await.open_epochs(&house.first.key).await.unwrap();
    assert_eq!(epochs.current(), 2);
    assert_eq!(epochs.owners().iter().collect::<Vec<_>>(), [&house.first.recipient.to_string()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_document_with_the_right_recipient_and_a_wrong_code_is_refused() {
    let house = House::new().await;
    house.back_up("job", b"content").await;
    let mut thief = Thief::of(&house);
    let good = house.objects.bytes(&house.names("keys").await[0]).await;
    let data = x25519::Identity::generate();
    // Without the secret: the code cannot be right.
    let secret = thief.key["secret"].clone();
    thief.key["secret"] = "09".repeat(32).into();
    let (name, sealed) = thief.key_document(1, &house.first.recipient, &data);
    house.objects.write(&name, &sealed).await;
    let repository = house.open().await;
    assert_eq!(repository.unlock(&house.first.key).await.err().unwrap().kind(), Kind::Corrupt);
    // With it, a thief of the host's key: it opens, and is not what this host's key file names.
    thief.key["secret"] = secret;
    let (name, sealed) = thief.key_document(1, &house.first.recipient, &data);
    house.objects.write(&name, &sealed).await;
    let error = repository.open_epochs(&house.first.key).await.err().unwrap();
    assert!(error.kind() == Kind::Corrupt && error.to_string().contains("key file"), "{}", error.chain());
    // A host that joins has no key file; the packs that are there do not open.
    let joined = Repository::join(house.store(), house.key.repository, &house.first.key, HostUid([2; 8])).await;
    assert!(joined.err().unwrap().to_string().contains("do not fit"));
    house.objects.write(&name, &good).await;
    repository.open_epochs(&house.first.key).await.unwrap();
    // Somebody else's name in the right place.
    let (_, moved) = thief.key_document(1, &owner().recipient, &data);
    house.objects.write(&name, &moved).await;
    assert_eq!(repository.unlock(&house.first.key).await.err().unwrap().kind(), Kind::Denied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_whom_nobody_can_name_stops_a_new_epoch() {
    let (house, lost) = (House::new().await, owner());
    let repository = house.open().await;
    repository.add_owner(&house.first.key, &lost.recipient, &stamp()).await.unwrap();
    for name in house.names("records").await {
        house.objects.delete(&name).await;
    }
    let own = std::slice::from_ref(&house.first.recipient);
    let error = repository.begin_epoch(&house.first.key, own, &stamp()).await.err().unwrap();
    assert!(error.to_string().contains("no proven record"), "{}", error.chain());
    let both = [house.first.recipient.clone(), lost.recipient.clone()];
    let changed = repository.begin_epoch(&house.first.key, &both, &stamp()).await.unwrap();
    assert_eq!(changed.owners.len(), 2);
    let error = repository.begin_epoch(&house.first.key, &[owner().recipient], &stamp()).await.err().unwrap();
    assert!(error.to_string().contains("is no owner"), "{}", error.chain());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_tested_on_every_epoch() {
    let second = owner();
    let mut house = House::with(&[&second.recipient]).await;
    house.back_up("old", b"old").await;
    let changed = house.open().await.begin_epoch(&house.first.key, &[], &stamp()).await.unwrap();
    house.take(&changed);
    let test = house.test(&second.key).await;
    assert!(test.problems.is_empty(), "{:?}", test.problems);
    let packs: Vec<_> = test.epochs.iter().map(|epoch| (epoch.epoch, epoch.pack.is_some(), epoch.chunks)).collect();
    assert_eq!(packs, [(1, true, 1), (2, false, 0)]);
    house.back_up("new", b"new").await;
    let test = house.test(&second.key).await;
    assert!(test.epochs.iter().all(|epoch| epoch.chunks == 1), "{:?}", test.epochs);
    let (rows, problems) = house.open().await.owners().await.unwrap();
    assert!(problems.is_empty());
    for row in rows {
        assert_eq!(row.tested.is_some(), row.recipient.as_deref() == Some(&second.recipient.to_string()), "{row:?}");
    }

    // A missing key document and a damaged pack: said, and no record.
    house.objects.delete(&format!("keys/1-{}.age", second.recipient.name())).await;
    for pack in house.names("packs").await {
        let mut bytes = house.objects.bytes(&pack).await;
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        house.objects.write(&pack, &bytes).await;
    }
    let records = house.names("records/key").await.len();
    let test = house.test(&second.key).await;
    assert_eq!(test.problems.len(), 3, "{:?}", test.problems);
    assert_eq!(house.names("records/key").await.len(), records);
    let repository = house.open().await;
    assert!(repository.add_owner(&second.key, &owner().recipient, &stamp()).await.is_err(), "not every epoch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_lost_its_sign_is_not_made_anew() {
    let house = House::new().await;
    let keys = house.names("keys").await;
    house.objects.delete("dozo.json").await;
    let owners = [house.first.recipient.clone(), house.first.recipient.clone()];
    let again = Repository::create(&house.store(), crate::house::secret(), HostUid([1; 8]), &owners).await;
    assert_eq!(again.err().unwrap().kind(), Kind::Invalid);
    assert_eq!(house.names("keys").await, keys);
    // Named twice is named once.
    let store = dozo_repository::Store::memory();
    Repository::create(&store, crate::house::secret(), HostUid([1; 8]), &owners).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_repository_is_denied() {
    let house = House::new().await;
    let (_, text) = OwnerKey::generate("00".repeat(32).parse().unwrap());
    let stranger = OwnerKey::parse(&text).unwrap();
    assert_eq!(house.open().await.open_epochs(&stranger).await.err().unwrap().kind(), Kind::Denied);
    assert!(HostKey::parse(house.key.to_text().as_bytes()).is_ok());
}
