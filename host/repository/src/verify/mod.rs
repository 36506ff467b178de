//! Verification: what the repository holds against what it says it holds. A restore without a plugin. Writes nothing but
//! what it is asked to leave behind: [damage](View::record_damage) and [a record](crate::Repository::put_verification).

mod documents;
mod packs;
mod record;
mod sample;
mod walk;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::advice::Advice;
use crate::error::{Error, Kind, Result};
use crate::format::name::{PackKind, parse_document, parse_pack};
use crate::format::record::VerifiedDepth;
use crate::id::ObjectId;
use crate::keys::ReadKeys;
use crate::thaw::PacksToRead;
use crate::view::{Problem, View};

pub(crate) use documents::{current_keys, problems as unreadable_documents};
pub(crate) use packs::{UNDECODABLE, read_pack};
pub use sample::Sample;
pub(crate) use walk::{Needs, PacksNeeded, Walk};

/// How deep to look.
#[derive(Clone, Copy)]
pub enum Depth<'a> {
    /// Snapshots, manifests, indexes, key documents, records, and that every pack is there with its length. No content is
    /// read.
    Structure,
    /// Also that every pack has the digest that it is named by: finds rot without any key.
    Scrub(Sample),
    /// Also that every chunk decrypts, decodes and has its id: proves that it can be restored.
    Data(Sample, &'a ReadKeys),
}

impl Depth<'_> {
    fn sample(&self) -> Option<Sample> {
        match self {
            Depth::Structure => None,
            Depth::Scrub(sample) | Depth::Data(sample, _) => Some(*sample),
        }
    }

    fn keys(&self) -> Option<&ReadKeys> {
        match self {
            Depth::Data(_, keys) => Some(keys),
            _ => None,
        }
    }

    fn word(&self) -> VerifiedDepth {
        match self {
            Depth::Structure => VerifiedDepth::Structure,
            Depth::Scrub(_) => VerifiedDepth::Scrub,
            Depth::Data(..) => VerifiedDepth::Data,
        }
    }
}

/// What to look at.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Everything.
    All,
    /// These snapshots, and what they need.
    Snapshots(&'a [ObjectId]),
}

/// How far a verification is; read by whoever shows progress.
#[derive(Debug, Default)]
pub struct VerifyCounters {
    /// Entries held against the index.
    pub entries: AtomicU64,
    /// Packs read.
    pub packs: AtomicU64,
    /// Bytes of them.
    pub bytes: AtomicU64,
}

/// What a verification found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Snapshots looked at.
    pub snapshots: u64,
    /// Entries looked at, those of unchanged segments once.
    pub entries: u64,
    /// Packs that the indexes name and the store holds.
    pub packs: u64,
    /// Packs read.
    pub packs_read: u64,
    /// Bytes of them.
    pub bytes_read: u64,
    /// Objects that are damaged or missing. The hint of each says what to do.
    pub problems: Vec<Problem>,
    /// Packs that are damaged or missing, and that no snapshot needs: no loss.
    pub superseded: Vec<Problem>,
    /// Entries that cannot be restored whole: snapshot, path, why. The first 1,000.
    pub damaged: Vec<(ObjectId, String, String)>,
    /// How many in all.
    pub damaged_count: u64,
    /// Snapshots with which nothing is wrong, as deep as it was looked.
    pub whole: Vec<ObjectId>,
    /// How deep it was looked.
    pub depth: VerifiedDepth,
    /// How many in a hundred of the packs were read.
    pub percent: u8,
    /// Packs that are not what they should be, needed or not.
    pub(crate) bad: Vec<BadPack>,
    /// Damage documents that were seen where everything is whole all the same.
    pub(crate) harmless: Vec<ObjectId>,
    /// Of a sample of all packs the last.
    pub(crate) read_to: Option<ObjectId>,
}

/// A pack that is missing, cut off or changed.
#[derive(Clone, Debug)]
pub(crate) struct BadPack {
    pub(crate) kind: PackKind,
    pub(crate) id: ObjectId,
    pub(crate) why: Error,
}

impl Findings {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty() && self.damaged_count == 0
    }
}

/// Verifies all that the view shows.
///
/// # Errors
/// Only if the store does not answer or a key is missing; what is damaged is found, not an error.
pub async fn verify(view: &View, depth: Depth<'_>, counters: &VerifyCounters) -> Result<Findings> {
    verify_scope(view, depth, Scope::All, counters).await
}

/// Verifies some of what the view shows.
///
/// # Errors
/// Also if a snapshot that was asked for is not there ([`Invalid`](Kind::Invalid)).
pub async fn verify_scope(
    view: &View,
    depth: Depth<'_>,
    scope: Scope<'_>,
    counters: &VerifyCounters,
) -> Result<Findings> {
    let snapshots = chosen(view, scope)?;
    let percent = match depth.sample() {
        None => 0,
        Some(Sample::All) => 100,
        Some(Sample::Percent(percent, _)) => percent,
    };
    let mut findings = Findings { depth: depth.word(), percent, ..Findings::default() };
    findings.packs = view.index().packs().len() as u64;
    let only = match scope {
        Scope::All => None,
        Scope::Snapshots(_) => Some(needs_of(view, &snapshots).await?),
    };
    let read = packs::read(view, depth, only.as_ref(), counters, &mut findings).await?;
    let mut walk = Walk::new(view, read.iter().map(|(number, _)| *number).collect());
    for (id, snapshot) in &snapshots {
        findings.snapshots += 1;
        if walk.snapshot(*id, snapshot).await? {
            findings.whole.push(*id);
        }
        counters.entries.store(walk.entries, Ordering::Relaxed);
    }
    (findings.entries, findings.damaged_count) = (walk.entries, walk.damaged_count);
    findings.damaged = std::mem::take(&mut walk.damaged);
    findings.bad = read.into_iter().map(|(_, bad)| bad).chain(packs::absent(view)).collect();
    findings.sort_packs(view, &walk.needs, scope);
    if matches!(scope, Scope::All) {
        findings.problems.extend(document_problems(view).await?);
        // What was not read this time, and is recorded and needed, is among the problems.
        if findings.is_clean() {
            findings.harmless = view.marks.damage.iter().map(|note| note.id).collect();
        }
    }
    Ok(findings)
}

/// The packs of content that a verification reads; none are told where none can lie in cold storage.
pub async fn packs_to_read(view: &View, depth: Depth<'_>, scope: Scope<'_>) -> Result<PacksToRead> {
    if !view.may_lie_cold() || depth.sample().is_none() {
        return Ok(PacksToRead::default());
    }
    let only = match scope {
        Scope::All => None,
        Scope::Snapshots(_) => Some(needs_of(view, &chosen(view, scope)?).await?),
    };
    let (chosen, _) = packs::chosen(view, depth, only.as_ref());
    let numbers = chosen.into_iter().map(|(_, number)| number).filter(|number| view.holds_content(*number));
    Ok(PacksToRead(numbers.collect()))
}

type Chosen = Vec<(ObjectId, std::sync::Arc<crate::format::snapshot::Snapshot>)>;

fn chosen(view: &View, scope: Scope<'_>) -> Result<Chosen> {
    let Scope::Snapshots(ids) = scope else { return Ok(view.snapshots().to_vec()) };
    let known: HashMap<_, _> = view.snapshots().iter().map(|(id, snapshot)| (*id, snapshot)).collect();
    let find = |id: &ObjectId| {
        let snapshot = known.get(id).map(|snapshot| (*id, (*snapshot).clone()));
        snapshot.ok_or_else(|| Error::invalid(format!("there is no snapshot {} that can be read", id.short())))
    };
    ids.iter().map(find).collect()
}

async fn needs_of(view: &View, snapshots: &Chosen) -> Result<Needs> {
    let mut walk = Walk::new(view, Default::default());
    for (id, snapshot) in snapshots {
        walk.snapshot(*id, snapshot).await?;
    }
    Ok(walk.needs)
}

/// Documents that cannot be read; packs are told of elsewhere.
async fn document_problems(view: &View) -> Result<Vec<Problem>> {
    let of_view = view.problems().iter().filter(|problem| parse_pack(&problem.object).is_err()).cloned();
    let mut problems: Vec<Problem> = of_view.collect();
    problems.extend(view.repository().check_indexes(&view.packs.unread).await?);
    problems.extend(documents::problems(view.repository()).await?);
    let advice = view.repository().advice();
    Ok(problems.into_iter().map(|problem| advised(problem, &advice)).collect())
}

impl Findings {
    /// Which of the bad packs are a loss.
    fn sort_packs(&mut self, view: &View, needs: &Needs, scope: Scope<'_>) {
        let advice = view.repository().advice();
        for BadPack { kind, id, why } in &self.bad {
            let problem = |hint: String| Problem { object: kind.object(id), why: why.clone().hinted(hint) };
            if needs.may_need(id) {
                self.problems.push(problem(advice.pack()));
            } else if matches!(scope, Scope::All) {
                self.superseded.push(problem(format!("`{}` takes it out of the index", advice.repair())));
            }
        }
    }
}

/// Adds what to do about a document.
fn advised(problem: Problem, advice: &Advice) -> Problem {
    if problem.why.kind() != Kind::Corrupt || problem.why.hint().is_some() {
        return problem;
    }
    let (back, give_up) = (advice.copied_back(), format!("`{} --give-up` with its name", advice.repair()));
    let hint = match problem.object.split('/').next() {
        Some("keys") => format!("{back}; without one, let an owner write it again"),
        Some("index") => format!("{back}, or, with an owner key, makes it again from the packs themselves"),
        Some("snapshots") => format!("{back}; without one, {give_up} lets it go"),
        _ if parse_document(&problem.object).is_ok() => format!("no content depends on it: {give_up} removes it"),
        _ => "find out who writes there".into(),
    };
    Problem { why: problem.why.hinted(hint), ..problem }
}
