//! Stores that show less than they did: an old copy was put back, or snapshots were deleted. Whoever remembers the newest
//! snapshot of each job finds out. Knows no file in which that is remembered; that it must be recalled before the view is
//! taken, so that what others add meanwhile cannot be missed there.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use dozo_repository::format::name::{Place, parse_document};
use dozo_repository::format::record::PruneRecord;
use dozo_repository::format::snapshot::Named;
use dozo_repository::{Error, JobUid, ObjectId, Result, View};
use jiff::Timestamp;

/// The newest snapshot of a job that somebody knows of.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Seen {
    /// Whose.
    pub job: Named<JobUid>,
    /// Its number among those of the job.
    pub sequence: u64,
    /// Which.
    pub snapshot: ObjectId,
}

/// What this host remembers of a repository.
pub trait Memory: Send + Sync {
    /// The newest snapshot of each job; none if nothing was ever remembered.
    fn recall(&self) -> Result<Option<Vec<Seen>>>;
    /// Remembers these durably, where nothing newer is remembered.
    fn remember(&self, seen: &[Seen]) -> Result<()>;
}

/// A job of which the store shows less than it did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Lost {
    /// What is remembered.
    #[serde(flatten)]
    pub seen: Seen,
    /// The number of the newest that is there.
    pub shown: Option<u64>,
}

/// What a look back found.
#[derive(Clone, Debug, Default)]
pub struct LookBack {
    /// Of which jobs less is there than was.
    pub lost: Vec<Lost>,
    /// Why less could be told than should be.
    pub note: Option<String>,
}

/// The last run of each job in a view that left a snapshot, by number, whatever its clock showed.
pub fn newest(view: &View) -> Vec<Seen> {
    let mut newest = BTreeMap::new();
    for (id, snapshot) in view.snapshots() {
        let seen = Seen { job: snapshot.job.clone(), sequence: snapshot.sequence, snapshot: *id };
        let best = newest.entry(snapshot.job.uid).or_insert_with(|| (snapshot.order(), seen.clone()));
        if snapshot.order() > best.0 {
            *best = (snapshot.order(), seen);
        }
    }
    newest.into_values().map(|(_, seen)| seen).collect()
}

/// Holds a view against what was recalled before it was taken.
///
/// # Errors
/// Only if the store does not answer.
pub async fn look_back(view: &View, recalled: Result<Option<Vec<Seen>>>) -> Result<LookBack> {
    const BLIND: &str = "whether the store was rolled back cannot be told this time";
    match recalled {
        Ok(Some(seen)) => Ok(LookBack { lost: lost(view, seen).await?, note: None }),
        Ok(None) => {
            let mine = view.snapshots().iter().any(|(_, snapshot)| snapshot.host.uid == view.repository().host());
            let note = mine.then(|| format!("this host remembers nothing of the repository: {BLIND}"));
            Ok(LookBack { lost: Vec::new(), note })
        }
        Err(why) => Ok(LookBack { lost: Vec::new(), note: Some(format!("{BLIND}: {}", why.chain())) }),
    }
}

async fn lost(view: &View, remembered: Vec<Seen>) -> Result<Vec<Lost>> {
    let compared = remembered.into_iter().map(|seen| Lost { shown: view.highest_sequence(seen.job.uid), seen });
    let mut lost: Vec<Lost> = compared.filter(|lost| lost.shown < Some(lost.seen.sequence)).collect();
    if lost.is_empty() {
        return Ok(lost);
    }
    // One that is there and cannot be read is damage, and told as such.
    let damaged: HashSet<ObjectId> =
        view.problems().iter().filter_map(|problem| snapshot_in(&problem.object)).collect();
    // What an operator let go of is recorded where the rest is: an old copy has no such record.
    let records = view.repository().records::<PruneRecord>(Timestamp::MIN).await?;
    let given_up = records.parsed.iter().flat_map(|record| &record.value.snapshots).map(|(id, _)| *id);
    let known: HashSet<ObjectId> = damaged.into_iter().chain(given_up).collect();
    lost.retain(|lost| !known.contains(&lost.seen.snapshot));
    Ok(lost)
}

fn snapshot_in(object: &str) -> Option<ObjectId> {
    match parse_document(object) {
        Ok((Place::Snapshot { .. }, id)) => Some(id),
        _ => None,
    }
}

impl LookBack {
    /// An error if less is there than was.
    pub fn refuse(&self, view: &View) -> Result<()> {
        let Some(first) = self.lost.first() else { return Ok(()) };
        let more = match self.lost.len() - 1 {
            0 => String::new(),
            1 => "; of another job, too".into(),
            more => format!("; of {more} other jobs, too"),
        };
        Err(Error::corrupt(format!("{} shows less than it did: {first}{more}", view.repository().url())).hinted(
            "an old copy was put back, or snapshots were deleted: `dozo snapshots` shows what is there, `dozo repair` brings \
             back what a mirror has; if it was done on purpose, `dozo check --accept-rollback`",
        ))
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { job, sequence, snapshot } = &self.seen;
        let there = self.shown.map_or("none".into(), |shown| format!("number {shown}"));
        write!(
            f,
            "the newest snapshot of `{}` was number {sequence} ({}), and is {there} now",
            job.name,
            snapshot.short()
        )
    }
}
