//! The rules applied to the snapshots of one job, as if those were all there are.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use dozo_repository::ObjectId;
use jiff::Timestamp;

use super::bucket::{Bucket, Period, is_preferred, zoned};
use super::fact::Fact;
use super::fate::Reason;
use super::rules::{Reach, Rules};

/// Why each snapshot that stays does.
pub(super) type Kept = BTreeMap<ObjectId, Vec<Reason>>;

/// What the rules keep of a job's snapshots, newest first.
///
/// A snapshot that is kept among these is also kept among fewer of them: every rule takes the greatest of an order, or
/// looks at the snapshot alone. Whatever is added here must hold to that; the guard against floods rests on it.
pub(super) fn kept(facts: &[&Fact], rules: &Rules, now: Timestamp) -> Kept {
    let mut kept = Kept::new();
    let mut keep = |fact: &Fact, reason| kept.entry(fact.id).or_default().push(reason);
    let is_complete = |fact: &&&Fact| fact.is_good();
    for fact in facts {
        let tags = rules.tagged.iter().filter(|tag| fact.tags.contains(tag));
        tags.for_each(|tag| keep(fact, Reason::Tagged(tag.clone())));
    }
    // A suspicious snapshot takes the place of no other. Those that nothing else followed are thinned among themselves.
    let suspicious: Vec<&Fact> = facts.iter().take_while(|fact| !fact.is_trusted()).copied().collect();
    for (fact, reason) in by_rules(&suspicious, rules, now) {
        keep(fact, Reason::Suspicious(Box::new(reason)));
    }
    suspicious.first().into_iter().for_each(|fact| keep(fact, Reason::Newest));
    let newest = if suspicious.is_empty() { Reason::Newest } else { Reason::NewestTrusted };
    let facts: Vec<&Fact> = facts.iter().filter(|fact| fact.is_trusted()).copied().collect();
    let facts = facts.as_slice();
    let complete: Vec<&Fact> = facts.iter().filter(is_complete).copied().collect();
    by_rules(&complete, rules, now).into_iter().for_each(|(fact, reason)| keep(fact, reason));
    // A partial snapshot never takes the place of a complete one. But a source that is never read to the last file has
    // nothing else for its last weeks: what came after the newest complete one is thinned by the same rules.
    let unfollowed: Vec<&Fact> = facts.iter().take_while(|fact| !is_complete(fact)).copied().collect();
    for (fact, reason) in by_rules(&unfollowed, rules, now) {
        keep(fact, Reason::Unfollowed(Box::new(reason)));
    }
    facts.first().into_iter().for_each(|fact| keep(fact, newest.clone()));
    complete.first().into_iter().for_each(|fact| keep(fact, Reason::NewestComplete));
    let verified = [facts, complete.as_slice()].map(|facts| facts.iter().find(|fact| fact.verified));
    let [any, whole] = verified;
    any.into_iter().for_each(|fact| keep(fact, Reason::NewestVerified));
    whole.filter(|whole| any.is_some_and(|any| any.id != whole.id)).into_iter().for_each(|fact| {
        keep(fact, Reason::NewestVerified);
    });
    kept
}

fn by_rules<'a>(facts: &[&'a Fact], rules: &Rules, now: Timestamp) -> Vec<(&'a Fact, Reason)> {
    let mut kept = Vec::new();
    if let Some(n) = rules.last {
        kept.extend(facts.iter().take(count(n)).map(|fact| (*fact, Reason::Last(n))));
    }
    if let Some(stretch) = rules.within {
        let since = rules.before(now, stretch);
        let young = facts.iter().filter(|fact| fact.started >= since);
        kept.extend(young.map(|fact| (*fact, Reason::Within(stretch))));
    }
    for (period, reach) in &rules.calendar {
        let standing = representatives(facts, *period, rules).into_iter().rev();
        let reason = |(bucket, fact)| (fact, Reason::Calendar(bucket));
        match reach {
            Reach::Newest(n) => kept.extend(standing.take(count(*n)).map(reason)),
            Reach::Within(stretch) => {
                let since = rules.before(now, *stretch);
                kept.extend(standing.filter(|(_, fact)| fact.started >= since).map(reason));
            }
        }
    }
    kept
}

/// The snapshot that stands for each bucket: the newest of the preferred day, else the newest.
fn representatives<'a>(facts: &[&'a Fact], period: Period, rules: &Rules) -> BTreeMap<Bucket, &'a Fact> {
    let mut standing: BTreeMap<Bucket, (bool, &Fact)> = BTreeMap::new();
    for fact in facts {
        let at = zoned(fact.started, rules);
        let preferred = is_preferred(period, &at, rules);
        match standing.entry(Bucket::of(period, &at)) {
            Entry::Vacant(empty) => {
                empty.insert((preferred, fact));
            }
            // Newest first: another takes its place only because its day does.
            Entry::Occupied(mut filled) if preferred && !filled.get().0 => {
                filled.insert((preferred, fact));
            }
            Entry::Occupied(_) => {}
        }
    }
    standing.into_iter().map(|(bucket, (_, fact))| (bucket, fact)).collect()
}

fn count(n: std::num::NonZeroU32) -> usize {
    usize::try_from(n.get()).unwrap_or(usize::MAX)
}
