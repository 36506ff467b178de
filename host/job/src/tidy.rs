//! What retention makes of a repository: every snapshot with what the records say of it is judged, and a prune is planned.

use std::collections::{BTreeMap, BTreeSet};

use dozo_repository::format::record::{HoldAction, HoldRecord, VerificationRecord};
use dozo_repository::{Doomed, ObjectId, Problem, PrunePlan, Pruner, Result, View};
use jiff::Timestamp;

use crate::retention::{Fact, Judgement, Policy, judge};

/// What is to become of every snapshot, and what a prune would do about it.
pub struct Tidy {
    /// Each snapshot's fate.
    pub judgement: Judgement,
    /// What would be deleted.
    pub plan: PrunePlan,
    /// Records that could not be read. A hold or the removal of a host among them would be missed, so nothing is deleted by
    /// rules then.
    pub unread: Vec<String>,
}

/// Judges all snapshots and plans a prune; to the policy's removed hosts come those of the records. Writes nothing but the
/// pruner's lease.
pub async fn plan(pruner: &Pruner, view: &View, mut policy: Policy) -> Result<Tidy> {
    let now = pruner.now().await?;
    let (facts, mut unread) = facts(view).await?;
    let (removed, damaged) = view.repository().removed_hosts().await?;
    policy.removed.extend(removed);
    unread.extend(damaged.iter().map(told));
    let judgement = judge(&facts, &policy, now);
    let doomed: Vec<Doomed> = match unread.as_slice() {
        [] => judgement.deleted().map(|(snapshot, why)| Doomed { snapshot, why: why.to_string() }).collect(),
        _ => Vec::new(),
    };
    let plan = pruner.plan(&doomed).await?;
    Ok(Tidy { judgement, plan, unread })
}

/// What retention knows of each snapshot, and which records could not be read.
///
/// # Errors
/// Only if the store does not answer.
pub async fn facts(view: &View) -> Result<(Vec<Fact>, Vec<String>)> {
    let (holds, unread) = held(view).await?;
    let verifications = view.repository().records::<VerificationRecord>(Timestamp::MIN).await?;
    let verified: BTreeSet<ObjectId> = verifications.parsed.iter().flat_map(|v| v.value.snapshots.clone()).collect();
    let facts = view.snapshots().iter().map(|(id, snapshot)| {
        let arrived = view.arrived(id).unwrap_or(snapshot.started);
        let held = holds.contains(id);
        let (verified, accepted) = (verified.contains(id), view.accepted(id));
        Fact { held, verified, accepted, ..Fact::new(*id, snapshot, arrived) }
    });
    Ok((facts.collect(), unread))
}

/// The snapshots that are held, and which records of holds could not be read. Of several words about one snapshot the newest
/// counts, by the store's time.
///
/// # Errors
/// Only if the store does not answer.
pub async fn held(view: &View) -> Result<(BTreeSet<ObjectId>, Vec<String>)> {
    let holds = view.repository().records::<HoldRecord>(Timestamp::MIN).await?;
    let mut words: BTreeMap<ObjectId, (Timestamp, HoldAction)> = BTreeMap::new();
    for hold in &holds.parsed {
        let word = (hold.modified, hold.value.action);
        let newest = words.entry(hold.value.snapshot).or_insert(word);
        if newest.0 <= word.0 {
            *newest = word;
        }
    }
    let held = words.into_iter().filter(|(_, (_, action))| *action == HoldAction::Hold).map(|(id, _)| id);
    Ok((held.collect(), holds.problems.iter().map(told).collect()))
}

fn told(problem: &Problem) -> String {
    format!("{}: {}", problem.object, problem.why.chain())
}
