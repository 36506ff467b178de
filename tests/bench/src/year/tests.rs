//! Some weeks of a year: what is stored stays in proportion to what is kept, and would not if nobody pruned.

use std::sync::Arc;

use dozo_repository::Secret;
use object_store::memory::InMemory;

use super::clocked::Clocked;
use super::keeper::{Keeper, Kept, Takes, Tidying};
use super::tree::Shape;
use super::{Sources, moment};

const KEPT: Kept = Kept { hourly: 4, daily: 4, weekly: 2, monthly: 0 };
const DOCUMENTS: Shape = Shape { small: 12, large: 0, large_bytes: 0, edits: 1, pages: 0 };
const TABLES: Shape = Shape { small: 2, large: 1, large_bytes: 1 << 20, edits: 1, pages: 1 };

/// What the store takes after so many days and after twice as many; of one that nobody tidies, too.
async fn grown(tidying: Option<Tidying>, days: u32) -> [Takes; 2] {
    let home = tempfile::tempdir().unwrap();
    let mut sources = Sources::new(home.path(), DOCUMENTS, TABLES).unwrap();
    let store = Clocked::new(Arc::new(InMemory::new()));
    let keeper = Keeper::new(tidying.unwrap_or(Tidying::Prune), Secret::new([1; 32]), store, home.path());
    let keeper = keeper.await.unwrap();
    let mut half = Takes::default();
    for day in 1..=2 * days {
        for run in 0..2 {
            sources.tables.1.change().unwrap();
            keeper.set(moment(day, run, 2).unwrap());
            keeper.run("tables", &sources.tables.0).await.unwrap();
        }
        sources.documents.1.change().unwrap();
        keeper.set(moment(day, 2, 2).unwrap());
        keeper.run("documents", &sources.documents.0).await.unwrap();
        if tidying.is_some() {
            keeper.tidy(KEPT).await.unwrap();
        }
        if day == days {
            half = keeper.takes().await.unwrap();
        }
    }
    [half, keeper.takes().await.unwrap()]
}

/// By how much content grows, in hundredths: what is written down of runs is kept on purpose.
fn growth([half, whole]: &[Takes; 2]) -> u64 {
    (whole.bytes - whole.notes) * 100 / (half.bytes - half.notes)
}

#[tokio::test]
async fn what_is_stored_stays_in_proportion_to_what_is_kept() {
    let never = grown(None, 21).await;
    let pruned = grown(Some(Tidying::Prune), 21).await;
    let compacted = grown(Some(Tidying::Compact), 21).await;
    assert!(growth(&never) > 180, "without a prune it grows: {never:#?}");
    assert!(growth(&pruned) < 115, "{pruned:#?}");
    assert!(growth(&compacted) < 110, "{compacted:#?}");
    assert_eq!(pruned[0].snapshots, pruned[1].snapshots, "as many are kept");
    let [_, end] = compacted;
    assert!(end.dead * 100 < end.packs * 50, "{end:#?}");
}
