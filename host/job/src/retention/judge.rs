//! The fate of every snapshot: job by job, believed ones by the rules, the others kept.

use std::collections::BTreeMap;

use dozo_repository::{HostUid, JobUid, ObjectId};
use jiff::Timestamp;

use super::alert::{Alert, Finding};
use super::apply::{Kept, kept};
use super::fact::Fact;
use super::fate::{Fate, Reason, Superseded};
use super::flood;
use super::rules::{Retention, Rules};
use crate::limits::FLOOD_WINDOW;

/// By what snapshots are judged.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What is configured for each job. A job belongs to one host, so its uid says both.
    pub jobs: BTreeMap<JobUid, Retention>,
    /// What counts for all other jobs of the repository.
    pub others: Retention,
    /// Hosts that were removed, and when, by the store's time. What came from them later is not believed.
    pub removed: BTreeMap<HostUid, Timestamp>,
    /// What a flood does.
    pub floods: Floods,
}

/// What it does if far more snapshots of a job arrived than is usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floods {
    /// Nothing of the job is deleted.
    Halt,
    /// Somebody looked and knows why: the rules count.
    Explained,
}

/// What was decided. Every snapshot that was asked about has a fate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What becomes of each snapshot.
    pub fates: BTreeMap<ObjectId, Fate>,
    /// What a person should look at.
    pub alerts: Vec<Alert>,
}

impl Judgement {
    /// The snapshots that may go, and why.
    pub fn deleted(&self) -> impl Iterator<Item = (ObjectId, Superseded)> + '_ {
        self.fates.iter().filter_map(|(id, fate)| match fate {
            Fate::Delete(why) => Some((*id, *why)),
            Fate::Keep(_) => None,
        })
    }
}

/// Decides what becomes of snapshots. `now` is the store's: the time of an object that was just written.
pub fn judge(facts: &[Fact], policy: &Policy, now: Timestamp) -> Judgement {
    let mut jobs: BTreeMap<(HostUid, JobUid), BTreeMap<_, &Fact>> = BTreeMap::new();
    for fact in facts {
        jobs.entry((fact.host.uid, fact.job.uid)).or_default().insert(fact.order(), fact);
    }
    let mut judgement = Judgement::default();
    for ((_, job), facts) in jobs {
        let newest_first: Vec<&Fact> = facts.into_values().rev().collect();
        judge_job(&newest_first, (policy.jobs.get(&job), policy), now, &mut judgement);
    }
    judgement
}

fn judge_job(
    facts: &[&Fact],
    (configured, policy): (Option<&Retention>, &Policy),
    now: Timestamp,
    judgement: &mut Judgement,
) {
    let mut believed = Vec::new();
    let mut distrusted = Kept::new();
    for fact in facts {
        match fact.distrust(&policy.removed, now) {
            None => believed.push(*fact),
            Some(reason) => distrusted.entry(fact.id).or_default().push(reason),
        }
    }
    warn_of(&distrusted, facts, judgement);
    warn_of_drops(&believed, now, judgement);
    let keep_all = |reason: Reason| believed.iter().map(|fact| (fact.id, vec![reason.clone()])).collect::<Kept>();
    let mut stay = match configured.unwrap_or(&policy.others) {
        Retention::Unsaid if configured.is_none() => keep_all(Reason::NotConfigured),
        Retention::Unsaid => keep_all(Reason::NoRetention),
        Retention::By(rules) if rules.is_empty() => keep_all(Reason::NoRetention),
        Retention::Forever => keep_all(Reason::Forever),
        Retention::By(rules) => match flood_of(facts, policy, now) {
            Some(finding) => {
                alert(facts, finding, judgement);
                keep_all(Reason::Halted)
            }
            None => by_rules(&believed, rules, now),
        },
    };
    stay.extend(distrusted);
    for fact in facts.iter().filter(|fact| fact.held) {
        stay.entry(fact.id).or_default().insert(0, Reason::Held);
    }
    pronounce(facts, stay, judgement);
}

/// What stays by the rules: as things are, and as they were before what arrived only just now. Whatever arrives can
/// delete something only when it has been there for a while, and somebody could have looked at it.
fn by_rules(facts: &[&Fact], rules: &Rules, now: Timestamp) -> Kept {
    let stretch = rules.superseded_for();
    let since = rules.before(now, stretch);
    let mut stay = kept(facts, rules, now);
    for fact in facts.iter().filter(|fact| fact.came() > since) {
        stay.entry(fact.id).or_default().push(Reason::Recent(stretch));
    }
    let settled: Vec<Fact> = facts.iter().filter(|fact| fact.arrived <= since).map(|fact| fact.as_of(since)).collect();
    let settled: Vec<&Fact> = settled.iter().collect();
    for (id, reasons) in kept(&settled, rules, now) {
        let known = stay.entry(id).or_default();
        for reason in reasons {
            if !known.contains(&reason) {
                known.push(Reason::ButFor(stretch, Box::new(reason)));
            }
        }
    }
    stay
}

/// The flood in a job, if it halts retention. All that its hosts could have put counts, whatever its time says.
fn flood_of(facts: &[&Fact], policy: &Policy, now: Timestamp) -> Option<Finding> {
    let came: Vec<&Fact> =
        facts.iter().filter(|fact| fact.distrust(&policy.removed, now) != Some(Reason::HostRemoved)).copied().collect();
    match policy.floods {
        Floods::Halt => flood::look(&came, now),
        Floods::Explained => None,
    }
}

/// Writes down the fates of a job's snapshots, newest first.
fn pronounce(facts: &[&Fact], mut stay: Kept, judgement: &mut Judgement) {
    let mut newer: Option<Superseded> = None;
    let mut newer_trusted: Option<Superseded> = None;
    let mut newer_complete: Option<Superseded> = None;
    for fact in facts {
        let this = Superseded { by: fact.id, started: fact.started };
        let fate = match (stay.remove(&fact.id), newer_complete.or(newer_trusted).or(newer)) {
            (Some(reasons), _) => {
                newer = Some(this);
                newer_trusted = if fact.is_trusted() { newer } else { newer_trusted };
                newer_complete = if fact.is_good() { newer } else { newer_complete };
                Fate::Keep(reasons)
            }
            (None, Some(why)) => Fate::Delete(why),
            // Nothing newer stays, so this one is the newest, whatever was decided above.
            (None, None) => Fate::Keep(vec![Reason::Newest]),
        };
        judgement.fates.insert(fact.id, fate);
    }
}

fn warn_of(distrusted: &Kept, facts: &[&Fact], judgement: &mut Judgement) {
    let is_removed = |reasons: &&Vec<Reason>| reasons.contains(&Reason::HostRemoved);
    let removed = distrusted.values().filter(is_removed).count() as u64;
    let wrong = distrusted.len() as u64 - removed;
    if wrong > 0 {
        alert(facts, Finding::WrongTime(wrong), judgement);
    }
    if removed > 0 {
        alert(facts, Finding::HostRemoved(removed), judgement);
    }
}

/// Snapshots that wait for somebody to look at them: those that their host found suspicious, and what should have been and
/// was not. Whoever has a host's key can leave the mark out; what arrived within the window of a flood pushes nothing out
/// yet, if nobody changed that.
fn warn_of_drops(facts: &[&Fact], now: Timestamp, judgement: &mut Judgement) {
    let waiting = facts.iter().take_while(|fact| !fact.is_trusted()).count() as u64;
    if waiting > 0 {
        alert(facts, Finding::Suspicious(waiting), judgement);
    }
    let since = now.checked_sub(FLOOD_WINDOW).unwrap_or(Timestamp::MIN);
    let trusted: Vec<&Fact> = facts.iter().filter(|fact| fact.is_trusted()).copied().collect();
    let hidden = trusted.windows(2).find(|pair| pair[0].arrived > since && pair[0].hides_a_drop(pair[1]));
    if let Some([smaller, _]) = hidden {
        alert(facts, Finding::Shrunk(smaller.id), judgement);
    }
}

/// An alert about a job, named as its newest snapshot names it.
fn alert(facts: &[&Fact], finding: Finding, judgement: &mut Judgement) {
    if let Some(newest) = facts.first() {
        judgement.alerts.push(Alert { host: newest.host.clone(), job: newest.job.clone(), finding });
    }
}
