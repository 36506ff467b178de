//! Hosts that join, go over to a new epoch, and are removed.

use dozo_repository::format::circle::HostAction;
use dozo_repository::format::snapshot::Named;
use dozo_repository::{HostUid, Kind, Repository};

use crate::house::{House, owner, stamp};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_joins_in_the_newest_epoch() {
    let mut house = House::new().await;
    house.back_up("first", b"first").await;
    let changed = house.open().await.begin_epoch(&house.first.key, &[], &stamp()).await.unwrap();
    house.take(&changed);
    let id = house.key.repository;
    let (repository, key) = Repository::join(house.store(), id, &house.first.key, HostUid([2; 8])).await.unwrap();
    assert_eq!((key.epoch(), key.host, repository.host()), (2, HostUid([2; 8]), HostUid([2; 8])));
    house.key = key;
    house.back_up("second", b"second").await;
    for job in ["first", "second"] {
        assert_eq!(house.read(job, &house.first.key).await.unwrap(), job.as_bytes());
    }
    let other = "11".repeat(32).parse().unwrap();
    for (id, key, kind) in [(other, &house.first.key, Kind::Invalid), (id, &owner().key, Kind::Denied)] {
        let error = Repository::join(house.store(), id, key, HostUid([3; 8])).await.err().unwrap();
        assert_eq!(error.kind(), kind, "{}", error.chain());
        // Whoever only reads is held to the same.
        let error = Repository::open_to_read(house.store(), id, key, HostUid([3; 8])).await.err().unwrap();
        assert_eq!(error.kind(), kind, "{}", error.chain());
    }
    let first = &house.first.key;
    let (reading, keys) = Repository::open_to_read(house.store(), id, first, HostUid([4; 8])).await.unwrap();
    assert_eq!(reading.view().await.unwrap().snapshots().len(), 2);
    reading.view().await.unwrap().data_chunks(&keys);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_was_left_behind_goes_over() {
    let second = owner();
    let mut house = House::with(&[&second.recipient]).await;
    let epochs = house.open().await.open_epochs(&house.first.key).await.unwrap();
    let behind = house.open().await.key_for(HostUid([2; 8]), &epochs).unwrap();
    for _ in 0..2 {
        let changed = house.open().await.begin_epoch(&house.first.key, &[], &stamp()).await.unwrap();
        house.take(&changed);
    }
    let repository = Repository::open(house.store(), behind).await.unwrap();
    let epochs = repository.open_epochs(&second.key).await.unwrap();
    let key = repository.current_key(&epochs).unwrap();
    assert_eq!((key.epoch(), key.host), (3, HostUid([2; 8])));
    house.key = key;
    house.back_up("new", b"new").await;
    assert_eq!(house.read("new", &house.first.key).await.unwrap(), b"new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_are_listed_and_removed() {
    let house = House::new().await;
    house.back_up("job", b"content").await;
    let repository = house.open().await;
    let about = Named { uid: HostUid([2; 8]), name: "web-2".to_string() };
    let mut joined = stamp();
    joined.at += jiff::SignedDuration::from_millis(500);
    repository.put_host_record(HostAction::Joined, about.clone(), &joined).await.unwrap();
    let view = repository.view().await.unwrap();
    assert_eq!(repository.find_host("web-2", &view).await.unwrap(), about);
    assert_eq!(repository.find_host(&about.uid.to_string(), &view).await.unwrap(), about);
    let (rows, _) = repository.hosts(&view, jiff::Timestamp::MAX).await.unwrap();
    let shown: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.snapshots, row.joined.is_some())).collect();
    assert_eq!(shown, [("host", 1, false), ("web-2", 0, true)]);

    let mut later = stamp();
    later.at += jiff::SignedDuration::from_secs(1);
    repository.put_host_record(HostAction::Removed, about.clone(), &later).await.unwrap();
    let (rows, _) = repository.hosts(&view, jiff::Timestamp::MAX).await.unwrap();
    assert_eq!(rows[1].removed, Some(later.at));
    assert!(repository.find_host("nobody", &view).await.is_err());
    let twin = Named { uid: HostUid([3; 8]), name: "web-2".to_string() };
    repository.put_host_record(HostAction::Joined, twin, &stamp()).await.unwrap();
    assert!(repository.find_host("web-2", &view).await.unwrap_err().to_string().contains("2 hosts"));
}
