//! Anything in any order, against a model that is a map.

use dozo_repository::{Doomed, Kind};
use proptest::prelude::*;

use crate::stage::{Files, HOUR, Stage, noise, quick};

#[derive(Clone, Debug)]
enum Act {
    /// The source gets or changes a file.
    Put(u8, u64),
    /// The source loses a file.
    Remove(u8),
    Run,
    /// The so-manieth oldest snapshot is given up, if it is not the newest.
    Delete(usize),
    Prune,
    Compact,
    Hours(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..12u8, 0..40u64).prop_map(|(name, seed)| Act::Put(name, seed)),
        1 => (0..12u8).prop_map(Act::Remove),
        4 => Just(Act::Run),
        3 => (0..4usize).prop_map(Act::Delete),
        3 => Just(Act::Prune),
        1 => Just(Act::Compact),
        3 => (1..30u64).prop_map(Act::Hours),
    ]
}

async fn play(acts: Vec<Act>) {
    let stage = Stage::new().await;
    let repository = stage.plain().await;
    let mut source = Files::from([("always".to_string(), noise(5_000, 999))]);
    let mut runs = 0;
    for act in acts {
        let deletes = matches!(act, Act::Delete(_) | Act::Prune | Act::Compact);
        match act {
            Act::Put(name, seed) => drop(source.insert(format!("d/{name}"), noise(2_000 + seed as usize, seed))),
            Act::Remove(name) => drop(source.remove(&format!("d/{name}"))),
            Act::Run => {
                stage.run(&repository, "files", &source).await.unwrap();
                runs += 1;
            }
            Act::Delete(number) => {
                let view = repository.view().await.unwrap();
                let Some((id, snapshot)) = view.snapshots().iter().rev().skip(1).rev().nth(number) else { continue };
                stage.unpromise(&snapshot.tags[0]);
                let doomed = [Doomed { snapshot: *id, why: "the model says so".into() }];
                stage.prune_these(&repository, &doomed, quick()).await.unwrap();
            }
            Act::Prune => drop(stage.prune_these(&repository, &[], quick()).await.unwrap()),
            Act::Compact => drop(stage.compact(&repository, quick()).await.unwrap()),
            Act::Hours(hours) => stage.world.advance(hours * HOUR),
        }
        if deletes {
            stage.check().await;
        }
    }
    stage.check().await;
    if runs > 0 {
        stage.settle(1).await;
        stage.check().await;
        let held: u64 = stage.world.names("packs").await.len() as u64;
        assert!(held <= runs * 2, "{held} packs after {runs} runs");
    } else {
        // Nothing was ever committed: there is nothing, and nothing to prune.
        assert_eq!(repository.view().await.unwrap().snapshots().len(), 0);
        assert!(stage.prune(&repository, 1, quick()).await.is_ok_and(|done| done == Default::default()));
        assert_ne!(stage.compact(&repository, quick()).await.map_err(|e| e.kind()).err(), Some(Kind::Internal));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_snapshots_hold_what_was_put_into_them(acts in proptest::collection::vec(act(), 4..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(acts));
    }
}
