//! Leases: who may go on, who must wait, and who must stop.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use dozo_repository::{Kind, LeaseRequest, Purpose, Standing};

use crate::stage::world::{By, Call, Fate, Script};
use crate::stage::{DAY, HOUR, Stage, files};

/// The machine slept while the run went on: its own clock stood still, the store's did not (kopia#1949).
#[tokio::test]
async fn a_run_that_slept_makes_no_snapshot() {
    let stage = Stage::new().await;
    let repository = stage.plain().await;
    let lease = repository.lease(stage.request(Purpose::Run, Some("files"))).await.unwrap();
    let view = repository.view_to_write(&lease).await.unwrap();
    let now = files(&[(1, 1)]);
    let writer = stage.write(&view, "files", &now).await.unwrap();
    stage.world.advance(5 * HOUR);
    let error = stage.commit(&view, writer, "files", &now).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{}", error.chain());
    assert!(error.to_string().contains("was not renewed"), "{}", error.chain());
    assert!(stage.world.names("snapshots").await.is_empty());
    assert!(lease.has_lapsed());
    lease.release().await.unwrap();
    // What was stored is found by the next run.
    stage.run(&repository, "files", &now).await.unwrap();
    stage.check().await;
}

#[tokio::test]
async fn a_job_runs_once_at_a_time() {
    let stage = Stage::new().await;
    let (one, other) = (stage.plain().await, stage.plain().await);
    let lease = one.lease(stage.request(Purpose::Run, Some("files"))).await.unwrap();
    let busy = other.lease(stage.request(Purpose::Run, Some("files"))).await.err().unwrap();
    assert_eq!(busy.kind(), Kind::Busy);
    assert!(busy.to_string().contains("`files` is running already, on host since"), "{busy}");
    other.lease(stage.request(Purpose::Run, Some("other"))).await.unwrap();
    other.lease(stage.request(Purpose::Read, None)).await.unwrap();
    lease.release().await.unwrap();
    let lease = other.lease(stage.request(Purpose::Run, Some("files"))).await.unwrap();
    // It died. Its seconds pass; those who delete heed it for a day more.
    drop(lease);
    stage.world.advance(HOUR);
    let lease = one.lease(stage.request(Purpose::Run, Some("files"))).await.unwrap();
    let holders = one.leases(stage.time()).await.unwrap();
    assert_eq!(holders.iter().filter(|holder| holder.standing == Standing::Lingering).count(), 3);
    assert_eq!(holders.iter().filter(|holder| holder.standing == Standing::AtWork).count(), 1);
    drop(lease);
    stage.world.advance(2 * DAY);
    assert!(one.leases(stage.time()).await.unwrap().iter().all(|holder| !holder.is_live()));
}

/// A run that was killed on this host keeps the next one waiting for nothing, and prunes neither.
#[tokio::test]
async fn a_predecessor_that_is_dead_is_released() {
    let stage = Stage::new().await;
    let repository = stage.plain().await;
    let dead = repository.lease(stage.request(Purpose::Run, Some("files"))).await.unwrap();
    let id = dead.id();
    drop(dead);
    let request = LeaseRequest { predecessors: vec![id], ..stage.request(Purpose::Run, Some("files")) };
    let lease = repository.lease(request).await.unwrap();
    let holders = repository.leases(stage.time()).await.unwrap();
    let live: Vec<_> = holders.iter().filter(|holder| holder.is_live()).map(|holder| holder.id).collect();
    assert_eq!(live, [lease.id()]);
}

/// Everybody else has a turn before each call.
struct Yields;

#[async_trait]
impl Script for Yields {
    async fn fate(&self, _: Call, _: &str) -> Fate {
        tokio::task::yield_now().await;
        Fate::Works
    }
}

/// Two that begin within one tick of the store's clock: one goes on, whichever it is, and one gives way.
#[tokio::test]
async fn of_two_at_once_one_goes_on() {
    let stage = Stage::new().await;
    stage.world.tick.store(0, Ordering::Relaxed);
    let (one, other) = (stage.open(Arc::new(Yields)).await, stage.open(Arc::new(Yields)).await);
    for _ in 0..2 {
        let (a, b) = (stage.request(Purpose::Run, Some("files")), stage.request(Purpose::Run, Some("files")));
        let (a, b) = tokio::join!(one.lease(a), other.lease(b));
        assert!(a.is_ok() != b.is_ok(), "{:?} {:?}", a.err(), b.err());
        for lease in [a, b].into_iter().flatten() {
            lease.release().await.unwrap();
        }
    }
}

/// Credentials that may not write are no reason not to restore.
#[tokio::test]
async fn a_reader_that_may_not_write_reads() {
    let stage = Stage::new().await;
    stage.run(&stage.plain().await, "files", &files(&[(1, 1)])).await.unwrap();
    let script = By(|call, _: &str| if call == Call::Put { Fate::Denied } else { Fate::Works });
    let repository = stage.open(Arc::new(script)).await;
    let lease = repository.read_lease(stage.request(Purpose::Read, None)).await;
    assert!(lease.note().unwrap().contains("without a lease"));
    assert_eq!(lease.view().await.unwrap().snapshots().len(), 1);
    lease.release().await.unwrap();
    let lease = stage.plain().await.read_lease(stage.request(Purpose::Read, None)).await;
    assert!(lease.note().is_none());
    lease.release().await.unwrap();
}

/// An answer that was lost is no failure: what was put is read back.
#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again() {
    let stage = Stage::new().await;
    let script = By(|call, _: &str| if call == Call::Put { Fate::AnswerLost } else { Fate::Works });
    let repository = stage.open(Arc::new(script)).await;
    stage.run(&repository, "files", &files(&[(1, 1), (2, 2)])).await.unwrap();
    stage.check().await;
}
