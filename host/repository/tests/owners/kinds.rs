//! Every kind of owner: a repository is made for it, it reads, and it goes over to a new epoch.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use dozo_repository::{HostUid, Kind, OwnerKey, Recipient, Repository, Store};

use crate::house::{House, PASSPHRASE, Says, owner, stamp};

fn ask() -> Arc<Says> {
    Arc::new(Says(PASSPHRASE))
}

/// Makes a key with a program; none, and loudly so, where it is not installed.
fn made(command: &mut Command) -> Option<()> {
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
            Some(())
        }
        Err(_) => {
            eprintln!("SKIPPED: {command:?} is not installed");
            None
        }
    }
}

fn ssh_key(dir: &Path, kind: &[&str], passphrase: &str) -> Option<(Recipient, Vec<u8>)> {
    let file = dir.join("key");
    made(
        Command::new("ssh-keygen")
            .args(["-q", "-C", "a comment", "-N", passphrase, "-t"])
            .args(kind)
            .arg("-f")
            .arg(&file),
    )?;
    let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    Some((Recipient::parse(&public).unwrap(), std::fs::read(file).unwrap()))
}

/// It reads what is sealed in the first epoch and in another, and is an owner like any other.
async fn is_an_owner(recipient: &Recipient, key: &OwnerKey) {
    let mut house = House::with(&[recipient]).await;
    house.back_up("old", b"old").await;
    assert_eq!(house.read("old", key).await.unwrap(), b"old", "{recipient}");
    // With this key alone, the other owner is removed and a third one added.
    let gone = [house.first.recipient.to_string()];
    let changed = house.open().await.remove_owners(key, &gone, &[], &stamp()).await.unwrap();
    assert_eq!(changed.owners, [recipient.to_string()]);
    house.take(&changed);
    house.back_up("new", b"new").await;
    let third = owner();
    house.open().await.add_owner(key, &third.recipient, &stamp()).await.unwrap();
    let test = house.test(key).await;
    assert!(test.problems.is_empty() && test.epochs.len() == 2 && test.owner == recipient.to_string(), "{test:?}");
    for (job, owner) in [("new", key), ("old", &third.key), ("new", &third.key)] {
        assert_eq!(house.read(job, owner).await.unwrap(), job.as_bytes(), "{recipient}");
    }
    assert!(house.read("new", &house.first.key).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_age_key() {
    let one = owner();
    is_an_owner(&one.recipient, &one.key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ssh_keys() {
    for (kind, passphrase) in [(&["ed25519"][..], ""), (&["rsa", "-b", "2048"], ""), (&["ed25519"], PASSPHRASE)] {
        let dir = tempfile::tempdir().unwrap();
        let Some((recipient, file)) = ssh_key(dir.path(), kind, passphrase) else { return };
        is_an_owner(&recipient, &OwnerKey::read(&file, ask()).unwrap()).await;
        if !passphrase.is_empty() {
            let wrong = OwnerKey::read(&file, Arc::new(Says("wrong"))).err().unwrap();
            assert_eq!(wrong.kind(), Kind::Denied, "{}", wrong.chain());
            let nobody = OwnerKey::parse(std::str::from_utf8(&file).unwrap()).err().unwrap();
            assert!(nobody.to_string().contains("nobody to ask"), "{}", nobody.chain());
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    if made(Command::new("ssh-keygen").args(["-q", "-N", "", "-t", "ecdsa", "-f"]).arg(&file)).is_some() {
        let error = OwnerKey::read(&std::fs::read(&file).unwrap(), ask()).err().unwrap();
        assert_eq!(error.kind(), Kind::Unsupported, "{}", error.chain());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passphrase() {
    let recipient = Recipient::passphrase("safe").unwrap();
    is_an_owner(&recipient, &OwnerKey::passphrase("safe", ask()).unwrap()).await;

    let house = House::with(&[&recipient]).await;
    let key = OwnerKey::passphrase("safe", Arc::new(Says("not the words of that owner"))).unwrap();
    assert_eq!(house.open().await.unlock(&key).await.err().unwrap().kind(), Kind::Denied);
    // A passphrase that stays is asked for and tried before anything is sealed to it.
    let keys = house.names("keys").await;
    let changed = house.open().await.begin_epoch(&house.first.key, &[], &stamp()).await;
    assert!(changed.err().unwrap().chain().contains("nobody to ask"));
    assert_eq!(house.names("keys").await, keys);
    let (store, owners) = (Store::memory(), std::slice::from_ref(&recipient));
    let short = Arc::new(Says("too short"));
    let create = Repository::create_asking(&store, crate::house::secret(), HostUid([1; 8]), owners, short);
    assert!(create.await.err().unwrap().to_string().contains("too weak"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_file_behind_a_passphrase() {
    let id = crate::house::secret().repository();
    let (recipient, text) = OwnerKey::generate(id);
    let mut lock = age::scrypt::Recipient::new(PASSPHRASE.to_string().into());
    lock.set_work_factor(10);
    let (binary, armored) =
        (age::encrypt(&lock, text.as_bytes()).unwrap(), age::encrypt_and_armor(&lock, text.as_bytes()).unwrap());
    for file in [&binary[..], armored.as_bytes()] {
        let key = OwnerKey::read(file, ask()).unwrap();
        assert_eq!(key.repository, Some(id), "the pin is inside");
        let wrong = OwnerKey::read(file, Arc::new(Says("wrong"))).err().unwrap();
        assert_eq!(wrong.kind(), Kind::Denied, "{}", wrong.chain());
        assert!(OwnerKey::read(&file[..file.len() / 2], ask()).is_err());
    }
    is_an_owner(&recipient, &OwnerKey::read(&binary, ask()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_that_asks_for_endless_work_is_refused() {
    let recipient = Recipient::passphrase("safe").unwrap();
    let house = House::with(&[&recipient]).await;
    let name = format!("keys/1-{}.age", recipient.name());
    let text = house.objects.bytes(&name).await;
    let at = text.windows(4).position(|bytes| bytes == b" 18\n").unwrap();
    let changed = [&text[..at], b" 30\n", &text[at + 4..]].concat();
    house.objects.write(&name, &changed).await;
    let key = OwnerKey::passphrase("safe", ask()).unwrap();
    let error = house.open().await.unlock(&key).await.err().unwrap();
    assert!(error.chain().contains("more work"), "{}", error.chain());
}
