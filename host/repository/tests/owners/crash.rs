//! The store stops answering at every call of an operation, done or not: afterwards every owner reads everything, no host's key is for
//! nobody, and the operation can be done again.

use std::sync::Arc;

use dozo_repository::{Repository, Result};

use crate::house::{House, Last, Owner, Shaky, owner, stamp};

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Add,
    Remove,
    Epoch,
}

/// Two owners, a snapshot in each of two epochs.
async fn planted() -> (House, Owner) {
    let second = owner();
    let mut house = House::with(&[&second.recipient]).await;
    house.back_up("old", b"old").await;
    let changed = house.open().await.begin_epoch(&house.first.key, &[], &stamp()).await.unwrap();
    house.take(&changed);
    house.back_up("new", b"new").await;
    (house, second)
}

/// Does it with a host that goes over to what it is given, as the commands do.
async fn act(house: &mut House, what: What, second: &Owner, third: &Owner) -> Result<()> {
    let repository = Repository::open(house.store(), house.key.clone()).await?;
    let changed = match what {
        What::Add => {
            let added = repository.add_owner(&house.first.key, &third.recipient, &stamp()).await?;
            assert_eq!(added.epochs, [1, 2]);
            return Ok(());
        }
        What::Remove => {
            let gone = [second.recipient.to_string()];
            repository.remove_owners(&house.first.key, &gone, &[], &stamp()).await?
        }
        What::Epoch => repository.begin_epoch(&house.first.key, &[], &stamp()).await?,
    };
    let done = changed.left.is_empty();
    house.key = changed.key;
    match done {
        true => Ok(()),
        false => Err(changed.left[0].why.clone()),
    }
}

/// Whatever the store holds now, who stays an owner reads all of it, also what this host writes next.
async fn check(house: &House, staying: &[&Owner]) {
    let now = house.open().await;
    for owner in staying {
        assert_eq!(house.read("old", &owner.key).await.unwrap(), b"old");
        assert_eq!(house.read("new", &owner.key).await.unwrap(), b"new");
        let epochs = now.open_epochs(&owner.key).await.unwrap();
        assert!(epochs.problems().is_empty(), "{:?}", epochs.problems());
        assert!(epochs.current() >= house.key.epoch(), "the host is ahead of its owners");
        now.current_key(&epochs).unwrap();
    }
}

/// Stops it at one call and does it again. Tells whether there was such a call.
async fn stop_at(call: usize, last: Last, what: What, planted: &(House, Owner)) -> bool {
    let (planted, second) = planted;
    let (first, third) = (planted.first.clone(), owner());
    let objects: Arc<Shaky> = Arc::new(planted.objects.copy().await);
    let mut house = House { objects, key: planted.key.clone(), first: first.clone() };
    house.objects.break_after(call, last);
    let crashed = act(&mut house, what, second, &third).await.is_err();
    assert!(house.objects.mend() || !crashed, "{what:?} fails after {call} calls, with the store there");
    let staying = if what == What::Remove { vec![&first] } else { vec![&first, second] };
    check(&house, &staying).await;

    if let Err(e) = act(&mut house, what, second, &third).await {
        // Removed already: there is no such owner any more.
        let removed = what == What::Remove && e.to_string().contains("there is no owner");
        let left = house.names("keys").await.iter().any(|name| name.contains(&second.recipient.name()));
        assert!(removed && !left, "{what:?} again after {call} calls, {last:?}: {}", e.chain());
    }
    house.back_up("after", b"after").await;
    check(&house, &staying).await;
    match what {
        What::Add => assert_eq!(house.read("after", &third.key).await.unwrap(), b"after"),
        What::Remove => {
            assert!(house.read("after", &second.key).await.is_err(), "{call}");
            assert!(house.read("old", &second.key).await.is_err(), "its key documents are gone");
        }
        What::Epoch => assert_eq!(house.read("after", &second.key).await.unwrap(), b"after"),
    }
    crashed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_call_can_be_repeated() {
    let planted = planted().await;
    for what in [What::Add, What::Remove, What::Epoch] {
        for last in [Last::Lost, Last::Done] {
            let mut call = 0;
            while stop_at(call, last, what, &planted).await {
                call += 1;
            }
            assert!(call > 12, "{what:?} made only {call} calls");
        }
    }
}
